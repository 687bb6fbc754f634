"""Draw the animation at the head of README: python data_scripts/build_animation.py

A ring moves along the recorded curve of chapter 6, the mean over its seeds, from the zero-shot model to the
fine-tuned one and back; two bars show both accuracies. It is an SVG with an animation in CSS: it has no
script, follows the system's light or dark theme, and rests half way for readers who ask for less motion.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drawing import SMALL, Point, Sheet

from wiseft_lite.book import ledger

TARGET = Path(__file__).resolve().parent.parent / "book" / "_static" / "alpha.svg"
SECONDS = 12
# The eleven models in the order of the animation, one for each step: it rests at both ends and half way.
STEPS = (0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9, 10, 10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
HALF = 5
LEFT, TOP, WIDTH, HEIGHT = 46, 14, 296, 150  # of the plot
BAR, BARS = 150, {"line drawings": 214, "seven other styles": 240}  # length of 100 %; places


def curve() -> dict[str, list[float]]:
    """Return two accuracies in percent for each alpha, means over the recorded runs."""
    table = ledger.table("ch06_curves").query("kind == 'end-to-end' and split != 'val'")
    means = 100 * table.groupby(["alpha", "split"])["accuracy"].mean().unstack()
    return {
        "line drawings": means["test"].tolist(),
        "seven other styles": means.drop(columns="test").mean(axis=1).tolist(),
    }


def scale(values: list[float], low: float, high: float) -> Callable[[float], float]:
    """Return a map from values to places: their range, with a tenth of it at each end, to low ... high."""
    start, end = min(values), max(values)
    return lambda value: low + (high - low) * (0.1 + 0.8 * (value - start) / (end - start))


def keyframes(name: str, states: list[str]) -> str:
    """Return an animation through one state for each step, and back to the first."""
    frames = [f"{100 * k / len(states):.2f}%{{{state}}}" for k, state in enumerate(states)]
    return f"@keyframes {name}{{{''.join(frames)}100%{{{states[0]}}}}}"


def animated(selector: str, name: str, states: list[str], timing: str = "linear") -> str:
    """Return the rules of an element: its animation, and its state half way if it should not move."""
    rest = states[STEPS.index(HALF)]
    moving = f"{selector}{{animation:{name} {SECONDS}s {timing} infinite}}"
    return (
        f"{selector}{{{rest}}}{keyframes(name, states)}"
        f"@media (prefers-reduced-motion:no-preference){{{moving}}}"
    )


def draw(values: dict[str, list[float]]) -> str:
    """Return the SVG of both accuracies for each of the eleven alphas."""
    first, second = values.values()
    alt = (
        "An animation. Seven other styles against line drawings: from the zero-shot model, a star, the mixture moves along a "
        f"curve to the fine-tuned model, a diamond, and back. Line drawings rise from {first[0]:.1f} to {first[-1]:.1f} %. The "
        f"other styles rise from {second[0]:.1f} to {max(second):.1f} % between the ends and fall to {second[-1]:.1f} %."
    )
    sheet = Sheet(282, alt)
    x, y = scale(first, LEFT, LEFT + WIDTH), scale(second, TOP + HEIGHT, TOP)
    places: list[Point] = [(x(a), y(b)) for a, b in zip(first, second, strict=True)]
    sheet.path([(LEFT, TOP), (LEFT, TOP + HEIGHT), (LEFT + WIDTH, TOP + HEIGHT)], "muted", 1)
    sheet.text(LEFT + WIDTH, TOP + HEIGHT + 15, "better on line drawings →", "end", SMALL, "muted")
    sheet.parts.append(f'<g transform="rotate(-90 {LEFT - 10} {TOP})">')
    sheet.text(LEFT - 10, TOP, "better on seven other styles →", "end", SMALL, "muted")
    sheet.parts.append("</g>")
    sheet.path(places, "blue", 1.6)
    for place in places[1:-1]:
        sheet.dot(*place, radius=2.5)
    sheet.star(*places[0])
    sheet.diamond(*places[-1])
    sheet.text(places[0][0] - 10, places[0][1] - 16, "zero-shot", "start", halo=True)
    sheet.text(places[-1][0], places[-1][1] + 22, "fine-tuned", halo=True)
    sheet.parts.append(
        '<circle class="now" r="9" fill="none" stroke="var(--orange)" stroke-width="2.5"/>'
    )
    states = [f"transform:translate({places[k][0]:.1f}px,{places[k][1]:.1f}px)" for k in STEPS]
    rules = [animated(".now", "move", states)]
    for name, top in BARS.items():
        sheet.text(128, top + 10, name, "end")
        bar = f"bar{top}"
        sheet.parts.append(
            f'<rect class="{bar}" x="0" y="{top}" width="1" height="13" fill="var(--blue)"/>'
        )
        lengths = [
            f"transform:translateX(134px) scaleX({BAR * values[name][k] / 100:.2f})" for k in STEPS
        ]
        rules.append(animated(f".{bar}", bar, lengths))
    sheet.text(54, 274, "$θ$ = (1 − $α$) $θ_0$ + $α$ $θ_1$", "start")
    for k in range(len(first)):
        sheet.parts.append(f'<g class="step{k}">')
        sheet.text(252, 274, f"$α$ = {k / 10:.1f}", bold=True)
        for name, top in BARS.items():
            sheet.text(342, top + 10, f"{values[name][k]:.1f} %", "end", bold=True)
        sheet.parts.append("</g>")
        shown = [f"opacity:{int(step == k)}" for step in STEPS]
        rules.append(animated(f".step{k}", f"show{k}", shown, "step-end"))
    return sheet.svg().replace("</style>", "".join(rules) + "</style>", 1)


def main() -> None:
    TARGET.write_text(draw(curve()))
    print(TARGET.name)


if __name__ == "__main__":
    main()
