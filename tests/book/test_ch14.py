"""What chapter 14 measures, on a tiny task."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from wiseft_lite import Split, Task
from wiseft_lite.book.experiments import ch14
from wiseft_lite.book.ledger import Record
from wiseft_lite.features import run_in_batches
from wiseft_lite.merging.soups import uniform_soup
from wiseft_lite.retrieval.search import retrieval_scores
from wiseft_lite.retrieval.universal import (
    ALL,
    disjoint_splits,
    finetune_embedder,
    zero_shot_embedder,
)

WORDS = ["cat", "dog", "cow", "hen", "fox", "owl", "bee", "ant", "elk", "yak", "ram", "pig"]


def task(name, words, picture):
    labels = torch.arange(len(words)).repeat(3)
    parts = [
        Split(part, [picture(int(c) % 3, 5 * k + i) for i, c in enumerate(labels)], labels)
        for k, part in enumerate(("train", "val", "test"))
    ]
    return Task(name, tuple(words), ("an icon of a {}.",), *parts, {})


@pytest.fixture(scope="module")
def measured(clip):
    from conftest import picture

    tasks = {"one": task("one", WORDS[:6], picture), "two": task("two", WORDS[6:], picture)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ch14, "load_clip", lambda name: clip)
        patch.setattr(ch14, "task_names", lambda: list(tasks))
        patch.setattr(ch14, "load_task", tasks.get)
        patch.setattr(
            ch14, "zero_shot_embedder", lambda clip, prompts: zero_shot_embedder(clip, prompts, 4)
        )
        patch.setattr(ch14, "EMBED", replace(ch14.EMBED, epochs=1, batch_size=4, lr=0.05))
        patch.setattr(ch14, "DIMENSIONS", (2, 4))
        patch.setattr(ch14, "FEW", 1)
        record = Record("test")
        ch14.run(record, [3, 4])
        yield record, list(tasks.values()), ch14.EMBED


def test_only_a_few_seeds_have_every_run(measured):
    lines = measured[0].tables["ch14_line"]
    assert set(lines[lines["seed"] == 3]["kind"]) == {
        *ch14.MULTIPLIERS,
        *ch14.LEFT_OUT,
        "soup",
        "ensemble",
    }
    assert set(lines[lines["seed"] == 4]["kind"]) == {"fine-tuned"}
    assert measured[0].numbers["ch14.soup.end.mp_5"]["seeds"] == [3]
    assert measured[0].numbers["ch14.fine-tuned.end.mp_5"]["seeds"] == [3, 4]


def test_soup_and_ensemble_are_of_the_same_three_runs(measured, clip):
    record, tasks, recipe = measured
    draw = disjoint_splits(clip, tasks, 3)
    start = zero_shot_embedder(clip, draw.prompts, 4)
    some = [
        finetune_embedder(
            start, draw.train, replace(recipe, seed=3), encoder_lr_multiplier=multiplier
        )
        for multiplier in (0.03, 0.1, 0.3)
    ]
    soup = ch14.with_weights(start, uniform_soup(model.state_dict() for model in some))
    lines = record.tables["ch14_line"].query("seed == 3")
    expected = ch14.swept(start, soup, {"val": draw.val, "test": draw.test}).query("task == @ALL")
    found = lines[lines["kind"] == "soup"]
    columns = ["alpha", "split", *ch14.METRICS, "n", "chosen"]
    pd.testing.assert_frame_equal(
        found[columns].reset_index(drop=True), expected[columns].reset_index(drop=True)
    )
    assert found["mp_5"].nunique() > 4  # the line is no constant
    lines = lines.query("split == 'test' and alpha == 1").set_index("kind")
    together = torch.stack([run_in_batches(model, draw.test.images, 256) for model in some]).mean(0)
    assert (
        lines.loc["ensemble", "mp_5"]
        == retrieval_scores(F.normalize(together, dim=1), draw.test.labels).mp_5
    )
    assert not any(torch.equal(a.weight, b.weight) for a, b in zip(some, some[1:], strict=False))


def test_each_alpha_is_val_s_choice(measured):
    record = measured[0]
    for (kind, seed), part in record.tables["ch14_line"].groupby(["kind", "seed"]):
        val = part[part["split"] == "val"].reset_index()
        if kind != "ensemble":
            best = val.loc[val["mp_5"].idxmax(), "alpha"]
            assert part.loc[part["chosen"], "alpha"].tolist() == [best, best]
            number = record.numbers[ch14.key(kind, "alpha")]
            assert number["values"][number["seeds"].index(seed)] == best


def test_differences_are_taken_within_a_seed(measured):
    numbers = measured[0].numbers
    names = {
        "fine-tuned.end": "over_fine-tuned",
        "fine-tuned.chosen": "over_chosen",
        "names": "over_names",
    }
    for key, base in (
        ("names", "fine-tuned.end"),
        ("image_encoder_1.chosen", "fine-tuned.end"),
        ("fine-tuned.end", "names"),
        ("soup.end", "fine-tuned.chosen"),
    ):
        number, other = numbers[f"ch14.{key}.mp_5"], numbers[f"ch14.{base}.mp_5"]
        rest = dict(zip(other["seeds"], other["values"], strict=True))
        expected = [
            value - rest[seed]
            for seed, value in zip(number["seeds"], number["values"], strict=True)
        ]
        assert numbers[f"ch14.{key}.mp_5.{names[base]}"]["values"] == pytest.approx(
            expected, abs=2e-4
        )
    line = (
        measured[0]
        .tables["ch14_line"]
        .query("kind == 'fine-tuned' and split == 'test' and alpha == 0")
    )
    assert numbers["ch14.names.mp_5"]["values"] == pytest.approx(
        (100 * line["mp_5"]).tolist(), abs=1e-4
    )


def test_each_task_is_measured_on_test_alone(measured):
    table = measured[0].tables["ch14_tasks"]
    assert set(table["split"]) == {"test"} and ALL not in set(table["task"])
    sizes = measured[0].tables["ch14_sizes"].set_index("seed")["test"]
    ends = table[(table["kind"] == "fine-tuned") & (table["alpha"] == 1)]
    assert ends.groupby("seed")["n"].sum().to_dict() == sizes.to_dict()


def test_no_map_sees_a_test_image(clip):
    texts, images = (
        F.normalize(torch.randn(9, 16), dim=1),
        F.normalize(torch.randn(30, 16), dim=1),
    )
    queries = F.normalize(torch.randn(5, 16), dim=1)
    ways = ch14.maps(texts, images, 4, seed=0)
    for kind, way in ways.items():
        z = way(queries)
        assert z.shape == (5, 4) and torch.allclose(z.norm(dim=1), torch.ones(5)), kind
        torch.testing.assert_close(
            way(queries[:1]), z[:1]
        )  # an image's place does not depend on the others
    moved = ch14.maps(texts, images.flip(1), 4, seed=0)
    changed = [
        kind for kind in ways if not torch.allclose(ways[kind](queries), moved[kind](queries))
    ]
    assert changed == ["training images"]
