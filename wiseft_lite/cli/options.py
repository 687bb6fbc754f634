"""Options that several commands take, and what their values mean in Python."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from wiseft_lite._runtime.outputs import check_folder
from wiseft_lite.errors import UserError
from wiseft_lite.recipes import PRECISIONS, Compute, Recipe

OWN, OTHER = "iconclip", "ViT-B-32/openai"  # models of the two sorts that recipes are made for


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Appends the default of an option to its help, unless the text states it in words."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, "") or isinstance(action.default, bool):
            return action.help
        return super()._get_help_string(action)


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], None],
    text: str,
    *,
    out: str | None = None,
    check: Callable[[Path, bool], None] = check_folder,
    distributed: bool = False,
) -> argparse.ArgumentParser:
    """Add a command and return its parser.

    Args:
        commands: where to add it.
        name: what the user types.
        run: does the work, from the parsed options.
        text: help.
        out: default of ``--out``; None for a command that writes no result.
        check: raises if ``--out`` cannot be written, before any work.
        distributed: whether several processes share the work; otherwise the main one does it.
    """
    parser = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
    parser.set_defaults(run=run, check=check, distributed=distributed)
    if out is not None:
        parser.add_argument("--out", type=Path, default=Path(out), help="where to write the result")
        parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default="iconclip",
        help="iconclip, a name of open_clip such as ViT-B-32/openai, or local-dir:PATH",
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="where to compute (default: cuda if available)"
    )


def device_of(args: argparse.Namespace) -> str:
    """The device of ``--device``, or the default one."""
    import torch

    available = torch.cuda.is_available()
    if args.device == "cuda" and not available:
        raise UserError(
            "--device cuda, but torch finds no GPU; see 'wiseft-lite doctor', or pass --device cpu"
        )
    return args.device or ("cuda" if available else "cpu")


def add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        default="iconshift",
        help="a name listed by 'wiseft-lite tasks', or a folder or .csv file of your own images",
    )
    add_data(parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, help="folder of the data sets (default: $WISEFT_DATA, or ~/data)"
    )


def add_splits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--splits", help="comma-separated names (default: test and every shift)")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="evaluate N random images of each split, always the same, for a quick look (default: all)",
    )


def splits_of(args: argparse.Namespace, task) -> dict:
    """The splits of ``--splits`` by name, or the default ones, as far as ``--limit`` allows."""
    names = list(task.evaluation) if args.splits is None else names_in(args.splits, "--splits")
    return {name: limited(args, task.split(name)) for name in names}


def limited(args: argparse.Namespace, split):
    """A split, or the part of it that ``--limit`` allows."""
    return split if args.limit is None else split.sample(args.limit)


CHECKPOINT = (
    "a checkpoint of this library, or a published model, downloaded if need be: "
    "model-soups/vit-l14-zeroshot, model-soups/vit-l14-finetuned, model-soups/b32/0 to 71"
)


def names_in(text: str, option: str) -> list[str]:
    """The names in a comma-separated option, each once, without blanks around them.

    Raises:
        UserError: one of them is empty.

    Example:
        >>> names_in("test, night,test", "--splits")
        ['test', 'night']
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(names):
        raise UserError(f"{option} {text!r} has an empty name in it; separate names by one comma")
    return names


def add_recipe(
    parser: argparse.ArgumentParser,
    recipe_for: Callable[[str], Recipe],
    *,
    title: str = "recipe",
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> None:
    """Add an option for each field of ``Recipe``, with its type, its description and its default.

    Args:
        parser: of the command.
        recipe_for: the recipe to start from, given the name of a model.
        title: of these options in the help.
        only: the fields to add; all of them if not given.
        without: fields that have no effect on what the command trains.
    """
    group = parser.add_argument_group(title)
    types: dict[str, Any] = get_type_hints(Recipe)
    texts = _descriptions(Recipe)
    own, other = recipe_for(OWN), recipe_for(OTHER)
    for name in [field.name for field in fields(Recipe)] if only is None else only:
        if name not in without:
            default = _default(getattr(own, name), getattr(other, name))
            group.add_argument(
                f"--{name.replace('_', '-')}",
                type=READERS[types[name]],
                help=f"{texts[name]} {default}".replace("%", "%%"),
            )


def _descriptions(cls: type) -> dict[str, str]:
    """What the docstring of a dataclass states under ``Args``, by field."""
    section = (inspect.getdoc(cls) or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.split(r"^    (\w+): ", section, flags=re.MULTILINE)[1:]
    texts = [" ".join(text.split()).rstrip(".").replace("``", "") for text in entries[1::2]]
    found = dict(zip(entries[::2], texts, strict=True))
    return {field.name: found.get(field.name, "") for field in fields(cls)}


def _default(own: object, other: object) -> str:
    """The default of a field as the help shows it, for IconCLIP and for every other model."""
    if own == other:
        return f"(default: {_typed(own)})"
    return f"(default: {_typed(own)} for iconclip, {_typed(other)} for other models)"


def _typed(value: object) -> str:
    """A value as one would type it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _steps_or_fraction(text: str) -> int | float:
    """Warm-up as ``Recipe`` has it: 500 is a number of steps, 0.1 a fraction of the run."""
    return int(text) if text.isdigit() else float(text)


def _two_numbers(text: str) -> tuple[float, float]:
    first, second = map(float, text.split(","))
    return first, second


READERS: dict[Any, Callable[[str], Any]] = {  # by the type of a field
    int: int,
    float: float,
    str: str,
    int | float: _steps_or_fraction,
    tuple[float, float]: _two_numbers,
}


def recipe_of(args: argparse.Namespace, base: Recipe) -> Recipe:
    """The recipe ``base`` with the values that the command line gives."""
    given = {field.name: getattr(args, field.name, None) for field in fields(base)}
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def add_resume(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    option.help = "continue this command where it was interrupted, or start again (default: resume)"


def add_compute(parser: argparse.ArgumentParser, *, trains: bool) -> None:
    """Add the options of ``Compute``.

    Args:
        parser: of the command.
        trains: whether the command fine-tunes, so that those for less memory apply.
    """
    group = parser.add_argument_group("how to compute")
    texts = {name: text.replace("%", "%%") for name, text in _descriptions(Compute).items()}
    for field in fields(Compute):
        flag = f"--{field.name.replace('_', '-')}"
        if field.name == "precision":
            group.add_argument(flag, choices=PRECISIONS, default="auto", help=texts[field.name])
        elif field.name == "workers":
            group.add_argument(flag, type=int, metavar="N", help=texts[field.name])
        elif trains and field.type == "bool":
            group.add_argument(flag, action="store_true", help=texts[field.name])
        elif trains:
            group.add_argument(flag, type=int, metavar="N", help=texts[field.name])


def compute_of(args: argparse.Namespace) -> Compute:
    """The ``Compute`` that the command line describes.

    On a GPU, matrix products of float32 may use TF32 unless ``--precision float32`` is given.
    """
    import torch

    given = {
        field.name: getattr(args, field.name) for field in fields(Compute) if field.name in args
    }
    if given.get("precision") != "float32":
        torch.set_float32_matmul_precision("high")
    return Compute(**given)


def add_layout(parser: argparse._ActionsContainer) -> None:
    """Add the options that describe a file of another library, see ``layout_of``."""
    parser.add_argument(
        "--architecture",
        metavar="ARCH",
        help="open_clip's name for it (default: inferred from shapes, and from clues in the file)",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="image size of the result, for a file trained at another size than its architecture's; "
        "positional embeddings are resized if they have another (default: the architecture's)",
    )
    parser.add_argument(
        "--prefix", default="", help="beginning of the model's keys, for a file with several models"
    )


def layout_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options of ``add_layout`` as arguments of ``import_checkpoint``."""
    return {key: getattr(args, key) for key in ("architecture", "image_size", "prefix")}
