"""Files in the exact layouts of wise-ft, model-soups, OpenAI and open_clip, with small random
models.

The peers' classes are stand-ins of the same names, with the same attributes; they are importable
only while a file is written, as they are on the machine of whoever wrote one, and not on the
reader's.
"""

import json
import pickle
import sys
from collections import OrderedDict
from contextlib import contextmanager
from types import ModuleType

import open_clip
import torch
from torch import nn

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 24, "patch_size": 12, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CLASSES = ("disc", "square", "bar")


def register(folder):
    """Make open_clip know the architectures ``tiny`` and ``tiny-quickgelu``."""
    for name, quick in (("tiny", False), ("tiny-quickgelu", True)):
        (folder / f"{name}.json").write_text(
            json.dumps({**CONFIG, **({"quick_gelu": True} if quick else {})})
        )
    open_clip.add_model_config(folder)


def clip_model(quick=True, seed=0, config=CONFIG):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.model.CLIP(**json.loads(json.dumps(config)), quick_gelu=quick).eval()
        for (
            parameter
        ) in model.visual.parameters():  # random enough that the activation shows in the logits
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def wider(pixels, seed=0):
    """A model of the same architecture for another image size."""
    config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": pixels}}
    return clip_model(seed=seed, config=config)


def head_of(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": 10 * torch.randn(3, 16, generator=generator),
        "bias": torch.randn(3, generator=generator),
    }


@torch.no_grad()
def logits(model, head, images):
    features = model.encode_image(images)
    return features / features.norm(dim=-1, keepdim=True) @ head["weight"].T + head["bias"]


@contextmanager
def importable(**modules):
    """Modules by dotted name (``__`` for a dot) with stand-in classes in them, for the time of
    writing."""
    before = dict(sys.modules)
    for name, classes in modules.items():
        name = name.replace("__", ".")
        sys.modules.setdefault(name.partition(".")[0], ModuleType(name.partition(".")[0]))
        module = sys.modules[name] = ModuleType(name)
        for kind in classes:
            kind.__module__, kind.__qualname__ = name, kind.__name__
            setattr(module, kind.__name__, kind)
    try:
        yield
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]


def to_rgb(image):
    return image.convert("RGB")


def disguised(model):
    """The model with its modules under the names that OpenAI's code gives them, and these
    classes."""
    names = {
        "CLIP": "CLIP",
        "VisionTransformer": "VisualTransformer",
        "Transformer": "Transformer",
        "ResidualAttentionBlock": "ResidualAttentionBlock",
        "QuickGELU": "QuickGELU",
        "LayerNorm": "LayerNorm",
    }
    kinds = {}
    for module in model.modules():
        if type(module).__name__ in names:
            kind = type(module)
            module.__class__ = kinds.setdefault(kind, type(names[kind.__name__], (kind,), {}))
    return model, list(kinds.values())


def wise_ft_module(quick=True, keep_lang=False):
    """``ImageClassifier(ImageEncoder(args), ClassificationHead(...))``, text transformer
    deleted."""

    class ImageEncoder(nn.Module):
        pass

    class ClassificationHead(nn.Linear):
        pass

    class ImageClassifier(nn.Module):
        pass

    from torchvision.transforms import Compose, ToTensor

    model, kinds = disguised(clip_model(quick))
    if not keep_lang:
        del model.transformer
    encoder = ImageEncoder()
    encoder.model, encoder.cache_dir = model, None
    encoder.train_preprocess = encoder.val_preprocess = Compose([to_rgb, ToTensor()])
    head = ClassificationHead(16, 3)
    head.load_state_dict(head_of())
    head.normalize = True
    classifier = ImageClassifier()
    classifier.image_encoder, classifier.classification_head, classifier.process_images = (
        encoder,
        head,
        True,
    )
    classifier.train_preprocess, classifier.val_preprocess = (
        encoder.train_preprocess,
        encoder.val_preprocess,
    )
    modules = {
        "src__models__modeling": [ImageEncoder, ClassificationHead, ImageClassifier],
        "clip__model": kinds,
        "clip__clip": [to_rgb],
    }
    return classifier, modules


def wise_ft(path, how="pickle", quick=True, protocol=3):
    """wise-ft writes its classifiers by ``pickle.dump``; users also keep state dicts of them."""
    classifier, modules = wise_ft_module(quick)
    with importable(**modules):
        if how == "pickle":
            path.write_bytes(pickle.dumps(classifier, protocol=protocol))
        elif how == "torch.save":
            torch.save(classifier, path)
        elif how == "old torch.save":
            torch.save(classifier, path, _use_new_zipfile_serialization=False)
        elif how == "state dict":
            torch.save(classifier.state_dict(), path)
    return path


def model_soups_weights(prefix="", dtype=torch.float32):
    model = clip_model()
    del model.transformer
    weights = OrderedDict(
        (f"{prefix}model.{key}", value.to(dtype)) for key, value in model.state_dict().items()
    )
    weights.update(
        (f"{prefix}classification_head.{key}", value.to(dtype)) for key, value in head_of().items()
    )
    return weights


def model_soups(path, prefix="", dtype=torch.float32):
    """``torch.save(model.module.state_dict())`` of a ``ModelWrapper``; with ``module.`` if
    DataParallel's own."""
    torch.save(model_soups_weights(prefix, dtype), path)
    return path


class _Tower(nn.Module):
    """As many nested modules as dotted names need, for an archive whose code nobody runs."""


def scripted(weights):
    root = _Tower()
    for key, tensor in weights.items():
        *parents, name = key.split(".")
        module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, _Tower())
            module = getattr(module, parent)
        module.register_buffer(name, tensor.clone())
    return torch.jit.script(root)


def openai(path):
    """OpenAI ships TorchScript archives in half precision, three numbers among the weights."""
    weights = {key: value.half() for key, value in clip_model().state_dict().items()}
    weights |= {
        "input_resolution": torch.tensor(24),
        "context_length": torch.tensor(16),
        "vocab_size": torch.tensor(49408),
    }
    torch.jit.save(scripted(weights), str(path))
    return path


def open_clip_training(path, quick=False):
    """What open_clip's training loop saves: epoch, name, ``module.`` weights (once with the mask),
    the optimizer."""
    weights = {f"module.{key}": value for key, value in clip_model(quick).state_dict().items()}
    weights["module.attn_mask"] = torch.full((16, 16), -torch.inf).triu(1)
    torch.save(
        {
            "epoch": 3,
            "name": "run",
            "state_dict": weights,
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
        },
        path,
    )
    return path
