"""The reference of the book is current, and every name in prose exists."""

import json
import re
import sys
import typing
from importlib import import_module
from pathlib import Path

import build_reference
import pytest

from wiseft_lite.book import ledger

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
SCREEN = 360 - 2 * 16  # pixels of a narrow phone, without the margins of the page
NOT_IN_A_CLONE = (
    "build/",  # made by commands
    "book/appendix/runtimes.md",
    "book/data_scripts/",  # Colab's clone is called book
)
FILES = {"csv", "ipynb", "json", "jsonl", "md", "pt", "py", "txt"}
PROSE = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ATTRIBUTION.md")),
    *sorted(BOOK.rglob("*.md")),
    *sorted(BOOK.rglob("*.ipynb")),
]
each = pytest.mark.parametrize("path", PROSE, ids=lambda p: p.relative_to(ROOT).as_posix())


def prose(path):
    """The Markdown of a page; of the changelog, its newest section."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = re.sub(r"<!--.*?-->", "", path.read_text())
    return text.split("\n## ")[1] if path.name == "CHANGELOG.md" else text


def exists(name):
    """Whether a dotted name can be imported or had from what can be imported."""
    module, _, attribute = name.rpartition(".")
    try:
        import_module(name)
        return True
    except ImportError:
        return bool(module) and exists(module) and hasattr(import_module_or(module), attribute)


def import_module_or(name):
    """A module, or the attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        return import_module(name)
    except ImportError:
        return getattr(import_module_or(module), attribute)


MODULES = {  # the modules of each last name: ``cost`` is ``wiseft_lite.book.cost``
    name: [
        ".".join(p.relative_to(ROOT).with_suffix("").parts)
        for p in (ROOT / "wiseft_lite").rglob(f"{name}.py")
    ]
    for name in {p.stem for p in (ROOT / "wiseft_lite").rglob("*.py") if not p.stem.startswith("_")}
}


@pytest.fixture(scope="module")
def written():
    pytest.importorskip("grimp", reason="import-linter is not installed")
    return build_reference.pages()


def test_the_pages_are_current(written):
    old = [
        path.relative_to(ROOT).as_posix()
        for path, text in written.items()
        if not path.exists() or path.read_text() != text
    ]
    assert not old, f"run 'python data_scripts/build_reference.py': {old}"
    unknown = set((BOOK / "appendix" / "reference").glob("*.md")) - set(written)
    assert not unknown, "pages of modules that are no more"


def test_every_page_is_in_the_table_of_contents(written):
    listed = set(re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text()))
    made = {p.relative_to(ROOT).with_suffix("").as_posix() for p in written if p.suffix == ".md"}
    assert made <= listed, made - listed


def test_a_module_without_a_place_stops_the_script(monkeypatch):
    monkeypatch.setattr(build_reference, "METHOD", build_reference.METHOD[:-1])
    with pytest.raises(SystemExit, match=build_reference.METHOD[-1] + "|pipeline"):
        build_reference.check_places()


def defined(module):
    """The public functions and classes that a module defines and documents."""
    here = import_module(f"wiseft_lite.{module}")
    return {
        name
        for name, value in vars(here).items()
        if getattr(value, "__module__", None) == here.__name__
        and callable(value)
        and hasattr(value, "__qualname__")
        and value.__qualname__ == name
        and not name.startswith("_")
        and value.__doc__
    }


def test_a_page_has_every_function_and_class_once_and_what_the_package_exports_first(written):
    exported, seen = build_reference.short_names(), 0
    for path, text in written.items():
        for module, names in re.findall(
            r"automodule:: wiseft_lite\.(\S+)\n.*?\n\n(.*?)```", text, re.S
        ):
            names = re.findall(rf"auto\w+:: wiseft_lite\.{re.escape(module)}\.(\w+)\n", names)
            assert len(set(names)) == len(names) and set(names) == defined(module), (path, module)
            first = {*build_reference.LEADING.get(module, ()), *exported.get(module, [])}
            assert set(names[: len(first & set(names))]) <= first, (path, module)
            seen += 1
    assert seen > 60


def test_the_page_of_the_weights_begins_with_the_equation_of_the_paper(written):
    page = written[build_reference.APPENDIX / "reference" / "weights.md"]
    assert re.search(r"auto\w+:: (\S+)", page.partition("automodule")[2])[1].endswith(
        ".interpolate"
    )


def test_a_leading_name_that_is_no_more_stops_the_script(monkeypatch):
    monkeypatch.setitem(build_reference.LEADING, "weights", ("interpolated",))
    with pytest.raises(SystemExit, match="weights does not have: interpolated"):
        build_reference.members("weights")


@pytest.mark.parametrize("listed", ["LEADING", "FIRST"])
def test_a_module_that_is_no_more_stops_the_script(monkeypatch, listed):
    monkeypatch.setitem(getattr(build_reference, listed), "weigths", ())
    with pytest.raises(SystemExit, match="weigths"):
        build_reference.check_places()


def test_the_kind_of_a_class_does_not_depend_on_its_name():
    class Stop(KeyboardInterrupt): ...

    class ErrorBar: ...

    kinds = [build_reference.kind_of(value) for value in (Stop, ErrorBar, len)]
    assert kinds == ["exception", "class", "function"]


def test_an_arrow_that_points_up_stops_the_script(monkeypatch):
    pytest.importorskip("grimp", reason="import-linter is not installed")
    monkeypatch.setattr(build_reference, "ROWS", build_reference.ROWS[::-1])
    with pytest.raises(SystemExit, match="cli imports book"):
        build_reference.arrows()


def test_the_figure_can_be_read_on_a_phone(written):
    svg = written[build_reference.FIGURE]
    left, _, width, _ = map(float, re.search(r'viewBox="(.*?)"', svg)[1].split())
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)]
    assert sizes and min(sizes) * SCREEN / width >= 8
    alt = re.search(r"!\[(.*?)\]", written[build_reference.APPENDIX / "where.md"])[1]
    for name in build_reference.TITLES:
        assert re.search(rf">{name}</text>", svg) and name in alt


def test_names_stay_within_their_boxes():
    for _, _, width, _, lines in build_reference.boxes().values():
        widest = max([0.56 * build_reference.SMALL * len(line) for line in lines], default=0)
        assert widest <= width, lines


def test_arrows_touch_no_box_between(written):
    placed = build_reference.boxes()
    for a, b in build_reference.arrows():
        upper, lower = placed[a], placed[b]
        narrow = min(upper, lower, key=lambda box: box[2])
        x = narrow[0] + narrow[2] / 2
        crossed = [
            name
            for name, (left, top, width, tall, _) in placed.items()
            if name not in (a, b)
            and left <= x <= left + width
            and upper[1] + upper[3] <= top + tall
            and top <= lower[1]
        ]
        assert not crossed, f"the arrow from {a} to {b} crosses {crossed}"


def test_every_option_of_a_command_is_on_its_page(written):
    from wiseft_lite.cli.main import parser

    page = written[build_reference.APPENDIX / "reference" / "command_line.md"]
    (commands,) = [a for a in parser()._actions if hasattr(a, "choices") and a.dest == "command"]
    for name, command in commands.choices.items():
        section = page.partition(f"## `wiseft-lite {name}`\n")[2].partition("\n## ")[0]
        for flag in command._option_string_actions:
            assert flag in ("-h", "--help") or f"`{flag}`" in section, f"{name} {flag}"


@each
def test_names_in_prose_exist(path):
    text = prose(path)
    dotted = set(re.findall(r"\bwiseft_lite(?:\.\w+)+", text))
    for module, names in re.findall(r"from (wiseft_lite[\w.]*) import (\([\w\s,]+|[\w ,]+)", text):
        dotted |= {f"{module}.{name}" for name in re.findall(r"\w+", names)}
    assert not [name for name in sorted(dotted) if not exists(name)]


@each
def test_a_module_in_prose_has_what_the_text_takes_from_it(path):
    """In code such as ``cost.flops``, where ``cost`` is one of our modules."""
    keys = ledger.read()
    wrong = []
    for module, name in re.findall(r"(?<!`)`(\w+)\.([a-zA-Z]\w*)(?:\(.*?\))?`(?!`)", prose(path)):
        of_the_ledger = any(key.startswith(f"{module}.{name}") for key in keys)
        if module in MODULES and name not in FILES and not of_the_ledger:
            found = [m for m in MODULES[module] if exists(f"{m}.{name}")]
            wrong += [] if found else [f"{module}.{name}"]
    assert not wrong


@each
def test_paths_in_prose_exist(path):
    text = prose(path)
    named = set(
        re.findall(r"(?<![\w/.~-])((?:wiseft_lite|data_scripts|tests|book)/[\w./-]*\w)", text)
    )
    if path.parent == ROOT:  # links of the pages that are read on the hosting site
        named |= set(re.findall(r"\]\((?!https?:)([^)#]+)\)", text))
    missing = [
        name
        for name in sorted(named)
        if not (ROOT / name).exists() and not name.startswith(NOT_IN_A_CLONE)
    ]
    assert not missing


@pytest.fixture
def extension(monkeypatch):
    pytest.importorskip("sphinx", reason="the site's packages are not installed")
    monkeypatch.syspath_prepend(str(BOOK / "_ext"))
    yield import_module("reference")
    sys.modules.pop("reference")


def test_what_a_function_returns_is_not_read_as_a_type(extension):
    lines = [
        "Measure.",
        "",
        "Returns:",
        "    One row a split: its accuracy.",
        "",
        "Source: the paper.",
    ]
    extension.tidy(None, "function", "", None, None, lines)
    assert lines[3:5] == ["    One row a ", "    split: its accuracy."]
    assert lines[-1] == "**Source:** the paper."


def test_a_source_of_several_lines_is_one_paragraph(extension):
    lines = [
        "Measure.",
        "",
        "Source: the paper, section 2;",
        "    its code.",
        "",
        "Example:",
        "    >>> 1",
    ]
    extension.tidy(None, "function", "", None, None, lines)
    assert lines[2:] == [
        "**Source:** the paper, section 2;",
        "its code.",
        "",
        "Example:",
        "    >>> 1",
    ]


def test_what_python_says_of_a_field_of_a_named_tuple_is_left_out(extension):
    lines = [typing.NamedTuple("Entry", [("name", str)]).name.__doc__]
    extension.tidy(None, "attribute", "", None, None, lines)
    assert lines == []


def test_a_name_that_two_modules_have_is_no_link(extension):
    known = extension.unique_endings(["p.weights", "p.a.f", "p.b.f", "p.a.g", "p.a.weights"])
    assert known["a.f"] == "p.a.f" and known["g"] == "p.a.g" and "f" not in known
    assert known["weights"] == "p.weights"


CODE = """
from wiseft_lite import finetune, distance
from wiseft_lite.training import linear_probe as probe, batches
from elsewhere import sweep

def interpolate(theta_0, batches):
    return theta_0

table = frame["distance"]
"""


def test_code_in_a_sentence_means_what_the_page_imports_or_the_package_exports(extension):
    """`sweep` is exported; the page has another one, and parameters, columns and functions of its own."""
    from docutils import nodes
    from docutils.utils import new_document

    document = new_document("a page")
    document += [nodes.literal_block("", CODE), nodes.literal_block("", "%env A=1\n!ls")]
    known = [
        *("wiseft_lite.training.finetune", "wiseft_lite.training.linear_probe"),
        *("wiseft_lite.training.batches", "wiseft_lite.weights.distance"),
        *(
            "wiseft_lite.weights.interpolate",
            "wiseft_lite.sweeps.sweep",
            "wiseft_lite.results.train",
        ),
        *("wiseft_lite.tasks.load_task", "wiseft_lite.a.same", "wiseft_lite.b.same"),
    ]
    found = extension.names_on(document, known)
    assert {name: full for name, full in found.items() if "." not in name} == {
        "finetune": "wiseft_lite.training.finetune",
        "probe": "wiseft_lite.training.linear_probe",
        "linear_probe": "wiseft_lite.training.linear_probe",
        "load_task": "wiseft_lite.tasks.load_task",
    }
    assert found["sweeps.sweep"] == found["wiseft_lite.sweeps.sweep"] == "wiseft_lite.sweeps.sweep"
    assert found["results.train"] == "wiseft_lite.results.train"


def test_the_page_of_what_the_package_exports_links_all_of_it(extension):
    """`load` and `save` are names in several modules; this page means those of the package itself."""
    from types import SimpleNamespace

    from docutils import nodes
    from docutils.utils import new_document

    entry = SimpleNamespace(docname="book/appendix/reference/checkpoints", node_id="there")
    names = ["checkpoints.load", "tasks.icons.load", "features.encode", "models.Head.encode"]
    objects = {f"wiseft_lite.{name}": entry for name in names}
    app = SimpleNamespace(
        env=SimpleNamespace(get_domain=lambda name: SimpleNamespace(objects=objects)),
        builder=SimpleNamespace(get_relative_uri=lambda *names: "page.html"),
    )
    for page, expected in ((extension.EXPORTS, 2), ("book/appendix/reference/tasks", 0)):
        document = new_document(page)
        document += nodes.paragraph(
            "", "", nodes.literal(text="load"), nodes.literal(text="encode")
        )
        extension.link_names(app, document, page)
        assert len(list(document.findall(nodes.reference))) == expected


def test_code_within_a_link_gets_no_second_link(extension):
    """A browser closes the first one then, and it has no text."""
    from docutils import nodes

    code, deep, title, free = (nodes.literal(text="sweep") for _ in range(4))
    nodes.reference("", "", nodes.inline("", "", deep)), nodes.title("", "", title)
    nodes.reference("", "", code), nodes.paragraph("", "", free)
    found = map(extension.linked_or_title, (code, deep, title, free))
    assert list(found) == [True, True, True, False]


def test_the_layout_of_a_signature_is_no_list_of_definitions(extension):
    first, second = (f'<dd><em class="sig-param">{name}</em>,</dd>' for name in "ab")
    context = {"body": f"<dt>f(<dl>\n{first}\n{second}\n</dl>)</dt><dl><dt>x</dt><dd>y</dd></dl>"}
    extension.parameters_without_list(None, "", "", context, None)
    assert context["body"].count('role="presentation"') == 3
    assert "<dl><dt>x</dt><dd>y</dd></dl>" in context["body"]
