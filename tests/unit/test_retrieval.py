"""Retrieval by hand, ArcFace against its formula, and an embedding made from text alone."""

import math
from dataclasses import astuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from wiseft_lite import Recipe, UserError
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.retrieval.arcface import Embedder, SubCentres, adaptive_margins, arcface
from wiseft_lite.retrieval.search import nearest, retrieval_scores, text_projection
from wiseft_lite.training import fit


def points(*degrees):
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


INDEX = points(10, 20, 30, 40, 50, 60)


def scores(labels, query_label):
    return astuple(
        retrieval_scores(points(0), torch.tensor([query_label]), INDEX, torch.tensor(labels))
    )


@pytest.mark.parametrize(
    "labels, recall_1, recall_5, mp_5, mrr_5",
    [
        ([1, 1, 1, 1, 1, 1], 1, 1, 1, 1),
        ([0, 1, 0, 1, 1, 1], 0, 1, 2 / 4, 1 / 2),  # four relevant: of the first four two are hits
        ([1, 0, 0, 0, 1, 0], 1, 1, 1 / 2, 1),  # two relevant: the hit at place 5 does not count
        ([0, 0, 1, 0, 0, 0], 0, 1, 0, 1 / 3),  # one relevant: only place 1 is judged
        ([0, 0, 0, 0, 0, 1], 0, 0, 0, 0),
        ([1, 1, 0, 1, 1, 1], 1, 1, 4 / 5, 1),
    ],
)
def test_scores_of_one_query_by_hand(labels, recall_1, recall_5, mp_5, mrr_5):
    assert scores(labels, 1) == pytest.approx((recall_1, recall_5, mp_5, mrr_5, 1))


def test_scores_are_means_over_queries():
    labels = torch.tensor([1, 0, 0, 0, 1, 0])
    both = retrieval_scores(points(0, 0), torch.tensor([1, 0]), INDEX, labels)
    # class 0 has four: places 2, 3, 4 of the first four are hits
    assert astuple(both) == pytest.approx((0.5, 1, (1 / 2 + 3 / 4) / 2, (1 + 1 / 2) / 2, 2))


def test_a_query_does_not_find_itself_even_if_another_is_equal():
    same = torch.cat([points(0), points(0), points(90), points(90), points(45), points(45)])
    assert nearest(same, k=1).flatten().tolist() == [1, 0, 3, 2, 5, 4]
    assert nearest(same, same, k=1).flatten().tolist() == [
        0,
        0,
        2,
        2,
        4,
        4,
    ]  # of equals the earlier
    assert retrieval_scores(same, torch.tensor([0, 0, 1, 1, 2, 2])).mp_5 == 1


def test_batches_change_nothing_and_the_order_is_that_of_distances():
    generator = torch.Generator().manual_seed(0)
    queries, index = (F.normalize(torch.randn(n, 8, generator=generator), dim=-1) for n in (20, 50))
    among_others = torch.cdist(queries, queries).fill_diagonal_(9).argsort(1)[:, :4]
    for found_in, expected in (
        (None, among_others),
        (index, torch.cdist(queries, index).argsort(1)[:, :4]),
    ):
        assert torch.equal(nearest(queries, found_in, k=4, batch_size=7), expected)


def by_sorting_everything(queries, index, k):
    """Exact in integers; -1000 is below every similarity."""
    similarity = queries.long() @ (queries if index is None else index).long().T
    if index is None:
        similarity.fill_diagonal_(-1000)
    return similarity.sort(dim=1, descending=True, stable=True).indices[:, :k]


@pytest.mark.parametrize("values", [2, 4])  # possible values of a component
@pytest.mark.parametrize("k", [1, 5, 19])
def test_ties_are_in_the_order_of_the_index_in_every_chunk(values, k):
    generator = torch.Generator().manual_seed(values + k)
    queries, index = (torch.randint(values, (n, 3), generator=generator).float() for n in (20, 150))
    for searched in (None, index):
        expected = by_sorting_everything(queries, searched, k)
        for batch_size, chunk_size in ((1024, 4096), (7, 1), (3, 6), (20, 19), (1, 64)):
            found = nearest(queries, searched, k, batch_size, chunk_size)
            assert torch.equal(found, expected), (batch_size, chunk_size)


def test_neither_batches_nor_chunks_change_the_result_in_the_last_bit():
    """Images twice in the index, whose similarities to a query differ by less than rounding."""
    generator = torch.Generator().manual_seed(0)
    queries = F.normalize(torch.randn(9, 64, generator=generator), dim=1)
    near = F.normalize(queries[:1] + 1e-7 * torch.randn(60, 64, generator=generator), dim=1)
    index = torch.cat([near, queries[1:], near])
    whole = nearest(queries, index, k=60)
    assert torch.equal(whole[0, 1::2], whole[0, ::2] + 68)  # a copy follows its original
    for batch_size in (1, 2, 1024):
        for chunk_size in (1, 3, 8, 61, 4096):
            assert torch.equal(nearest(queries, index, 60, batch_size, chunk_size), whole)


def test_memory_is_that_of_one_batch_and_one_chunk():
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, tuple) else (result,):
                if isinstance(tensor, torch.Tensor):
                    self.numel = max(self.numel, tensor.numel())
            return result

    embeddings = torch.eye(2).repeat(500, 1)
    with Largest() as seen:
        nearest(embeddings, k=2, batch_size=50, chunk_size=40)
    assert seen.numel == 50 * 40


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: nearest(INDEX, k=6), "k is 6 .* 5 images"),
        (lambda: scores([0] * 6, 1), "query 0 is of class 1, .*"),
        (
            lambda: retrieval_scores(INDEX, torch.tensor([0, 0, 0, 0, 0, 1])),
            "query 5 is of class 1",
        ),
        (lambda: retrieval_scores(INDEX, torch.zeros(6), INDEX), "give both"),
        (lambda: retrieval_scores(INDEX, torch.zeros(5)), "6 queries with 5 labels"),
        (lambda: text_projection(torch.eye(4), 4), "4 texts .* 4 components"),
        (lambda: arcface(torch.tensor([4.0])), "0 to below pi"),
        (lambda: adaptive_margins(torch.tensor([3, 0])), "class 1 has no training images"),
    ],
)
def test_what_cannot_be_had_is_refused(use, words):
    with pytest.raises(UserError, match=words):
        use()


def test_a_text_projection_keeps_the_directions_of_largest_variance_with_a_fixed_sign():
    texts = F.normalize(torch.randn(40, 12, generator=torch.Generator().manual_seed(0)) + 1, dim=-1)
    ours = text_projection(texts, 5)
    variances, directions = torch.linalg.eigh(texts.T.cov())
    torch.testing.assert_close(
        ours.weight.abs(), directions.T.flip(0)[:5].abs(), rtol=1e-3, atol=1e-4
    )
    assert (ours.weight.gather(1, ours.weight.abs().argmax(1, keepdim=True)) > 0).all()
    spread = ((texts - texts.mean(0)) @ ours.weight.T).var(0)
    torch.testing.assert_close(spread, variances.flip(0)[:5], rtol=1e-3, atol=1e-5)
    expected = (texts - texts.mean(0)) @ ours.weight.T
    torch.testing.assert_close(ours(texts), expected / expected.norm(dim=1, keepdim=True))


def test_arcface_moves_the_right_angle_only():
    degrees, margins, scale = (
        torch.tensor([[60.0, 80.0], [100.0, 30.0]]),
        torch.tensor([0.2, 0.4]),
        10.0,
    )
    theta, labels = degrees.deg2rad(), torch.tensor([0, 1])
    moved = theta + torch.tensor([[0.2, 0.0], [0.0, 0.4]])
    expected = F.cross_entropy(scale * moved.cos(), labels)
    torch.testing.assert_close(
        arcface(margins, scale)(nn.Identity(), theta.cos(), labels), expected
    )
    plain = arcface(torch.zeros(2), scale)(nn.Identity(), theta.cos(), labels)
    torch.testing.assert_close(plain, F.cross_entropy(scale * theta.cos(), labels))


def test_arcface_never_rewards_a_worse_angle_and_has_a_slope_everywhere():
    angles = torch.linspace(0, math.pi, 400)
    cosines = torch.stack([angles.cos(), torch.zeros(400)], 1).requires_grad_()
    objective, label = arcface(torch.full((2,), 0.5), 1.0), torch.tensor([0])
    losses = torch.stack([objective(nn.Identity(), row[None], label) for row in cosines])
    assert (losses.diff() > -1e-6).all()
    losses.sum().backward()
    assert cosines.grad.isfinite().all()


def test_the_nearest_centre_speaks_for_its_class():
    centres = SubCentres(2, 2, centres=2)
    with torch.no_grad():
        centres.weight.copy_(torch.stack([3 * points(0, 90), 7 * points(180, 225)]))
    torch.testing.assert_close(
        centres(points(80).float()),
        torch.tensor([[10.0, 100.0]]).deg2rad().cos(),
        rtol=1e-4,
        atol=1e-5,
    )
    assert not torch.equal(SubCentres(2, 2, seed=1).weight, SubCentres(2, 2).weight)


def test_rarer_classes_get_wider_margins():
    margins = adaptive_margins(torch.tensor([4, 50, 7]))
    r = [n**-0.25 for n in (4, 50, 7)]
    expected = [0.05 + 0.45 * (x - min(r)) / (max(r) - min(r)) for x in r]
    assert margins.tolist() == pytest.approx(expected)
    assert adaptive_margins(torch.tensor([3, 3])).tolist() == [0.5, 0.5]


def test_an_embedder_learns_to_find(theta_0, task):
    embedder = Embedder(
        theta_0.with_weights(theta_0.state_dict()).encoder, torch.eye(4, 16), dropout=0.1
    )
    images, labels = pixels(theta_0, task.test), task.test.labels
    before = run_in_batches(embedder.eval(), images, 8)
    torch.testing.assert_close(before.norm(dim=-1), torch.ones(len(images)))
    model = nn.Sequential(embedder, SubCentres(3, 4, centres=2))
    fit(
        model,
        pixels(theta_0, task.train),
        task.train.labels,
        Recipe(epochs=6, lr=1e-2, batch_size=16),
        objective=arcface(adaptive_margins(task.train.labels.bincount())),
    )
    after = run_in_batches(embedder, images, 8)
    assert retrieval_scores(after, labels).mp_5 > retrieval_scores(before, labels).mp_5 + 0.05
