"""The only module that knows open_clip: model names, preprocessing, tokenizer."""

from __future__ import annotations

import copy
import difflib
import functools
import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from wiseft_lite._runtime.digest import digest
from wiseft_lite.errors import UserError
from wiseft_lite.weights import check_finite

ICONCLIP = Path(__file__).resolve().parent / "assets" / "iconclip"
POSITIONS = ("visual.positional_embedding", "visual.attnpool.positional_embedding")  # ViT, ResNet


@dataclass(frozen=True)
class Origin:
    """Description of an image encoder from which it can be built; kept as ``encoder.origin``.

    Args:
        name: of the model that ``load_clip`` loaded, with the full path of a folder; the text
            encoder is searched there first.
        config: open_clip's configuration, ``{"model_cfg": ..., "preprocess_cfg": ...}``.
        text_encoder: digest of the pre-trained weights outside the image encoder; None if there
            are none, or if an older version stored no digest.
    """

    name: str
    config: dict
    text_encoder: str | None = None

    def differences(self, other: Origin) -> list[str]:
        """What differs besides the weights; empty if one can load the other's weights."""
        same = {
            "architecture": described(self.config["model_cfg"])
            == described(other.config["model_cfg"]),
            "preprocessing": self.config["preprocess_cfg"] == other.config["preprocess_cfg"],
        }
        return [what for what, equal in same.items() if not equal]


@dataclass(frozen=True)
class Clip:
    """A contrastively pre-trained image and text encoder, with preprocessing and tokenizer.

    Args:
        name: the name it was loaded by.
        model: open_clip's model, in float32 and eval mode.
        preprocess: evaluation transform, PIL image to tensor ``[3, h, w]``.
        tokenizer: list of strings to int64 ``[n, context]``.
    """

    name: str
    model: torch.nn.Module
    preprocess: Callable
    tokenizer: Callable

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str], batch_size: int = 1024) -> Tensor:
        """L2-normalised text embeddings ``[n, d]``, computed ``batch_size`` texts at a time."""
        device = next(self.model.parameters()).device
        parts = self.tokenizer(list(texts)).split(batch_size)
        return F.normalize(
            torch.cat([self.model.encode_text(part.to(device)) for part in parts]), dim=-1
        )

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The parameters of both encoders."""
        return self.model.parameters()

    def token_embeddings(self, text: str) -> Tensor:
        """Input embeddings ``[m, width]`` of the ``m`` tokens of a text, without start and end."""
        table = self._token_table
        tokens = self.tokenizer([text])[0]
        end = int(tokens.argmax())  # the end token has the largest id, as in CLIP's own pooling
        words = tokens[1:end]
        return table(words.to(table.weight.device)).detach().clone()

    def encode_with_context(self, context: Tensor, texts: Sequence[str]) -> Tensor:
        """L2-normalised embeddings ``[n, d]`` of texts that begin with the vectors ``context``.

        Gradients flow to ``context``.

        Args:
            context: ``[M, width]``, prepended to every text; see ``token_embeddings``.
            texts: ``n`` strings, such as ``"cat."``.

        Raises:
            UserError: vectors and text are longer than the text encoder's context.
        """
        m, table = len(context), self._token_table
        alone = self.tokenizer(list(texts))
        tokens = self.tokenizer([" ".join(["x"] * m + [text]) for text in texts])  # placeholders
        fits = (
            torch.cat([alone[:, :1], alone[:, 1 : alone.shape[1] - m]], 1)
            == torch.cat([tokens[:, :1], tokens[:, m + 1 :]], 1)
        ).all(1)
        if not fits.all():
            raise UserError(
                f"{m} vectors and {texts[int(fits.int().argmin())]!r} do not fit into the "
                f"{tokens.shape[1]} tokens of {self.name}; give fewer vectors or a shorter name"
            )

        def replace(_module, _tokens, words: Tensor) -> Tensor:
            return torch.cat(
                [words[:, :1], context.expand(len(words), -1, -1), words[:, m + 1 :]], dim=1
            )

        hook = table.register_forward_hook(replace)  # the rest of the encoder is open_clip's own
        try:
            return F.normalize(self.model.encode_text(tokens.to(context.device)), dim=-1)
        finally:
            hook.remove()

    @property
    def _token_table(self) -> torch.nn.Module:
        text = getattr(self.model, "text", self.model)
        if not hasattr(text, "token_embedding") or not isinstance(
            self.tokenizer, library().SimpleTokenizer
        ):
            raise UserError(
                f"the words of {self.name} cannot be replaced: its text encoder or its tokenizer is not "
                "CLIP's own; use a model such as ViT-B-32"
            )
        return text.token_embedding

    @property
    def origin(self) -> Origin:
        """The description of the image encoder."""
        return self.model.visual.origin

    @property
    def logit_scale(self) -> float:
        """CLIP's inverse temperature, the factor before its softmax.

        SigLIP also adds a bias. It is the same for all classes, so softmax and argmax do not
        depend on it and a head omits it.
        """
        return float(self.model.logit_scale.detach().exp())

    def image_encoder(self) -> torch.nn.Module:
        """A copy of the image encoder to train, ``[b, 3, h, w] -> [b, d]``."""
        encoder = copy.deepcopy(self.model.visual)
        if getattr(encoder, "output_tokens", False):
            encoder.output_tokens = False  # CoCa's captions need tokens besides the embedding
        return encoder.requires_grad_(True)


def load_clip(name: str = "iconclip", device: str | torch.device = "cpu") -> Clip:
    """Load a CLIP model.

    Args:
        name: ``"iconclip"`` (ships with the package), ``"ARCH/pretrained"`` as open_clip names
            them, such as ``"ViT-B-32/openai"`` (``"ARCH/none"``: random weights, always the same),
            or ``"local-dir:PATH"``, a folder in open_clip's layout: ``open_clip_config.json`` and
            ``open_clip_model.safetensors``.
        device: device of the weights, such as ``"cuda"``; classifiers made from it are there too.

    Raises:
        UserError: an unknown name; an architecture that cannot be used on this machine; files that
            are missing, damaged, or do not belong together.

    Example:
        >>> load_clip("iconclip").encode_text(["an icon of a cat."]).shape
        torch.Size([1, 128])
    """
    open_clip, folder = library(), _folder(name)
    config = open_clip_config(name)
    reason = refusal(config["model_cfg"])
    if reason is not None:
        raise UserError(f"model {name!r} cannot be used: {reason}")
    source, tag = (f"local-dir:{folder}", None) if folder else _checked(name)
    weights = _weights_file(folder) if folder else None
    if folder:
        _check_tokenizer(folder, config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"))
    with _as_user_error(name, "check the files" if folder else "check the network and the disk"):
        tokenizer = open_clip.get_tokenizer(source)  # first: it is small
        if tag is None:
            model = blank(source)
        else:
            model = open_clip.create_model(
                source,
                pretrained=tag,
                require_pretrained=True,
                force_quick_gelu=bool(config["model_cfg"].get("quick_gelu")),
            )
    if weights is not None:
        _load(model, weights)
    check_finite(model.state_dict(), f"model {name!r}")
    model.visual.origin = Origin(full_name(name), config, text_digest(name, model))
    return Clip(
        name,
        model.to(device).eval().requires_grad_(False),
        Preprocess(model.visual.preprocess_cfg),
        tokenizer,
    )


def library():
    """Return the module ``open_clip``, imported without a warning about progress bars."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import open_clip
    return open_clip


def refusal(config: Mapping[str, Any]) -> str | None:
    """Return why a model cannot be used on this machine, and the fix; None if it can.

    Args:
        config: open_clip's configuration of an architecture, ``model_cfg`` of ``open_clip_config``.

    Example:
        >>> refusal(open_clip_config("ViT-B-32/none")["model_cfg"]) is None
        True
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    for part, key in (("text encoder", "hf_model_name"), ("tokenizer", "hf_tokenizer_name")):
        if text.get(key) and importlib.util.find_spec("transformers") is None:
            return (
                f"its {part} is {text[key]} of Hugging Face; pip install 'wiseft-lite[huggingface]', or "
                "transformers and sentencepiece"
            )
    if vision.get("timm_model_name"):
        import timm

        if not timm.is_model(vision["timm_model_name"]):
            return f"timm {timm.__version__} has no {vision['timm_model_name']}; pip install --upgrade timm"
    return None


def _folder(name: str) -> Path | None:
    """The folder of a model; None if the name is one of open_clip's."""
    if name == "iconclip":
        return ICONCLIP
    return Path(name.removeprefix("local-dir:")) if name.startswith("local-dir:") else None


def _checked(name: str) -> tuple[str, str | None]:
    """Split ``ARCH/pretrained`` after checking both halves against open_clip's lists."""
    open_clip = library()
    arch, slash, tag = name.partition("/")
    known = {f"{a}/{t}" for a, t in open_clip.list_pretrained()}
    if slash and tag == "none" and arch in open_clip.list_models():
        return arch, None
    if name not in known:
        near = difflib.get_close_matches(name, ["iconclip", *known], n=3, cutoff=0.3)
        openais_own = f"{name.replace('/', '-').replace('@', '-').removesuffix('px')}/openai"  # of ViT-L/14@336px
        near = [openais_own] if openais_own in known else near
        raise UserError(f"unknown model {name!r}; did you mean {', '.join(near) or 'iconclip'}?")
    return arch, tag


def full_name(name: str) -> str:
    """Return the name of a model with the full path of its folder."""
    folder = name.removeprefix("local-dir:")
    return name if folder == name else f"local-dir:{Path(folder).resolve()}"


def is_random(name: str) -> bool:
    """Return whether a name of ``load_clip`` means random weights, as ``"ARCH/none"`` does."""
    return name.endswith("/none") and not name.startswith("local-dir:")


def text_digest(name: str, model: torch.nn.Module) -> str | None:
    """Return a digest of all weights outside the image encoder; None if they are random."""
    if is_random(name):
        return None
    return digest(
        {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("visual.")}
    )


def open_clip_config(name: str) -> dict:
    """Return the ``open_clip_config.json`` of a model: architecture and preprocessing.

    No weights are created or downloaded.

    Raises:
        UserError: an unknown name, or a folder without a configuration that can be read.

    Example:
        >>> open_clip_config("iconclip")["model_cfg"]["embed_dim"]
        128
    """
    folder, transform = _folder(name), library().transform
    if folder is not None:
        config = _read_config(folder / "open_clip_config.json")
        model_cfg, trained_with = config["model_cfg"], config.get("preprocess_cfg", {})
    else:
        arch, tag = _checked(name)
        model_cfg = library().get_model_config(arch)
        trained_with = library().get_pretrained_cfg(arch, tag) if tag else {}
        if trained_with.get("quick_gelu"):  # plain names hide it
            model_cfg["quick_gelu"] = True
    preprocess_cfg = transform.merge_preprocess_dict(transform.PreprocessCfg(), trained_with)
    keys = ("mean", "std", "interpolation", "resize_mode")
    config = {"model_cfg": model_cfg, "preprocess_cfg": {key: preprocess_cfg[key] for key in keys}}
    return json.loads(json.dumps(config))  # lists for tuples, as a file gives it back


def build_encoder(
    origin: Origin, weights: Mapping[str, Tensor] | None = None
) -> tuple[torch.nn.Module, Preprocess]:
    """Return an image encoder and its preprocessing, without a download.

    Args:
        origin: its description.
        weights: its state dict. Float32 tensors become its parameters, so that no second copy of
            them is in memory; others are converted. Random ones if not given.

    Raises:
        UserError: open_clip cannot build what the configuration describes.

    Example:
        >>> encoder, preprocess = build_encoder(load_clip("iconclip").origin)
        >>> encoder.output_dim
        128
    """
    advice = "its configuration is damaged, or of another version of open_clip or timm"
    with _as_user_error(origin.name, advice), _fixed_seed():
        encoder = _with_weights(origin.config["model_cfg"], weights)
        library().set_model_preprocess_cfg(
            encoder, {**origin.config["preprocess_cfg"], "size": encoder.image_size}
        )
        preprocess = Preprocess(encoder.preprocess_cfg)
    encoder.origin = origin
    return encoder, preprocess


def _with_weights(model_cfg: Mapping, weights: Mapping[str, Tensor] | None) -> torch.nn.Module:
    """Return an image encoder of a configuration, on the meta device until its weights are there."""
    if weights is None:
        return image_encoder(model_cfg)
    with torch.device("meta"):
        encoder = image_encoder(model_cfg)
    stored = encoder.state_dict().keys()
    if any(name not in stored for name, _ in encoder.named_buffers()):  # computed when it is built
        encoder = image_encoder(model_cfg)
    encoder.load_state_dict(
        {key: w.float() if w.is_floating_point() else w for key, w in weights.items()}, assign=True
    )
    return encoder


def _read_config(path: Path) -> dict:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= config["model_cfg"].keys():
            raise ValueError("its model_cfg lacks embed_dim, vision_cfg or text_cfg")
        if not all(
            isinstance(config["model_cfg"][key], dict) for key in ("vision_cfg", "text_cfg")
        ):
            raise ValueError("its vision_cfg and text_cfg must be objects")
    except FileNotFoundError:
        raise UserError(
            f"{path.parent} holds no {path.name}; give a folder in open_clip's layout"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no configuration of open_clip ({error!r}); copy the model again"
        ) from error
    return config


def _weights_file(folder: Path) -> Path:
    """The safetensors file of a model folder; pickles are left to the command ``import``."""
    for name in (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "model.safetensors",
    ):
        if (folder / name).exists():
            return folder / name
    others = sorted(
        path.name
        for path in folder.glob("*")
        if path.suffix in (".safetensors", ".bin", ".pth", ".pt")
    )
    pickles = [name for name in others if not name.endswith(".safetensors")]
    if pickles:
        raise UserError(
            f"{folder} holds its weights as a pickle, {pickles[0]}, which could run code; rewrite it as a "
            f"new folder: wiseft-lite import {folder / pickles[0]} --out NEW_FOLDER"
        )
    raise UserError(
        f"no weights in {folder}{' but ' + ', '.join(others) if others else ''}: put "
        "open_clip_model.safetensors there, with the whole model, image encoder and text encoder"
    )


def _check_tokenizer(folder: Path, source: str | None) -> None:
    """Raise if the folder lacks a Hugging Face tokenizer, which transformers does not report."""
    if source and not any(
        (folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")
    ):
        raise UserError(
            f"{folder} holds no tokenizer.json: copy the files of the tokenizer {source} there, "
            "from Hugging Face or from the source of the model"
        )


def _load(model: torch.nn.Module, path: Path) -> None:
    """Load the weights of a safetensors file into a model; their keys must match exactly."""
    from safetensors import SafetensorError

    try:
        odd = library().load_checkpoint(model, str(path), strict=False)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); copy or download it again") from error
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"{path} does not fit its open_clip_config.json: {str(error).splitlines()[-1].strip()}; "
            "copy both from one model"
        ) from error
    wrong = [
        f"{what} {', '.join(keys[:3])}"
        for what, keys in (
            ("it lacks", odd.missing_keys),
            ("the model has no", odd.unexpected_keys),
        )
        if keys
    ]
    if wrong:
        raise UserError(
            f"{path} does not fit its open_clip_config.json: {'; '.join(wrong)}; copy both from one model"
        )


def blank(source: str, device: str = "cpu") -> torch.nn.Module:
    """Return a model with random weights, the same in every process, without a warning."""
    with _without_warnings(), _fixed_seed(), torch.device(device):
        model = library().create_model(
            source, load_weights=False, pretrained_text=False, device=device
        )
        if isinstance(model, library().CoCa):  # open_clip leaves this matrix uninitialised
            projection = model.text_decoder.text_projection
            torch.nn.init.normal_(projection, std=len(projection) ** -0.5)
        return model


def image_encoder(model_cfg: Mapping) -> torch.nn.Module:
    """Return the image encoder of a configuration with random weights, without its text encoder."""
    vision_cfg = {**model_cfg["vision_cfg"], "output_tokens": False, "timm_model_pretrained": False}
    smallest = {"context_length": 4, "vocab_size": 4, "width": 4, "heads": 1, "layers": 1}
    quick_gelu = model_cfg.get("quick_gelu", False)
    return library().CLIP(model_cfg["embed_dim"], vision_cfg, smallest, quick_gelu).visual


def described(model_cfg: Mapping) -> dict[str, Any]:
    """Return the settings that decide the function of an image encoder, in a canonical form.

    Example:
        >>> names = ("ViT-B-32", "nllb-clip-base", "ViT-B-32-quickgelu")
        >>> plain, other_texts, quick = (described(open_clip_config(f"{name}/none")["model_cfg"]) for name in names)
        >>> plain == other_texts, plain == quick
        (True, False)
    """
    vision = {**asdict(library().CLIPVisionCfg()), **model_cfg["vision_cfg"]}
    if vision["timm_model_name"] is None:  # timm's encoders have their own activation
        vision["quick_gelu"] = bool(model_cfg.get("quick_gelu"))
    for only_in_training in (
        "patch_dropout",
        "timm_drop",
        "timm_drop_path",
        "timm_model_pretrained",
        "output_tokens",
    ):
        vision.pop(only_in_training, None)
    return {**vision, "embed_dim": model_cfg["embed_dim"]}


class Preprocess:
    """An image encoder's evaluation transform: PIL image to tensor ``[3, h, w]``.

    It is open_clip's: resized, centre-cropped, scaled to 0..1 and normalised.

    Args:
        config: open_clip's ``PreprocessCfg``, as a dict.

    Example:
        >>> from PIL import Image
        >>> load_clip("iconclip").preprocess(Image.new("RGB", (60, 40))).shape
        torch.Size([3, 48, 48])
    """

    def __init__(self, config: Mapping[str, Any]):
        transform = library().transform
        self.config = transform.PreprocessCfg(**config)
        self._transform = transform.image_transform_v2(self.config, is_train=False)

    def __call__(self, image: Image.Image) -> Tensor:
        return self._transform(image)

    def __repr__(self) -> str:
        return repr(self._transform)

    @property
    def size(self) -> int | tuple[int, int]:
        """Height and width of the encoder's input, one number if they are equal."""
        return self.config.size

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean colour that normalisation subtracts, in 0..1."""
        return tuple(self.config.mean)

    @property
    def transforms(self) -> list[Callable]:
        """The steps; the last three are conversion to RGB, to a tensor, and normalisation."""
        return list(self._transform.transforms)


def training_crop(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    """Return open_clip's training transform: random crops of 90 to 100 % of the original image.

    Source: ``open_clip.image_transform_v2`` with ``is_train=True``; the paper's code uses it.
    """
    transform = library().transform
    crop = transform.AugmentationCfg(scale=(0.9, 1.0))
    return transform.image_transform_v2(preprocess.config, is_train=True, aug_cfg=crop)


@contextmanager
def _as_user_error(name: str, advice: str) -> Iterator[None]:
    """Turn any exception of open_clip, timm or transformers into a ``UserError``."""
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"model {name!r} cannot be loaded: {reason}; {advice}") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence open_clip's warning that a model has random weights, where that is intended."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _fixed_seed() -> Iterator[None]:
    """Seed the random weights, so that all processes build the same; then restore the state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def resized_positions(positions: Tensor, grid: int) -> Tensor:
    """Return positional embeddings interpolated to another image size, as open_clip does.

    Args:
        positions: ``[1 + g * g, width]``, the class token's first; ``POSITIONS`` lists their keys
            in open_clip's image encoders. ``g = image size / patch size``; a ResNet's patch size
            is 32.
        grid: the new ``g``.

    Returns:
        ``[1 + grid * grid, width]``; the class token's row is kept.

    Raises:
        UserError: the patches do not form a square.

    Example:
        >>> resized_positions(torch.zeros(50, 768), 9).shape  # ViT-B-32 from 224 to 288 pixels
        torch.Size([82, 768])
    """
    if math.isqrt(len(positions) - 1) ** 2 != len(positions) - 1:
        raise UserError(
            f"{len(positions)} positional embeddings are not a class token and a square of "
            "patches; they cannot be resized"
        )
    state = {POSITIONS[0]: positions}
    library().model.resize_pos_embed(
        state, SimpleNamespace(visual=SimpleNamespace(grid_size=(grid, grid)))
    )
    return state[POSITIONS[0]]


def architectures_of(
    shapes: Mapping[str, torch.Size],
    any_size: bool = False,
    embed_dim: int | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, dict]:
    """Return the configurations of the open_clip architectures whose weights have these shapes.

    Args:
        shapes: of the whole image encoder (keys ``"visual."...``), and of the known part of the
            text encoder. A Hugging Face text encoder is not compared, and an architecture with one
            is omitted if another has the same image encoder: ``roberta-ViT-B-32`` and
            ``ViT-B-32``.
        any_size: ignore the number of positional embeddings, which depends on the image size; see
            ``resized_positions``.
        embed_dim: length of the features, if known; fewer architectures are then built to compare.
        names: the architectures to compare; all of open_clip's if not given.

    Example:
        >>> shapes = {k: v.shape for k, v in load_clip("RN50-quickgelu/none").model.state_dict().items()}
        >>> list(architectures_of(shapes))
        ['RN50', 'RN50-quickgelu']
    """
    has_text = any(key.endswith("token_embedding.weight") for key in shapes)  # open_clip's own
    visual = {key: shape for key, shape in shapes.items() if key.startswith("visual.")}
    known = shapes if has_text else visual
    found = {}
    for name in library().list_models() if names is None else names:
        config = library().get_model_config(name)
        if (
            has_text
            and "hf_model_name" in config["text_cfg"]
            or not _may_fit(config, shapes, embed_dim)
        ):
            continue
        if _same_shapes(_shapes(name, has_text), known, any_size):
            found[name] = config
    with_own_text = {
        name: config for name, config in found.items() if "hf_model_name" not in config["text_cfg"]
    }
    return with_own_text or found


def fits(model_cfg: Mapping, shapes: Mapping[str, torch.Size]) -> bool:
    """Return whether image-encoder shapes fit a configuration, at any image size."""
    return _same_shapes(_image_shapes(model_cfg), shapes, any_size=True)


def _same_shapes(
    blank: Mapping[str, torch.Size], shapes: Mapping[str, torch.Size], any_size: bool
) -> bool:
    """Whether an image encoder is complete and all shapes are the architecture's."""

    def same(key: str, shape: torch.Size) -> bool:
        if any_size and key in POSITIONS and key in blank:
            return (
                blank[key][1:] == shape[1:]
                and shape[0] > 1
                and math.isqrt(shape[0] - 1) ** 2 == shape[0] - 1
            )
        return blank.get(key) == shape

    return all(key in shapes for key in blank if key.startswith("visual.")) and all(
        same(key, shape) for key, shape in shapes.items()
    )


def _may_fit(config: Mapping, shapes: Mapping[str, torch.Size], embed_dim: int | None) -> bool:
    """Whether an architecture can have these shapes, without building it."""
    vision = config["vision_cfg"]
    if embed_dim not in (None, config["embed_dim"]):
        return False
    if "timm_model_name" in vision:
        return any(key.startswith("visual.trunk.") for key in shapes)
    width = (shapes.get("visual.conv1.weight") or (0,))[0]
    return vision["width"] in (width, 2 * width)


@functools.cache
def _shapes(name: str, whole: bool) -> dict[str, torch.Size]:
    """Shapes of the weights of an architecture, or of its image encoder, on the meta device."""
    if whole:
        return {key: tensor.shape for key, tensor in blank(name, "meta").state_dict().items()}
    return _image_shapes(library().get_model_config(name))


def _image_shapes(model_cfg: Mapping) -> dict[str, torch.Size]:
    with torch.device("meta"):
        blank = image_encoder(model_cfg).state_dict()
    return {f"visual.{key}": tensor.shape for key, tensor in blank.items()}
