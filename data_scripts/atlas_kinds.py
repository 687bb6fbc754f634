"""The rules of the atlas, written before any line was fitted: kind, family and pre-training of a model.

A rule reads a model's name and the type that its own source gives it, never an accuracy. The test
bed's types come first, names of pre-training data after that. ``build_atlas.py`` lists what went
where in ``book/appendix/atlas_models.md``.
"""

from __future__ import annotations

import re

from wiseft_lite import UserError
from wiseft_lite.analysis.atlas import KINDS

(ALONE, PART, MORE, INTERVENTION, ZERO_SHOT, PROBE, FINE_TUNED, SOUP) = KINDS

# --- the test bed: its own types (Taori et al. 2020), in ``plotting/model_types.py``.
TYPES = {
    "STANDARD": ALONE,
    "LOW_ACCURACY_CNN": PART,  # a part of the images or of the classes
    "RANDOM_FEATURES": PART,
    "RANDOM_FORESTS": PART,
    "LINEAR_PIXELS": PART,
    "NEAREST_NEIGHBORS": PART,
    "ROBUST_INTV": INTERVENTION,
    "LP_ADV": INTERVENTION,
    "MORE_DATA": MORE,
}
STOPPED = re.compile(r"_\d+_epochs$")  # training that was stopped on the way; it has no type
TEST_BED_CLIP = "_clip_zeroshot"  # two of its models with more data are CLIP

# --- timm: what stands after the point of a name. The first rule that fits decides.
CLIP_WORDS = ("clip", "openai", "laion", "webli")
INTERVENTIONS = (
    "ap",  # AdvProp
    "adv",  # adversarial training
    "am",  # AugMix, an intervention in the test bed too
    "ram",
)
MORE_DATA = {
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-21k",
    "ig1b": "Instagram-1B",
    "swag": "Instagram-3.6B",
    "seer": "Instagram-1B",
    "yfcc100m": "YFCC-100M",
    "jft": "JFT-300M",
    "ssld": "ImageNet-21k, in part",  # distilled on images chosen from it
    "goog_distilled": "ImageNet-21k",  # its teacher's
}
TAUGHT_BY_CLIP = ("beitv2",)  # pre-trained to predict codes that were made with CLIP
PRETRAINED = {"openai": "OpenAI WIT", "laion": "LAION", "webli": "WebLI", "clip": "LAION"}

# --- open_clip: the training data, by the first word of a pre-trained tag that is listed here.
CLIP_DATA = {
    "openai": "OpenAI WIT",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "laion5b": "LAION-5B",
    "laion_aesthetic": "LAION-Aesthetic",
    "merged2b": "LAION-2B and COYO",
    "datacomp": "DataComp",
    "commonpool": "CommonPool",
    "dfn": "DFN",
    "metaclip": "MetaCLIP",
    "webli": "WebLI",
    "cc12m": "CC-12M",
    "yfcc15m": "YFCC-15M",
    "frozen_laion5b": "LAION-5B",
    "mscoco_finetuned_laion2b": "LAION-2B",
    "v1": "NLLB-CLIP",
}

# --- families: models of one family are resampled together. A coarse family makes an interval
# wider, not narrower, so a name with one of these words in it belongs to that word's family, and
# any other to the letters that it begins with, without what only says who trained it or how.
WORDS = ("resnext", "resnet", "densenet", "darknet", "regnet", "convnext", "halonet", "inception")
_PREFIX = re.compile(
    r"^(?:tf_|legacy_|coca_|(?:xlm-)?roberta-(?:base-|large-)?|identity32_|ese_|se(?=mnas))+"
)
_LETTERS = re.compile(r"([a-z]*?)(?:v(?=\d))?(?=[^a-z]|$)")
_ALIASES = {
    "rn": "resnet",
    "bit": "resnet",
    "nasnetalarge": "nasnet",
    "nasnetamobile": "nasnet",
    "fixpnasnet": "pnasnet",
}


def family(name: str) -> str:
    """Return the family of an architecture.

    Example:
        >>> family("tf_efficientnetv2_b0"), family("FixResNet50_v2"), family("BiT-M-R50x1-ILSVRC2012")
        ('efficientnet', 'resnet', 'resnet')
        >>> family("vit_base_patch16_224.augreg_in21k_ft_in1k"), family("se_resnext50_32x4d")
        ('vit', 'resnext')
    """
    plain = name.lower().partition(".")[0]
    for word in WORDS:
        if word in plain:
            return word
    plain = _PREFIX.sub("", plain)
    letters = _LETTERS.match(plain)[1]
    return _ALIASES.get(letters, letters) or plain


def bed_kind(name: str, of_type: str) -> str:
    """Return the kind of a model of the test bed, from the type that the test bed gives it.

    Raises:
        UserError: a type that no rule knows.
    """
    if name.endswith(TEST_BED_CLIP):
        return ZERO_SHOT
    if not of_type and STOPPED.search(name):
        return PART
    if of_type not in TYPES:
        raise UserError(f"the test bed's {name} has the unknown type {of_type!r}; add it to TYPES")
    return TYPES[of_type]


def timm_kind(name: str) -> tuple[str, str]:
    """Return the kind and the pre-training data of a model of timm.

    Raises:
        UserError: a name without a tag that no rule knows.

    Example:
        >>> timm_kind("vit_base_patch32_clip_224.openai_ft_in12k_in1k")
        ('fine-tuned CLIP', 'OpenAI WIT')
        >>> timm_kind("resnet50.a1_in1k")
        ('ImageNet alone', '')
        >>> timm_kind("regnety_160.swag_ft_in1k")
        ('more data', 'Instagram-3.6B')
    """
    architecture, _, tag = name.partition(".")
    words = tag.split("_")
    if any(word in name for word in CLIP_WORDS):
        return FINE_TUNED, next(data for word, data in PRETRAINED.items() if word in tag)
    if set(words).intersection(INTERVENTIONS):
        return INTERVENTION, ""
    for word, data in MORE_DATA.items():
        if word in tag:
            return MORE, data
    if set(words).intersection(("m30m", "m38m", "6m")) or architecture.startswith(TAUGHT_BY_CLIP):
        return MORE, "several" if "beit" not in architecture else "ImageNet-1k, codes of CLIP"
    if "in1k" in words:
        return ALONE, ""
    raise UserError(f"timm's {name} has a tag that no rule knows; add a rule to atlas_kinds.py")


def clip_data(tag: str) -> str:
    """Return the training data of a pre-trained tag of open_clip.

    Raises:
        UserError: a tag that no rule knows.

    Example:
        >>> clip_data("laion2b_s34b_b79k"), clip_data("commonpool_m_clip_s128m_b4k")
        ('LAION-2B', 'CommonPool')
    """
    known = [word for word in CLIP_DATA if tag.startswith(word)]
    if not known:
        raise UserError(f"open_clip's tag {tag!r} is unknown; add its data to CLIP_DATA")
    return CLIP_DATA[max(known, key=len)]


# --- the same weights in the test bed and in timm. Resolution and crop may differ. timm's row takes
# the test bed's kind, and no line is fitted through it.
SAME = {
    **{f"efficientnet-b{k}-autoaug": f"tf_efficientnet_b{k}.aa_in1k" for k in range(8)},
    **{f"efficientnet-b{k}-advprop-autoaug": f"tf_efficientnet_b{k}.ap_in1k" for k in range(9)},
    **{f"efficientnet-b{k}": f"tf_efficientnet_b{k}.in1k" for k in range(6)},
    **{f"efficientnet-b{k}-randaug": f"tf_efficientnet_b{k}.ra_in1k" for k in (5, 7)},
    "efficientnet-l2-noisystudent": "tf_efficientnet_l2.ns_jft_in1k",
    **{
        f"instagram-resnext101_32x{w}d": f"resnext101_32x{w}d.fb_wsl_ig1b_ft_in1k"
        for w in (8, 16, 32)
    },
    **{
        f"{name}_swsl": f"{name}.fb_swsl_ig1b_ft_in1k"
        for name in (
            "resnext101_32x8d",
            "resnext101_32x4d",
            "resnext50_32x4d",
            "resnet50",
            "resnet18",
        )
    },
    **{
        f"{name}_ssl": f"{name}.fb_ssl_yfcc100m_ft_in1k"
        for name in (
            "resnext101_32x16d",
            "resnext101_32x8d",
            "resnext101_32x4d",
            "resnext50_32x4d",
            "resnet50",
            "resnet18",
        )
    },
    **{
        name: f"{name}.tv_in1k"
        for name in (
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "densenet121",
            "densenet161",
            "densenet169",
            "densenet201",
            "vgg11",
            "vgg13",
            "vgg16",
            "vgg19",
            "vgg11_bn",
            "vgg13_bn",
            "vgg16_bn",
            "vgg19_bn",
            "resnext50_32x4d",
            "resnext101_32x8d",
            "wide_resnet50_2",
            "wide_resnet101_2",
        )
    },
    "inceptionv3": "inception_v3.tv_in1k",
    "inceptionv4": "inception_v4.tf_in1k",
    "inceptionresnetv2": "inception_resnet_v2.tf_in1k",
    "nasnetalarge": "nasnetalarge.tf_in1k",
    "pnasnet5large": "pnasnet5large.tf_in1k",
    "senet154": "legacy_senet154.in1k",
    "se_resnet50": "legacy_seresnet50.in1k",
    "se_resnet101": "legacy_seresnet101.in1k",
    "se_resnet152": "legacy_seresnet152.in1k",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d.in1k",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d.in1k",
    "xception": "legacy_xception.tf_in1k",
    **{f"dpn{k}": f"dpn{k}.mx_in1k" for k in ("68", "68b", "92", "98", "107", "131")},
    **{
        f"BiT-M-R{k}-ILSVRC2012": f"resnetv2_{k}_bit.goog_in21k_ft_in1k"
        for k in ("50x1", "50x3", "101x1", "101x3", "152x4")
    },
}
# ... and in the test bed and in open_clip, where the prompts may differ.
SAME_CLIP = {
    "vit_b_32_clip_zeroshot": ("ViT-B-32-quickgelu", "openai"),
    "resnet50_clip_zeroshot": ("RN50-quickgelu", "openai"),
}
