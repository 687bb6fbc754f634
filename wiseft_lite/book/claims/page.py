"""HTML for chapter 12, self-contained: the table of claims, and the paper's curves beside ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import count
from pathlib import Path

import pandas as pd

from wiseft_lite.book import ledger, paper
from wiseft_lite.book.claims.derived import SHIFTS, curves
from wiseft_lite.book.claims.history import Change, changes, rule_date
from wiseft_lite.book.claims.rules import (
    CANNOT,
    FAILS,
    HOLDS,
    LEVEL,
    POWER,
    SCALE,
    UNDECIDED,
    VERDICTS,
    Judgement,
    Piece,
    Side,
)

HERE = "12_claims"  # the chapter that shows the table
MARKS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", CANNOT: "○", SCALE: "–"}
WORDS = {
    HOLDS: "holds for",
    FAILS: "not for",
    UNDECIDED: "undecided for",
}  # counts of the pieces of one claim
_numbers = count()  # for the ids on one page


def signed(value: float, unit: str) -> str:
    """Format a number with one decimal for a fraction of images, else two, and more if it rounds to 0.

    Points get a sign.

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


def _with_unit(text: str, unit: str) -> str:
    return text + {"percent": " %", "points": " points", "logits": " logits"}.get(unit, "")


def measured(piece: Piece, repeats: str = "seeds") -> str:
    """Describe a piece of evidence in a line: estimate, interval, p-value, seeds, images.

    Of several fits, the smallest and the largest estimate are given, and the interval spans all.

    Args:
        piece: the evidence.
        repeats: what it was measured on more than once, ``"seeds"`` or ``"models"``.
    """
    found = piece.measured
    first, last = found.estimates
    text = signed(first, found.unit)
    if signed(last, found.unit) != text:
        text += f" to {signed(last, found.unit)}"
    text = f"{piece.evidence.what}: {_with_unit(text, found.unit)}"
    if not piece.evidence.exact:
        low, high = found.interval()
        text += (
            f" [{signed(low, found.unit)}, {signed(high, found.unit)}], p\u00a0=\u00a0{_p(piece.p_holds)}, "
            f"{found.seeds}\u00a0{repeats if found.seeds > 1 else repeats[:-1]}"
        )
    return text + (f", n\u00a0=\u00a0{found.n:,}" if found.n else "")


def _p(value: float) -> str:
    if value >= 0.001:
        return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"
    return f"{value:.0e}".replace("e-0", "e-") if value else "0"


def _limit(side: Side) -> str:
    words = "above" if side.above else "below"
    if side.gain is None:
        return f"{words} {signed(side.bound, side.found.unit).lstrip('+') if side.bound else 0}"
    return f"{words} {'−' if side.bound < 0 else ''}⅓ of the gain, {signed(side.limit, side.found.unit)}"


def rule(judgement: Judgement) -> str:
    """Describe the rule of a claim: where its numbers must be, and how many there are.

    Where the bound is a fraction of a gain that differs between pieces, the widest is given.
    """
    pieces = judgement.pieces
    if not pieces:
        return "none: there is no evidence here"
    if all(piece.evidence.exact for piece in pieces):
        return f"{_limit(pieces[0].sides[0])} for {'all ' if len(pieces) > 1 else ''}{len(pieces)}, exact"
    forms = {}
    for piece in pieces:
        key = tuple((side.bound, side.above, side.gain is None) for side in piece.sides)
        forms.setdefault(key, []).append(piece)
    texts = []
    for alike in forms.values():
        widest = max(alike, key=lambda piece: max(abs(side.limit) for side in piece.sides))
        text = " and ".join(_limit(side) for side in widest.sides)
        fits = getattr(widest.measured, "fits", ())
        texts.append(
            text
            + (f", each of {len(alike)}" if len(alike) > 1 else "")
            + (f", under each of {len(fits)} baselines" if fits else "")
        )
    return "; ".join(texts)


def _style() -> str:
    return f"<style>{Path(__file__).with_name('page.css').read_text()}</style>"


def _here(judgement: Judgement) -> str:
    """Return the measured evidence, or what is missing for it."""
    return _evidence(judgement) if judgement.pieces else escape(judgement.claim.needs)


def _evidence(judgement: Judgement, repeats: str = "seeds") -> str:
    """Return the measured evidence; more than three pieces are counted and folded."""
    pieces = [
        f"{MARKS[piece.verdict]} {escape(measured(piece, repeats))}" for piece in judgement.pieces
    ]
    if len(pieces) < 2:
        return pieces[0][2:]
    many = "<ul>" + "".join(f"<li>{piece}</li>" for piece in pieces) + "</ul>"
    if len(pieces) <= 3:
        return many
    found = [piece.verdict for piece in judgement.pieces]
    counts = ", ".join(f"{word} {found.count(v)}" for v, word in WORDS.items() if v in found)
    return f"<details><summary>{counts} of {len(pieces)}</summary>{many}</details>"


def _detectable(judgement: Judgement) -> str:
    if judgement.detectable is None:
        return "–" if not judgement.pieces else "exact"
    if not judgement.detectable:
        return "any: the seeds agree"
    unit = judgement.pieces[0].measured.unit
    return _with_unit(signed(judgement.detectable, unit).lstrip("+"), unit)


def _verdict(judgement: Judgement) -> str:
    """Return the corrected verdict, and in small print the uncorrected one and both p-values."""
    text = f"{MARKS[judgement.verdict]} {judgement.verdict}"
    if judgement.p_holds is None:
        return text
    return (
        f'{text}<span class="small">before correction: {judgement.before}; p {_p(judgement.p_holds)} for it, '
        f"{_p(judgement.p_fails)} against it</span>"
    )


def _public(judgement: Judgement | None) -> str:
    """Return the verdict by public measurements, with its rule, date, evidence and source folded."""
    if judgement is None:
        return "–"
    rule = judgement.claim
    seen = (
        f"Seen before the rule: {rule.seen}." if rule.seen else "No number of it was seen before."
    )
    parts = (
        f"Rule of {rule_date(rule.number, public=True)}: {rule.words}",
        seen,
        f"Source: {rule.source}.",
    )
    notes = "".join(f'<span class="small">{escape(part)}</span>' for part in parts)
    evidence = _evidence(judgement, "models")
    return (
        f"<b>{_verdict(judgement)}</b>"
        f"<details><summary>rule and numbers</summary>{notes}{evidence}</details>"
    )


def _row(judgement: Judgement, public: Mapping[int, Judgement] | None) -> str:
    claim = judgement.claim
    place = escape(claim.place)
    if claim.chapter:
        name = f"chapter {int(claim.chapter[:2])}"
        here = claim.chapter == HERE
        place += f" · {name}" if here else f' · <a href="{claim.chapter}.html">{name}</a>'
    second = ""
    if public is not None:
        known = public.get(claim.number)
        second = (
            f'<td data-label="Public measurements" data-public="{known.verdict if known else ""}">'
            f"{_public(known)}</td>"
        )
    return (
        f'<tr data-verdict="{judgement.verdict}" id="claim-{claim.number}"><th scope="row">{claim.number}. {escape(claim.statement)}'
        f'<span class="small">{place}</span></th><td data-label="Paper">{escape(claim.paper)}</td>'
        f'<td data-label="Rule">{escape(rule(judgement))}'
        f'<span class="small">of {rule_date(claim.number)}</span></td>'
        f'<td data-label="Here">{_here(judgement)}</td>'
        f'<td data-label="Detectable effect">{_detectable(judgement)}</td>'
        f'<td class="verdict">{_verdict(judgement)}</td>{second}</tr>'
    )


def claims_table(judgements: Sequence[Judgement], public: Sequence[Judgement] | None = None) -> str:
    """Return the judged claims as an HTML table, with buttons to show the rows of one verdict.

    Args:
        judgements: on IconShift.
        public: by public measurements, for a column of their own; a claim that has none gets a dash.
    """
    second = None if public is None else {j.claim.number: j for j in public}
    mark = f"claims-{next(_numbers)}"
    verdicts = [judgement.verdict for judgement in judgements]
    radios = "".join(
        f'<label><input type="radio" name="{mark}-show" value="{value}"{" checked" if not value else ""}> '
        f"{label}</label>"
        for value, label in [
            ("", f"all {len(verdicts)}"),
            *((v, f"{v} {verdicts.count(v)}") for v in VERDICTS),
        ]
    )
    # In a notebook the chapters beside this one are .ipynb files, on the site they are pages.
    script = """const buttons = root.querySelector("fieldset"), rows = [...root.querySelectorAll("tbody tr")];
const show = () => { // also at the start: a browser may remember the button of the last visit
  const verdict = buttons.querySelector("input:checked").value;
  rows.forEach((row) => { row.hidden = verdict !== "" && row.dataset.verdict !== verdict; });
  const shown = rows.filter((row) => !row.hidden).length;
  buttons.querySelector("[role=status]").textContent = `${shown} of ${rows.length} claims are shown.`;
};
buttons.addEventListener("change", show);
show();
buttons.hidden = false;
if (!/\\.html$/.test(location.pathname)) root.querySelectorAll("a").forEach(
  (link) => link.setAttribute("href", link.getAttribute("href").replace(/\\.html$/, ".ipynb")));"""
    heads = ["Claim", "The paper", "Rule, and its date", "Here", "Detectable effect", "Verdict"]
    widths = ["claim", "paper", "rule", "here", "effect", "last"]
    if second is not None:
        heads.append("Public measurements")
        widths.append("public")
    columns = "".join(f'<col class="{name}">' for name in widths)
    return (
        f'<div class="wf-page" id="{mark}">{_style()}<fieldset hidden><legend>Show</legend>{radios}'
        '<p class="small" role="status"></p></fieldset>'
        f"<p>Intervals are {1 - 2 * LEVEL:.0%} intervals: each end is the limit of a one-sided test at "
        f'{LEVEL:.0%}. Where a claim says "no difference", its margin is a third of a gain: '
        "what the averaged model gains over a random choice between its two ends, as explained below. "
        f"<i>Detectable effect</i>: the true distance from its bound at which a number is detected in {POWER:.0%} of "
        f"experiments, in one test at {LEVEL:.0%}, before correction; the largest of a claim's numbers.</p>"
        f'<table class="claims"><caption>The claims of the paper, each with its rule, our measurement and the verdict.</caption><colgroup>{columns}</colgroup><thead><tr>'
        f'{"".join(f"""<th scope="col">{head}</th>""" for head in heads)}</tr></thead>'
        f"<tbody>{''.join(_row(j, second) for j in judgements)}</tbody></table>{_script(mark, script)}</div>"
    )


def _change(change: Change) -> str:
    numbers = ", ".join(map(str, change.claims)) or "all"
    numbers += " (public measurements)" if change.public else ""
    known = "numbers known" if change.numbers_known else "before its numbers"
    commit = f" · {change.commit}" if change.commit else ""
    return (
        f'<tr><th scope="row">{numbers}<span class="small">{change.date}{commit} · {known}</span></th>'
        f'<td data-label="Was">{escape(change.was)}</td><td data-label="Is">{escape(change.now)}</td>'
        f'<td data-label="Reason">{escape(change.reason)}</td></tr>'
    )


def changes_table() -> str:
    """Return the changes of rules as an HTML table, with date and reason."""
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Claims", "The rule was", "It is", "Reason")
    )
    return (
        f'<div class="wf-page changes" id="changes-{next(_numbers)}">{_style()}'
        f"<table><caption>Changes of rules, each with its date and reason.</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(map(_change, changes()))}</tbody></table></div>"
    )


def _script(mark: str, code: str) -> str:
    start = f'"use strict";\nconst root = document.getElementById("{mark}");'
    return f"<script>(function () {{ {start}\n{code}\n}})();</script>"


def verdicts(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """Return a row per claim: statement, verdict before and after correction, p-values, chapter."""
    rows = [
        (
            j.claim.number,
            j.claim.statement,
            j.before,
            j.verdict,
            j.p_holds,
            j.p_fails,
            j.claim.chapter,
        )
        for j in judgements
    ]
    columns = ["number", "claim", "before", "verdict", "p", "p_against", "chapter"]
    return pd.DataFrame(rows, columns=columns).set_index("number")


def witnesses(judgements: Sequence[Judgement], public: Sequence[Judgement]) -> pd.DataFrame:
    """Return the claims that public measurements judge: statement, and both verdicts."""
    here = {j.claim.number: j for j in judgements}
    rows = [
        (
            j.claim.number,
            here[j.claim.number].claim.statement,
            here[j.claim.number].verdict,
            j.verdict,
        )
        for j in public
    ]
    columns = ["number", "claim", "here", "public"]
    return pd.DataFrame(rows, columns=columns).set_index("number")


def curve_data() -> dict:
    """Return the data of the figure: the paper's curves and ours, in percent by alpha."""
    names = {
        "ImageNet": "ImageNet",
        "shifts": "the mean of five shifts",
        **{s: s for s in paper.SHIFTS},
    }
    known = ledger.table("paper_curves").drop_duplicates(["model", "kind"])
    theirs = []
    for model, kind in zip(known["model"], known["kind"], strict=True):
        table = paper.curve(model, kind)
        order = ["ImageNet", "shifts", *(s for s in paper.SHIFTS if s in table)]
        theirs.append(
            {
                "model": f"{model}, {kind}",
                "label": f"Paper, {model}, {kind}",
                "kind": kind,
                "reference": "ImageNet",
                "names": names,
                "splits": {s: [table[s].tolist()] for s in order},
            }
        )
    ours, shown = {}, {s: s.replace("_", " ") for s in SHIFTS}
    for kind in ("end-to-end", "probe"):
        runs = list(curves(kind).values())
        ours[kind] = {
            "label": f"Ours, IconCLIP, {kind}, {len(runs)} seed{'s' if len(runs) > 1 else ''}",
            "reference": "test",
            "names": {"test": "line drawings", "shifts": "the mean of seven shifts", **shown},
            "splits": {
                s: [run[s].round(2).tolist() for run in runs] for s in ("test", "shifts", *shown)
            },
        }
    return {"alphas": [k / 10 for k in range(11)], "paper": theirs, "ours": ours}


def beside() -> str:
    """Return the interactive figure in HTML: one of the paper's alpha curves beside ours."""
    mark = f"curves-{next(_numbers)}"
    data = json.dumps(curve_data(), separators=(",", ":")).replace("</", "<\\/")
    code = Path(__file__).with_name("curves.js").read_text()
    select = '<label for="{0}-{1}">{2}</label><select id="{0}-{1}" name="{1}"></select>'
    controls = "".join(
        f"<div>{select.format(mark, name, label)}</div>"
        for name, label in (
            ("paper", "Curve of the paper"),
            ("paper-shift", "Shift of the paper"),
            ("our-shift", "Our shift"),
        )
    )
    radios = "".join(
        f'<label><input type="radio" name="{mark}-axes" value="{value}"{checked}> {label}</label>'
        for value, label, checked in (
            ("change", "change from zero-shot", " checked"),
            ("accuracy", "accuracy", ""),
        )
    )
    return (
        f'<div class="wf-page" id="{mark}">{_style()}<div class="interactive" hidden>'
        f'<div class="controls">{controls}</div><fieldset><legend>Axes</legend>{radios}</fieldset>'
        '<p><span class="key paper">The paper: solid.</span> <span class="key ours">Ours: dashed, thin lines are '
        "single seeds.</span> Star: zero-shot. Diamond: fine-tuned.</p>"
        '<svg viewBox="0 0 360 280" role="img" aria-label="Reference accuracy against accuracy under shift: the '
        "chosen curve of the paper and ours, from the zero-shot star to the fine-tuned diamond; the text below "
        'gives the numbers"></svg>'
        f'<label for="{mark}-alpha">Move α with the mouse, a finger or the arrow keys</label>'
        f'<input id="{mark}-alpha" type="range" name="alpha" min="0" max="10" value="5" step="1">'
        f'<output for="{mark}-alpha" aria-live="polite"></output></div>'
        '<noscript>The figure needs JavaScript. <a href="06_interpolate.html">Chapter 6</a> draws two curves of the '
        "paper beside ours.</noscript>"
        f"{_script(mark, f'const data = {data};{chr(10)}{code}')}</div>"
    )
