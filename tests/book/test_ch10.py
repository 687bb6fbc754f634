"""What chapter 10 computes, on small cases."""

import pandas as pd
import pytest
import torch

from wiseft_lite import Recipe, distance, interpolate
from wiseft_lite.book import ledger
from wiseft_lite.book.experiments import ch03, ch10
from wiseft_lite.book.ledger import Record
from wiseft_lite.tasks import Task
from wiseft_lite.training import PROBE

RECIPE = Recipe(epochs=1, lr=1e-2, batch_size=16)
LINE = pd.DataFrame(
    {"alpha": [0.0, 0.5, 1.0], "test": [80.0, 86.0, 85.0], "shifts": [60.0, 66.0, 62.0]}
).set_index("alpha")


@pytest.mark.parametrize(
    "reference, alpha", [(70, 0.5), (86, 0.5), (85.5, 0.5), (86.1, 0.5), (99, 0.5)]
)
def test_a_line_offers_its_highest_point_to_the_right(reference, alpha):
    assert ch10.offered(ch10.between(LINE), reference) == pytest.approx(alpha)


def test_a_line_is_read_between_its_alphas_and_from_its_far_end():
    falling = pd.DataFrame({"test": [80.0, 90.0], "shifts": [70.0, 60.0]}, index=[0.0, 1.0])
    assert ch10.offered(ch10.between(falling), 84) == pytest.approx(0.4)
    assert ch10.offered(falling, 84) == 1 == ch10.offered(falling, 95)


def test_gaps_compare_each_run_with_one_alpha_on_the_line_of_its_own_seed():
    falling = pd.DataFrame({"test": [80.0, 90.0], "shifts": [70.0, 60.0]}, index=[0.0, 1.0])
    lines = {3: falling, 4: falling + 2}  # their mean has 86 on the reference at alpha 0.5
    part = pd.DataFrame({"seed": [4, 3], "test": [82.0, 90.0], "shifts": [70.0, 64.0]})
    assert ch10.gaps(part, lines) == pytest.approx([3, -1])
    assert ch10.gaps(part.assign(test=99.0), lines) == pytest.approx([8, 4])


def test_a_verdict_needs_an_interval_without_zero():
    assert ch10.half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(
        2.776 * 1.5811 / 5**0.5, abs=1e-3
    )
    assert ch10.verdict([-3, -2, -4, -3, -3]) == "below"
    assert (
        ch10.verdict([0.5, -0.4, 0.2, -0.6, 0.1])
        == ch10.verdict([-0.5, 0.4, -0.2, 0.6, -0.1])
        == "on"
    )
    assert ch10.verdict([1.0, 1.2, 0.9, 1.1, 1.0]) == "above"


@pytest.fixture(scope="module")
def models(clip, theta_0, task, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISEFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(ch10, "BLOCKS", 0)
        patch.setattr(ch10, "COOP", RECIPE)
        return dict(ch10.controls(clip, theta_0, task, RECIPE))


def moved(theta_0, model):
    theta = model.state_dict()
    return {
        name
        for name, tensor in theta_0.state_dict().items()
        if not torch.equal(tensor, theta[name])
    }


def test_every_control_is_another_model(models, theta_0):
    distances = [distance(theta_0.state_dict(), model.state_dict()) for model in models.values()]
    assert (
        all(d > 0 for d in distances) and len({round(d, 6) for d in distances}) == len(models) == 17
    )


def test_averages_started_at_zero_shot_lie_on_the_line_to_the_debiased(models, theta_0):
    for decay in ch10.DECAYS:
        alpha = 1 - decay**4  # 60 images, 16 per step
        line = interpolate(theta_0.state_dict(), models[f"EMA {decay:g}"].state_dict(), alpha)
        ours = models[f"EMA {decay:g} from zero-shot"].state_dict()
        assert all(torch.allclose(line[name], ours[name], atol=1e-6) for name in line)


def test_each_control_moves_what_its_name_states(models, theta_0):
    everything = moved(theta_0, models["EMA 0.9"])
    assert moved(theta_0, models["encoder only"]) == {
        n for n in everything if not n.startswith("head.")
    }
    assert moved(theta_0, models["CoOp"]) == {"head.weight"}
    assert {
        n.split(".")[1] for n in moved(theta_0, models["last blocks"]) if n.startswith("encoder")
    } == {"ln_post", "proj"}
    assert not any(
        n.startswith("encoder.transformer") for n in moved(theta_0, models["last blocks"])
    )


def test_a_stronger_pull_stays_nearer(models, theta_0, task, tmp_path, monkeypatch):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path))
    plain, weak, strong = (
        ch10.with_spring(theta_0, task, RECIPE, strength=s) for s in (0.0, 1.0, 100.0)
    )
    far = [distance(theta_0.state_dict(), m.state_dict()) for m in (plain, weak, strong)]
    assert far[0] > far[1] > far[2]
    taught = ch10.with_teacher(theta_0, task, RECIPE, weight=0.0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state_dict().values(), taught.state_dict().values(), strict=True)
    )


def test_probes_start_and_end_where_the_probe_does(theta_0, task, monkeypatch):
    monkeypatch.setattr(ch10, "PROBE", RECIPE)
    frozen = ch03.Frozen(theta_0, task)
    table = ch10.probes(frozen, 0)
    line = table[table["kind"] == "line"].set_index("setting")
    zero = frozen.scores(theta_0.head)
    assert line.loc[0.0, "test"] == zero["test"] and line.loc[0.0, "shifts"] == zero["shifts"]
    assert table.groupby("kind").size().to_dict() == {
        "line": 11,
        "L2": len(ch10.PROBE_STRENGTHS),
        "distillation": len(ch10.PROBE_DISTILLATION_WEIGHTS),
    }
    assert ch10.PROBE != PROBE


def test_stopping_early_takes_the_epoch_that_is_best_on_val(monkeypatch):
    curve = pd.DataFrame(
        {
            "epoch": [0, 1, 2, 0, 1, 2],
            "seed": [0, 0, 0, 1, 1, 1],
            "distance": 0.0,
            "val": [99, 5, 4, 99, 3, 6],
            "test": [1, 2, 3, 4, 5, 6],
            "shifts": [1, 2, 3, 4, 5, 6],
        }
    )
    grid = pd.DataFrame(
        {
            "setting": [f"lr {Recipe().lr:g}", "2 epochs"],
            "lr": Recipe().lr,
            "epochs": [10, 2],
            "augment": "crop",
            "seed": 0,
            "val": 1.0,
            "test": [7.0, 8.0],
            "shifts": [7.0, 8.0],
        }
    )
    monkeypatch.setattr(
        ledger, "table", lambda name: {"ch04_curve": curve, "ch05_grid": grid}[name]
    )
    table = ch10.recorded()
    assert table["control"].tolist() == ["early stopping"] * 2 + ["2 epochs"]
    assert table["test"].tolist() == [2, 6, 8]


def test_a_whole_run_records_every_control_its_gap_and_the_lines_on_top(
    clip, task, theta_0, tmp_path, monkeypatch
):
    small = Task(
        task.name,
        task.class_names,
        task.templates,
        task.train,
        task.val,
        task.test,
        {"emoji": task.shifts["two"]},
    )
    line = pd.DataFrame(
        [
            (a, split, 0.5 + a / 10, seed, "end-to-end")
            for a in (0.0, 0.5, 1.0)
            for seed in (0, 1)
            for split in ("test", "emoji")
        ],
        columns=["alpha", "split", "accuracy", "seed", "kind"],
    )
    earlier = pd.DataFrame(
        {
            "control": "early stopping",
            "seed": [0, 1],
            "val": 50.0,
            "test": 55.0,
            "shifts": 50.0,
            "emoji": 50.0,
        }
    )
    for name, value in {
        "load_task": lambda _: small,
        "load_clip": lambda _: clip,
        "recorded": lambda: earlier,
        "BLOCKS": 0,
        "COOP": RECIPE,
        "PROBE": RECIPE,
        "FEW_ALPHAS": (0.0, 0.5, 1.0),
        "Recipe": lambda seed=0: Recipe(epochs=1, lr=1e-2, batch_size=16, seed=seed),
    }.items():
        monkeypatch.setattr(ch10, name, value)
    monkeypatch.setattr(ledger, "table", lambda name: line)
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path))
    record = Record("test")
    ch10.run(record, [0, 1])
    table = record.tables["ch10_controls"]
    assert table.groupby("control").size().tolist() == [2] * 18
    assert record.numbers["ch10.early_stopping.gap"]["values"] == [-10.0, -10.0]
    for name in table["control"].unique():
        mean = table[table["control"] == name]["test"].mean()
        assert record.numbers[f"ch10.{name.replace(' ', '_')}.test"]["value"] == pytest.approx(
            mean, abs=1e-3
        )
    lines = record.tables["ch10_lines"]
    assert set(lines["control"]) == {*ch10.ON_TOP, "calibrated"} and len(lines) == 4 * 3 * 2
    own = lines[(lines["control"] == "LP-FT") & (lines["alpha"] == 1)]["test"].tolist()
    assert own == table[table["control"] == "LP-FT"]["test"].tolist()
    over = record.numbers["ch10.on_top.LP-FT.test.over_line"]["values"]
    half = lines[(lines["control"] == "LP-FT") & (lines["alpha"] == 0.5)]["test"]
    assert over == pytest.approx([x - 55 for x in half], abs=1e-3)
