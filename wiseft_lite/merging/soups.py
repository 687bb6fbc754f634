"""Model soups: the mean of many fine-tuned models costs no more to run than one of them.

Models are given as state dicts: a list of them, or a sequence that reads each anew when it is
accessed, such as ``interop.pools.Pool`` of files and addresses, so that one at a time is in memory.
A soup is a state dict too, so ``interpolate(theta_0, soup, alpha)`` moves it back towards
zero-shot.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from wiseft_lite._runtime.digest import digest
from wiseft_lite._runtime.distributed import Shards
from wiseft_lite._runtime.precision import autocast_dtype
from wiseft_lite._runtime.progress import Progress
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.features import chunks, pixels, run_in_batches
from wiseft_lite.models import ImageClassifier
from wiseft_lite.recipes import Compute
from wiseft_lite.tasks import Split
from wiseft_lite.weights import Weights, average, check_alike

Check = Callable[[int, Weights], object]  # of a model's index and weights; raises if it is refused


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


class RunningSum:
    """The sum of models that are added one by one: ``sum_i theta_i``, in the memory of one.

    Floating-point tensors are summed in float32 or wider. Integer buffers must be equal, and are
    kept.

    Example:
        >>> total = RunningSum()
        >>> for x in (1, 2, 6):
        ...     total.add({"w": torch.tensor([float(x)])})
        >>> total.mean()
        {'w': tensor([3.])}
    """

    def __init__(self) -> None:
        self.count = 0
        self._total: dict[str, Tensor] = {}
        self._types: dict[str, torch.dtype] = {}

    def add(self, theta: Weights) -> None:
        """Add a model."""
        if not self.count:
            self._types = {key: tensor.dtype for key, tensor in theta.items()}
            self._total = {
                key: torch.zeros_like(
                    tensor, dtype=torch.promote_types(tensor.dtype, torch.float32)
                )
                if tensor.is_floating_point()
                else tensor.clone()
                for key, tensor in theta.items()
            }
        check_alike([self._total, theta])
        for key, tensor in self._total.items():
            if tensor.is_floating_point():
                tensor += theta[key]
        self.count += 1

    def mean(self) -> dict[str, Tensor]:
        """Return the mean, in the types of the first model."""
        if not self.count:
            raise UserError("no models to average; give at least one")
        return {
            key: (tensor / self.count).to(self._types[key])
            if tensor.is_floating_point()
            else tensor.clone()
            for key, tensor in self._total.items()
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything as tensors, to save it: an empty tensor holds a type."""
        types = {key: torch.empty(0, dtype=dtype) for key, dtype in self._types.items()}
        return {
            "count": torch.tensor(self.count),
            **{f"sum.{key}": tensor for key, tensor in self._total.items()},
            **{f"type.{key}": tensor for key, tensor in types.items()},
        }

    def load_state_dict(self, state: Weights) -> None:
        """Take over what ``state_dict`` returned."""
        self.count = int(state["count"])
        parts = [(*name.partition(".")[::2], tensor) for name, tensor in state.items()]
        self._total = {key: tensor for kind, key, tensor in parts if kind == "sum"}
        self._types = {key: tensor.dtype for kind, key, tensor in parts if kind == "type"}


def uniform_soup(
    thetas: Iterable[Weights],
    *,
    folder: str | Path | None = None,
    resume: bool = True,
    check: Check | None = None,
) -> dict[str, Tensor]:
    """Return the plain mean of models in one pass: ``sum_i theta_i / k``, in the memory of two of
    them.

    ``average`` of models that are in memory all at once divides before it adds. Both round each of
    ``k`` steps, so in float32 they differ by at most ``2^-23 (k + 1)`` times the mean of
    ``|theta_i|``.

    Args:
        thetas: state dicts, such as a ``Pool`` or a generator.
        folder: where the sum is saved after each model, so that an interrupted soup resumes with
            the next one and ends with the same bits; ``thetas`` must then be a sequence. It may
            hold the progress of several soups: each is found by a hash of its models and the code.
            None saves nothing.
        resume: False discards what was saved.
        check: called with each model before it is added.

    Raises:
        UserError: no models, ones that do not fit together, or several names for one model.

    Source: Wortsman et al. 2022, "Model soups", section 2 (uniform soup).

    Example:
        >>> uniform_soup({"w": torch.tensor([float(x)])} for x in (1, 2, 6))
        {'w': tensor([3.])}
    """
    if folder is not None and not isinstance(thetas, Sequence):
        raise UserError("a soup of an iterator cannot be resumed; give a list or a Pool")
    progress = Progress(folder, lambda: ("uniform", *_code()), lambda: _hashes(thetas), resume)
    total, aliases = RunningSum(), NoAliases()
    _, saved = progress.weights(range(len(thetas)) if isinstance(thetas, Sequence) else ())
    if saved:
        total.load_state_dict(saved)
    for theta in _without_first(thetas, total.count):
        aliases(theta)
        if check is not None:
            check(total.count, theta)
        total.add(theta)
        del theta  # frees it before the next one is read
        progress.add(range(total.count), weights=total.state_dict())
    return total.mean()


def _without_first(thetas: Iterable[Weights], count: int) -> Iterator[Weights]:
    """Yield the models after the first ``count``, which are not read."""
    if isinstance(thetas, Sequence):  # its own iterator would hold one while it reads the next
        return (thetas[i] for i in range(count, len(thetas)))
    return iter(thetas)


def _code() -> tuple[Any, ...]:
    """What decides the result besides the models, to hash it for the name of a soup's progress."""
    return sys.modules[__name__], average, torch.__version__


def _hashes(thetas: Any) -> list[str]:
    """A hash of each model; a sequence that has ``hashes`` need not be read for it."""
    return thetas.hashes() if hasattr(thetas, "hashes") else [digest(theta) for theta in thetas]


class HeldOutAccuracy:
    """A function of weights: what a split reports, as a rule accuracy, in 0..1.

    Several processes (see ``distributed``) divide the images, and all get the same number.

    Args:
        classifier: what the weights belong to; it is left alone.
        split: images that no model was trained on, nor is tested on, such as ``task.val``.
        batch_size: images per forward pass.
        compute: how to compute it.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        split: Split,
        batch_size: int = 256,
        compute: Compute = Compute(),
    ):
        self.model, self.split = copy.deepcopy(classifier).eval(), split
        self.batch_size, self._shards = batch_size, Shards(len(split), batch_size)
        self.precision = compute.precision
        self._images = pixels(classifier, self._shards.shard(split), compute)

    def __call__(self, theta: Weights) -> float:
        self.model.load_state_dict(dict(theta))
        with torch.inference_mode():  # in which the outputs may be sent
            logits = self._shards.gather(
                run_in_batches(self.model, self._images, self.batch_size, precision=self.precision)
            )
        return self.split.score(self.split.predicted(logits)).accuracy

    def content(self) -> str:
        """Return a hash of all that the score of given weights depends on."""
        images: Any = self.split.content()
        if images is None:
            images = [
                digest(chunk) for chunk in chunks(pixels(self.model, self.split), self.batch_size)
            ]
        return digest(
            images,
            self.model.preprocess,
            (self.split.labels, self.split.classes, self.split.merged, self.split.measure),
            repr(self.model),
            ImageClassifier.encode,
            ImageClassifier.forward,
            self.batch_size,
            autocast_dtype(next(self.model.parameters()).device, self.precision),
            next(self.model.parameters()).device.type,
        )


RULES = ("paper", "code")  # of the greedy soup, where scores are equal


def greedy_soup(
    thetas: Sequence[Weights],
    score: Callable[[Weights], float],
    rule: str = "paper",
    *,
    rank: Sequence[float] | None = None,
    folder: str | Path | None = None,
    resume: bool = True,
    check: Check | None = None,
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Return the greedy soup: from the best model down, each is added unless the mean gets worse.

    Models are tried in the order of their scores alone. On a few hundred held-out images equal
    scores are common, and the paper and its code treat them differently:

    - ``"paper"``: a model stays if ``score(mean with it) >= score(mean without it)``. The paper
      leaves the order of models of equal score open; here it is that of ``thetas``.
    - ``"code"``: a model stays if ``score(mean with it) > score(mean without it)``. Models of
      equal score are tried in the reverse of that order.

    Args:
        thetas: state dicts; each is read twice, to score it alone and to try it. Of a ``Pool``, at
            most one and the mean so far are in memory.
        score: higher is better; see ``HeldOutAccuracy``. Test images must not be in it.
        rule: how equal scores are treated, one of ``RULES``.
        rank: numbers by which models are tried, best first, in place of their scores alone, such as
            published accuracies. Of the models alone only the first is scored, and each is read
            once.
        folder: where each score is saved as soon as it is known, and the mean as soon as it grows.
            An interrupted soup resumes: no model is scored again, nor read for what is known, and
            the result has the same bits. The folder may hold the progress of several soups: each is
            found by a hash of its models, its score, which may have a ``content`` to hash, and the
            code. None saves nothing.
        resume: False discards what was saved.
        check: called with each model before it is scored alone, or tried by ``rank``.

    Returns:
        The soup, and a row for each model in the order of trial: ``model`` (its place in
        ``thetas``), ``alone`` (its score, or its number in ``rank``), ``with_it`` (the score of the mean with it), ``kept``,
        ``soup`` (the score after it), ``tied_alone`` (another model has the same score) and
        ``tied`` (the mean with it scores exactly as much as the mean without it, so that the rule
        decided).

    Raises:
        UserError: no models, ones that do not fit together, several names for one model, an
            unknown rule, or not one number in ``rank`` for each; or a model has changed between its two readings, which only progress in a
            folder shows.

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
    progress = Progress(
        folder,
        lambda: ("greedy", *_code(), score.content() if hasattr(score, "content") else score, rank),
        lambda: _hashes(thetas),
        resume,
    )
    soup = _Growing(thetas, score, progress, check)
    alone = soup.scores_alone() if rank is None else list(rank)
    if len(alone) != len(thetas):
        raise UserError(f"{len(alone)} numbers in rank for {len(thetas)} models; give one for each")
    first = range(len(thetas)) if rule == "paper" else reversed(range(len(thetas)))
    order = sorted(first, key=lambda i: -alone[i])  # a stable sort: equals stay as they were
    rows: list[dict] = []
    for i in order:
        before = soup.best
        if rows:
            reached = soup.try_(i, ties=rule == "paper")
        else:
            reached = soup.begin(i, alone[i] if rank is None else None)
        rows.append(
            {
                "model": i,
                "alone": alone[i],
                "with_it": reached,
                "kept": i == soup.members[-1],
                "soup": soup.best,
                "tied_alone": alone.count(alone[i]) > 1,
                "tied": bool(rows) and reached == before,
            }
        )
    return average([soup.weights()]), pd.DataFrame(rows)


class _Growing:
    """A greedy soup while it grows: its members, their mean once it is needed, and its score.

    Args:
        thetas: the models.
        score: of weights.
        progress: the scores that are known, and the mean that was saved.
        check: called with each model when it is read for the first time.
    """

    def __init__(
        self,
        thetas: Sequence[Weights],
        score: Callable[[Weights], float],
        progress: Progress,
        check: Check | None,
    ):
        self._thetas, self._score, self._progress, self._check = thetas, score, progress, check
        self._aliases, self._known = NoAliases(), set[int]()
        self._mean: dict[str, Tensor] | None = None
        self.members: list[int] = []
        self.best = -math.inf

    def scores_alone(self) -> list[float]:
        """Score every model alone; one that is known is not read."""
        alone = []
        for i in range(len(self._thetas)):
            known = self._progress.score([i])
            if known is None:
                known = self._score(self._read(i))
                self._progress.add([i], known)
            self._known.add(i)
            alone.append(known)
        return alone

    def begin(self, i: int, score: float | None) -> float:
        """Make the best model the first member; it is scored if its score is not known."""
        score = self._progress.score([i]) if score is None else score
        if score is None:
            self._mean = self._read(i)
            score = self._score(self._mean)
            self._progress.add([i], score, self._mean)
        self.members, self.best = [i], score
        return score

    def try_(self, i: int, ties: bool) -> float:
        """Return the score of the mean with a model, which stays if it is no worse.

        Args:
            i: the model.
            ties: whether it stays if the score is equal.
        """
        tried = [*self.members, i]
        mean: dict[str, Tensor] | None = None
        reached = self._progress.score(tried)
        if reached is None:
            mean = _mixed(self.weights(), len(self.members), self._read(i))
            reached = self._score(mean)
        keeps = reached > self.best or (ties and reached == self.best)
        if mean is not None:
            self._progress.add(tried, reached, mean if keeps else None)
        if keeps:
            self.members, self.best, self._mean = tried, reached, mean
        return reached

    def weights(self) -> dict[str, Tensor]:
        """Return the mean of the members; what was saved of it is not read again."""
        if self._mean is None:
            done, mean = self._progress.weights(self.members)
            for count in range(done, len(self.members)):
                theta = self._read(self.members[count])
                mean = _mixed(mean, count, theta) if count else theta
            if done < len(self.members):
                self._progress.add(self.members, weights=mean)
            self._mean = mean
        return self._mean

    def _read(self, i: int) -> dict[str, Tensor]:
        theta = dict(self._thetas[i])
        self._progress.check_unchanged(i, theta)
        if i not in self._known:
            self._aliases(theta)
            if self._check is not None:
                self._check(i, theta)
            self._known.add(i)
        return theta


def _mixed(mean: Weights, count: int, theta: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn a model into the mean of ``count`` models and it; each tensor takes the place of one."""
    check_alike([mean, theta])
    for key in theta:
        theta[key] = average([{key: mean[key]}, {key: theta[key]}], [count, 1])[key]
    return theta


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
