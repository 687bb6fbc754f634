"""Claims about interpolation between the two models, and about the choice of alpha."""

from __future__ import annotations

from wiseft_lite.book.claims.derived import (
    ALPHA,
    over_better_end,
    over_better_end_one_by_one,
    over_probe,
    robustness_change,
)
from wiseft_lite.book.claims.rules import Claim, Evidence

_LINE = "06_interpolate"

CLAIMS = (
    Claim(
        16,
        "Half way between the two models, accuracy under shift is above zero-shot.",
        "Tables 1 and 4",
        "73.3 to 76.9 %",
        (Evidence("alpha 0.5 minus zero-shot, shifts", "ch06.half_over_zero_shot", above=0),),
        _LINE,
    ),
    Claim(
        17,
        "Half way, accuracy under shift is above fine-tuned.",
        "Table 1",
        "68.6 to 76.9 %",
        (Evidence("alpha 0.5 minus fine-tuned, shifts", "ch06.half_over_fine_tuned", above=0),),
        _LINE,
    ),
    Claim(
        18,
        "Half way, accuracy on the reference is above fine-tuned too.",
        "Table 1",
        "ImageNet 86.2 to 86.8 %",
        (Evidence("alpha 0.5 minus fine-tuned, reference", "ch06.half_on_reference", above=0),),
        _LINE,
    ),
    Claim(
        19,
        "Half way costs less than a point of reference accuracy.",
        "Tables 1 and 6; figure 20 allows the same point",
        "+0.6 points for CLIP; but ALIGN loses 1.9 and JFT 2.5 (Table 8)",
        (Evidence("alpha 0.5 minus fine-tuned, reference", "ch06.half_on_reference", above=-1),),
        _LINE,
    ),
    Claim(
        20,
        "Half way is better than a linear probe, the earlier way of fine-tuning, on both axes.",
        "Figure 1, abstract",
        "+1.6 points on ImageNet, +4.5 on the shifts",
        (
            Evidence("alpha 0.5 minus probe, reference", over_probe("test", ALPHA), above=0),
            Evidence("alpha 0.5 minus probe, shifts", over_probe("shifts", ALPHA), above=0),
        ),
        _LINE,
    ),
    Claim(
        21,
        "Some alpha is better than both ends, on the reference and on the mean of the shifts.",
        "Table 4",
        "87.1 % on ImageNet against 86.2; 77.3 % under shift against 73.3",
        (
            Evidence("best alpha over the better end, reference", over_better_end("test"), above=0),
            Evidence("best alpha over the better end, shifts", over_better_end("shifts"), above=0),
        ),
        _LINE,
    ),
    Claim(
        22,
        "The same holds for each shift, with its own alpha and better end; on average over the shifts.",
        "Figure 6, observation 2",
        "on each of five shifts some alpha is at least as good as both ends",
        (
            Evidence(
                "best alpha over the better end, shift by shift, mean of seven",
                over_better_end_one_by_one(),
                above=0,
            ),
        ),
        _LINE,
    ),
    Claim(
        23,
        "Half way, effective robustness is higher than at the fine-tuned end.",
        "Figure 1, section 3",
        "the curve rises away from the line of the standard models",
        (
            Evidence(
                "alpha 0.5 minus fine-tuned, height over the baseline",
                robustness_change(1.0, 0.5),
                above=0,
            ),
        ),
        _LINE,
    ),
    Claim(
        24,
        "For a probe, half way is better than both ends under shift.",
        "Table 1",
        "75.9 % against 73.4 and 72.6",
        (
            Evidence(
                "alpha 0.5 minus zero-shot, shifts",
                "ch09.probe.weights.shifts",
                "data.iconshift.shifts.zero_shot",
                above=0,
            ),
            Evidence(
                "alpha 0.5 minus the probe, shifts",
                "ch09.probe.weights.shifts",
                "ch07.probe.shifts.alpha_1",
                above=0,
            ),
        ),
        "09_outputs_or_weights",
    ),
    Claim(
        25,
        "Half way, end-to-end fine-tuning is better than a probe under shift.",
        "Table 1",
        "76.9 against 75.9 %",
        (
            Evidence(
                "end to end minus probe, both at alpha 0.5, shifts",
                "ch06.shifts.alpha_0.5",
                "ch09.probe.weights.shifts",
                above=0,
            ),
        ),
        "09_outputs_or_weights",
    ),
    Claim(
        26,
        "End to end, on the mean of the shifts, alpha = 0.5 is at most half a point below the best alpha.",
        "Appendix B, table 3",
        "0 to 0.5 points, over two models and both kinds of fine-tuning",
        (Evidence("best alpha minus 0.5, end to end, shifts", "ch07.gap.shifts", below=0.5),),
        "07_choose_alpha",
    ),
    Claim(
        27,
        "The best alpha on the reference is larger than the best alpha under shift.",
        "Table 4",
        "0.6 to 0.7 on ImageNet, 0.3 to 0.4 under shift",
        (
            Evidence(
                "best alpha on the reference minus best under shift",
                "ch07.best.test.alpha",
                "ch07.best.shifts.alpha",
                above=0,
            ),
        ),
        "07_choose_alpha",
    ),
)
