"""Draw the animation at the head of README: python data_scripts/build_animation.py

A ring moves along the recorded curve of chapter 6, the mean over its seeds, from the zero-shot model to the
fine-tuned one and back; two bars show both accuracies. It is an SVG with an animation in CSS: it has no
script, follows the system's light or dark theme, and rests half way for readers who ask for less motion.
"""

from __future__ import annotations

from pathlib import Path

import arguments
import pandas as pd
from alpha_curve import Plot, decimals, runs
from drawing import Sheet

from wiseft_lite.book import ledger

TARGET = Path(__file__).resolve().parent.parent / "book" / "_static" / "alpha.svg"
SECONDS = 12
RESTS = 2  # more steps at each end and half way
TOP, HEIGHT = 24, 172  # of the plot
BAR, BARS = 150, {"line drawings": 244, "seven shifts": 270}  # length of 100 %; places


def steps(last: int) -> list[int]:
    """Return which model each step shows: from the first to the last and back.

    Example:
        >>> steps(4)
        [0, 0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 3, 2, 1]
    """
    there = [k for k in range(last + 1) for _ in range(1 + RESTS * (k in (0, last // 2, last)))]
    return [*there, *range(last - 1, 0, -1)]


def keyframes(name: str, states: list[str]) -> str:
    """Return an animation through one state for each step, and back to the first."""
    frames = [f"{100 * k / len(states):.2f}%{{{state}}}" for k, state in enumerate(states)]
    return f"@keyframes {name}{{{''.join(frames)}100%{{{states[0]}}}}}"


def animated(selector: str, name: str, states: list[str], rest: str, timing: str = "linear") -> str:
    """Return the rules of an element: its animation, and its state ``rest`` if it should not move."""
    moving = f"{selector}{{animation:{name} {SECONDS}s {timing} infinite}}"
    return (
        f"{selector}{{{rest}}}{keyframes(name, states)}"
        f"@media (prefers-reduced-motion:no-preference){{{moving}}}"
    )


def draw(rows: pd.DataFrame) -> str:
    """Return the SVG.

    Args:
        rows: accuracies of all seeds, from ``runs``.
    """
    plot = Plot(rows, TOP, HEIGHT)
    values = dict(
        zip(BARS, (plot.means["test"].tolist(), plot.means["shifts"].tolist()), strict=True)
    )
    first, second = values.values()
    alt = (
        "An animation. Accuracy on seven shifts against accuracy on line drawings: from the zero-shot model, a star, the "
        "mixture moves along an arc to the fine-tuned model, a diamond, and back; a band around the arc shows the standard error. "
        f"Line drawings go from {first[0]:.1f} to {first[-1]:.1f} %. The other styles rise from {second[0]:.1f} to "
        f"{max(second):.1f} % between the ends and fall to {second[-1]:.1f} %."
    )
    sheet = Sheet(312, alt)
    plot.draw(sheet, named=False)
    sheet.parts.append(
        '<circle class="now" r="10" fill="none" stroke="var(--orange)" stroke-width="2.5"/>'
    )
    last = len(plot.places) - 1
    order = steps(last)
    rules = []

    def animate(selector: str, name: str, states: list[str], timing: str = "linear") -> None:
        rules.append(
            animated(selector, name, [states[k] for k in order], states[last // 2], timing)
        )

    animate(".now", "move", [f"transform:translate({x:.1f}px,{y:.1f}px)" for x, y in plot.places])
    for name, top in BARS.items():
        sheet.text(128, top + 10, name, "end")
        bar = f"bar{top}"
        sheet.parts.append(
            f'<rect class="{bar}" x="0" y="{top}" width="1" height="13" fill="var(--blue)"/>'
        )
        lengths = [f"translateX(134px) scaleX({BAR * value / 100:.2f})" for value in values[name]]
        animate(f".{bar}", bar, [f"transform:{length}" for length in lengths])
    sheet.text(54, 304, "$θ$ = (1 − $α$) $θ_0$ + $α$ $θ_1$", "start")
    digits = decimals(plot.means.index)
    for k, alpha in enumerate(plot.means.index):
        sheet.parts.append(f'<g class="step{k}">')
        sheet.text(252, 304, f"$α$ = {alpha:.{digits}f}", bold=True)
        for name, top in BARS.items():
            sheet.text(342, top + 10, f"{values[name][k]:.1f} %", "end", bold=True)
        sheet.parts.append("</g>")
        animate(
            f".step{k}", f"show{k}", [f"opacity:{int(k == j)}" for j in range(last + 1)], "step-end"
        )
    return sheet.svg().replace("</style>", "".join(rules) + "</style>", 1)


def main() -> None:
    arguments.parser(__doc__).parse_args()
    TARGET.write_text(draw(runs(ledger.table("ch06_curves"))))
    print(TARGET.name)


if __name__ == "__main__":
    main()
