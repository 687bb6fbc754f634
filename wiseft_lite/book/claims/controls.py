"""Claims about controls: what else could keep accuracy under shift, compared with the line.

A control's *gap* (chapter 10) is its accuracy under shift minus that of the line of its seed at the
same accuracy on the reference.
"""

from __future__ import annotations

from wiseft_lite.book.claims.derived import (
    distance_to_line,
    probe_line_over_random,
    random_distance_to_line,
)
from wiseft_lite.book.claims.rules import Claim, Evidence
from wiseft_lite.book.experiments.ch10 import DECAYS

_PAGE = "10_controls"
# Of the distance between the line and a random choice of the two models: counts as no difference.
_THIRD = 1 / 3


def _below_line(label: str, *names: str, below: float = 0) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(label.format(name.replace("_", " ")), f"ch10.{name}.gap", below=below)
        for name in names
    )


CLAIMS = (
    Claim(
        40,
        "Another learning rate does not reach the line.",
        "Section 4, figure 3",
        "all single runs lie below the curve of alpha",
        _below_line(
            "{}, over the line", "lr_5e-05", "lr_0.0002", "lr_0.0004", "lr_0.002", "lr_0.004"
        ),
        _PAGE,
    ),
    Claim(
        41,
        "Fewer epochs do not reach the line.",
        "Section 4, figure 3",
        "all single runs lie below the curve of alpha",
        _below_line("{}, over the line", "2_epochs", "5_epochs"),
        _PAGE,
    ),
    Claim(
        42,
        "Early stopping does not reach the line.",
        "Section 4, figure 3",
        "lies below the curve of alpha",
        _below_line("best epoch on val, over the line", "early_stopping"),
        _PAGE,
    ),
    Claim(
        43,
        "L2 regularisation towards the zero-shot weights does not reach the line.",
        "Section 4, figure 3",
        "lies below the curve of alpha",
        _below_line("{}, over the line", "L2_0.001", "L2_0.01"),
        _PAGE,
    ),
    Claim(
        44,
        "For a probe, interpolation matches or beats L2 regularisation towards zero-shot.",
        "Appendix C.3.3, figure 13",
        "matches or beats, over strengths from 1e-8 to 5e2",
        tuple(
            Evidence(
                f"L2 {s} over the probe's line",
                f"ch10.probe.L2.{s}.gap",
                below=_THIRD,
                gain=probe_line_over_random(),
            )
            for s in ("0.0001", "0.0003", "0.001", "0.003", "0.01")
        ),
        _PAGE,
    ),
    Claim(
        45,
        "For a probe, interpolation matches or beats distillation from the zero-shot model.",
        "Appendix C.3.3, figure 13",
        "matches or beats",
        tuple(
            Evidence(
                f"fraction {s} over the probe's line",
                f"ch10.probe.distillation.{s}.gap",
                below=_THIRD,
                gain=probe_line_over_random(),
            )
            for s in ("0.2", "0.4", "0.6", "0.8", "1")
        ),
        _PAGE,
    ),
    Claim(
        46,
        "A moving average of a run's weights is better than its last weights, on both axes.",
        "Appendix C.3.2, figures 11 and 12",
        "the debiased average helps both",
        (
            Evidence(
                "average, decay 0.99, minus fine-tuned, reference",
                "ch10.EMA_0.99.test",
                "ch06.test.alpha_1",
                above=0,
            ),
            Evidence(
                "average, decay 0.99, minus fine-tuned, shifts",
                "ch10.EMA_0.99.shifts",
                "ch06.shifts.alpha_1",
                above=0,
            ),
        ),
        _PAGE,
    ),
    Claim(
        47,
        "A moving average that starts at zero-shot moves along the line.",
        "Appendix C.3.2, figures 11 and 12",
        "slides along the curve of alpha",
        tuple(
            Evidence(
                f"decay {d}, distance from the nearest point of the line",
                distance_to_line(d),
                below=_THIRD,
                gain=random_distance_to_line(),
            )
            for d in DECAYS
        ),
        _PAGE,
    ),
    Claim(
        48,
        "Interpolating to a moving average still gains under shift.",
        "Appendix C.3.2, figure 12",
        "adds to the average",
        (
            Evidence(
                "half way to the average minus the average, shifts",
                "ch10.on_top.EMA_0.99.shifts.gain",
                above=0,
            ),
        ),
        _PAGE,
    ),
    Claim(
        49,
        "With stronger augmentation, interpolation gains as well.",
        "Appendix C.4, figure 15",
        "the same trends",
        (
            Evidence(
                "alpha 0.5 minus fine-tuned, strong augmentation, shifts",
                "ch10.on_top.strong_augmentation.shifts.gain",
                above=0,
            ),
        ),
        _PAGE,
    ),
    Claim(
        50,
        "On the reference, interpolation with all 1,471 training images beats prompts learned (CoOp) from up to 16 "
        "images per class.",
        "Table 7",
        "both from 16 images per class: ImageNet 72.38 (end to end) and 73.02 % (probe) against 71.73",
        (
            Evidence(
                "alpha 0.5 minus CoOp, reference", "ch06.test.alpha_0.5", "ch10.CoOp.test", above=0
            ),
        ),
        _PAGE,
    ),
    Claim(
        51,
        "Under shift, it beats them as well.",
        "Table 7",
        "ImageNet-R 78.47 and 77.63 % against 75.28, Sketch 49.72 and 49.09 against 47.89",
        (
            Evidence(
                "alpha 0.5 minus CoOp, shifts", "ch06.shifts.alpha_0.5", "ch10.CoOp.shifts", above=0
            ),
        ),
        _PAGE,
    ),
)
