"""Check all that a release needs, build and try the package, and make the tag: make release VERSION=0.2.0

The package is built from the last commit, in a copy where README's links lead to the repository at
this version: on the package index there is no folder that they could lead to. The wheel is installed
in an empty environment, where the demo and the examples of all docstrings run. With ``--dry-run``
everything but the tag is done, and what stands in the way of the tag is listed. Without ``--version`` the
package alone is built.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import setup_cell

import wiseft_lite
from wiseft_lite.book import ledger

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "build" / "dist"
# Generated pages are current, numbers are the ledger's, notebooks have no outputs, commands and names in prose exist.
STATIC_TESTS = [
    "tests/book/test_chapters.py",
    "tests/book/test_numbers.py",
    "tests/book/test_sizes.py",
    "tests/book/test_reference.py",
    "tests/book/test_setup_cell.py",
    "tests/book/test_ch12.py::test_the_page_of_coverage_is_up_to_date",
    "tests/book/test_publishing.py",
]
LARGEST_WHEEL = 30e6  # bytes


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command, show what it prints, and return it.

    Raises:
        SystemExit: it failed.
    """
    print("$", *command, flush=True)
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise SystemExit(f"{Path(str(command[0])).name} failed with exit code {done.returncode}")
    return done.stdout


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def changelog_heading(version: str, text: str) -> str | None:
    """Return what follows a version in its heading of the changelog, None if it has no heading.

    Example:
        >>> changelog_heading("0.2.0", "# Changelog\\n\\n## 0.2.0, 2027-01-31\\n")
        '2027-01-31'
    """
    found = re.search(rf"^## {re.escape(version)}, (.+)$", text, re.M)
    return found[1].strip() if found else None


def obstacles(version: str) -> Iterator[str]:
    """Yield what stands in the way of a tag, each with how to remove it."""
    if git("status", "--porcelain"):
        yield "the tree has changes that are not committed; commit them"
    if f"v{version}" in git("tag", "--list").split():
        yield f"there is a tag v{version} already; choose the next version"
    project = re.search(r'^version = "(.+)"', read("pyproject.toml"), re.M)
    citation = re.search(r"^version: (.+)", read("CITATION.cff"), re.M)
    for name, found in (
        ("pyproject.toml", project and project[1]),
        ("wiseft_lite/__init__.py", wiseft_lite.__version__),
        ("CITATION.cff", citation and citation[1]),
    ):
        if found != version:
            yield f"{name} has the version {found}; write {version}"
    heading = changelog_heading(version, read("CHANGELOG.md"))
    if heading is None:
        yield f"CHANGELOG.md has no heading '## {version}, DATE'; write what changed"
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", heading):
        yield f"CHANGELOG.md calls {version} {heading!r}; write the date instead"
    if setup_cell.repository() is None:
        yield "the address of the repository is not known; write it into _config.yml, repository: url"
    measured = {entry["code"].partition("+")[2] for entry in ledger.read().values()}
    present = ledger.code_version().partition("+")[2]  # a new version number alone changes nothing
    if measured != {present}:
        yield (
            f"the ledger's numbers were measured by the code {', '.join(sorted(measured))}, and this is "
            f"{present}; run: make ledger"
        )


def read(name: str) -> str:
    return (ROOT / name).read_text()


def absolute(text: str, url: str, version: str) -> str:
    """Return a page of Markdown whose relative links and images lead to the repository at a version.

    Example:
        >>> absolute("[a](book/a.md), [b](https://b.org)", "https://github.com/o/n", "0.2.0")
        '[a](https://github.com/o/n/blob/v0.2.0/book/a.md), [b](https://b.org)'
    """
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:|#)", rf"\1{url}/raw/v{version}/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\1{url}/blob/v{version}/", text)


def exported(folder: Path, url: str | None, version: str) -> None:
    """Write the last commit into a folder, with the addresses of the repository filled in."""
    archive = folder.with_suffix(".tar")
    git("archive", "--format", "tar", "--output", str(archive), "HEAD")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    if url is None:
        return
    readme, project = folder / "README.md", folder / "pyproject.toml"
    readme.write_text(absolute(readme.read_text(), url, version))
    urls = f'[project.urls]\nRepository = "{url}"\nChangelog = "{url}/blob/v{version}/CHANGELOG.md"\n\n'
    project.write_text(project.read_text().replace("[project.scripts]", urls + "[project.scripts]"))


def package(url: str | None, version: str) -> Path:
    """Build both distributions into ``build/dist``, check them, and return the wheel.

    Raises:
        SystemExit: they cannot be built, the index would refuse them, or they hold what they should not.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "sources"
        exported(sources, url, version)
        run(sys.executable, "-m", "build", "--outdir", DIST, sources)
    built = sorted(DIST.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *built)
    wheel = next(path for path in built if path.suffix == ".whl")
    for path in built:
        strange = [name for name in contents(path) if out_of_place(name)]
        if strange:
            raise SystemExit(f"{path.name} holds {', '.join(strange[:5])}; see MANIFEST.in")
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    if wheel.stat().st_size > LARGEST_WHEEL:
        raise SystemExit(f"{wheel.name} has more than {LARGEST_WHEEL / 1e6:.0f} MB")
    return wheel


def contents(path: Path) -> list[str]:
    """Return the names in a wheel or in a source distribution."""
    if path.suffix == ".whl":
        return zipfile.ZipFile(path).namelist()
    with tarfile.open(path) as tar:
        return tar.getnames()


def out_of_place(name: str) -> bool:
    """Whether a file of the repository does not belong in a package.

    Example:
        >>> out_of_place("wiseft_lite/weights.py"), out_of_place("tests/unit/test_weights.py")
        (False, True)
    """
    return name.endswith((".ipynb", ".pyc")) or bool(
        {"tests", "book"} & set(Path(name).parts) and "wiseft_lite" not in Path(name).parts
    )


def tried(wheel: Path, python: str) -> None:
    """Install a wheel in an empty environment and run what a new user runs, and every docstring.

    Args:
        wheel: the file.
        python: the interpreter of the environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if python == sys.executable:
            venv.create(place / "venv", with_pip=True)
        else:
            run(python, "-m", "venv", place / "venv")
        scripts = place / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        run(scripts / "python", "-m", "pip", "install", "--quiet", wheel, "pytest", cwd=place)
        run(scripts / "wiseft-lite", "doctor", cwd=place)
        run(scripts / "wiseft-lite", "demo", cwd=place)
        run(
            *(scripts / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--doctest-modules", "-o", "doctest_optionflags=NORMALIZE_WHITESPACE"),
            *("--pyargs", "wiseft_lite"),
            cwd=place,
        )


def release(version: str, dry: bool, pythons: list[str]) -> None:
    """Check, build, try, and make the tag.

    Raises:
        SystemExit: something is not as it should be; nothing is tagged then.
    """
    before_the_tag = list(obstacles(version))
    if before_the_tag and not dry:
        raise SystemExit("\n".join(["no release yet:", *(f"- {line}" for line in before_the_tag)]))
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *STATIC_TESTS)
    wheel = package(setup_cell.repository(), version)
    for python in pythons or [sys.executable]:
        tried(wheel, python)
    print(f"\nA release of {version} publishes:")
    for path in sorted(DIST.iterdir()):
        print(f"- {path.relative_to(ROOT)}, on the package index")
    print(f"- the tag v{version} of commit {git('rev-parse', '--short', 'HEAD')}")
    print("- the book's site, as the workflow 'site' builds it from the tag's commit")
    if dry:
        for line in before_the_tag:
            print(f"before the tag: {line}")
        return
    git("tag", "--annotate", f"v{version}", "--message", f"Version {version}")
    print(f"Tagged. Now: git push origin v{version}; the workflow 'release' does the rest.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--version", help="of the release, such as 0.2.0 (default: build the package only)"
    )
    parser.add_argument("--dry-run", action="store_true", help="do everything but the tag")
    parser.add_argument(
        "--try-with",
        metavar="PYTHON",
        action="append",
        default=[],
        help="install the wheel with this interpreter; may be repeated (default: the one that runs this)",
    )
    args = parser.parse_args()
    if args.version is None:
        package(setup_cell.repository(), wiseft_lite.__version__)
    else:
        release(args.version, args.dry_run, args.try_with)


if __name__ == "__main__":
    main()
