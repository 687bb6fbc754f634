"""Claims about why averaging works: diversity, confidence, the path, weights against outputs."""

from __future__ import annotations

from wiseft_lite.book.claims.derived import SHIFTS, cka_lead, over_chord, over_random
from wiseft_lite.book.claims.rules import Claim, Evidence

_WHY, _OUTPUTS = "08_why", "09_outputs_or_weights"
_SPLITS = ("test", *SHIFTS)
_FAR = SHIFTS[1:]
# Of the gain of averaging over a random choice of the two models: counts as no difference.
_THIRD = 1 / 3


def _name(split: str) -> str:
    return "reference" if split == "test" else split.replace("_", " ")


CLAIMS = (
    Claim(
        28,
        "Between the ends, accuracy lies on or above the straight line between theirs, on the reference and on "
        "every shift.",
        "Figure 6, observation 1",
        "on ImageNet and all five shifts",
        tuple(
            Evidence(
                f"lowest point over the line, {_name(split)}",
                over_chord(split),
                above=-_THIRD,
                gain=over_random("end-to-end", split),
            )
            for split in _SPLITS
        ),
        _WHY,
    ),
    Claim(
        29,
        "With the recipe's learning rate there is no barrier between the two models.",
        "Section 5, observation 1",
        "the mixtures are no worse than the line between the ends",
        (
            Evidence(
                "deepest fall below the line, reference", "ch08.barrier.lr_0.0006.test", below=1
            ),
            Evidence("deepest fall below the line, emoji", "ch08.barrier.lr_0.0006.emoji", below=1),
        ),
        _WHY,
    ),
    Claim(
        30,
        "Zero-shot and probe are more diverse than two probes, on the reference and on every shift.",
        "Figure 5, left",
        "on ImageNet and all five shifts; the two probes saw random halves of the training set",
        tuple(
            Evidence(
                f"prediction diversity minus that of two probes, {_name(split)}",
                f"ch08.diversity.probe.{split}",
                f"ch08.diversity.halves.{split}",
                above=0,
            )
            for split in _SPLITS
        ),
        _WHY,
    ),
    Claim(
        31,
        "The same holds for the geometry of their outputs, measured by CKA.",
        "Figure 5, left; figure 30",
        "on ImageNet and all five shifts",
        tuple(
            Evidence(
                f"CKA complement minus that of two probes, {_name(split)}", cka_lead(split), above=0
            )
            for split in _SPLITS
        ),
        _WHY,
    ),
    Claim(
        32,
        "Under shift the ensemble follows the zero-shot model more often than the probe, where they differ.",
        "Figure 5, middle",
        "on R, Sketch, ObjectNet and A, but not on V2",
        tuple(
            Evidence(_name(split), f"ch08.overrides_lead.probe.{split}", above=0) for split in _FAR
        ),
        _WHY,
    ),
    Claim(
        33,
        "On the reference, and on the shift that is nearest to it, it follows the probe.",
        "Figure 5, middle",
        "on ImageNet and V2",
        tuple(
            Evidence(_name(split), f"ch08.overrides_lead.probe.{split}", below=0)
            for split in ("test", "line_new_artists")
        ),
        _WHY,
    ),
    Claim(
        34,
        "The zero-shot model is more confident than the probe under each shift, and less on the reference.",
        "Figure 5, right",
        "mean margins, a bar for each data set; larger on the shifts, smaller on ImageNet",
        (
            *(
                Evidence(
                    f"zero-shot margin minus the probe's, {_name(split)}",
                    f"ch08.margin_lead.probe.{split}",
                    above=0,
                )
                for split in _FAR
            ),
            Evidence(
                "zero-shot margin minus the probe's, reference",
                "ch08.margin_lead.probe.test",
                below=0,
            ),
        ),
        _WHY,
    ),
    Claim(
        35,
        "With a frozen encoder, averaging weights and averaging outputs are the same.",
        "Section 3; appendix F, proposition 1",
        "an identity",
        tuple(
            Evidence(
                f"same predictions, smallest over 21 alphas, {_name(split)}, in %",
                f"ch09.probe.same.{split}",
                above=99.9,
                exact=True,
            )
            for split in ("test", "shifts")
        ),
        _OUTPUTS,
    ),
    Claim(
        36,
        "End to end, averaging weights is no worse than averaging outputs, at half the cost.",
        "Appendix C.3.1, figure 10",
        "both are good; no numbers in the text",
        (
            Evidence(
                "weights minus outputs, reference", "ch09.weights_over_outputs.test", above=-1
            ),
            Evidence("weights minus outputs, shifts", "ch09.weights_over_outputs.shifts", above=-1),
        ),
        _OUTPUTS,
    ),
    Claim(
        37,
        "Averaging probabilities instead of logits makes little difference.",
        "Appendix C.3.3, figure 13",
        "about equal",
        tuple(
            Evidence(
                f"logits minus probabilities, {words}",
                f"ch09.probe.weights_over_softmax.{column}",
                above=-_THIRD,
                below=_THIRD,
                gain=over_random("probe", column),
            )
            for column, words in (("test", "reference"), ("shifts", "shifts"))
        ),
        _OUTPUTS,
    ),
    Claim(
        38,
        "Choosing one of the two models at random for each image is worse than averaging.",
        "Appendix C.3.3, figure 13",
        "the averaged model matches or beats it",
        (
            Evidence(
                "average minus random choice, end to end, reference",
                "ch09.weights_over_random.test",
                above=0,
            ),
            Evidence(
                "average minus random choice, end to end, shifts",
                "ch09.weights_over_random.shifts",
                above=0,
            ),
        ),
        _OUTPUTS,
    ),
    Claim(
        39,
        "Averaging outputs with an independently trained network is better under shift than either of the two.",
        "Appendix C.8, table 13; table 1",
        "EfficientNet-L2 71.5 %, zero-shot 73.4, both together 78.8",
        (
            Evidence(
                "half of the outputs minus the network alone, shifts",
                "ch09.strangers.half.shifts",
                "ch09.strangers.one.shifts",
                above=0,
            ),
            Evidence(
                "half of the outputs minus zero-shot, shifts",
                "ch09.strangers.half.shifts",
                "ch09.strangers.zero.shifts",
                above=0,
            ),
        ),
        _OUTPUTS,
    ),
)
