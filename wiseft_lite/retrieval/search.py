"""Find pictures of the same thing by their embeddings, and score what was found."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.errors import UserError


def nearest(
    queries: Tensor, index: Tensor | None = None, k: int = 5, batch_size: int = 1024
) -> Tensor:
    """Return the places of the ``k`` nearest embeddings of each query, the nearest first; exact,
    not approximate.

    Of equally near ones the earlier comes first. For unit vectors the nearest is also the most
    similar.

    Args:
        queries: ``[q, d]``, L2-normalised.
        index: ``[n, d]`` to search in, L2-normalised. Without one, each query searches among all
            the others.
        k: how many.
        batch_size: queries at once.

    Returns:
        int64 ``[q, k]``, rows of the index.

    Raises:
        UserError: fewer than ``k`` to find.

    Example:
        >>> nearest(torch.eye(3)[:1], torch.eye(3).flip(0), k=2)
        tensor([[2, 0]])
    """
    found_in = queries if index is None else index
    if not 1 <= k <= len(found_in) - (index is None):
        raise UserError(
            f"{k} neighbours among {len(found_in) - (index is None)} pictures cannot be had; lower k"
        )
    rows = []
    for start in range(0, len(queries), batch_size):
        similarity = queries[start : start + batch_size] @ found_in.T
        if index is None:
            own = torch.arange(len(similarity))
            similarity[own, own + start] = -torch.inf
        rows.append(similarity.sort(dim=1, descending=True, stable=True).indices[:, :k])
    return torch.cat(rows)


@dataclass(frozen=True)
class Retrieval:
    """Scores over ``n`` queries, all shares in 0..1.

    ``recall_1`` and ``recall_5``: queries with a relevant picture among the first 1 or 5. ``mp_5``:
    ``1/Q sum_q 1/min(n_q, 5) sum_{j <= min(n_q, 5)} rel_q(j)`` with ``n_q`` the relevant pictures
    there are: a query with two of them is judged by its first two finds. ``mrr_5``: the mean of 1 /
    place of the first relevant picture among 5, 0 if there is none.
    """

    recall_1: float
    recall_5: float
    mp_5: float
    mrr_5: float
    n: int


def query_scores(
    queries: Tensor,
    query_labels: Tensor,
    index: Tensor | None = None,
    index_labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the scores of each query, float64 ``[q]`` by name; ``Retrieval`` says what they are.

    Args:
        queries: ``[q, d]``, L2-normalised.
        query_labels: ``[q]``.
        index: ``[n, d]`` to search in; without one, each query searches among all the others.
        index_labels: ``[n]``, given if ``index`` is.

    Raises:
        UserError: unequal numbers, fewer than five pictures to find, or a query of which there is
            no other.

    Example:
        >>> angles = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
        >>> points = torch.stack([angles.cos(), angles.sin()], dim=1)
        >>> query_scores(points, torch.tensor([0, 0, 1, 1, 1, 0]))["mp_5"]
        tensor([0.5000, 0.5000, 0.0000, 0.5000, 0.5000, 0.0000], dtype=torch.float64)
    """
    if index is None:
        found_in, labels, alone = queries, query_labels, 1
    elif index_labels is not None:
        found_in, labels, alone = index, index_labels, 0
    else:
        raise UserError("an index without index_labels cannot be scored; give both")
    if len(queries) != len(query_labels) or len(found_in) != len(labels):
        raise UserError(
            f"{len(queries)} queries with {len(query_labels)} labels, {len(found_in)} pictures with "
            f"{len(labels)}; give one label each"
        )
    classes, counts = labels.unique(return_counts=True)
    place = torch.searchsorted(classes, query_labels).clamp(max=len(classes) - 1)
    relevant = torch.where(classes[place] == query_labels, counts[place], 0) - alone
    if not (relevant > 0).all():
        lonely = int((relevant > 0).int().argmin())
        raise UserError(
            f"query {lonely} is of class {int(query_labels[lonely])}, of which there is nothing to find; "
            "leave such queries out"
        )
    hits = (labels[nearest(queries, index)] == query_labels[:, None]).double()
    judged = relevant.clamp(max=5)
    rank = torch.arange(1, 6)
    return {
        "recall_1": hits[:, 0],
        "recall_5": hits.amax(1),
        "mp_5": (hits * (rank <= judged[:, None])).sum(1) / judged,
        "mrr_5": (hits / rank).amax(1),
    }


def retrieval(
    queries: Tensor,
    query_labels: Tensor,
    index: Tensor | None = None,
    index_labels: Tensor | None = None,
) -> Retrieval:
    """Return how well embeddings find pictures of the query's class: the means of ``query_scores``.

    Args and errors are those of ``query_scores``.

    Source: Google Universal Image Embedding 2022 for mP@5; Musgrave et al. 2020 for recall@k.

    Example:
        >>> angles = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
        >>> points = torch.stack([angles.cos(), angles.sin()], dim=1)
        >>> round(retrieval(points, torch.tensor([0, 0, 1, 1, 1, 0])).mp_5, 3)
        0.333
    """
    scores = query_scores(queries, query_labels, index, index_labels)
    return Retrieval(
        **{name: score.mean().item() for name, score in scores.items()}, n=len(queries)
    )


@dataclass(frozen=True)
class Projection:
    """``z = normalise(W (e - mean))``: ``weight`` is ``W [k, d]`` with orthonormal rows, ``mean``
    is ``[d]``."""

    weight: Tensor
    mean: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """L2-normalised ``[n, k]`` of embeddings ``[n, d]``."""
        return F.normalize((embeddings - self.mean) @ self.weight.T, dim=-1)


def text_projection(texts: Tensor, dimensions: int = 64) -> Projection:
    """Return the principal components of text embeddings: a small universal embedding made without
    a picture.

    Names of many things tell which directions of CLIP's space tell things apart; pictures are then
    projected on those: ``text_projection(clip.encode_text(names))(features)``.

    Args:
        texts: ``[n, d]``, embeddings of class names.
        dimensions: ``k``, at most ``d`` and below ``n``.

    Raises:
        UserError: too few texts or dimensions.

    Source: the text-only pipeline of the 4th place of Google Universal Image Embedding 2022.

    Example:
        >>> names = torch.tensor([[1.0, 0.0, 5.0], [3.0, 0.5, 5.0], [5.0, 0.0, 5.0]])
        >>> text_projection(names, dimensions=1).weight.abs().round(decimals=4)
        tensor([[1., 0., 0.]])
    """
    if not 1 <= dimensions <= min(len(texts) - 1, texts.shape[1]):
        raise UserError(
            f"{dimensions} components of {len(texts)} texts in {texts.shape[1]} dimensions cannot be had; "
            "give more names or fewer components"
        )
    mean = texts.mean(0)
    _, _, rows = torch.linalg.svd(texts - mean, full_matrices=False)
    rows = rows[:dimensions]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return Projection(rows * largest.sign(), mean)  # the sign of a component is free; this fixes it
