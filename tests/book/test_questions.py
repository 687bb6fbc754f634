"""Questions that the built pages judge themselves, and answers that the text must not give away."""

import base64
import json
import re

import nbformat
import numpy as np
import pytest
import questions
from test_chapters import CHAPTERS, cells
from test_exercise_cells import CHECK, checked_in, each

from wiseft_lite.book.checks import Choice, Code, Number


def asked_in(path):
    """The exercises of a chapter that are answered by a letter or a number, in order."""
    return [exercise for _, exercise in questions.asked(nbformat.read(path, as_version=4))]


def page_of(path):
    notebook = nbformat.read(path, as_version=4)
    questions.add_questions(notebook)
    return notebook


def held(text):
    """What the elements in a text hold."""
    return [
        json.loads(base64.b64decode(code)) for code in re.findall(r'data-question="(.*?)"', text)
    ]


@each
def test_every_letter_and_number_is_asked_on_its_page_below_its_question(path):
    exercises = asked_in(path)
    pages = [cell.source for cell in page_of(path).cells if cell.cell_type == "markdown"]
    texts = [text for text in pages if 'class="question"' in text]
    assert len(texts) == len(exercises)
    for text, exercise in zip(texts, exercises, strict=True):
        assert [question["name"] for question in held(text)] == [exercise.name]
        below = text.partition(f"### Exercise {exercise.name} ")[2]
        question, _, hints = below.partition('<div class="question"')
        assert len(question) > 60 and "<details" not in question and "<details" in hints
        if isinstance(exercise, Choice):  # the script makes the buttons of this list
            last = question.rstrip().rpartition("\n\n")[2]
            letters = sorted([exercise.solution, *exercise.wrong])
            assert re.findall(r"^- \*\*(\w)\*\* ", last, re.M) == letters
    assert "\n".join(pages).count(questions.SCRIPT) == (len(exercises) > 0)


@each
def test_only_the_text_of_a_question_changes(path):
    before, after = nbformat.read(path, as_version=4), page_of(path)
    for old, new in zip(before.cells, after.cells, strict=True):
        added = re.sub(r'\n<div class="question".*?</div>\n|<script.*?</script>\n', "", new.source)
        assert re.sub(r"\n+", "\n", added) == re.sub(r"\n+", "\n", old.source)
        assert (old.cell_type, old.metadata) == (new.cell_type, new.metadata)


@each
def test_every_letter_and_number_that_a_chapter_checks_is_found(path):
    checked = [
        checked_in(match, path)
        for _, source in cells(path, "code")
        for match in CHECK.finditer(source)
    ]
    assert asked_in(path) == [e for e in checked if not isinstance(e, Code)]


@each
def test_neither_answers_nor_explanations_can_be_read_in_the_source(path):
    for exercise in asked_in(path):
        html = questions.element(questions.question_of(exercise))
        wrong = exercise.wrong
        reasons = wrong.values() if isinstance(wrong, dict) else [text for _, text in wrong]
        assert not [text for text in (*reasons, "correct", '"right"') if text in html]


@each
def test_the_explanation_of_a_lettered_question_begins_with_its_letter(path):
    text = "\n".join(source for _, source in cells(path, "markdown"))
    for exercise in asked_in(path):
        fold = re.search(
            rf"<summary>Exercise {re.escape(exercise.name)}, explained</summary>\s*(\w+)", text
        )
        if isinstance(exercise, Choice) and fold:
            assert fold[1] == exercise.solution, exercise.name


def test_a_question_without_its_heading_stops_the_build():
    cells = [
        nbformat.v4.new_code_cell("from wiseft_lite.book.exercises import ch02 as other"),
        nbformat.v4.new_markdown_cell("### Exercise 2.2 · Predict\n\nHow many?"),
        nbformat.v4.new_code_cell("n = None\nn = other.images.check(n)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(ValueError, match=r"exercise 2\.1"):
        questions.add_questions(notebook)
    cells[1].source = "### Exercise 2.1 · Predict\n\nHow many?"
    questions.add_questions(notebook)
    assert cells[1].source.endswith(f"{questions.SCRIPT}\n")


@pytest.mark.parametrize(
    "typed, read",
    [
        ("1,067", 1067),
        ("+1,067.5", 1067.5),
        ("75 %", 75),
        ("75\u00a0%", 75),
        ("0.75", 0.75),
        ("-7.7", -7.7),
        ("\u22127.7 %", -7.7),
        (" 5. ", 5),
        ("1,067,000", 1067000),
    ],
)
def test_a_number_in_quotes_is_read_as_people_write_it(typed, read):
    exercise = Number("0.1", read, tolerance=0)
    assert exercise.verdict(typed) is None and exercise.usable(typed) == read


@pytest.mark.parametrize("typed", ["0,75", "7,7", "\u22127,7 %", "12,34,567", "1,06", "0,750"])
def test_a_decimal_comma_is_no_number_and_the_check_says_so(typed):
    exercise = Number("0.1", float(typed.replace(",", "").replace("\u2212", "-").rstrip("% ")))
    assert "decimal point" in exercise.verdict(typed)


# --- what the text gives away

FOLD = re.compile(r"<details>.*?</details>", re.S)
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def told_after(exercise, path):
    """The text between an exercise's check and the next heading that nobody has to unfold."""
    checked, texts = False, []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and checked:
            texts.append(source)
        elif cell["cell_type"] == "code":
            found = [checked_in(match, path).name for match in CHECK.finditer(source)]
            checked = checked or exercise.name in found
    text = re.sub(r"<!--.*?-->", "", FOLD.sub("", "\n\n".join(texts)), flags=re.S)
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.M)[0]


def tells_number(text, value):
    """Whether a text has a number, in digits, perhaps rounded to two or more, or as a word.

    The 2 of ``m-2`` is none.
    """
    if value in range(len(WORDS)) and re.search(rf"\b{WORDS[int(value)]}\b", text, re.I):
        return True
    for digits in re.findall(r"(?<![A-Za-z][-+])\d+(?:,\d{3})*(?:\.\d+)?", text):
        number, places = float(digits.replace(",", "")), len(digits.partition(".")[2])
        rounded = number == round(value, places) and number >= 10 * 10**-places
        if number == value or rounded:
            return True
    return False


def tells_letter(text, name, letter):
    """Whether a text names an option, as in "2.6: C", "C: because" or "the answer is C"."""
    forms = (
        rf"{re.escape(name)}\W{{0,4}}{letter}\b",
        rf"^\W*{letter}\b\W*[:,.)]",
        rf"\b(?:answer|right|correct|choice|option|statement)\b[^.]{{0,20}}\b{letter}\b(?!\w|')",
        rf"\b{letter}\W{{0,3}} (?:is|was) (?:right|correct|the answer)",
    )
    return any(re.search(form, text, re.M) for form in forms)


def tells(exercise, text):
    if isinstance(exercise, Choice):
        return tells_letter(text, exercise.name, exercise.solution)
    values = np.ravel(exercise.solution).tolist()
    return all(tells_number(text, value) for value in values)


ASKED = [(path, exercise) for path in CHAPTERS for exercise in asked_in(path)]


@pytest.mark.parametrize(
    "path, exercise",
    [pytest.param(path, exercise, id=exercise.name) for path, exercise in ASKED],
)
def test_no_text_after_an_exercise_gives_its_answer_away(path, exercise):
    text = told_after(exercise, path)
    assert not tells(exercise, text), text


@each
def test_no_text_of_a_chapter_names_the_letter_of_an_exercise(path):
    text = FOLD.sub("", "\n\n".join(source for _, source in cells(path, "markdown")))
    for exercise in asked_in(path):
        if isinstance(exercise, Choice):
            name, letter = re.escape(exercise.name), exercise.solution
            article = "(?! [a-z])" if letter == "A" else ""
            found = re.search(rf"\b{name}\W{{0,4}}{letter}\b{article}", text)
            assert not found, text[found.start() - 80 : found.end() + 80]


@pytest.mark.parametrize(
    "value, text, told",
    [
        (800, "It takes about 800 images.", True),
        (1000, "so it reads 1,000 of them", True),
        (1000, "1,001 or 999", False),
        (0.819672, "a chance of 0.82 %", True),
        (0.819672, "one of 8 is 0.8", False),
        (31.6, "about 32 %", True),
        (2, "So two or three false alarms", True),
        (65, "It has 650 images, 6.5 % of which", False),
        ((75, 50), "75 % of them", False),
        ((75, 50), "75 % and 50 %", True),
    ],
)
def test_a_number_is_found_in_digits_and_words(value, text, told):
    assert tells(Number("0.1", value), text) == told


@pytest.mark.parametrize(
    "text, told",
    [
        ("Exercise 2.6: C, since the images differ.", True),
        ("**C**: then the images differ.", True),
        ("The right answer is **C**.", True),
        ("C is correct.", True),
        ("So the answer is not A. Figure C shows it.", False),
        ("CLIP, and C images", False),
    ],
)
def test_a_letter_is_found_where_it_names_an_option(text, told):
    assert tells(Choice("2.6", "C", {"A": "", "B": ""}), text) == told
