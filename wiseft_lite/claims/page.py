"""Chapter 12 as HTML: the table of claims, and the paper's alpha curves beside ours. Nothing is loaded from outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from itertools import count
from pathlib import Path

import pandas as pd

from wiseft_lite import ledger, paper
from wiseft_lite.claims.derived import SHIFTS, curves
from wiseft_lite.claims.rules import FAILS, HOLDS, SCALE, UNDECIDED, VERDICTS, Claim, Evidence, interval

MARKS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", SCALE: "–"}
WORDS = {HOLDS: "holds for", FAILS: "not for", UNDECIDED: "undecided for"}  # of the pieces of one claim
_numbers = count()  # of the pieces on one page


def signed(value: float, unit: str) -> str:
    """A number with one decimal, two where it is no share of images, more where it would vanish; points get a sign.

    Example:
        >>> signed(2.34, "points"), signed(-0.03, "points"), signed(0.0048, "points"), signed(-0.5, "correlation")
        ('+2.3', '−0.03', '+0.005', '−0.50')
        >>> signed(3e-7, "logits")
        '3e-07'
    """
    decimals = 1 if unit in ("percent", "points") else 2
    forms = [f"{abs(value):.{d}f}" for d in range(decimals, decimals + 3)] + [f"{abs(value):.0e}"]
    size = next((form for form in forms if float(form)), forms[0])
    return ("−" if value < 0 else "+" if unit == "points" else "") + size


def measured(piece: Evidence) -> str:
    """One piece of evidence as a line of text: mean, interval, seeds, images."""
    found = piece.measured()
    mean = sum(found.values) / len(found.values)
    text = f"{piece.what}: {signed(mean, found.unit)}"
    unit = {"percent": " %", "points": " points"}.get(found.unit, "")
    if len(found.values) > 1:
        low, high = interval(found.values)
        text += f"{unit} [{signed(low, found.unit)}, {signed(high, found.unit)}], {len(found.values)}\u00a0seeds"
    else:
        text += unit
    return text + (f", n\u00a0=\u00a0{found.n:,}" if found.n else "")


def _style() -> str:
    return f"<style>{Path(__file__).with_name('page.css').read_text()}</style>"


def _here(claim: Claim) -> str:
    """What was measured; many pieces are counted, and unfold."""
    pieces = [f"{MARKS[piece.verdict()]} {escape(measured(piece))}" for piece in claim.evidence]
    if len(pieces) < 2:
        return pieces[0][2:] if pieces else escape(claim.needs)
    many = "<ul>" + "".join(f"<li>{piece}</li>" for piece in pieces) + "</ul>"
    if len(pieces) <= 3:
        return many
    found = [piece.verdict() for piece in claim.evidence]
    counts = ", ".join(f"{word} {found.count(v)}" for v, word in WORDS.items() if v in found)
    return f"<details><summary>{counts} of {len(pieces)}</summary>{many}</details>"


def _row(claim: Claim) -> str:
    verdict = claim.verdict()
    place = escape(claim.place)
    if claim.chapter:
        number = int(claim.chapter[:2])
        place += f' · <a href="{claim.chapter}.html">chapter {number}</a>'
    return (f'<tr data-verdict="{verdict}"><th scope="row">{claim.number}. {escape(claim.says)}'
            f'<span class="small">{place}</span></th><td data-label="Paper">{escape(claim.paper)}</td>'
            f'<td data-label="Here">{_here(claim)}</td><td class="verdict">{MARKS[verdict]} {verdict}</td></tr>')


def claims_table(claims: Sequence[Claim]) -> str:
    """Return the claims as a table in HTML with buttons that show the rows of one verdict only."""
    mark = f"claims-{next(_numbers)}"
    verdicts = [claim.verdict() for claim in claims]
    radios = "".join(
        f'<label><input type="radio" name="{mark}-show" value="{value}"{" checked" if not value else ""}> '
        f"{label}</label>"
        for value, label in [("", f"all {len(claims)}"), *((v, f"{v} {verdicts.count(v)}") for v in VERDICTS)])
    # In a notebook the chapters beside this one are .ipynb files, on the site they are pages.
    script = """root.addEventListener("change", (event) => root.querySelectorAll("tbody tr").forEach(
  (row) => { row.hidden = event.target.value !== "" && row.dataset.verdict !== event.target.value; }));
if (!/\\.html$/.test(location.pathname)) root.querySelectorAll("a").forEach(
  (link) => link.setAttribute("href", link.getAttribute("href").replace(/\\.html$/, ".ipynb")));"""
    return (f'<div class="wf-page" id="{mark}">{_style()}<fieldset><legend>Show</legend>{radios}</fieldset>'
            '<table><colgroup><col class="says"><col><col><col class="last"></colgroup>'
            '<thead><tr><th scope="col">Claim</th><th scope="col">The paper</th><th scope="col">Here</th>'
            f'<th scope="col">Verdict</th></tr></thead><tbody>{"".join(map(_row, claims))}</tbody></table>'
            f"{_script(mark, script)}</div>")


def _script(mark: str, code: str) -> str:
    start = f'"use strict";\nconst root = document.getElementById("{mark}");'
    return f"<script>(function () {{ {start}\n{code}\n}})();</script>"


def verdicts(claims: Sequence[Claim]) -> pd.DataFrame:
    """Return a row for each claim: number, what it says, its verdict, its p-value, its chapter."""
    rows = [(c.number, c.says, c.verdict(), c.p_value(), c.chapter) for c in claims]
    return pd.DataFrame(rows, columns=["number", "says", "verdict", "p", "chapter"]).set_index("number")


def curve_data() -> dict:
    """What the figure shows: the paper's curves, and ours, both as runs of percentages along alpha."""
    names = {"ImageNet": "ImageNet", "shifts": "the mean of five shifts", **{s: s for s in paper.SHIFTS}}
    known = ledger.table("paper_curves").drop_duplicates(["model", "kind"])
    theirs = []
    for model, kind in zip(known["model"], known["kind"]):
        table = paper.curve(model, kind)
        order = ["ImageNet", "shifts", *(s for s in paper.SHIFTS if s in table)]
        theirs.append({"label": f"Paper, {model}, {kind}", "kind": kind, "reference": "ImageNet", "names": names,
                       "splits": {s: [table[s].tolist()] for s in order}})
    ours, shown = {}, {s: s.replace("_", " ") for s in SHIFTS}
    for kind in ("end-to-end", "probe"):
        runs = list(curves(kind).values())
        ours[kind] = {
            "label": f"Ours, IconCLIP, {kind}, {len(runs)} seed{'s' if len(runs) > 1 else ''}", "reference": "test",
            "names": {"test": "line drawings", "shifts": "the mean of seven shifts", **shown},
            "splits": {s: [run[s].round(2).tolist() for run in runs] for s in ("test", "shifts", *shown)}}
    return {"alphas": [k / 10 for k in range(11)], "paper": theirs, "ours": ours}


def beside() -> str:
    """Return the interactive figure in HTML: one of the paper's alpha curves beside ours, on the same axes."""
    mark = f"curves-{next(_numbers)}"
    data = json.dumps(curve_data(), separators=(",", ":")).replace("</", "<\\/")
    code = Path(__file__).with_name("curves.js").read_text()
    select = '<label for="{0}-{1}">{2}</label><select id="{0}-{1}" name="{1}"></select>'
    controls = "".join(f"<div>{select.format(mark, name, label)}</div>" for name, label in (
        ("paper", "Curve of the paper"), ("paper-shift", "Shift of the paper"), ("our-shift", "Our shift")))
    radios = "".join(
        f'<label><input type="radio" name="{mark}-axes" value="{value}"{checked}> {label}</label>'
        for value, label, checked in (("change", "change from zero-shot", " checked"), ("accuracy", "accuracy", "")))
    return (f'<div class="wf-page" id="{mark}">{_style()}<div class="interactive" hidden>'
            f'<div class="controls">{controls}</div><fieldset><legend>Axes</legend>{radios}</fieldset>'
            '<p><span class="key paper">The paper: solid.</span> <span class="key ours">Ours: dashed, thin lines are '
            "single seeds.</span> Star: zero-shot. Diamond: fine-tuned.</p>"
            '<svg viewBox="0 0 360 280" role="img" aria-label="Reference accuracy against accuracy under shift: the '
            "chosen curve of the paper and ours, from the zero-shot star to the fine-tuned diamond; the text below "
            'gives the numbers"></svg>'
            f'<label for="{mark}-alpha">Move α with the mouse, a finger or the arrow keys</label>'
            f'<input id="{mark}-alpha" type="range" name="alpha" min="0" max="10" value="5" step="1">'
            f'<output for="{mark}-alpha" aria-live="polite"></output></div>'
            f"<noscript>The figure needs JavaScript; its numbers stand in paper_curves.csv.</noscript>"
            f"{_script(mark, f'const data = {data};{chr(10)}{code}')}</div>")
