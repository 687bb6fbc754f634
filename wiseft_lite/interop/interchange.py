"""Import checkpoints of other libraries, export to open_clip. Nothing is unpickled, see ``pickles``."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite._runtime.outputs import new_folder
from wiseft_lite.checkpoints import portable
from wiseft_lite.encoders import (
    POSITIONS,
    Clip,
    Origin,
    architectures_of,
    build_encoder,
    described,
    fits,
    is_random,
    library,
    load_clip,
    open_clip_config,
    resized_positions,
)
from wiseft_lite.errors import UserError
from wiseft_lite.interop import layouts, pickles
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.weights import check_finite

CONFIG = "open_clip_config.json"


def import_checkpoint(
    path: str | Path,
    class_names: Sequence[str],
    *,
    architecture: str | None = None,
    image_size: int | None = None,
    prefix: str = "",
    sha256: str | None = None,
) -> ImageClassifier:
    """Load a classifier that another library fine-tuned.

    Supported are the files of ``mlfoundations/wise-ft`` (whole pickled modules, and state dicts
    with ``image_encoder.model.*`` and ``classification_head.*``) and of
    ``mlfoundations/model-soups`` (``model.*`` and ``classification_head.*``), and any other with an
    image encoder of open_clip and a ``classification_head``, whatever wraps them:
    ``DataParallel``, ``torch.compile``, the dictionary of a trainer; pickled or as safetensors.

    The weights do not determine the activation that they were trained with, and with the wrong one
    accuracy drops without any error. So it is taken from other evidence, or must be given. Evidence
    are the classes in a pickle, a configuration beside the file (``open_clip_config.json``,
    ``config.json``, or open_clip's ``params.txt``), and the layouts of wise-ft and model-soups,
    which fine-tune OpenAI's CLIP and so need QuickGELU.

    Args:
        path: the file.
        class_names: one for each row of the head, in its order; the files do not contain them.
        architecture: its name in open_clip, such as ``"ViT-B-32-quickgelu"``; inferred from shapes
            and other evidence if not given.
        image_size: of the imported model, in pixels, for a file whose image size differs from its
            architecture's; the positional embeddings are resized where they do not fit.
        prefix: of the keys of the model to import, where a file has several.
        sha256: expected hash of the file, as published with a download.

    Raises:
        UserError: the file cannot be read, is damaged or has no head, or the architecture is
            ambiguous.

    Source: src/models/modeling.py of wise-ft; utils.py of model-soups.
    """
    parts = _read(path, sha256, prefix)
    if "weight" not in parts.head:
        raise UserError(f"{path} has no classification head; {_advice_without_head(parts)}")
    weight, bias = parts.head["weight"], parts.head.get("bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise UserError(
            f"{path}: the head's weight {tuple(weight.shape)} does not fit its bias {tuple(bias.shape)}; the "
            "file is damaged, copy or download it again"
        )
    origin, image = _identified(
        Path(path), parts, parts.image, architecture, image_size, weight.shape[-1]
    )
    if len(weight) != len(class_names):
        raise UserError(
            f"{path}: the head has {len(weight)} rows but there are {len(class_names)} class names; "
            "give one for each row, in its order"
        )
    encoder, preprocess = build_encoder(
        origin, {key.removeprefix("visual."): tensor for key, tensor in image.items()}
    )
    head = Head(weight, bias)
    return ImageClassifier(
        encoder.requires_grad_(True), head, preprocess, class_names, origin.name
    ).eval()


def import_clip(
    path: str | Path,
    folder: str | Path,
    *,
    architecture: str | None = None,
    image_size: int | None = None,
    prefix: str = "",
    sha256: str | None = None,
    text_encoder: str | None = None,
    overwrite: bool = False,
) -> Clip:
    """Convert a file with a whole CLIP to a folder in open_clip's layout, and load that.

    Supported are OpenAI's files (TorchScript archives, of which only the weights are read) and
    state dicts, open_clip's state dicts and training checkpoints, and the same as safetensors,
    whatever wraps them. Load the folder again with ``load_clip("local-dir:FOLDER")``.

    Args:
        path: the file.
        folder: a new folder.
        architecture, image_size, prefix, sha256: see ``import_checkpoint``. A state dict does not
            show whether it needs QuickGELU; OpenAI's weights do.
        text_encoder: name of a CLIP model that provides the text encoder and the architecture, for
            a file with an image encoder alone, such as one fine-tuned from that model.
        overwrite: replace an existing model.

    Raises:
        UserError: the file cannot be read, is damaged or has no text encoder, or the architecture
            is ambiguous.
    """
    parts = _read(path, sha256, prefix)
    if text_encoder is not None:
        if architecture is not None:
            raise UserError(
                f"the architecture is that of {text_encoder!r}; remove architecture {architecture!r}"
            )
        clip = load_clip(text_encoder)
        model_cfg = clip.origin.config["model_cfg"]
        if not fits(model_cfg, _shapes(parts.image)):
            raise UserError(
                f"{path} does not have the shapes of the image encoder of {text_encoder!r}; name the model "
                "that it was fine-tuned from"
            )
        known = {text_encoder: model_cfg}
        _, model_cfg, image = _resolved(Path(path), known, parts.image, image_size, None)
        origin = Origin(clip.origin.name, {**clip.origin.config, "model_cfg": model_cfg})
        weights = {**clip.model.state_dict(), **image}
    elif parts.has_text_encoder:
        weights = {**parts.image, **parts.text}
        origin, image = _identified(Path(path), parts, weights, architecture, image_size)
        weights |= image
    else:
        raise UserError(f"{path} has no text encoder; {_advice_without_text(parts)}")
    _check_tokenizer(origin)
    _write(folder, origin.config, weights, overwrite=overwrite, check=_check_clip(path, folder))
    return load_clip(f"local-dir:{folder}")


def _check_clip(path: str | Path, folder: str | Path) -> Callable[[Path], None]:
    """Return a function that refuses a written model that ``load_clip`` would refuse."""

    def check(part: Path) -> None:
        try:
            load_clip(f"local-dir:{part}")
        except UserError as error:
            reason = str(error).replace(str(part), str(folder))
            raise UserError(
                f"{path} cannot be used as a CLIP, so {folder} is not written: {reason}"
            ) from error

    return check


def export_open_clip(
    classifier: ImageClassifier,
    folder: str | Path,
    *,
    text_encoder: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a classifier to a folder that open_clip can load without this library.

    ``open_clip.create_model_and_transforms("local-dir:FOLDER")`` loads the fine-tuned image encoder
    with the text encoder that it was pre-trained with. For an imported classifier without one, the
    image encoder alone is written to ``image_encoder.safetensors``, for ``create_model(ARCH,
    pretrained_image_path=...)``. The head, ``weight`` and ``bias``, is in ``head.safetensors``, its
    classes in ``class_names.json``: ``logits = encode_image(x, normalize=True) @ weight.T + bias``.

    A classifier has a digest of its text encoder, not the encoder itself. That is loaded under the
    name of the original model, and written only if it has the same digest.

    Args:
        classifier: the classifier to write.
        folder: a new folder.
        text_encoder: name of the CLIP model with the text encoder, such as ``"local-dir:PATH"``, if
            it was moved, or for an imported classifier.
        overwrite: replace an existing export.

    Raises:
        UserError: the encoder is not open_clip's, the text encoder is not found or another one, or
            the folder exists or cannot be written.
    """
    origin = getattr(classifier.encoder, "origin", None)
    if origin is None:
        raise UserError(
            f"the encoder {classifier.encoder_name!r} is not open_clip's, so open_clip cannot load it; "
            "save it as a checkpoint"
        )
    image = classifier.encoder.state_dict()
    weights, tokenizer = {f"visual.{key}": tensor for key, tensor in image.items()}, None
    if text_encoder is not None or not is_random(origin.name):
        clip = _with_text_encoder_of(origin, text_encoder)
        weights, tokenizer = {**clip.model.state_dict(), **weights}, clip.tokenizer
    return _write(folder, origin.config, weights, classifier, overwrite, tokenizer)


def _with_text_encoder_of(origin: Origin, name: str | None) -> Clip:
    """The CLIP model that an image encoder came from, or the named one, if its text encoder fits."""
    fix = "give the model that has it with text_encoder (--text-encoder local-dir:PATH)"
    if name is None and origin.text_encoder is None and origin.name.startswith("local-dir:"):
        raise UserError(
            f"the checkpoint, of an older version, does not record which text encoder belongs to it; {fix}"
        )
    try:
        clip = load_clip(name or origin.name)
    except UserError as error:
        raise UserError(f"the text encoder is not found: {error}; {fix}") from error
    if differences := origin.differences(clip.origin):
        raise UserError(
            f"{clip.name!r} and the classifier's encoder differ in their {' and '.join(differences)}, so it "
            f"does not have its text encoder; {fix}"
        )
    if origin.text_encoder not in (None, clip.origin.text_encoder):
        raise UserError(
            f"{clip.name!r} has another text encoder than the one that the classifier's head was made "
            f"with; {fix}"
        )
    return clip


def _check_tokenizer(origin: Origin) -> None:
    """Refuse a model that open_clip could not load from a folder without Hugging Face's files."""
    text = origin.config["model_cfg"].get("text_cfg", {})
    source = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if source:
        raise UserError(
            f"the text encoder of {origin.name!r} needs files of Hugging Face's {source!r}, which a folder "
            "in open_clip's layout does not have; save its image encoder and head as a checkpoint"
        )


def _write(
    folder: str | Path,
    config: dict,
    weights: Mapping[str, Tensor],
    classifier: ImageClassifier | None = None,
    overwrite: bool = False,
    tokenizer: Callable | None = None,
    check: Callable[[Path], None] = lambda part: None,
) -> Path:
    """Write a folder in open_clip's layout; what ``check`` refuses is not put into place."""
    from safetensors.torch import save_file

    with new_folder(folder, overwrite) as part:
        # Hugging Face's, whose files open_clip looks for in the folder
        if tokenizer is not None and hasattr(tokenizer, "save_pretrained"):
            tokenizer.save_pretrained(part)
        (part / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        if "logit_scale" in weights:
            save_file(
                portable(weights), part / "open_clip_model.safetensors", metadata={"format": "pt"}
            )
        else:
            image = {key.removeprefix("visual."): tensor for key, tensor in weights.items()}
            save_file(
                portable(image), part / "image_encoder.safetensors", metadata={"format": "pt"}
            )
        if classifier is not None:
            save_file(
                portable(classifier.head.state_dict()),
                part / "head.safetensors",
                metadata={"format": "pt"},
            )
            (part / "class_names.json").write_text(
                json.dumps(classifier.class_names, indent=1) + "\n"
            )
        check(part)
    return Path(folder)


def _read(path: str | Path, sha256: str | None, prefix: str) -> layouts.Parts:
    """Read the parts of a file in float32; weights that are not finite are an error."""
    from safetensors.torch import load_file

    path = Path(path)
    names: set[str] = set()
    if not os.path.isfile(path):
        raise UserError(f"{path} is not a file; read a folder written by save with load")
    if sha256 is not None and file_sha256(path) != sha256.lower():
        raise UserError(
            f"{path} has another hash than {sha256}; download it again, and use it only if the hash agrees"
        )
    if path.suffix == ".safetensors":
        try:
            # copies: the tensors of load_file are the file's own bytes, and it may be deleted
            weights = {key: tensor.clone() for key, tensor in load_file(path).items()}
        except Exception as error:
            raise UserError(f"{path} is damaged ({error}); copy or download it again") from error
    else:
        weights, names = pickles.read(path)
    parts = layouts.partition(weights, names, path, prefix)
    check_finite({**parts.image, **parts.text, **parts.head}, str(path))
    return layouts.Parts(
        _float32(parts.image), _float32(parts.text), _float32(parts.head), parts.clues
    )


def _float32(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in weights.items()
    }


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in weights.items()}


def _advice_without_head(parts: layouts.Parts) -> str:
    if parts.has_text_encoder:
        return (
            "read the whole CLIP with import_clip ('wiseft-lite import FILE' without --classes), and build a head "
            "with zero_shot_classifier ('wiseft-lite zeroshot --model local-dir:FOLDER')"
        )
    return (
        "and no text encoder to build one; read it with import_clip and the text encoder of the model that it "
        "was fine-tuned from ('wiseft-lite import FILE --text-encoder ARCH/PRETRAINED'), and build a head with "
        "zero_shot_classifier ('wiseft-lite zeroshot --model local-dir:FOLDER')"
    )


def _advice_without_text(parts: layouts.Parts) -> str:
    if parts.head:
        return (
            "read its image encoder and its head with import_checkpoint "
            "('wiseft-lite import FILE --classes NAMES', one class name per line)"
        )
    return (
        "and no head; name the model that it was fine-tuned from with text_encoder ('wiseft-lite import FILE "
        "--text-encoder ARCH/PRETRAINED')"
    )


# The architecture of the weights


def _identified(
    path: Path,
    parts: layouts.Parts,
    weights: Mapping[str, Tensor],
    wanted: str | None,
    image_size: int | None,
    embed_dim: int | None = None,
) -> tuple[Origin, dict[str, Tensor]]:
    """The one architecture that fits the shapes, the evidence and the arguments, and the image
    encoder's weights at its image size."""
    beside = _configuration_beside(path, parts.image)
    quick = None
    if wanted is None:
        quick = _activation(path, {**parts.clues, **_clues_beside(path, parts.image, beside)})
    if wanted is None and beside:
        known = {path.resolve().parent.name: beside["model_cfg"]}
    else:
        known = _known(path, _shapes(weights), embed_dim, wanted)
    name, model_cfg, image = _resolved(path, known, parts.image, image_size, quick)
    preprocess_cfg = beside["preprocess_cfg"] if beside is not None else _usual_preprocessing(name)
    return Origin(f"{name}/none", {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}), image


def _activation(path: Path, clues: Mapping[str, bool]) -> bool | None:
    """Whether the evidence implies QuickGELU; None without any, and an error if it disagrees."""
    if len(set(clues.values())) > 1:
        reasons = [f"{'QuickGELU' if quick else 'GELU'} ({clue})" for clue, quick in clues.items()]
        raise UserError(
            f"{path}: evidence of its activation disagrees: {' against '.join(reasons)}; state which it has "
            "with architecture, such as ViT-B-32 or ViT-B-32-quickgelu"
        )
    return next(iter(clues.values()), None)


def _known(
    path: Path, shapes: Mapping[str, torch.Size], embed_dim: int | None, wanted: str | None = None
) -> dict[str, dict]:
    """open_clip's architectures that fit at some image size; only ``wanted``, if it is given."""
    if wanted is not None and wanted not in library().list_models():
        near = difflib.get_close_matches(wanted, library().list_models(), n=3, cutoff=0.3)
        raise UserError(
            f"unknown architecture {wanted!r}; did you mean {', '.join(near) or 'ViT-B-32'}?"
        )
    known = architectures_of(
        shapes, any_size=True, embed_dim=embed_dim, names=[wanted] if wanted else None
    )
    if known:
        return known
    others = architectures_of(shapes, any_size=True)
    if wanted in others or others and wanted is None:
        features = next(iter(others.values()))["embed_dim"]
        raise UserError(
            f"{path}: the head's {embed_dim} features do not fit the {features} of the image encoder; the "
            "file is damaged, copy or download it again"
        )
    if wanted is None:
        raise UserError(
            f"{path} fits no architecture of open_clip; its image encoder is another model, or damaged"
        )
    advice = "no architecture of open_clip fits"
    if others:
        advice = f"they are those of {', '.join(others)}"
    raise UserError(f"{path} does not have the shapes of {wanted!r}; {advice}")


def _resolved(
    path: Path,
    known: Mapping[str, dict],
    image: Mapping[str, Tensor],
    image_size: int | None,
    quick: bool | None,
) -> tuple[str, dict, dict[str, Tensor]]:
    """The only one of the ``known`` architectures that the image size and the activation leave."""
    grid, known = _grid(image), _distinct(known)
    exact = [
        name
        for name, config in known.items()
        if grid in (None, _image_size(config) // _patch(config))
    ]
    first = known[exact[0] if exact else next(iter(known))]
    patch, usual = _patch(first), _image_size(first)
    own = usual if exact or grid is None else grid * patch
    if image_size is None and not exact:
        raise UserError(
            f"{path} has positional embeddings for images of {own} x {own} pixels, {' and '.join(known)} "
            f"for {usual}; keep the model as it is with image_size={own} (--image-size {own}), or resize "
            f"them with image_size={usual}"
        )
    size = own if image_size is None else image_size
    if size < patch or grid is None and size != own:
        raise UserError(
            f"{path}: the image size of {' and '.join(known)}, {own} pixels, cannot be changed to {size}; "
            "remove image_size"
        )
    if quick is None and len({_is_quick(config) for config in known.values()}) > 1:
        both = len({_is_quick(known[name]) for name in exact}) > 1
        raise UserError(
            f"{path} may be {' or '.join(exact if both else known)}; state which with architecture (OpenAI's "
            "weights, and models fine-tuned from them, need QuickGELU)"
        )
    variants = {name: _variant(config, size, quick) for name, config in known.items()}
    if len(_distinct(variants)) > 1:
        raise UserError(
            f"{path} may be {' or '.join(exact or known)}; state which with architecture"
        )
    name = min(
        known,
        key=lambda name: (
            _is_quick(known[name]) != _is_quick(variants[name]),
            _image_size(known[name]) != size,
            len(name),
        ),
    )
    if grid not in (None, size // patch):
        image = {
            key: resized_positions(tensor, size // patch) if key in POSITIONS else tensor
            for key, tensor in image.items()
        }
    return name, variants[name], dict(image)


def _distinct(known: Mapping[str, dict]) -> dict[str, dict]:
    """One name per image encoder: some architectures differ in their text encoders alone."""

    def preference(name: str) -> tuple[bool, int]:
        return "hf_model_name" in known[name].get("text_cfg", {}), len(name)

    best_last = sorted(known, key=preference, reverse=True)
    names = {json.dumps(described(known[name]), sort_keys=True): name for name in best_last}
    return {name: config for name, config in known.items() if name in names.values()}


def _variant(model_cfg: dict, image_size: int, quick: bool | None) -> dict:
    """The architecture at another image size, with QuickGELU or not if that is known."""
    vision = {**model_cfg["vision_cfg"], "image_size": image_size}
    quick = _is_quick(model_cfg) if quick is None else quick
    return {**model_cfg, "vision_cfg": vision, "quick_gelu": quick}


def _is_quick(model_cfg: Mapping) -> bool:
    return bool(model_cfg.get("quick_gelu"))


def _image_size(model_cfg: Mapping) -> int:
    return model_cfg["vision_cfg"].get("image_size", 224)


def _patch(model_cfg: Mapping) -> int:
    """Side of a patch in pixels, or a ResNet's total stride."""
    vision = model_cfg["vision_cfg"]
    return 32 if isinstance(vision.get("layers"), list) else vision.get("patch_size", 16)


def _grid(image: Mapping[str, Tensor]) -> int | None:
    """Patches per side, from the number of positional embeddings; None where there are none."""
    positions = next((image[key] for key in POSITIONS if key in image), None)
    return None if positions is None else math.isqrt(len(positions) - 1)


def _usual_preprocessing(architecture: str) -> dict:
    """The preprocessing of an architecture's released weights: OpenAI's if any of them uses it."""
    default = open_clip_config(f"{architecture}/none")["preprocess_cfg"]
    tags = library().list_pretrained_tags_by_model(architecture)
    released = [open_clip_config(f"{architecture}/{tag}")["preprocess_cfg"] for tag in tags]
    return default if default in released or not released else released[0]


# Configurations beside the file


def _configuration_beside(path: Path, image: Mapping[str, Tensor]) -> dict | None:
    """The ``open_clip_config.json`` in the file's folder, if it describes this image encoder."""
    if not (path.parent / CONFIG).is_file():
        return None
    config = open_clip_config(f"local-dir:{path.parent}")
    try:
        same = fits(config["model_cfg"], _shapes(image))
    except Exception as error:  # of any kind, for a configuration unknown to open_clip or timm
        raise UserError(
            f"{path.parent / CONFIG} is not a model that this open_clip can build ({error}); move it away "
            "or upgrade open_clip_torch"
        ) from error
    return config if same else None


def _clues_beside(
    path: Path, image: Mapping[str, Tensor], configuration: dict | None
) -> dict[str, bool]:
    """Whether the configurations beside a file imply QuickGELU, if they fit the image encoder."""
    clues = {}
    if configuration is not None:
        clues[f"{CONFIG} beside it"] = _is_quick(configuration["model_cfg"])
    activation = _transformers_activation(path.parent / "config.json", image)
    if activation is not None:
        clues["config.json beside it"] = activation == "quick_gelu"
    run = path.resolve().parent
    if run.name == "checkpoints":  # where open_clip's training writes them, beside params.txt
        run = run.parent
    quick = _trained_with_quick_gelu(run / "params.txt", image)
    if quick is not None:
        clues["the params.txt of its training with open_clip"] = quick
    return clues


def _trained_with_quick_gelu(path: Path, image: Mapping[str, Tensor]) -> bool | None:
    """Whether open_clip's ``params.txt`` of a training run implies QuickGELU; None if unclear."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    settings = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    model_cfg = library().get_model_config(settings.get("model", "").replace("/", "-"))
    if model_cfg is None or not fits(model_cfg, _shapes(image)):
        return None
    if settings.get("force_quick_gelu") == "True" or _is_quick(model_cfg):
        return True
    if settings.get("pretrained") == "openai":  # open_clip's versions differ
        return None
    return False


def _transformers_activation(path: Path, image: Mapping[str, Tensor]) -> str | None:
    """The activation in Hugging Face's ``config.json``, if it fits the image encoder's width."""
    try:
        vision = json.loads(path.read_text(encoding="utf-8")).get("vision_config", {})
        same = vision.get("hidden_size") == image["visual.conv1.weight"].shape[0]
    except (OSError, ValueError, KeyError, AttributeError):
        return None  # no such file, or of another program
    return vision.get("hidden_act") if same else None
