"""Every command and every block of Python on a page is run, or its parts are checked.

The commands of a block run in order in one folder, and so do those in the sentences of a page. A
reader's own files are stand-ins of the same names, made when they are first read: ``A`` is a
checkpoint, ``FOLDER`` a folder of images. What a page's own command should have written must be
there. The stand-ins beside them:

- a tiny random CLIP for every ``--model``, one epoch of small batches, and three alphas where none
  are typed (``small``);
- small data sets in the published layouts, or a few images of a larger one (``few``), and one
  prompt for each class of ImageNet;
- a server of this process for the published models, of which a pool has eight, and for the Hub;
- nothing is measured by ``ledger --run``, and other data sets are not downloaded.
"""

import contextlib
import inspect
import io
import os
import pickle
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import fetching
import open_clip
import peers
import pytest
import servers
import torch
import typed
from conftest import picture
from packaging.requirements import Requirement
from typed import COMMANDS, PAGES, PLACEHOLDER, ROOT, SHELL, name_of

import wiseft_lite
from wiseft_lite import Recipe, UserError, load_task, save, zero_shot_classifier
from wiseft_lite.cli import info
from wiseft_lite.cli.main import main, parser
from wiseft_lite.encoders import load_clip
from wiseft_lite.interop import published, reported
from wiseft_lite.results import write_results
from wiseft_lite.tasks import task_names
from wiseft_lite.tasks.draws import few_shot_rows
from wiseft_lite.tasks.published import catalogue, hub, imagenet, standins

MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
EXTRAS = dict(
    re.findall(r"^([a-z]+) = \[\n(.*?)^\]", PROJECT.partition("[project.opt")[2], re.M | re.S)
)
POOL = [published.B32[k] for k in (0, 1, 2, 3, 4, 5, 17, 43)]

# What is not run, and why; an entry that is on no page any more fails.
LEFT = {
    "python -m venv .venv": "makes an environment",
    "python3 -m venv wiseft": "makes an environment",
    ". wiseft/bin/activate": "is of that environment",
    "jupyter lab": "opens a browser",
    "pre-commit install": "changes the clone's hooks",
    "git clone -q {REPOSITORY} book": "needs the network; a link to this clone takes its place",
    "python data_scripts/build_iconshift.py WORK": "downloads all icons",
    "python data_scripts/pretrain_iconclip.py WORK": "trains for hours",
    "bash SCRIPT": "needs SLURM; tests/book/test_cluster.py runs it with a stand-in",
    "python src/wise_ft.py --train-dataset=ImageNet --model=ViT-B/32 --epochs=10 --lr=0.00003 "
    "--batch-size=512 --results-db=... --save=... --data-location=~/data --alpha 0 0.1 ...": (
        "is of the authors' repository"
    ),
}
# Blocks whose commands another test runs, since it reads what they wrote.
RUN_ELSEWHERE = {
    "book/17_imagenet.ipynb": "tests/book/test_real_size.py",
    "book/18_wilds_and_video.ipynb": "tests/book/test_real_size.py",
}
# Blocks of Python, and the test that runs them.
PYTHON = {
    "CONTRIBUTING.md": "tests/book/test_exercises.py",
    "README.md": "tests/book/test_commands.py",
    "book/00_setup.ipynb": "tests/book/test_commands.py",
    "book/09_outputs_or_weights.ipynb": "tests/book/test_commands.py",
    "book/appendix/cheat_sheet.md": "tests/book/test_commands.py",
    "book/appendix/extending.md": "tests/book/test_extending.py",
    "book/appendix/seventeen_methods.md": "tests/book/test_commands.py",
    "book/projects.md": "tests/book/test_projects.py",
}
# Imported before a test replaces functions of ``fetching``, which these modules import by name.
GET = [import_module(p.stem) for p in (ROOT / "data_scripts").glob("get_*.py")]
SETS = {name for module in GET for name in getattr(module, "SETS", ())}
NOTHING_TO_TYPE = {"text", "{raw} html", "{eval-rst}", "{bibliography}"}
OF_READERS = ("digits",)  # the task that a reader adds in the appendix on extending
VALUES = {"KEY": "ch06", "chNN": "ch06", "COMMAND": "tasks"}  # of placeholders that are no file
ANY = {"D", "M"}  # placeholders that may be any word: a folder to write, a model


def units():
    """The commands of each block, and those in the sentences of each page, by a name for it.

    What a block or an earlier page has too is left out of sentences.
    """
    found, seen = {}, []
    for page in PAGES:
        fenced = [*typed.blocks(page), *typed.code_cells(page)]
        shell = [typed.commands(block) for block in fenced if block.language in SHELL]
        for k, words in enumerate(filter(None, shell), 1):
            found[f"{name_of(page)} block {k}"] = words
            seen += words
    for page in PAGES:
        new = found[f"{name_of(page)} prose"] = []
        for words in filter(None, map(typed.command, typed.spans(page))):
            if words not in seen:
                new.append(words)
                seen.append(words)
    return {name: words for name, words in found.items() if words}


UNITS = units()
ALL = [(name, words) for name, unit in UNITS.items() for words in unit]


def normal(line):
    return shlex.join(shlex.split(line))


def page_of(unit):
    return unit.split()[0]


# Stand-ins


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small data sets in the layouts in which readers have them, and the Hub's beside them."""
    folder = tmp_path_factory.mktemp("home") / "data"
    folder.mkdir()
    standins.build(folder, standins.BUILDERS)
    return folder


@pytest.fixture(scope="module")
def site(data, tmp_path_factory):
    """What the local server has: published models and the Hub's test sets."""
    peers.register(tmp_path_factory.mktemp("configs"))
    folder = tmp_path_factory.mktemp("site")
    ends = ["model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned"]
    for seed, name in enumerate([*POOL, *ends]):
        path = folder / published.ADDRESSES[name].partition("github.com/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(seed)
        state = peers.model_soups_weights()
        for key in state:
            if key.startswith("model.visual"):
                state[key] = state[key] + 0.02 * torch.randn(state[key].shape, generator=generator)
        state["classification_head.weight"] = torch.randn(1000, 16, generator=generator)
        state["classification_head.bias"] = torch.zeros(1000)
        torch.save(state, path)
    for known in hub.SETS.values():
        if (data / known.folder).is_dir():
            place = folder / "datasets" / known.repository
            place.parent.mkdir(parents=True, exist_ok=True)
            (data / known.folder).rename(place)
    return folder


@pytest.fixture
def reader(data, site, clip, monkeypatch, tmp_path):
    """The folder of a reader, with all stand-ins in place; it is the working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(data.parent))
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("WISEFT_DATA", raising=False)
    Path("data_scripts").symlink_to(ROOT / "data_scripts")
    ids, names, templates = imagenet.imagenet_classes()
    monkeypatch.setattr(imagenet, "imagenet_classes", lambda: (ids, names, templates[:1]))
    monkeypatch.setattr("wiseft_lite.tasks.load_task", few)
    monkeypatch.setattr("wiseft_lite.encoders.load_clip", lambda *_: clip)
    monkeypatch.setattr(info, "_measure", lambda name, seeds: None)
    monkeypatch.setattr(published, "B32", tuple(POOL))
    monkeypatch.setattr(reported, "B32", tuple(POOL))
    monkeypatch.setattr(fetching, "get", lambda remote, root: None)
    monkeypatch.setattr(fetching, "verify", lambda name, root, published: None)
    with servers.Server(site) as running:
        servers.as_hub(running, monkeypatch)
        here = {
            name: address.replace("https://github.com", running.url)
            for name, address in published.ADDRESSES.items()
            if name in POOL or "/b32/" not in name
        }
        monkeypatch.setattr(published, "ADDRESSES", here)
        yield Path.cwd()


@lru_cache
def known_task(name, root):
    """A task that a page names; the layouts of ImageNet take seconds to read."""
    return load_task(name, root)


def few(name, data=None):
    """A task with two images of each class in a split, fewer if there are many classes; 40 in a
    shift, and one prompt."""
    named = name in (*task_names(), *catalogue.FAMILIES)
    task = known_task(name, catalogue.data_folder(data)) if named else load_task(name, data)
    parts, classes = {}, len(task.class_names)
    for part in ("train", "val", "test"):
        split = getattr(task, part)
        if split is not None and classes > 150:
            parts[part] = split.sample(60)
        elif split is not None:
            parts[part] = split.select(few_shot_rows(split.labels, 1 if classes > 50 else 2))
    shifts = {name: split.sample(40) for name, split in task.shifts.items()}
    return replace(task, **parts, shifts=shifts, templates=task.templates[:1])


def small(words, args):
    """A command with options that make it quick; alphas that are typed stay."""
    takes_alphas = "--alphas" in COMMANDS[words[0]]._option_string_actions
    first = ["--alphas", "0,0.5,1"] if takes_alphas else []
    last = ["--epochs", "1", "--batch-size", "16", "--warmup", "0"] if "epochs" in args else []
    last += ["--dimensions", "8"] if "dimensions" in args else []  # the tiny CLIP has 16
    last += ["--overwrite"] if "out" in args and args.out.exists() else []  # two of one page
    return [words[0], *first, *words[1:], *last]


def images(path, args):
    """A folder of twenty classes with a shift."""
    for split, n in (("train", 6), ("test", 4), ("night", 4)):
        for label in range(20):
            (path / split / f"thing_{label:02}").mkdir(parents=True)
            for k in range(n):
                image = picture(label % 3, k + 7 * label + ord(split[1]))
                image.save(path / split / f"thing_{label:02}" / f"{k}.png")


def checkpoint(path, args):
    """A classifier of the command's task, near the others of other names."""
    model = zero_shot_classifier(wiseft_lite.encoders.load_clip("iconclip"), few(args.task))
    generator = torch.Generator().manual_seed(sum(path.name.encode()))
    theta = model.state_dict()
    moved = {k: v + 1e-3 * torch.randn(v.shape, generator=generator) for k, v in theta.items()}
    save(model.with_weights(moved), path)


def results(path, args):
    """Results of a sweep on ImageNet and a shift."""
    rows = [
        {"kind": "end-to-end", "alpha": alpha, "split": split, "accuracy": accuracy + alpha / 10}
        | {"n": 10_000, "low": accuracy + alpha / 10 - 0.01, "high": accuracy + alpha / 10 + 0.01}
        | {"task": "imagenet", "model": "ours", "classes": 1000}
        for alpha in (0.0, 0.5, 1.0)
        for split, accuracy in (("test", 0.7), ("v2", 0.6), ("r", 0.65))
    ]
    write_results(wiseft_lite.results.pd.DataFrame(rows), path)


def whole_clip(path, args):
    """A file as OpenAI ships its models."""
    peers.openai(path)


def wise_ft_file(path, args):
    """A pickle of wise-ft with ImageNet's classes."""
    classifier, modules = peers.wise_ft_module()
    generator = torch.Generator().manual_seed(0)
    head = classifier.classification_head
    head.weight.data = torch.randn(1000, 16, generator=generator)
    head.bias.data = torch.zeros(1000)
    with peers.importable(**modules):
        path.write_bytes(pickle.dumps(classifier))


def class_names(path, args):
    """ImageNet's class names, one per line."""
    path.write_text("\n".join(load_task("imagenet").class_names) + "\n")


GIVEN = {
    **dict.fromkeys(("FOLDER", "T", "my_images", "my_things"), images),
    **dict.fromkeys(("A", "B", "C", "results/a", "results/b", "results/c"), checkpoint),
    **dict.fromkeys(("RESULTS", "results.jsonl"), results),
    **dict.fromkeys(("zeroshot.pt", "finetuned.pt"), wise_ft_file),
    "FILE": whole_clip,
    "names.txt": class_names,
}


# Each program


def wiseft_lite_words(words):
    """What ``wiseft-lite`` gets from a command, with the values of placeholders, or None."""
    if words[0] == "wiseft-lite":
        given = words[1:]
    elif words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        args = get_args_parser().parse_args(words[1:])
        assert args.module and args.training_script == "wiseft_lite"
        given = args.training_script_args
    elif words[:2] == ["accelerate", "launch"]:
        launch = pytest.importorskip("accelerate.commands.launch")
        args = launch.launch_command_parser().parse_args(words[2:] or ["-m", "wiseft_lite"])
        assert args.module and args.training_script == "wiseft_lite"
        given = args.training_script_args
    else:
        return None
    given = [VALUES.get(word, word) for word in given if word != "..."]
    return [os.path.expanduser(w) if w.startswith("~") else w for w in given]


def parsed(words):
    """The options of a command of ``wiseft-lite``."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return parser().parse_args(words)
    except SystemExit as end:  # --help
        assert end.code == 0
        return None


def completed(words):
    """The command with an argument for each that a sentence leaves out, and for a last option's value."""
    lacking = [a for a in COMMANDS[words[0]]._actions if not a.option_strings and a.nargs != "?"]
    last = COMMANDS[words[0]]._option_string_actions.get(words[-1])
    value = ["1"] if last is not None and last.nargs is None else []
    return [words[0], *("A" for _ in lacking), *words[1:], *value]


def run_wiseft_lite(words):
    """Run a command here, with what it reads and no page makes; it must write its ``--out``."""
    args = parsed(words)
    if args is None:
        return
    for word in words[1:]:
        for name in word.split(","):
            if name in GIVEN and not Path(name).exists():
                Path(name).parent.mkdir(exist_ok=True)
                GIVEN[name](Path(name), args)
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = main(small(words, args))
    assert code == 0, f"{shlex.join(words)}: {errors.getvalue()[-2000:]}"
    assert "out" not in args or args.out.exists(), shlex.join(words)


def dry_run(*words):
    """What ``make`` would do."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    env["PYTHON"] = "python3"  # otherwise each call looks for one
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"make {shlex.join(words)}: {done.stderr}"
    return done.stdout


def check_pip(words):
    """Packages that ``pip install`` names are ours with known extras, or pinned as we pin them."""
    assert words[0] == "install"
    for word in words[1:]:
        if word in ("-e", "-q"):
            continue
        wanted = Requirement(word.replace(".[", "wiseft-lite[", 1) if word[0] == "." else word)
        if wanted.name == "wiseft-lite":
            assert wanted.extras <= set(EXTRAS), word
        else:
            pins = re.findall(rf"{wanted.name}(?:\[\w+\])?(==[\d.]+)", PROJECT)
            assert set(pins) <= {str(wanted.specifier)}, f"{word}, but {pins} in pyproject.toml"


def run_script(path, words):
    """Run a script that gets data; one that writes pages must exist, and a test must import it."""
    assert '__name__ == "__main__"' in path.read_text(), path
    if not path.name.startswith("get_"):
        assert all(f'"{word}"' in path.read_text() for word in words), (path.name, words)
        tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
        assert re.search(rf"(?:import |from |\"){path.stem}\b", tests), path
        return
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", [str(path), *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(path), run_name="__main__")
    assert end.value.code in (0, None), shlex.join([path.name, *words])


def run_python(words):
    """A module must exist, a line of code prints what it should, a script is run or checked."""
    if words[:2] == ["-m", "pip"]:
        check_pip(words[2:])
    elif words[0] == "-m":
        assert find_spec(words[1]), words
        for word in words[2:]:
            assert word.startswith("-") or (ROOT / word).exists(), words
    elif words[0] == "-c":
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(words[1], {})
        class_names(Path("expected.txt"), None)
        assert said.getvalue() == Path("expected.txt").read_text()
    else:
        run_script(Path(words[0]), words[1:])


def check_variables(words):
    """Variables of an environment are read somewhere, and folders of the clone in them exist."""
    for word in words:
        name, _, value = word.partition("=")
        if name.startswith("WISEFT_"):
            read = [*(ROOT / "wiseft_lite").rglob("*.py"), *(ROOT / "data_scripts").rglob("*.py")]
            notebooks = (ROOT / "book").glob("*.ipynb")
            assert any(name in p.read_text() for p in (*read, *notebooks)), word
        elif name == "PYTHONPATH":
            assert (ROOT / value).is_dir(), word
        else:
            assert word == "...", word


def is_mention(words):
    """Whether a sentence names a command without the arguments that it takes."""
    if len(words) == 1 and any(not a.option_strings for a in COMMANDS[words[0]]._actions):
        return True
    try:
        parsed(words)
    except UserError:
        return True
    return False


def run(words, prose):
    """Run one command, or check it; ``prose`` may leave arguments out."""
    if shlex.join(words) in map(normal, LEFT):
        return
    ours = wiseft_lite_words(words)
    if ours == []:
        assert prose, words  # a launcher that a sentence names without a command
    elif ours is not None and prose and is_mention(ours):
        assert parsed(completed(ours))
    elif ours is not None:
        run_wiseft_lite(ours)
    elif words[0] == "make":
        check_make(words[1:])
    elif words[0] == "pip":
        check_pip(words[1:])
    elif words[0] in ("python", ".venv/Scripts/python"):
        run_python(words[1:])
    else:
        assert words[0] == "%env" or "=" in words[0], f"no test for {words}"
        check_variables(words[words[0] == "%env" :])


def check_make(words):
    """A target exists, each variable changes what it does, and what it types are commands."""
    out = dry_run(*words)
    for word in words[1:]:
        assert dry_run(*(w for w in words if w != word)) != out, f"{word} changes nothing"
    for line in out.splitlines():
        line = re.sub(r"^(\w+=\S+ )*\.venv/(?:bin|Scripts)/", "", line.strip())
        if line.startswith("wiseft-lite "):
            assert parsed(shlex.split(line)[1:])
        elif script := re.match(r"python (data_scripts/\S+)", line):
            assert (ROOT / script[1]).is_file(), line


# The tests


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_commands_run_in_order_in_one_folder(unit, reader, data, tmp_path, monkeypatch):
    lines = UNITS[unit]
    if page_of(unit) in RUN_ELSEWHERE and "block" in unit:
        assert Path(page_of(unit)).stem in (ROOT / RUN_ELSEWHERE[page_of(unit)]).read_text()
        ours = [words for words in lines if wiseft_lite_words(words)]
        assert all(parsed(wiseft_lite_words(words)) for words in ours)
        lines = [words for words in lines if words not in ours]
    if any(words[:2] == ["git", "clone"] for words in lines):
        Path("book").symlink_to(ROOT)
    if any("get_imagenet" in word for words in lines for word in words):
        for name in ("HOME", "USERPROFILE"):  # with the training images alone
            monkeypatch.setenv(name, str(tmp_path / "home"))
        (tmp_path / "home" / "data").mkdir(parents=True)
        (tmp_path / "home" / "data" / "imagenet").symlink_to(data / "imagenet")
    for words in lines:
        run(words, prose=unit.endswith("prose"))


def test_what_is_not_run_is_on_a_page():
    known = {shlex.join(words) for _, words in ALL}
    assert {normal(line) for line in LEFT} <= known
    assert set(RUN_ELSEWHERE) <= {page_of(unit) for unit in UNITS}


def test_the_pages_are_read_as_a_reader_reads_them():
    """Some commands that are written in different ways are among those found."""
    known = {shlex.join(words) for _, words in ALL}
    for line in (
        "make book",  # a comment follows
        "wiseft-lite sweep model-soups/vit-l14-zeroshot model-soups/vit-l14-finetuned "
        "--task imagenet-shifts --passes 5",
        "python data_scripts/get_transfer.py --only dtd",  # in a sentence, on two lines
        "wiseft-lite export A",  # without its program
        "python book/data_scripts/get_cifar.py --data /content/data",  # in a notebook
        ".venv/Scripts/python data_scripts/build_book.py",  # on Windows
    ):
        assert line in known, line


def test_placeholders_are_known():
    for unit, words in ALL:
        for word in words:
            if PLACEHOLDER.fullmatch(word) and shlex.join(words) not in map(normal, LEFT):
                for name in word.split(","):
                    assert name in {*GIVEN, *VALUES, *ANY, "..."}, f"{unit}: {name}"


def test_every_block_has_a_language_and_a_test():
    pages = set()
    for page in PAGES:
        for block in typed.blocks(page):
            if block.language == "python":
                pages.add(name_of(page))
            else:
                assert block.language in SHELL | NOTHING_TO_TYPE, f"{name_of(page)}: {block}"
    assert pages == set(PYTHON)
    assert all((ROOT / test).is_file() for test in PYTHON.values())


def option_words(page):
    """The options that sentences name, as words, without those of other repositories."""
    text = [span for span in typed.spans(page) if span.startswith("--")]
    if page.name == "migration.md":  # its left column is about other repositories
        cells = re.findall(r"^\|(.*?)\| ", typed.markdown(page), re.M)
        others = {" ".join(code.split()) for cell in cells for code in re.findall("`(.+?)`", cell)}
        text = [span for span in text if span not in others]
    return [shlex.split(span) for span in text]


def accepts(command, words):
    """Whether a command of ``wiseft-lite`` takes these options; one without its value counts."""
    options = COMMANDS[command]._option_string_actions
    if len(words) == 1:
        return words[0] in options
    try:
        return words[0] in options and bool(parsed(completed([command, *words])))
    except UserError:
        return False


def is_of_another(page, words):
    """Whether an option is one of a data script, of accelerate, or of a script on the page."""
    if words[0] == "--only":
        return set(words[1:]) <= SETS
    launch = pytest.importorskip("accelerate.commands.launch").launch_command_parser()
    scripts = [block.text for block in typed.blocks(page) if block.text.startswith("#!")]
    return words[0] in launch._option_string_actions or any(
        re.search(rf"^#SBATCH {words[0]}\b", text, re.M) for text in scripts
    )


def test_options_in_sentences_exist(reader):
    found = 0
    for page in PAGES:
        for words in option_words(page):
            known = any(accepts(command, words) for command in COMMANDS)
            assert known or is_of_another(page, words), f"{name_of(page)}: {words}"
            found += 1
    assert found > 50


def values_of(option):
    """The values that pages give to an option, in commands and in sentences."""
    spans = [(name_of(page), words) for page in PAGES for words in option_words(page)]
    for where, words in [*ALL, *spans]:
        for before, value in zip(words, words[1:], strict=False):
            if before == option and not PLACEHOLDER.fullmatch(value):
                yield where, value


def test_models_tasks_and_splits_that_pages_name_exist(reader):
    """Since a tiny CLIP stands in for every model, and small data sets for the large ones."""
    weights = {"/".join(pair) for pair in open_clip.list_pretrained()}
    written = {f"local-dir:{out}" for _, out in values_of("--out")}
    for where, model in values_of("--model"):
        assert model in weights | written, f"{where}: {model}"
    known = {*task_names(), *catalogue.FAMILIES, *GIVEN, *OF_READERS}
    for where, task in values_of("--task"):
        assert task in known, f"{where}: {task}"
    splits = {name for task in standins.BUILDERS for name in few(task).evaluation}
    for where, names in values_of("--splits"):
        assert set(names.split(",")) <= splits, f"{where}: {names}"


def test_variables_of_make_in_sentences_are_used():
    found = [
        span for page in PAGES for span in typed.spans(page) if re.fullmatch("[A-Z]+=.+", span)
    ]
    found = [span for span in found if " " not in span]
    assert len(found) >= 3
    for span in found:
        name = span.partition("=")[0]
        assert re.search(rf"\$\((?:if \$\(|or \$\()?{name}\b", MAKEFILE), span


# Python


def python(name):
    """The blocks of Python of a page."""
    return [b.text for b in typed.blocks(ROOT / name) if b.language == "python"]


@pytest.fixture
def task():
    """Of twenty kinds of weather, with a shift: a model is neither perfect nor at chance on it."""
    weather = few("weather")
    return replace(weather, shifts={"turned": weather.test.select(range(20))})


@pytest.fixture
def small_library(reader, monkeypatch, task):
    """``wiseft_lite`` with IconCLIP and a small task for all, and two epochs in place of ten."""
    clip = load_clip("iconclip")
    monkeypatch.setattr(wiseft_lite, "load_clip", lambda name, *_: clip)
    monkeypatch.setattr(wiseft_lite, "load_task", lambda name, data=None: task)
    monkeypatch.setattr(wiseft_lite, "Recipe", partial(Recipe, epochs=2))
    return {name: getattr(wiseft_lite, name) for name in wiseft_lite.__all__}


def test_the_example_of_the_front_page_draws_a_frontier(small_library, task):
    space = {}
    for block in python("README.md"):
        exec(block, space)
    assert len(space["table"]) == 11 * len(task.evaluation)
    assert Path("frontier.png").stat().st_size > 5000


def test_the_cheat_sheet_needs_only_public_names_and_a_task(small_library, task):
    space = {**small_library, "task": task}
    for block in python("book/appendix/cheat_sheet.md"):
        exec(block, space)
    ends = [space[name].state_dict() for name in ("zero_shot", "fine_tuned")]
    for key, value in space["half_way"].state_dict().items():
        assert torch.allclose(value, (ends[0][key] + ends[1][key]) / 2, atol=1e-6), key


@pytest.mark.slow
def test_the_seventeen_methods_run_in_the_order_of_the_page(small_library):
    blocks = python("book/appendix/seventeen_methods.md")
    space = {}
    for block in blocks:
        exec(block, space)
    zero_shot = space["theta_0"]
    assert len(blocks) >= 17 and space["merged"].keys() == zero_shot.keys()
    assert any(not torch.equal(space["merged"][key], zero_shot[key]) for key in zero_shot)


def test_two_functions_of_chapter_9_return_what_the_comments_say():
    first, second = python("book/09_outputs_or_weights.ipynb")
    assert (
        eval(first.partition("\n")[2], {"torch": torch, "layer": peers.nn.Linear(1, 1, bias=False)})
        == 6
    )
    assert [v.item() for v in eval(second, {"torch": torch})] == [9, 6]


def test_the_line_for_drive_takes_the_arguments_of_the_setup_cell():
    from wiseft_lite.book import teaching

    (line,) = python("book/00_setup.ipynb")
    arguments = re.fullmatch(r"teaching\.ready\((.*)\)\n", line)[1]
    inspect.signature(teaching.ready).bind(**eval(f"dict({arguments})"))


# Messages


def test_commands_that_messages_docstrings_and_forms_name_exist():
    files = [p for f in ("wiseft_lite", "data_scripts") for p in (ROOT / f).rglob("*.py")]
    files += [*(ROOT / ".github").rglob("*.yml"), ROOT / "tests" / "colab" / "run.py"]
    found = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        for name, rest in re.findall(r"wiseft-lite ([a-z]+)\b([^'\"`\n]*)", text):
            assert name in COMMANDS, f"{path.name}: wiseft-lite {name}"
            options = set(re.findall(r"(?<!\S)--[a-z][\w-]*", rest))
            assert options <= set(COMMANDS[name]._option_string_actions), f"{path.name}: {options}"
            found += 1
        for script in re.findall(r"python (data_scripts/\w+\.py)", text):
            assert (ROOT / script).is_file(), f"{path.name}: {script}"
    assert found > 20
