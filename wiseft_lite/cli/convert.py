"""``wiseft-lite import`` and ``export``: checkpoints from other libraries, and to open_clip."""

from __future__ import annotations

import argparse
from pathlib import Path

from wiseft_lite.cli.options import CHECKPOINT, add_command, add_layout, layout_of
from wiseft_lite.errors import UserError


def add_commands(commands: argparse._SubParsersAction) -> None:
    _add_import(commands)
    parser = add_command(
        commands,
        "export",
        export,
        "write a checkpoint as a folder that open_clip alone can load",
        out="results/exported",
    )
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument(
        "--text-encoder",
        metavar="MODEL",
        help="as --model of other commands: the model that holds the text encoder "
        "(default: the model that the checkpoint was made from)",
    )


def _add_import(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "import",
        import_file,
        "read a checkpoint of wise-ft, model-soups, OpenAI or open_clip",
        out="results/imported",
    )
    parser.add_argument("file", type=Path, help="the file; no code in it is executed")
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="class names, one per line, in the order of the file's head; leave it out for a whole "
        "CLIP",
    )
    add_layout(parser)
    parser.add_argument(
        "--text-encoder",
        metavar="MODEL",
        help="as --model of other commands: add its text encoder to a file that holds only an "
        "image encoder",
    )
    parser.add_argument("--sha256", help="expected SHA-256 of the file")


def import_file(args: argparse.Namespace) -> None:
    """Write a file with a head as a checkpoint, a whole CLIP as a folder in open_clip's layout."""
    from wiseft_lite import checkpoints
    from wiseft_lite._runtime.textfiles import read_lines
    from wiseft_lite.interop import interchange

    how = {**layout_of(args), "sha256": args.sha256}
    if args.classes is not None and args.text_encoder is not None:
        raise UserError(
            "--classes reads a classifier and --text-encoder makes a whole CLIP; give one of them"
        )
    if args.classes is None:
        interchange.import_clip(
            args.file, args.out, **how, text_encoder=args.text_encoder, overwrite=args.overwrite
        )
        print(f"written: {args.out}; use it with --model local-dir:{args.out}")
        return
    names = read_lines(args.classes, "--classes a text file, one class name per line")
    classifier = interchange.import_checkpoint(args.file, names, **how)
    checkpoints.save(classifier, args.out, overwrite=args.overwrite)
    print(f"written: {args.out} ({classifier.encoder_name}, {len(names)} classes)")


def export(args: argparse.Namespace) -> None:
    """Write a checkpoint in open_clip's layout."""
    from wiseft_lite import checkpoints
    from wiseft_lite.interop import interchange, published

    interchange.export_open_clip(
        checkpoints.load(published.checkpoint_folder(args.checkpoint)),
        args.out,
        text_encoder=args.text_encoder,
        overwrite=args.overwrite,
    )
    print(f"written: {args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")
