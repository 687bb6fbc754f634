import math

import pytest
import torch

from wiseft_lite import UserError
from wiseft_lite.analysis.diversity import (
    Overrides,
    cka_complement,
    kappa_complement,
    kl_divergence,
    margins,
    overrides,
    prediction_diversity,
)

# Ten images of three classes. f is right on the first seven, g on 0-3, 7 and 8; on image 9 both are
# wrong.
LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
F = torch.tensor([0, 0, 0, 1, 1, 1, 2, 0, 0, 0])
G = torch.tensor([0, 0, 0, 1, 2, 2, 0, 2, 2, 1])


def random_predictions(n=200, classes=5):
    generator = torch.Generator().manual_seed(1)
    first = torch.randint(classes, (n,), generator=generator)
    other = torch.randint(classes, (n,), generator=generator)
    return first, torch.where(torch.rand(n, generator=generator) < 0.6, first, other)


def random_outputs(n=40, d=6, e=4):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, d, generator=generator) + 3, torch.randn(n, e, generator=generator) - 1


def test_prediction_diversity_counts_images_with_exactly_one_right_answer():
    assert prediction_diversity(F, G, LABELS) == pytest.approx(5 / 10)
    assert prediction_diversity(F, F, LABELS) == 0
    assert prediction_diversity(LABELS, (LABELS + 1) % 3, LABELS) == 1
    # both wrong, in two ways: they differ, and it is no diversity of use
    assert prediction_diversity(torch.tensor([1]), torch.tensor([2]), torch.tensor([0])) == 0


def test_kappa_complement_by_hand():
    # equal on 4 of 10; counts of f: 6, 3, 1 and of g: 4, 2, 4 for classes 0, 1, 2
    by_chance = (6 * 4 + 3 * 2 + 1 * 4) / 100
    assert kappa_complement(F, G) == pytest.approx((1 - 0.4) / (1 - by_chance))
    assert kappa_complement(F, F) == 0
    # a classifier that always predicts one class agrees with another only by chance
    assert kappa_complement(F, torch.zeros(10, dtype=torch.int64)) == pytest.approx(1)


def test_kappa_complement_is_one_minus_sklearns_kappa():
    metrics = pytest.importorskip("sklearn.metrics")
    for first, second in ((F, G), random_predictions()):
        assert kappa_complement(first, second) == pytest.approx(
            1 - metrics.cohen_kappa_score(first, second)
        )


def test_kappa_of_two_constant_classifiers_is_refused():
    with pytest.raises(UserError, match="one and the same class"):
        kappa_complement(torch.tensor([2, 2]), torch.tensor([2, 2]))


def test_kl_by_hand_is_directed_and_a_mean_over_images():
    even, three_to_one = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])
    from_even = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    from_other = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert kl_divergence(even, three_to_one) == pytest.approx(from_even, rel=1e-6)
    assert kl_divergence(three_to_one, even) == pytest.approx(from_other, rel=1e-6)
    twice = torch.cat([even, even]), torch.cat([three_to_one, even])
    assert kl_divergence(*twice) == pytest.approx(from_even / 2, rel=1e-6)


def test_kl_is_scipys():
    scipy = pytest.importorskip("scipy.stats")
    first, second = random_outputs(e=6)
    theirs = scipy.entropy(first.double().softmax(-1), second.double().softmax(-1), axis=1).mean()
    assert kl_divergence(first, second) == pytest.approx(theirs)


def test_kl_of_a_sure_and_wrong_classifier_stays_finite():
    assert kl_divergence(
        torch.tensor([[0.0, 0.0]]), torch.tensor([[1000.0, 0.0]])
    ) == pytest.approx(500 - math.log(2), rel=1e-6)


def test_cka_by_hand():
    # centred columns: f = (-1, 0, 1), g = (1, -2, 1); f.g = 0, so nothing is shared
    f, g = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[3.0], [0.0], [3.0]])
    assert cka_complement(f, g) == pytest.approx(1)
    # with h = (-1, -1, 2): f.h = 3, |f|^2 = 2, |h|^2 = 6, so CKA = 9 / 12
    h = torch.tensor([[0.0], [0.0], [3.0]])
    assert cka_complement(f, h) == pytest.approx(1 - 9 / 12)


def test_cka_compares_the_geometry_of_images():
    first, second = random_outputs()
    centre = torch.eye(40, dtype=torch.float64) - 1 / 40
    kernels = [centre @ s.double() @ s.double().T @ centre for s in (first, second)]
    by_kernels = (kernels[0] * kernels[1]).sum() / (kernels[0].norm() * kernels[1].norm())
    assert cka_complement(first, second) == pytest.approx(1 - by_kernels.item())
    turned = (
        first @ torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(3)))[0]
    )
    assert cka_complement(first, -2 * turned + 5) == pytest.approx(0, abs=1e-6)
    assert cka_complement(first, second) == pytest.approx(cka_complement(second, first))


def test_cka_of_a_constant_is_refused():
    with pytest.raises(UserError, match="all rows of one set are equal"):
        cka_complement(torch.ones(3, 2), random_outputs(n=3)[0])


def test_overrides_count_only_where_the_two_differ():
    zero_shot = torch.tensor([0, 1, 1, 1, 2, 2])
    fine_tuned = torch.tensor([0, 0, 0, 2, 1, 2])
    ensemble = torch.tensor(
        [0, 1, 1, 2, 0, 1]
    )  # both predict 0; then 1 twice as zero-shot, once as fine-tuned
    assert overrides(zero_shot, fine_tuned, ensemble) == Overrides(
        zero_shot=2, fine_tuned=1, neither=1, n=6
    )
    assert overrides(fine_tuned, zero_shot, ensemble) == Overrides(
        zero_shot=1, fine_tuned=2, neither=1, n=6
    )


def test_margins_are_between_the_two_largest_logits_of_each_image():
    logits = torch.tensor([[0.0, 5.0, 3.0], [-1.0, -4.0, -2.5], [2.0, 2.0, 0.0]])
    assert margins(logits).tolist() == [2.0, 1.5, 0.0]
    assert torch.allclose(margins(logits + 100), margins(logits), atol=1e-4)
    with pytest.raises(UserError, match="two classes"):
        margins(torch.ones(3, 1))


@pytest.mark.parametrize(
    "measure",
    [
        lambda: prediction_diversity(F, G[:9], LABELS),
        lambda: prediction_diversity(F, G, LABELS[:9]),
        lambda: kappa_complement(F, G[:9]),
        lambda: kl_divergence(torch.ones(2, 3), torch.ones(1, 3)),
        lambda: cka_complement(torch.ones(2, 3), torch.ones(1, 3)),
        lambda: overrides(F, G, G[:9]),
        lambda: kappa_complement(F[:0], G[:0]),
    ],
)
def test_answers_about_other_images_are_refused(measure):
    with pytest.raises(UserError, match="the same images"):
        measure()
