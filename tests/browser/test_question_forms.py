"""Questions of the chapters in a real browser: the page and the notebook say the same about every
answer. Most tests need no built site: they open the questions of all chapters on one page, from a
file."""

import contextlib
import html
import io
import json
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
import questions

from wiseft_lite.book.checks import Choice
from wiseft_lite.book.checks.plain import allowed_error

from .built_site import CHAPTERS, SITE, opened, serious_findings

markdown_it = pytest.importorskip("markdown_it", reason="'make book' installs it")
BOOK = Path(__file__).resolve().parents[2] / "book"

# Types each answer as a reader would, presses the button, and returns what is shown and stored.
ASK = """([name, answers]) => {
  const form = [...document.querySelectorAll('.question form')].find(
    (one) => one.querySelector('legend').textContent.endsWith(` ${name}`));
  const status = form.querySelector('form > p');
  return answers.map((answer) => {
    form.querySelectorAll('input[type=radio]').forEach((one) => { one.checked = one.value === answer[0]; });
    form.querySelectorAll('input[type=text]').forEach((one, k) => { one.value = answer[k]; });
    form.querySelector('button').click();
    return [status.textContent, localStorage.getItem(`wiseft.exercise.${name}`)];
  });
}"""


def all_questions():
    """The sections of every notebook that ask a question, and the exercises, by their names."""
    render = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render
    sections, exercises = [], {}
    for path in sorted(BOOK.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        found = list(questions.asked(notebook))
        questions.add_questions(notebook)
        for place, exercise in found:
            text = render(notebook.cells[place - 1].source.replace(questions.SCRIPT, ""))
            code = f"<pre>{html.escape(notebook.cells[place].source)}</pre>"
            cell = f'<div class="cell"><div class="cell_input">{code}</div></div>'
            sections.append(f"<section>{text}{cell}</section>")
            exercises[exercise.name] = exercise
    return sections, exercises


SECTIONS, EXERCISES = all_questions()
SINGLE = {
    name: exercise
    for name, exercise in EXERCISES.items()
    if not isinstance(exercise, Choice) and np.ndim(exercise.solution) == 0
}
CHOICES = {name: e for name, e in EXERCISES.items() if isinstance(e, Choice)}
PAIRS = EXERCISES.keys() - SINGLE - CHOICES.keys()


@pytest.fixture(scope="module")
def one_page(tmp_path_factory):
    """The address of a file with all questions."""
    path = tmp_path_factory.mktemp("questions") / "all.html"
    script = (BOOK / "_static" / "questions.js").as_uri()
    path.write_text(
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Questions</title>'
        f'<script defer src="{script}"></script><main>{"".join(SECTIONS)}</main></html>'
    )
    return path.as_uri()


@pytest.fixture
def page(browser, one_page):
    page = opened(browser)
    page.wrong, page.asked = [], []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(one_page)
    yield page
    page.close()
    assert not page.wrong and all(url.startswith("file:") for url in page.asked)


def reported(exercise, answer):
    """What the notebook prints, without its line breaks, and whether the answer is right."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exercise.check(answer)
    return " ".join(out.getvalue().split()), exercise.verdict(answer) is None


def form_of(page, name):
    return page.locator(".question form").filter(has_text=f"exercise {name}")


def verdict_of(page, name):
    return form_of(page, name).locator("> p")


def assert_same(page, exercise, cases):
    """Compare page and notebook.

    Args:
        cases: what is typed into each field, with the answer as one gives it in a notebook.
    """
    found = page.evaluate(ASK, [exercise.name, [typed for typed, _ in cases]])
    for (shown, stored), (typed, answer) in zip(found, cases, strict=True):
        expected, right = reported(exercise, answer)
        assert " ".join(shown.split()) == expected, typed
        assert json.loads(stored) == {
            "answer": typed if len(typed) > 1 else typed[0],
            "right": right,
        }


def around(value, tolerance=None):
    """A number, numbers at the edges of what is near it, and just outside of them."""
    allowed = allowed_error(value, tolerance)
    for edge in (value - allowed, value + allowed):
        yield from (edge, math.nextafter(edge, -math.inf), math.nextafter(edge, math.inf))
    yield from (value, 1.005 * value, 1.02 * value, -value, value / 100, 100 * value)


def test_there_are_questions_of_every_kind():
    assert len(CHOICES) >= 15 and len(SINGLE) >= 15 and PAIRS


@pytest.mark.parametrize("name", CHOICES)
def test_every_letter_gets_the_notebooks_report(page, name):
    exercise = CHOICES[name]
    letters = (exercise.solution, *exercise.wrong)
    assert_same(page, exercise, [([letter], letter) for letter in letters])


@pytest.mark.parametrize("name", SINGLE)
def test_right_near_and_wrong_numbers_get_the_notebooks_report(page, name):
    exercise = SINGLE[name]
    known = [exercise.solution, *(value for value, _ in exercise.wrong)]
    values = [
        *around(exercise.solution, exercise.tolerance),
        *(x for v in known for x in around(v)),
    ]
    typed = [repr(float(value)) for value in values]
    typed += [form.format(v) for v in known for form in ("{:,}", "{:,} %", "{:.3e}")]
    assert_same(page, exercise, [([text], text) for text in typed])


@pytest.mark.parametrize("name", PAIRS)
def test_several_numbers_get_the_notebooks_report(page, name):
    exercise = EXERCISES[name]
    known = [exercise.solution, *(value for value, _ in exercise.wrong)]
    values = [[factor * part for part in v] for v in known for factor in (1, 1.0099, 1.011)]
    assert_same(page, exercise, [([repr(float(p)) for p in v], tuple(v)) for v in values])
    ((shown, _),) = page.evaluate(ASK, [name, [["75", "fifty"]]])
    assert shown == f"Exercise {name}: not yet. The answer is a number; yours is the text 'fifty'."


TYPED = [
    *("1,067", "+1,067.5", "1,067,000", "75 %", "75%", "75\u00a0%", "0.75", "-7.7", "\u22127.7"),
    *("0,75", "7,7 %", "\u22127,7", "12,34,567", "1,06", "0,750", ",", "1,067e1", "1, 5", ",5"),
    *("5 % %", "5%%", "% 5"),
    *("5.", ".5", "1e3", "1E+3", "1e-5", "2.5e-7", "1e400", "1_000", "1__0", "_1", "1 000", "+ 5"),
    *("inf", "-Infinity", "nan", "-0", "0", "0.0", "Inf %", "infinit"),
    *("three", "it's", 'say "75"', "'\"", "back\\slash", "a  b", "3/4", "(75, 50)", "--5", "%"),
    # Python rounds a tie to the even digit.
    *("1.0625", "1.1875", "10.125", "10.375", "100.25", "100.75", "1000.25", "1000.75", "-1.0625"),
    *("999.95", "999.96", "999.99", "1000", "9999.95", "1e20", "1e21", "1e22", "123456789.25"),
    *("0.0001", "0.00012345", "0.00009999", "0.000099996", "1e-300", "5e-324"),
]


@pytest.mark.parametrize("name", ["2.1", "1.1"])
def test_what_people_type_is_read_and_shown_as_in_the_notebook(page, name):
    generator = np.random.default_rng(0)
    sizes = 10.0 ** generator.uniform(-8, 14, size=300)
    drawn = [repr(float(size)) for size in sizes * generator.choice([-1, 1], size=300)]
    assert_same(page, EXERCISES[name], [([typed], typed) for typed in (*TYPED, *drawn)])


def test_a_decimal_comma_is_explained(page):
    assert "decimal point" in page.evaluate(ASK, ["2.1", [["0,75"]]])[0][0]


def test_the_keyboard_is_enough(page):
    form = form_of(page, "1.4")
    form.locator("input").first.focus()
    page.keyboard.press("ArrowDown")  # to B
    page.keyboard.press("Tab")
    assert form.locator("button").evaluate("b => b === document.activeElement")
    page.keyboard.press("Enter")
    assert form.get_by_role("status").inner_text() == "Exercise 1.4: correct."
    number = form_of(page, "2.1").get_by_label("Number")
    number.focus()
    page.keyboard.type("800")
    page.keyboard.press("Enter")
    assert form_of(page, "2.1").get_by_role("status").inner_text() == "Exercise 2.1: correct."


def test_every_form_has_a_name_and_every_field_a_label(page):
    for name, exercise in EXERCISES.items():
        role = "radiogroup" if name in CHOICES else "group"
        group = page.get_by_role(role, name=f"Your answer to exercise {name}", exact=True)
        fields = group.get_by_role("radio" if isinstance(exercise, Choice) else "textbox")
        names = fields.evaluate_all("all => all.map(field => field.labels[0].innerText.trim())")
        assert len(set(names)) == len(names) == fields.count() > 0
        if isinstance(exercise, Choice):  # the option's own words
            assert [text[0] for text in names] == sorted([exercise.solution, *exercise.wrong])
            assert all(len(text) > 3 for text in names), names
        described = group.get_attribute("aria-describedby")
        assert described == verdict_of(page, name).get_attribute("id") == f"verdict-{name}"


def test_nothing_is_judged_before_there_is_an_answer(page):
    for name in ("1.4", "2.1", *PAIRS):
        form = form_of(page, name)
        form.locator("button").click()
        assert "first." in form.get_by_role("status").inner_text()
        assert page.evaluate("localStorage.length") == 0
    form.locator("input").first.fill("75")
    form.locator("button").click()
    assert "Type all numbers first." in form.get_by_role("status").inner_text()


def test_the_first_field_without_a_readable_answer_has_the_focus(page):
    (pair,) = PAIRS
    form = form_of(page, pair)
    first, second = form.get_by_role("textbox").all()
    first.fill("75")
    for typed in ("", "fifty"):
        second.fill(typed)
        form.locator("button").click()
        assert [f.get_attribute("aria-invalid") for f in (first, second)] == ["false", "true"]
        assert second.evaluate("f => f === document.activeElement")
    second.fill("50")
    assert second.get_attribute("aria-invalid") is None
    form.locator("button").click()
    assert form.locator("button").evaluate("b => b === document.activeElement")
    choice = form_of(page, "1.4")
    choice.locator("button").click()
    assert choice.get_by_role("radio").first.evaluate("r => r === document.activeElement")
    assert choice.get_by_role("radiogroup").get_attribute("aria-invalid") == "true"
    choice.get_by_role("radio").first.check()
    assert choice.get_by_role("radiogroup").get_attribute("aria-invalid") is None


def test_a_verdict_goes_when_the_answer_changes(page):
    form = form_of(page, "1.4")
    form.get_by_label("the loss, not the accuracy").check()
    form.locator("button").click()
    assert "correct" in form.get_by_role("status").inner_text()
    form.get_by_label("neither", exact=False).first.check()
    assert form.get_by_role("status").inner_text() == ""


def test_the_last_answer_is_there_again_and_a_broken_one_is_no_harm(page):
    (pair,) = PAIRS
    for name, answer in (("1.4", ["C"]), ("2.1", ["1067"]), (pair, ["75", "25"])):
        page.evaluate(ASK, [name, [answer]])
    before = {name: verdict_of(page, name).inner_text() for name in EXERCISES}
    page.reload()
    after = {name: verdict_of(page, name).inner_text() for name in EXERCISES}
    assert page.get_by_role("status").count() == 0, "earlier verdicts are read out"
    assert before == after and sum(map(bool, after.values())) == 3
    assert form_of(page, "1.4").locator("input:checked").get_attribute("value") == "C"
    assert [f.input_value() for f in form_of(page, pair).locator("input").all()] == ["75", "25"]
    broken = {"1.4": '{"answer": "Z"}', "2.1": "{", pair: '{"answer": ["75"]}', "1.1": "null"}
    for name, value in broken.items():
        page.evaluate("([k, v]) => localStorage.setItem(`wiseft.exercise.${k}`, v)", [name, value])
    page.reload()
    assert not any(verdict_of(page, name).inner_text() for name in EXERCISES)


def test_a_browser_that_stores_nothing_judges_all_the_same(browser, one_page):
    page = opened(browser)
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }});"
    )
    page.goto(one_page)
    form_of(page, "2.1").get_by_label("Number").fill("800")
    form_of(page, "2.1").locator("button").click()
    assert "correct" in form_of(page, "2.1").get_by_role("status").inner_text()
    page.close()


def test_the_cell_is_folded_below_the_form_and_above_the_hints(page):
    for question in page.locator(".question").all():
        order = question.evaluate(
            "q => [...q.parentElement.children].slice([...q.parentElement.children].indexOf(q))"
            ".map(e => e.tagName + ' ' + (e.querySelector('summary')?.textContent || ''))"
        )
        assert order[0] == "DIV " and order[1] == "DETAILS In the notebook" and "Hint" in order[2]
        code = question.locator("xpath=following-sibling::details[1]//pre")
        assert not code.is_visible() and ".check(" in code.text_content()
    assert page.locator("main > section > .cell").count() == 0


def test_without_scripts_the_page_is_as_it_was(browser, one_page):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(one_page)
    assert page.locator("form").count() == 0
    assert all(code.is_visible() for code in page.locator(".cell_input").all())
    options = page.locator("li", has_text="the loss, not the accuracy")
    assert options.count() == 1 and options.is_visible()
    assert page.locator(".question").evaluate_all("all => all.every(q => !q.offsetHeight)")
    context.close()


# --- the built site

built = pytest.mark.skipif(not CHAPTERS, reason="no site in _build/html; run 'make book' first")


@built
@pytest.mark.parametrize("name", CHAPTERS)
def test_every_question_of_a_chapter_is_a_form(tab, address, name):
    expected = sum(question.split(".")[0] == str(int(name[5:7])) for question in EXERCISES)
    tab.goto(f"{address}/{name}", wait_until="load")
    assert tab.locator(".question form").count() == expected
    assert tab.locator("script[src*='questions.js']").count() == (expected > 0)
    assert tab.locator("details > summary", has_text="In the notebook").count() == expected
    for label in tab.locator(".question .choice label").all():
        assert len(label.inner_text()) > 3
    for code in tab.locator(".question + details pre").all():
        assert ".check(" in code.text_content()


@built
def test_other_pages_do_not_load_the_script():
    others = [path for path in SITE.rglob("*.html") if 'class="question"' not in path.read_text()]
    assert others and not [path for path in others if "questions.js" in path.read_text()]


@built
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("chapter", ["01", "18"])
def test_accessibility_has_no_serious_finding(browser, address, chapter, scheme):
    (name,) = [name for name in CHAPTERS if name.startswith(f"book/{chapter}")]
    page = opened(browser, color_scheme=scheme, viewport={"width": 390, "height": 900})
    page.goto(f"{address}/{name}", wait_until="load")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    for question, exercise in EXERCISES.items():
        if question.split(".")[0] == str(int(chapter)):
            first = [exercise.solution] if isinstance(exercise, Choice) else ["75", "78"]
            page.evaluate(ASK, [question, [first]])
    page.wait_for_function("!document.getAnimations().some(a => a instanceof CSSTransition)")
    over = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert over <= 1 and not serious_findings(page)
