"""What chapter 15 measures, on a tiny task with two blocks."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from wiseft_lite import (
    Recipe,
    accuracy,
    finetune,
    interpolate,
    load_clip,
    predict,
    zero_shot_classifier,
)
from wiseft_lite.analysis.ensembles import output_ensemble
from wiseft_lite.book.experiments import ch05, ch15, family, relatives
from wiseft_lite.book.experiments.ch13 import Evaluator
from wiseft_lite.book.ledger import Record
from wiseft_lite.finetuning import flyp as flyp_module
from wiseft_lite.finetuning import lora as lora_module
from wiseft_lite.finetuning.flyp import UNCLIPPED, class_contrastive_loss, flyp, published_loss
from wiseft_lite.merging.arithmetic import ties

RECIPE = Recipe(epochs=2, lr=1e-2, batch_size=16)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-blocks")
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 24,
            "patch_size": 12,
            "width": 32,
            "layers": 2,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    torch.manual_seed(0)
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    weights = {k: v.contiguous().clone() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return load_clip(f"local-dir:{folder}")


@pytest.fixture(scope="module")
def zero_shot(clip, task):
    return zero_shot_classifier(clip, task)


@pytest.fixture(scope="module")
def runs(zero_shot, task):
    return [
        finetune(zero_shot, task, Recipe(epochs=2, lr=1e-2, batch_size=16, seed=seed))
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def sheet(zero_shot, task, runs):
    sheet = family.Sheet(Evaluator(zero_shot, task))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "FISHER_IMAGES", 8)
        family.by_weights(sheet, zero_shot, *runs)
        family.by_outputs(sheet, zero_shot, runs[0])
    return sheet


def row(sheet, method):
    found = [r for r in sheet.rows if r["method"] == method]
    assert len(found) == 1
    return found[0]


def test_the_sheet_has_every_method_of_the_table_and_no_other(sheet):
    own = set(relatives.RELATIVES)
    assert {r["method"] for r in sheet.rows} == {m.name for m in ch15.METHODS} - own
    assert own <= {m.name for m in ch15.METHODS}


def test_who_may_choose_chooses_on_val_from_five(sheet, zero_shot, task, runs):
    choices = pd.DataFrame(sheet.choices)
    assert (choices.groupby("method").size() == 5).all()
    assert set(choices["method"]) == {
        m.name for m in ch15.METHODS if m.chooses.startswith("1 of 5")
    } - set(relatives.RELATIVES)
    for method, part in choices.groupby("method"):
        assert row(sheet, method)["setting"] == part.loc[part["val"].idxmax(), "setting"]
    middle = zero_shot.with_weights(interpolate(zero_shot.state_dict(), runs[0].state_dict(), 0.7))
    val = choices[(choices["method"] == family.LINE) & (choices["setting"] == 0.7)]["val"].item()
    assert val == pytest.approx(100 * accuracy(predict(middle, task.val), task.val.labels).accuracy)
    mixed = output_ensemble(*(predict(model, task.val) for model in (zero_shot, runs[0])), 0.3)
    val = choices[(choices["method"] == "outputs") & (choices["setting"] == 0.3)]["val"].item()
    assert val == pytest.approx(100 * accuracy(mixed, task.val.labels).accuracy)


def test_the_test_images_are_classified_with_the_setting_that_val_chose(
    sheet, zero_shot, task, runs
):
    score = lambda logits: 100 * accuracy(logits, task.test.labels).accuracy  # noqa: E731
    ends = [predict(model, task.test) for model in (zero_shot, runs[0])]
    mixed = output_ensemble(*ends, row(sheet, "outputs")["setting"])
    assert row(sheet, "outputs")["test"] == pytest.approx(score(mixed))
    line = zero_shot.with_weights(
        interpolate(
            zero_shot.state_dict(), runs[0].state_dict(), row(sheet, family.LINE)["setting"]
        )
    )
    assert row(sheet, family.LINE)["test"] == pytest.approx(score(predict(line, task.test)))
    assert all(r["seconds"] >= 0 for r in sheet.rows) and row(sheet, "Fisher")["seconds"] > 0


def test_each_image_is_classified_by_the_model_of_its_own_alpha(zero_shot, task, runs):
    evaluator, alphas = (
        Evaluator(zero_shot, task),
        torch.tensor([[0.12], [0.88], [0.58]]).repeat(10, 1),
    )
    logits = family.picked(evaluator, zero_shot, runs[0], "test", alphas)
    for place, alpha in enumerate((0.1, 0.9, 0.5)):
        model = zero_shot.with_weights(
            interpolate(zero_shot.state_dict(), runs[0].state_dict(), alpha)
        )
        torch.testing.assert_close(logits[place::3], predict(model, task.test)[place::3])


def test_a_failure_is_zero_shots_alone(zero_shot, task, runs):
    zero, one = (
        predict(model, task.train).argmax(1) == task.train.labels for model in (zero_shot, runs[0])
    )
    found = family.missed(zero_shot, runs[0], task)
    assert len(found) == int((~zero & one).sum()) > 0
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))


def test_the_largest_learning_rate_within_one_error_of_a_run_is_taken():
    table = pd.DataFrame({"lr": [1e-4, 3e-4, 9e-4], "val": [90.0, 89.2, 87.0]})
    assert ch05.one_standard_error(table, 1.0) == 3e-4
    assert ch05.one_standard_error(table, 0.5) == 1e-4
    five = pd.DataFrame({"lr": [1.0] * 3 + [2.0] * 3, "val": [1.0, 2.0, 3.0, 10.0, 13.0, 16.0]})
    assert relatives.spread_of_a_run(five) == pytest.approx(5**0.5)  # variances 1 and 9


def test_paint_holds_the_head_and_low_rank_is_merged(zero_shot, task):
    start = relatives.frozen_head(zero_shot)
    assert {name for name, p in start.named_parameters() if not p.requires_grad} == {
        "head.weight",
        "head.bias",
    }
    tuned = relatives.low_rank(zero_shot, task, RECIPE, rank=1, code=lora_module)
    moved = {
        k for k, v in tuned.state_dict().items() if not torch.equal(v, zero_shot.state_dict()[k])
    }
    assert moved and all(lora_module.in_blocks(name) for name in moved)


@pytest.mark.parametrize("loss", [published_loss, class_contrastive_loss])
def test_flyp_in_the_form_of_a_run_is_flyp_with_the_head_of_its_own_text_encoder(
    clip, zero_shot, task, loss
):
    tuned = relatives.both_encoders(zero_shot, task, RECIPE, loss=loss, code=flyp_module)
    theirs = zero_shot_classifier(flyp(clip, task, RECIPE, loss=loss), task)
    assert all(
        torch.equal(a, b)
        for a, b in zip(tuned.state_dict().values(), theirs.state_dict().values(), strict=True)
    )


def test_the_row_with_flyps_name_is_trained_as_published_and_the_variant_as_the_rest(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        relatives, "trained", lambda start, task, recipe, train: asked.update({train: recipe})
    )
    for kind in ("FLYP", "FLYP, multiple positives"):
        relatives.RELATIVES[kind].tuned(None, None, 0.25, 4)
    published, variant = asked
    assert (
        published.keywords["loss"] is published_loss
        and variant.keywords["loss"] is class_contrastive_loss
    )
    assert asked[published] == Recipe(lr=0.25, seed=4, clip_norm=UNCLIPPED) and asked[
        variant
    ] == Recipe(lr=0.25, seed=4)


def test_a_relative_is_measured_at_its_end_and_on_its_line(zero_shot, task, monkeypatch, runs):
    seen = []
    fake = type("Fake", (), {"tuned": lambda self, *a: seen.append(a[2:]) or runs[0]})()
    monkeypatch.setattr(ch15, "RELATIVES", {"PAINT": fake})
    sheet = ch15.relatives(Evaluator(zero_shot, task), zero_shot, task, {"PAINT": 0.25}, 4)
    assert seen == [(0.25, 4)]
    end = 100 * accuracy(predict(runs[0], task.test), task.test.labels).accuracy
    assert row(sheet, "PAINT, fine-tuned")["test"] == pytest.approx(end)
    assert len(sheet.choices) == 5 and row(sheet, "PAINT")["setting"] in family.ALPHAS


def test_the_chapters_ties_is_the_librarys_where_entries_tie_at_the_threshold():
    """The chapter compares the two on trained weights, where on some machines an entry ties and on
    others none does."""
    notebook = json.loads((Path(__file__).parents[2] / "book" / "15_family.ipynb").read_text())
    source = next(
        s for s in ("".join(c["source"]) for c in notebook["cells"]) if "def ties_solution" in s
    )
    ours = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    space = {"torch": torch}
    exec(compile(ast.Module([ours], []), "chapter 15", "exec"), space)
    generator = torch.Generator().manual_seed(0)
    for density in (0.1, 0.2, 0.5):
        zero, one, two = (
            {
                "a": torch.randint(-3, 4, (40,), generator=generator) / 8,
                "b": torch.randint(-3, 4, (3, 5), generator=generator) / 8,
            }
            for _ in range(3)
        )
        ours, theirs = (
            space["ties_solution"](zero, [one, two], density),
            ties(zero, [one, two], density),
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in zero)
        sizes = (
            torch.cat([(one[name] - zero[name]).abs().flatten() for name in zero])
            .sort(descending=True)
            .values
        )
        k = round(density * len(sizes))
        assert sizes[k - 1] == sizes[k]  # entries do tie here


def test_a_cost_is_that_of_one_epoch(zero_shot, task, monkeypatch):
    clock, epochs = [0.0], []

    def train(start, few, recipe):
        epochs.append((len(few.train), recipe.epochs))
        clock[0] += 100 + 7 * recipe.epochs

    monkeypatch.setattr(relatives.time, "process_time", lambda: clock[0])
    assert relatives.cost(relatives.Relative(lambda s: s, train, ()), zero_shot, task, 12) == 7
    assert epochs == [(12, 2), (12, 1)]


def test_a_seed_takes_its_own_run_and_one_of_the_next(zero_shot, task, monkeypatch):
    asked = []
    monkeypatch.setattr(
        ch15,
        "trained",
        lambda start, task, recipe: asked.append((recipe.lr, recipe.seed)) or recipe.seed,
    )
    monkeypatch.setattr(
        ch15, "by_weights", lambda sheet, start, first, second: asked.append((first, second))
    )
    monkeypatch.setattr(ch15, "by_outputs", lambda *a: None)
    ch15.family(None, zero_shot, task, 4, 0)
    assert asked == [(6e-4, 4), (5e-4, 0), (4, 0)]
    assert ch15.key("DaWin, weights") == "ch15.DaWin_weights"


def test_the_ledgers_differences_are_seed_by_seed_and_named_after_the_method(task):
    task = replace(task, shifts={**task.shifts, "emoji": task.shifts["two"]})
    table = pd.DataFrame(
        [
            {
                "method": method,
                "seed": seed,
                "seconds": 1.0,
                "gap": 0.0,
                **dict.fromkeys(("val", "test", "shifts", "emoji"), base + seed * step),
            }
            for method, base, step in (
                (family.HALF, 50, 1),
                (family.LINE, 60, 1),
                (family.TWO, 70, 1),
                ("FLYP, multiple positives", 80, 3),
            )
            for seed in (0, 1)
        ]
    )
    record = Record("test")
    ch15.numbers(record, table, task)
    entry = record.numbers["ch15.FLYP_multiple_positives.test.over_line"]
    assert (
        entry["values"] == [20, 22] and entry["unit"] == "points" and entry["n"] == len(task.test)
    )
    assert record.numbers["ch15.FLYP_multiple_positives.shifts"]["values"] == [80, 83]
