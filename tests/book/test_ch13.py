"""What chapter 13 measures, on a tiny task."""

import ast
import json
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wiseft_lite import Recipe, accuracy, finetune, interpolate, predict
from wiseft_lite.book.exercises import ch13 as on_soups
from wiseft_lite.book.experiments import ch13
from wiseft_lite.book.experiments.ch07 import curves
from wiseft_lite.book.experiments.common import percent
from wiseft_lite.merging.soups import uniform_soup
from wiseft_lite.tasks.scoring import WorstGroup

FEW = {
    "lr 0.01": Recipe(epochs=2, lr=1e-2, batch_size=16),
    "lr 0.02": Recipe(epochs=2, lr=2e-2, batch_size=16),
    "lr 1": Recipe(epochs=1, lr=1.0, batch_size=16),
}

ALPHAS = []  # of the mixtures that the run made


def test_the_pool_spans_the_learning_rates_and_names_the_fast_ones():
    assert len(ch13.RECIPES) == 13 and sorted(ch13.TOO_FAST) == [
        "lr 0.0007",
        "lr 0.002",
        "lr 0.004",
    ]
    assert len({replace(recipe, seed=0) for recipe in ch13.RECIPES.values()}) == 13


@pytest.fixture(scope="module")
def measured(theta_0, task, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISEFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(ch13, "TOO_FAST", ["lr 1"])
        patch.setattr(ch13, "COLUMNS", ("val", "test", "shifts"))
        patch.setattr(ch13, "Recipe", lambda seed: replace(FEW["lr 0.01"], seed=seed))
        patch.setattr(
            ch13,
            "interpolate",
            lambda zero, one, alpha: ALPHAS.append(alpha) or interpolate(zero, one, alpha),
        )
        evaluator = ch13.Evaluator(theta_0, task)
        thetas = ch13.ingredients(theta_0, task, FEW, seed=3)
        yield (
            evaluator,
            thetas,
            ch13.measure_pool(evaluator, theta_0, thetas, "3"),
            ch13.pairs(theta_0, task, evaluator),
        )


def test_the_evaluator_scores_like_the_library(measured, theta_0, task, tuned):
    evaluator, before = measured[0], {k: v.clone() for k, v in theta_0.state_dict().items()}
    scores = evaluator.evaluate(tuned.state_dict())
    for name, split in {"val": task.val, **task.evaluation}.items():
        assert (
            scores[name]
            == 100 * accuracy(predict(tuned, split), split.labels, split.classes).accuracy
        )
    assert scores["shifts"] == scores["two"]
    assert all(torch.equal(v, before[k]) for k, v in theta_0.state_dict().items())


def test_a_split_is_scored_by_what_it_reports_in_every_experiment(theta_0, tuned, task):
    groups = tuple("ab"[int(label == 0)] for label in task.val.labels)
    val = replace(task.val, measure=WorstGroup(groups))
    expected = 100 * val.score(val.predicted(predict(tuned, val))).accuracy
    plain = 100 * accuracy(predict(tuned, val), val.labels, val.classes).accuracy
    evaluator = ch13.Evaluator(theta_0, replace(task, val=val))
    table, _ = curves(theta_0, tuned, replace(task, val=val), [1.0])
    on_val = 100 * table.set_index("split").loc["val", "accuracy"]
    assert (
        evaluator.evaluate(tuned.state_dict())["val"]
        == percent(tuned, val)
        == on_val
        == expected
        != plain
    )


def test_ingredients_are_different_models_in_memory_of_their_own(measured):
    thetas = list(measured[1].values())
    assert len({theta["head.weight"].data_ptr() for theta in thetas}) == 3
    assert not torch.equal(thetas[0]["head.weight"], thetas[1]["head.weight"])


def test_each_soup_is_what_its_name_states(measured, theta_0):
    evaluator, thetas, (runs, soups, traces), _ = measured
    alone, table = runs.set_index("recipe"), soups.set_index("soup")
    best = alone["val"].idxmax()
    assert (table.loc["best", alone.columns] == alone.loc[best]).all()
    everything = uniform_soup(thetas.values())
    half = interpolate(theta_0.state_dict(), everything, 0.5)
    gentle = uniform_soup(thetas[name] for name in ("lr 0.01", "lr 0.02"))
    for soup, theta in (
        ("uniform", everything),
        ("uniform, half way", half),
        ("uniform, gentle rates", gentle),
    ):
        for column, score in evaluator.evaluate(theta).items():
            assert column not in table or table.loc[soup, column] == score, (soup, column)
    assert (
        table["models"].to_dict()
        | {"uniform": 3, "uniform, gentle rates": 2, "best": 1, "ensemble": 3}
        == table["models"].to_dict()
    )
    assert len(ALPHAS) == 4 and set(ALPHAS) == {0.5}
    assert table.loc["greedy", "models"] == traces["kept"].sum() and set(traces["recipe"]) == set(
        FEW
    )
    assert table.loc["greedy", "val"] >= table.loc["best", "val"]
    assert table.loc["ensemble", "passes"] == 3 and table.loc["learned", "passes"] == 1
    outputs = [evaluator.logits(theta)["test"] for theta in thetas.values()]
    expected = accuracy(
        sum(outputs) / 3, evaluator.task.test.labels, evaluator.task.test.classes
    ).accuracy
    assert table.loc["ensemble", "test"] == pytest.approx(100 * expected)


def test_random_heads_are_as_long_as_the_zero_shot_head_and_differ(theta_0):
    first, again, second = (ch13.with_random_head(theta_0, seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, second)
    length = theta_0.head.weight.norm(dim=1).mean()
    torch.testing.assert_close(first.norm(dim=1), length.expand(len(first)))


def test_pairs_of_one_start_and_of_two(measured, theta_0, task):
    evaluator, _, _, heads = measured
    assert heads["heads"].tolist() == [
        "zero-shot",
        "one random",
        "one random",
        "two random",
        "two random",
    ]
    recipes = [replace(FEW["lr 0.01"], seed=seed) for seed in (0, 1)]
    starts = [ch13.with_random_head(theta_0, k) for k in (0, 1)]
    (aa, ab), (ba, bb) = (
        [finetune(start, task, recipe).state_dict() for recipe in recipes] for start in starts
    )
    for row, two in zip((1, 2, 3, 4), ((aa, ab), (ba, bb), (aa, bb), (ba, ab)), strict=True):
        assert heads.loc[row, "test_soup"] == evaluator.evaluate(uniform_soup(two))["test"]
        assert heads.loc[row, "test_alone"] == pytest.approx(
            sum(evaluator.evaluate(theta)["test"] for theta in two) / 2
        )


class Checkpoint(dict):
    """A state dict that a weak reference can point to."""


def test_the_pages_own_soup_needs_as_many_megabytes_as_the_answer_says():
    """A sum, the checkpoint that was just read, and those before it that are still in memory."""
    notebook = json.loads((Path(__file__).parents[2] / "book" / "13_soups.ipynb").read_text())
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    (source,) = [s for s in sources if "def uniform_solution" in s]
    functions = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    space = {}
    exec(compile(ast.Module(functions, []), "chapter 13", "exec"), space)
    earlier, alive = [], []

    def files():
        for k in range(5):
            read = Checkpoint(w=torch.full((3,), float(k)))
            alive.append(1 + 1 + sum(theta() is not None for theta in earlier))
            earlier.append(weakref.ref(read))
            yield read
            del read

    assert space["uniform_solution"](files())["w"].tolist() == [2.0] * 3
    assert 11 * max(alive) == on_soups.memory.solution
