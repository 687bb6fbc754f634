"""Claims about other tasks and about few training images."""

from __future__ import annotations

from wiseft_lite.book.claims.derived import TASKS, chosen_over_chosen_end, over_better_end_of_tasks
from wiseft_lite.book.claims.rules import Claim, Evidence

_LOW = "11_low_data"
_SHOTS = (1, 5, 10, 25, 50, "all")

CLAIMS = (
    Claim(
        52,
        "On each of seven tasks, each with its own model, half way is better than fine-tuned.",
        "Table 2",
        "ImageNet 86.2 to 86.8, CIFAR-10 98.6 to 99.3, DTD 81.9 to 84.6 %",
        tuple(
            Evidence(
                f"alpha 0.5 minus fine-tuned, {task}", f"ch11.{task}.half_over_fine_tuned", above=0
            )
            for task in TASKS
        ),
        _LOW,
    ),
    Claim(
        53,
        "On the mean over the seven tasks half way is better than fine-tuned.",
        "Table 2",
        "by 0.6 to 2.7 points per task",
        (
            Evidence(
                "alpha 0.5 minus fine-tuned, mean of the tasks",
                "ch11.mean.half_over_fine_tuned",
                above=0,
            ),
        ),
        _LOW,
    ),
    Claim(
        54,
        "On each of the seven tasks, some alpha between the ends is better than both; on average over the tasks.",
        "Appendix C.5, figure 16",
        "on all seven",
        (
            Evidence(
                "best alpha over the better end, task by task, mean of seven",
                over_better_end_of_tasks(),
                above=0,
            ),
        ),
        _LOW,
    ),
    Claim(
        55,
        "With one image per class a small alpha is best.",
        "Appendix C.5, figures 17 to 19",
        "small alphas at k = 1; no numbers in the text",
        (
            Evidence(
                "best alpha at one image per class, probe, mean of the tasks",
                "ch11.searched_1.best_alpha",
                below=0.5,
            ),
        ),
        _LOW,
    ),
    Claim(
        56,
        "With more data a larger alpha is best.",
        "Appendix C.5, figures 17 to 19",
        "the best alpha grows with k",
        (
            Evidence(
                "best alpha with all images minus best with one",
                "ch11.searched_all.best_alpha",
                "ch11.searched_1.best_alpha",
                above=0,
            ),
        ),
        _LOW,
    ),
    Claim(
        57,
        "For every number of images half way is better than the probe.",
        "Appendix C.5, figures 17 to 19",
        "gains over the probe for every k",
        tuple(
            Evidence(
                f"alpha 0.5 minus probe, k = {k}",
                f"ch11.searched_{k}.half_over_fine_tuned",
                above=0,
            )
            for k in _SHOTS
        ),
        _LOW,
    ),
    Claim(
        58,
        "For every number of images half way is better than zero-shot.",
        "Appendix C.5, figures 17 to 19",
        "gains over zero-shot for every k",
        tuple(
            Evidence(
                f"alpha 0.5 minus zero-shot, k = {k}",
                f"ch11.searched_{k}.half_over_zero_shot",
                above=0,
            )
            for k in _SHOTS
        ),
        _LOW,
    ),
    Claim(
        59,
        "For every number of images, interpolation is better than the better of its two ends.",
        "Appendix C.5, figures 17 to 19",
        "gains over the better of both for every k",
        tuple(
            Evidence(
                f"alpha chosen on val minus the end chosen on val, k = {k}",
                chosen_over_chosen_end(1000 if k == "all" else k),
                above=0,
            )
            for k in _SHOTS
        ),
        _LOW,
    ),
)
