"""Exercises of chapter 11, A little data, many tasks."""

from __future__ import annotations

import statistics
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import t as student

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.book.checks.draw import names, normal, unit
from wiseft_lite.book.experiments import ch11 as experiment
from wiseft_lite.tasks.draws import few_shot_rows

table_2 = Choice(
    "11.1",
    "C",
    {
        "A": "a model fine-tuned on ImageNet has no reason to know car models; its accuracy on Cars would fall, not rise.",
        "B": "one model for seven lists of classes needs a different kind of training; the paper does not do that here.",
        "D": "averaging seven fine-tuned models is a method of its own (task arithmetic); this table has one line per task.",
    },
)


ALPHAS = (0.0, 0.3, 0.5, 0.8, 1.0)


def _curves(generator):
    """A curve for each task and seed; the tasks differ in their better end and have unequal seeds."""
    rows = []
    for k, task in enumerate(names(generator, 4)):
        ends = generator.uniform(50, 60), generator.uniform(60, 70)
        zero, tuned = ends if k % 2 else ends[::-1]
        for seed in range(2 + k % 3):
            for alpha in generator.permutation(ALPHAS):
                middle = (1 - alpha) * zero + alpha * tuned + 12 * alpha * (1 - alpha)
                val, test = middle + 4 * generator.normal(size=2)
                rows.append({"task": task, "seed": seed, "alpha": alpha, "val": val, "test": test})
    return (pd.DataFrame(rows),)


def _better(test):
    return max(test[0.0], test[1.0])


def _chosen_alpha(val, test, mean_val):
    return val.idxmax()


def _three(curves, end=_better, chosen=_chosen_alpha, scale=1):
    """One row for each task and seed: three gains over an end."""
    rows = []
    for (task, seed), part in curves.groupby(["task", "seed"]):
        curve = part.set_index("alpha").sort_index()
        mean_val = curves[curves["task"] == task].groupby("alpha")["val"].mean()
        val, test = curve["val"], curve["test"]
        values = {"half": test[0.5], "chosen": test[chosen(val, test, mean_val)]}
        values["oracle"] = test.max()
        gains = {name: scale * (value - end(test)) for name, value in values.items()}
        rows.append({"task": task, "seed": seed, **gains})
    return pd.DataFrame(rows)


def _by_task(rows):
    return rows.groupby("task")[["half", "chosen", "oracle"]].mean()


def _by_run(rows):
    return rows[["half", "chosen", "oracle"]]


def _summary(table, ddof=1):
    return {
        name: (float(column.mean()), float(column.std(ddof=ddof))) for name, column in table.items()
    }


def _gains(curves, end=_better, chosen=_chosen_alpha, scale=1, by=_by_task, ddof=1):
    return _summary(by(_three(curves, end, chosen, scale)), ddof)


def _better_of_means(curves):
    """The better end is chosen once for a task, by the means over its seeds."""
    rows = []
    for _, part in curves.groupby("task"):
        mean = part.groupby("alpha")[["val", "test"]].mean()
        found = _three(part)
        ends = part[part["alpha"].isin([0, 1])].pivot(index="seed", columns="alpha", values="test")
        shift = ends.max(axis=1).mean() - _better(mean["test"])
        rows.append(_by_task(found) + shift)
    return _summary(pd.concat(rows))


gains = Code(
    "11.2",
    _gains,
    [_curves],
    [
        (
            partial(_gains, end=lambda test: test[0.0]),
            "you compare with zero-shot only; where the fine-tuned model is better, it is the one to beat.",
        ),
        (
            partial(_gains, end=lambda test: test[1.0]),
            "you compare with the fine-tuned model only; where zero-shot is better, it is the one to beat.",
        ),
        (
            partial(_gains, end=lambda test: (test[0.0] + test[1.0]) / 2),
            "you compare with the mean of the two ends; the better one is to be beaten.",
        ),
        (
            _better_of_means,
            "you choose the better end of a task by the means over its seeds. Every run has its own better end: compare run by "
            "run, then average.",
        ),
        (
            partial(_gains, chosen=lambda val, test, mean_val: test.idxmax()),
            "your 'chosen' looks at the test images; it takes the alpha that is best on val.",
        ),
        (
            partial(_gains, chosen=lambda val, test, mean_val: mean_val.idxmax()),
            "you choose one alpha for a task, by the mean of val over its seeds; each run chooses its own.",
        ),
        (
            partial(_gains, by=_by_run),
            "you average over runs, so that a task with more seeds counts more. Average over the seeds of a task, then over "
            "the tasks.",
        ),
        (
            lambda curves: {
                name: (mean, _summary(_by_run(_three(curves)))[name][1])
                for name, (mean, _) in _gains(curves).items()
            },
            "your spread is that of single runs; take that between the means of the tasks.",
        ),
        (
            partial(_gains, ddof=0),
            "the mean was fitted to the same tasks: divide the squares by one less than their number.",
        ),
        (partial(_gains, scale=0.01), "the table is in percent already; the gains are points."),
        (
            partial(_gains, scale=-1),
            "the sign is reversed: a gain over the better end is positive.",
        ),
    ],
    library=[experiment.points, experiment.reduced],
)

oracle = Choice(
    "11.3",
    "B",
    {
        "A": "that is a claim about the model, but the number would look the same for a model that gained nothing.",
        "C": "the sign has nothing to do with seeds: it holds for every single run.",
        "D": "val was not used; the oracle picks alpha on the test images themselves.",
    },
)


def _uneven(generator):
    """Labels of classes from 1 to 6 images in any order, and numbers of images out of order."""
    sizes = generator.permutation([1, 2, 3, 4, 6])
    classes = torch.arange(5).repeat_interleave(torch.as_tensor(sizes))
    order = torch.as_tensor(generator.permutation(len(classes)))
    return (
        classes[order],
        generator.permutation([1, 2, 3, 5]).tolist(),
        int(generator.integers(999)),
    )


def _ask(nested, labels, ks, seed):
    rows = nested(labels, ks, torch.Generator().manual_seed(seed))
    return [torch.as_tensor(part, dtype=torch.long).tolist() for part in rows]


def _properties(nested, labels, ks, seed):
    """What every right draw has in common: the draw itself is random."""
    drawn = _ask(nested, labels, ks, seed)
    again = _ask(nested, labels, ks, seed)
    ones = {row for other in range(150) for row in _ask(nested, labels, [1], other)[0]}
    small_first = sorted(map(set, drawn), key=len)
    return {
        "images per class, for each k": [
            labels[rows].bincount(minlength=5).tolist() for rows in drawn
        ],
        "no image twice": all(len(set(rows)) == len(rows) for rows in drawn),
        "a larger draw contains the smaller": all(
            a <= b for a, b in zip(small_first, small_first[1:], strict=False)
        ),
        "the same generator draws the same": drawn == again,
        "every image can be drawn": len(ones) == len(labels),
    }


def _nested(labels, ks, generator):
    order = torch.randperm(len(labels), generator=generator)
    return [[row for row, rank in _ranked(labels, order) if rank < k] for k in ks]


def _ranked(labels, order):
    """Each row with its place among those of its class, in the given order."""
    seen: dict[int, int] = {}
    for row in order.tolist():
        label = int(labels[row])
        yield row, seen.get(label, 0)
        seen[label] = seen.get(label, 0) + 1


def _anew(labels, ks, generator):
    return [_nested(labels, [k], generator)[0] for k in ks]


def _first(labels, ks, generator):
    return [[r for r, rank in _ranked(labels, torch.arange(len(labels))) if rank < k] for k in ks]


def _by_class(labels, generator):
    """For each class its rows in random order."""
    for label in range(int(labels.max()) + 1):
        rows = (labels == label).nonzero().flatten()
        yield rows[torch.randperm(len(rows), generator=generator)]


def _filled_up(labels, ks, generator):
    classes = list(_by_class(labels, generator))
    return [[rows[j % len(rows)].item() for rows in classes for j in range(k)] for k in ks]


def _without_small(labels, ks, generator):
    classes = list(_by_class(labels, generator))
    return [[row for rows in classes if len(rows) >= k for row in rows[:k].tolist()] for k in ks]


def _without_generator(labels, ks, generator):
    return _nested(labels, ks, torch.Generator().manual_seed(torch.seed() % 2**31))


nested = Code(
    "11.4",
    _nested,
    [_uneven],
    [
        (
            _anew,
            "you draw anew for each k, so a larger draw does not contain the smaller. Fix one random order, and take from its "
            "front.",
        ),
        (
            _first,
            "you take the first images of each class, so the generator changes nothing.",
        ),
        (
            _filled_up,
            "a class with fewer than k images gives all it has, each once; yours gives some of them twice.",
        ),
        (
            _without_small,
            "a class with fewer than k images gives all it has; yours gives none.",
        ),
        (
            lambda labels, ks, generator: _nested(labels, sorted(ks), generator),
            "the draws are in order of size; return them in the order of ks.",
        ),
        (
            _without_generator,
            "you do not use the generator: with the same one the draw must be the same.",
        ),
    ],
    library=[few_shot_rows],
    call=_properties,
    draws=3,
)


def _few_images(generator):
    """A head, features with labels, and draws of few images: more of them for a small k."""
    weight = 4 * normal(generator, 4, 6)
    inputs, test = unit(generator, 40, 6), unit(generator, 60, 6)
    truth = weight + 5 * normal(generator, 4, 6)

    def answers(features):
        noise = 2 * normal(generator, len(features), 4)
        return (features @ truth.T + noise).argmax(-1)

    train, held_out = (inputs, answers(inputs)), (test, answers(test))
    draws = {
        k: [generator.permutation(40)[: 4 * k].tolist() for _ in range(n)]
        for k, n in ((1, 5), (3, 4))
    }
    return weight, train, held_out, draws, float(generator.uniform(0.2, 0.6)), 12


def _percent(scores, labels):
    return 100 * float((scores.argmax(-1) == labels).double().mean())


def _fitted(weight, inputs, labels, lr, steps, reduction="mean", clear=True):
    weight = weight.clone().requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=lr, weight_decay=0.0)
    for _ in range(steps):
        loss = F.cross_entropy(inputs @ weight.T, labels, reduction=reduction)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach()


def _half_width(values):
    return student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5


def _mixed(weight_0, weight_1, inputs, labels):
    return _percent(inputs @ ((weight_0 + weight_1) / 2).T, labels)


def _mean_of_ends(weight_0, weight_1, inputs, labels):
    return sum(_percent(inputs @ weight.T, labels) for weight in (weight_0, weight_1)) / 2


def _on_test(train, test, rows):
    return test


def _learning_curve(
    weight_0,
    train,
    test,
    draws,
    lr,
    steps,
    half_width=_half_width,
    half=_mixed,
    judged_on=_on_test,
    start=lambda weight_0, last: weight_0,
    clear=True,
    scale=1,
):
    found, last = {}, weight_0
    for k, of_k in draws.items():
        accuracies = {"fine_tuned": [], "half": []}
        for rows in of_k:
            last = _fitted(
                start(weight_0, last), train[0][rows], train[1][rows], lr, steps, clear=clear
            )
            inputs, labels = judged_on(train, test, rows)
            accuracies["fine_tuned"].append(scale * _percent(inputs @ last.T, labels))
            accuracies["half"].append(scale * half(weight_0, last, inputs, labels))
        found[k] = {
            name: (statistics.fmean(values), float(half_width(values)))
            for name, values in accuracies.items()
        }
    return found


learning_curve = Code(
    "11.5",
    _learning_curve,
    [_few_images],
    [
        (
            partial(_learning_curve, start=lambda weight_0, last: last),
            "a draw goes on from the head of the draw before; each begins at weight_0.",
        ),
        (
            partial(_learning_curve, start=lambda weight_0, last: torch.zeros_like(weight_0)),
            "your head starts at zero; it starts at the zero-shot head, weight_0.",
        ),
        (
            partial(_learning_curve, judged_on=lambda train, test, rows: train),
            "you evaluate on the training features; the accuracy is that on test.",
        ),
        (
            partial(_learning_curve, half=_mean_of_ends),
            "you average two accuracies; average the two heads' weights, and evaluate that head.",
        ),
        (
            partial(_learning_curve, clear=False),
            "gradients add up from step to step: remove the old ones before the next backward pass.",
        ),
        (
            partial(
                _learning_curve,
                half_width=lambda v: 1.96 * statistics.stdev(v) / len(v) ** 0.5,
            ),
            "1.96 is for a spread that is known; with few draws take Student's t.",
        ),
        (
            partial(_learning_curve, half_width=lambda v: _half_width(v) * len(v) ** 0.5),
            "that is where single draws fall; their mean scatters less, by the root of their number.",
        ),
        (
            partial(
                _learning_curve,
                half_width=lambda v: (
                    _half_width(v) * statistics.pstdev(v) / (statistics.stdev(v) or 1)
                ),
            ),
            "the mean was fitted to the same values: divide the squares by one less than their number.",
        ),
        (
            partial(_learning_curve, half_width=statistics.stdev),
            "that is the standard deviation; return half of the 95 % interval of the mean.",
        ),
        (partial(_learning_curve, scale=0.01), "those are fractions; return percent."),
    ],
    library=[experiment.head_curve, experiment.shot_curve],
    tolerance=1e-3,
    draws=3,
)


def _many_probes(generator):
    """Accuracies at three alphas for tasks, numbers of images, seeds and learning rates."""
    rows = []
    for task in names(generator, 3):
        for k in (1, 5, 1000):
            for seed in range(3):
                zero = generator.uniform(50, 60, size=2)
                for rate in (0.001, 0.01, 0.1):
                    lift = generator.normal(size=2) * 6
                    for alpha in (0.0, 0.5, 1.0):
                        noise = generator.normal(size=2) * 3
                        val, test = zero if alpha == 0 else zero + alpha * lift + noise
                        rows.append((task, k, seed, rate, alpha, val, test))
    columns = ["task", "k", "seed", "rate", "alpha", "val", "test"]
    table = pd.DataFrame(rows, columns=columns)
    return (table.iloc[generator.permutation(len(table))].reset_index(drop=True),)


def _judged_by(table, column="val", alpha=1.0):
    return table[table["alpha"] == alpha].assign(score=lambda t: t[column])


def _of_each(ends, keys=("task", "k", "seed")):
    """The rows of the best learning rate of each group, by the mean of the score."""
    means = ends.groupby([*keys, "rate"])["score"].mean().reset_index()
    return means.loc[means.groupby(list(keys))["score"].idxmax(), [*keys, "rate"]]


def _of_all(ends, k="largest"):
    part = ends[ends["k"] == ends["k"].max()] if k == "largest" else ends
    return part.groupby("rate")["score"].mean().idxmax()


def _gain_of_half(part, rival=1.0):
    wide = part.pivot_table(index=["task", "k", "seed"], columns="alpha", values="test")
    end = wide[[0.0, 1.0]].max(axis=1) if rival is None else wide[rival]
    return {int(k): float(g) for k, g in (wide[0.5] - end).groupby("k").mean().items()}


def _two_searches(table, column="val", alpha=1.0, each=_of_each, one=_of_all, rival=1.0, sign=1):
    ends = _judged_by(table, column, alpha)
    parts = {"searched": table.merge(each(ends)), "one rate": table[table["rate"] == one(ends)]}
    return {
        name: {k: sign * gain for k, gain in _gain_of_half(part, rival).items()}
        for name, part in parts.items()
    }


def _one_for_each_k(table):
    rates = _of_each(_judged_by(table), ("k",))
    return {**_two_searches(table), "one rate": _gain_of_half(table.merge(rates))}


searches = Code(
    "11.6",
    _two_searches,
    [_many_probes],
    [
        (
            partial(_two_searches, column="test"),
            "you choose the learning rate on the test images; it is chosen on val.",
        ),
        (
            partial(_two_searches, alpha=0.5),
            "you choose the rate by the mixture; it is chosen for the probe itself, at alpha = 1.",
        ),
        (
            partial(_two_searches, each=partial(_of_each, keys=("task", "k"))),
            "your search averages over the seeds; each run has a rate of its own.",
        ),
        (
            partial(_two_searches, each=partial(_of_each, keys=("task", "seed"))),
            "your search takes one rate for all k; each task, each k and each seed has its own.",
        ),
        (
            _one_for_each_k,
            "your 'one rate' is another one for each k; it is chosen once, with all images.",
        ),
        (
            partial(_two_searches, one=partial(_of_all, k="all")),
            "your 'one rate' is the best over all k; it is chosen with all images, at the largest k.",
        ),
        (
            partial(_two_searches, rival=0.0),
            "you compare with zero-shot; the gain is that over the probe, alpha = 1.",
        ),
        (
            partial(_two_searches, rival=None),
            "you compare with the better end; the gain is that over the probe, alpha = 1.",
        ),
        (
            partial(_two_searches, sign=-1),
            "the sign is reversed: a gain of the middle is positive.",
        ),
    ],
    library=[experiment.searched, experiment.one_learning_rate],
    draws=4,
)

ALL = [table_2, gains, oracle, nested, learning_curve, searches]
