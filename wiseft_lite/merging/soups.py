"""Model soups: the mean of many fine-tuned models costs no more to run than one of them.

Models are given as state dicts: a list of them, or ``Stored`` checkpoints that are read one at a
time. A soup is a state dict too, so ``interpolate(theta_0, soup, alpha)`` moves it back towards
zero-shot.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from wiseft_lite.checkpoints import read_weights
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.weights import Weights, average, check_alike


class Stored(Sequence):
    """Checkpoints on disk as a sequence of state dicts, each read anew whenever it is accessed.

    Args:
        folders: checkpoints that ``save`` wrote.
    """

    def __init__(self, folders: Sequence[str | Path]):
        self.folders = list(folders)

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return read_weights(self.folders[index])


class NoAliases:
    """Call it with each model in turn: it refuses one that shares memory with an earlier one.

    ``state_dict()`` returns no copies. Of checkpoints that are loaded into one module one after the
    other, every state dict is the last one, and so is their "mean".

    Raises:
        UserError: when called with such a model; the message names the tensor.

    Example:
        >>> model, check = torch.nn.Linear(1, 1), NoAliases()
        >>> check({k: v.clone() for k, v in model.state_dict().items()})  # a copy
        >>> check(model.state_dict())
    """

    def __init__(self) -> None:
        self._seen: set[StorageWeakRef] = set()  # weak, so that models no longer in use are freed

    def __call__(self, theta: Weights) -> None:
        memory = {
            name: StorageWeakRef(t.untyped_storage()) for name, t in theta.items() if t.numel()
        }
        for name, block in memory.items():
            if block in self._seen:
                raise UserError(
                    f"two models share the memory of {name}, so both are the one that was loaded last; "
                    "copy each state dict when you take it: {k: v.clone() for k, v in ...}"
                )
        self._seen.update(memory.values())


def uniform_soup(thetas: Iterable[Weights]) -> dict[str, Tensor]:
    """Return the plain mean of models in one pass: ``sum_i theta_i / k``, in the memory of two of
    them.

    ``average`` gives the same of models that are in memory all at once. Sums are kept in float32 or
    wider.

    Args:
        thetas: state dicts, such as ``Stored(folders)`` or a generator.

    Raises:
        UserError: no models, ones that do not fit together, or several names for one model.

    Source: Wortsman et al. 2022, "Model soups", section 2 (uniform soup).

    Example:
        >>> uniform_soup({"w": torch.tensor([float(x)])} for x in (1, 2, 6))
        {'w': tensor([3.])}
    """
    check, types, total, count = NoAliases(), {}, {}, 0
    for theta in thetas:
        check(theta)
        count += 1
        if count == 1:
            types = {key: t.dtype for key, t in theta.items()}
            total = {
                key: torch.zeros_like(t, dtype=torch.promote_types(t.dtype, torch.float32))
                if t.is_floating_point()
                else t.clone()
                for key, t in theta.items()
            }
        check_alike([total, theta])
        for key, tensor in total.items():
            if tensor.is_floating_point():
                tensor += theta[key]
        del theta  # frees it before the next one is read
    if not count:
        raise UserError("no models to average; give at least one")
    return {
        key: t.div_(count).to(types[key]) if t.is_floating_point() else t
        for key, t in total.items()
    }


def held_out_accuracy(
    classifier: ImageClassifier, split: Split, batch_size: int = 256
) -> Callable[[Weights], float]:
    """Return a function of weights: what the split reports, as a rule accuracy, in 0..1.

    Args:
        classifier: what the weights belong to; it is left alone.
        split: images that no model was trained on, nor is tested on, such as ``task.val``.
        batch_size: images per forward pass.
    """
    model, images = copy.deepcopy(classifier).eval(), pixels(classifier, split)

    def score(theta: Weights) -> float:
        model.load_state_dict(dict(theta))
        return split.score(split.predicted(run_in_batches(model, images, batch_size))).accuracy

    return score


RULES = ("paper", "code")  # of the greedy soup, where scores are equal


def greedy_soup(
    thetas: Sequence[Weights], score: Callable[[Weights], float], rule: str = "paper"
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Return the greedy soup: from the best model down, each is added unless the mean gets worse.

    Models are tried in the order of their scores alone. On a few hundred held-out images equal
    scores are common, and the paper and its code treat them differently:

    - ``"paper"``: a model stays if ``score(mean with it) >= score(mean without it)``. The paper
      leaves the order of models of equal score open; here it is that of ``thetas``.
    - ``"code"``: a model stays if ``score(mean with it) > score(mean without it)``. Models of
      equal score are tried in the reverse of that order.

    Args:
        thetas: state dicts; each is read twice, and at most two and a sum are in memory if they are
            ``Stored``.
        score: higher is better; see ``held_out_accuracy``. Test images must not be in it.
        rule: how equal scores are treated, one of ``RULES``.

    Returns:
        The soup, and a row for each model in the order of trial: ``model`` (its place in
        ``thetas``), ``alone`` (its score), ``with_it`` (the score of the mean with it), ``kept``,
        ``soup`` (the score after it), ``tied_alone`` (another model has the same score) and
        ``tied`` (the mean with it scores exactly as much as the mean without it, so that the rule
        decided).

    Raises:
        UserError: no models, ones that do not fit together, several names for one model, or an
            unknown rule.

    Source: Wortsman et al. 2022, "Model soups", recipe 1; the second rule is that of ``main.py`` of
    github.com/mlfoundations/model-soups.

    Example:
        >>> thetas = [{"w": torch.tensor([x])} for x in (5.0, 1.0, -1.5)]
        >>> soup, trace = greedy_soup(thetas, lambda theta: -abs(theta["w"].item()))
        >>> soup, trace["model"].tolist(), trace["kept"].tolist()
        ({'w': tensor([-0.2500])}, [1, 2, 0], [True, True, False])
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    if not len(thetas):
        raise UserError("no models to average; give at least one")
    check, alone = NoAliases(), []
    for i in range(len(thetas)):
        theta = thetas[i]
        check(theta)
        alone.append(score(theta))
    first = range(len(thetas)) if rule == "paper" else reversed(range(len(thetas)))
    order = sorted(first, key=lambda i: -alone[i])  # a stable sort: equals stay as they were
    soup, best, kept = dict(thetas[order[0]]), alone[order[0]], 1
    rows: list[dict] = []
    for i in order:
        mixed = average([soup, thetas[i]], [kept, 1]) if rows else soup
        reached = score(mixed) if rows else best
        tied = bool(rows) and reached == best
        keeps = not rows or reached > best or (tied and rule == "paper")
        if keeps:
            soup, best, kept = mixed, reached, kept + bool(rows)
        rows.append(
            {
                "model": i,
                "alone": alone[i],
                "with_it": reached,
                "kept": keeps,
                "soup": best,
                "tied_alone": alone.count(alone[i]) > 1,
                "tied": tied,
            }
        )
    return average([soup]), pd.DataFrame(rows)


def greedy_ensemble(
    logits: Sequence[Tensor], split: Split, rule: str = "paper"
) -> tuple[list[int], pd.DataFrame]:
    """Return the members of the greedy ensemble and its trace: a greedy soup, logits for weights.

    It predicts by the plain mean of its members' logits, at the cost of one pass for each. Models
    are scored by what the split reports, as a rule accuracy.

    Args:
        logits: for each model ``[n, C]``, on the images of ``split``.
        split: held-out images.
        rule: what equal scores mean, see ``greedy_soup``.

    Returns:
        The members' indices in the order they were added, and a trace as of ``greedy_soup``.

    Raises:
        UserError: no models, unequal shapes, or an unknown rule.

    Source: Wortsman et al. 2022, "Model soups" (greedy ensemble).

    Example:
        >>> from wiseft_lite.tasks import Split
        >>> right, wrong = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 9.0]])
        >>> split = Split("val", [None], torch.tensor([0]), classes=(0, 1))
        >>> greedy_ensemble([wrong, right, right + 1], split)[0]
        [1, 2]
    """
    _, trace = greedy_soup(
        [{"logits": x} for x in logits],
        lambda theta: split.score(split.predicted(theta["logits"])).accuracy,
        rule,
    )
    return trace["model"][trace["kept"]].tolist(), trace
