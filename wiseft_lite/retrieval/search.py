"""Nearest-neighbour retrieval by embeddings, its metrics, and text-based projections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.errors import UserError

GRID = 2.0**26  # components of embeddings are rounded to multiples of 1 / GRID


def nearest(
    queries: Tensor,
    index: Tensor | None = None,
    k: int = 5,
    batch_size: int = 1024,
    chunk_size: int = 4096,
) -> Tensor:
    """Return the indices of each query's ``k`` nearest embeddings, nearest first; exact search.

    Ties are in the order of the index. The index is searched chunk by chunk, and of all chunks so
    far only the ``k`` nearest are kept, so ``[batch_size, chunk_size]`` similarities are in memory.

    Neither size changes the result, and equal embeddings tie exactly, because no sum is rounded:
    components are rounded to multiples of ``2^-26`` first, so all sums are multiples of ``2^-52``,
    and none exceeds the product of two lengths of 1. Float64 holds every such number up to 2.

    Args:
        queries: ``[q, d]``, L2-normalised.
        index: ``[n, d]`` to search in, L2-normalised. If not given, each query searches among all
            other queries.
        k: how many.
        batch_size: queries per matrix product.
        chunk_size: embeddings of the index per matrix product.

    Returns:
        int64 ``[q, k]``, rows of the index.

    Raises:
        UserError: the index has fewer than ``k`` embeddings.

    Example:
        >>> nearest(torch.eye(3)[:1], torch.eye(3).flip(0), k=2)
        tensor([[2, 0]])
    """
    candidates = queries if index is None else index
    n_candidates = len(candidates) - (index is None)
    if not 1 <= k <= n_candidates:
        raise UserError(f"k is {k} but there are {n_candidates} images to search; give a smaller k")
    found = []
    for first in range(0, len(queries), batch_size):
        batch = _on_grid(queries[first : first + batch_size])
        best, rows = batch[:, :0], torch.empty(len(batch), 0, dtype=torch.int64).to(batch.device)
        for start in range(0, len(candidates), chunk_size):
            similarity = batch @ _on_grid(candidates[start : start + chunk_size]).T
            if index is None:
                similarity.diagonal(first - start).fill_(-torch.inf)  # each query with itself
            largest, columns = _largest(similarity, k)
            # earlier chunks first, so that the stable sort leaves ties in the order of the index
            best, rows = torch.cat([best, largest], 1), torch.cat([rows, start + columns], 1)
            best, order = best.sort(dim=1, descending=True, stable=True)
            best, rows = best[:, :k], rows.gather(1, order[:, :k])
        found.append(rows)
    return torch.cat(found)


def _on_grid(embeddings: Tensor) -> Tensor:
    return (embeddings.double() * GRID).round()


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest values of each row and their columns; of equal values the first columns."""
    largest, columns = values.topk(min(4 * k, values.shape[1]))  # which leaves ties in any order
    columns, order = columns.sort(dim=1)
    largest, order = largest.gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    beyond = largest[:, min(k, largest.shape[1]) - 1] == largest[:, -1]  # more equals may follow
    whole = values[beyond].sort(dim=1, descending=True, stable=True).indices
    columns[beyond] = whole[:, : columns.shape[1]]
    return largest[:, :k], columns[:, :k]


@dataclass(frozen=True)
class RetrievalScores:
    """Retrieval metrics over ``n`` queries, fractions in 0..1.

    Args:
        recall_1: fraction of queries whose nearest image is relevant.
        recall_5: fraction of queries with a relevant image among the nearest 5.
        mp_5: ``1/Q sum_q 1/min(n_q, 5) sum_{j <= min(n_q, 5)} rel_q(j)`` with ``n_q`` the number of
            relevant images: a query with two of them is scored on its first two results.
        mrr_5: mean of 1 / rank of the first relevant image among 5, 0 without one.
        n: number of queries.
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
    """Return the metrics of ``RetrievalScores`` for each query, float64 ``[q]`` by name.

    Args:
        queries: ``[q, d]``, L2-normalised.
        query_labels: ``[q]``.
        index: ``[n, d]`` to search in; if not given, each query searches among all other queries.
        index_labels: ``[n]``, required with ``index``.

    Raises:
        UserError: unequal numbers, fewer than five images to search, or a query without a relevant
            image.

    Example:
        >>> angles = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
        >>> points = torch.stack([angles.cos(), angles.sin()], dim=1)
        >>> query_scores(points, torch.tensor([0, 0, 1, 1, 1, 0]))["mp_5"]
        tensor([0.5000, 0.5000, 0.0000, 0.5000, 0.5000, 0.0000], dtype=torch.float64)
    """
    if index is None:
        candidates, labels, itself = queries, query_labels, 1
    elif index_labels is not None:
        candidates, labels, itself = index, index_labels, 0
    else:
        raise UserError("index is given without index_labels; give both")
    if len(queries) != len(query_labels) or len(candidates) != len(labels):
        raise UserError(
            f"{len(queries)} queries with {len(query_labels)} labels, {len(candidates)} images with "
            f"{len(labels)}; give one label each"
        )
    classes, counts = labels.unique(return_counts=True)
    place = torch.searchsorted(classes, query_labels).clamp(max=len(classes) - 1)
    relevant = torch.where(classes[place] == query_labels, counts[place], 0) - itself
    if not (relevant > 0).all():
        query = int((relevant > 0).int().argmin())
        raise UserError(
            f"query {query} is of class {int(query_labels[query])}, of which there is no other image; "
            "remove such queries"
        )
    hits = (labels[nearest(queries, index)] == query_labels[:, None]).double()
    scored = relevant.clamp(max=5)
    rank = torch.arange(1, 6)
    return {
        "recall_1": hits[:, 0],
        "recall_5": hits.amax(1),
        "mp_5": (hits * (rank <= scored[:, None])).sum(1) / scored,
        "mrr_5": (hits / rank).amax(1),
    }


def retrieval_scores(
    queries: Tensor,
    query_labels: Tensor,
    index: Tensor | None = None,
    index_labels: Tensor | None = None,
) -> RetrievalScores:
    """Return how well embeddings retrieve images of the query's class: means of ``query_scores``.

    Args and errors are those of ``query_scores``.

    Source: Google Universal Image Embedding 2022 for mP@5; Musgrave et al. 2020 for recall@k.

    Example:
        >>> angles = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
        >>> points = torch.stack([angles.cos(), angles.sin()], dim=1)
        >>> round(retrieval_scores(points, torch.tensor([0, 0, 1, 1, 1, 0])).mp_5, 3)
        0.333
    """
    scores = query_scores(queries, query_labels, index, index_labels)
    means = {name: score.mean().item() for name, score in scores.items()}
    return RetrievalScores(**means, n=len(queries))


@dataclass(frozen=True)
class Projection:
    """A linear projection ``z = normalise(W (e - mean))``.

    Args:
        weight: ``W [k, d]``, with orthonormal rows.
        mean: ``[d]``.
    """

    weight: Tensor
    mean: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Project embeddings ``[n, d]`` to L2-normalised ``[n, k]``."""
        return F.normalize((embeddings - self.mean) @ self.weight.T, dim=-1)


def text_projection(texts: Tensor, dimensions: int = 64) -> Projection:
    """Return the principal components of text embeddings: a universal embedding without any image.

    The names of many classes give the directions of CLIP's space that separate classes; images are
    projected on these: ``text_projection(clip.encode_text(names))(features)``.

    Args:
        texts: ``[n, d]``, embeddings of class names.
        dimensions: ``k``, at most ``d`` and below ``n``.

    Raises:
        UserError: more components than the texts have.

    Source: the text-only pipeline of the 4th place of Google Universal Image Embedding 2022.

    Example:
        >>> names = torch.tensor([[1.0, 0.0, 5.0], [3.0, 0.5, 5.0], [5.0, 0.0, 5.0]])
        >>> text_projection(names, dimensions=1).weight.abs().round(decimals=4)
        tensor([[1., 0., 0.]])
    """
    if not 1 <= dimensions <= min(len(texts) - 1, texts.shape[1]):
        raise UserError(
            f"{len(texts)} texts in {texts.shape[1]} dimensions do not have {dimensions} components; give "
            "more names or fewer components"
        )
    mean = texts.mean(0)
    _, _, rows = torch.linalg.svd(texts - mean, full_matrices=False)
    rows = rows[:dimensions]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return Projection(rows * largest.sign(), mean)  # fixes the arbitrary sign of each
