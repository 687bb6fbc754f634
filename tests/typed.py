"""What the pages ask a reader to type: shell commands, options in prose, and blocks of Python.

A *placeholder* is a word that the reader replaces: capitals alone or in a list with commas
(``FOLDER``, ``T,T``), a name in braces (``{REPOSITORY}``), three dots, and ``chNN``.
"""

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

from wiseft_lite.cli.main import parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / ".github").glob("*.md")),
    *sorted((ROOT / "book").glob("*.ipynb")),
    *sorted(path for path in (ROOT / "book").rglob("*.md") if "_build" not in path.parts),
]
SHELL = {"bash", "sh", "shell", "console", "ipython3"}
PROGRAMS = {"accelerate", "git", "jupyter", "make", "pip", "pre-commit", "python", "python3"}
PROGRAMS |= {"torchrun", "wiseft-lite"}
(COMMANDS,) = (action.choices for action in parser()._actions if action.dest == "command")
FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^`\n]*)\n(.*?)^\1\2 *$", re.M | re.S)
PLACEHOLDER = re.compile(r"[A-Z]+(?:,[A-Z]+)*|\{[A-Z]+\}|\.\.\.|chNN")


class Block(NamedTuple):
    """A fenced block: its language, and its text without the indentation of a list."""

    language: str
    text: str


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def markdown(page):
    """The Markdown of a page; of the changelog, its newest section."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    return text.split("\n## ")[1] if page.name == "CHANGELOG.md" else text


def code_cells(page):
    """The code cells of a notebook as blocks; the lines of ``!`` and ``%`` are what is typed there."""
    if page.suffix != ".ipynb":
        return []
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    return [Block("ipython3", "".join(c["source"])) for c in cells if c["cell_type"] == "code"]


def blocks(page):
    """The fenced blocks of a page, in order."""
    return [
        Block(language.strip(), textwrap.dedent(text))
        for _, _, language, text in FENCE.findall(markdown(page))
    ]


def spans(page):
    """The code in the sentences and tables of a page, in order, each on one line."""
    prose = FENCE.sub("", markdown(page))
    return [
        " ".join(code.split()) for _, code in re.findall(r"(?<!`)(`+)(?!`)(.+?)\1", prose, re.S)
    ]


def commands(block):
    """The commands of a shell block as lists of words.

    A backslash continues a line and a comment begins with `` #``; of a notebook's cell only lines
    of ``!`` and ``%`` count, of a console only those of ``$``.
    """
    if block.text.startswith("#!"):  # a script: one command, with quotes over several lines
        return [["bash", "SCRIPT"]]
    lines = block.text.replace("\\\n", " ").splitlines()
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    mark = {"ipython3": ("!", "%"), "console": ("$",)}.get(block.language)
    if mark:
        lines = [line.lstrip("!$ ") for line in lines if line.startswith(mark)]
    return [shlex.split(part) for line in lines for part in line.split(" && ") if part]


def command(span):
    """The words of a span that is a command, or None.

    It begins with a program and has more words, or with the name of a data script; or it is short
    for a command of ``wiseft-lite``, as ``export A`` in a list of them.
    """
    if re.match(r"\.venv\\", span):  # as typed on Windows
        span = span.replace("\\", "/")
    first, _, rest = span.partition(" ")
    if first in COMMANDS and re.search(r"^[A-Z]+\b|(?:^| )--", rest):
        return ["wiseft-lite", *shlex.split(span)]
    if (ROOT / "data_scripts" / first).is_file():
        return ["python", f"data_scripts/{first}", *shlex.split(rest)]
    assigned = re.match(r"[A-Z_]+=\S+ \S", span)
    if assigned or rest and (first in PROGRAMS or first in ("%env", ".venv/Scripts/python")):
        return shlex.split(span)
    return None
