"""The rules of IconShift, written before any model was fine-tuned on it.

An icon's artists (its *family*) decide its role; the way it is drawn (its *style*) decides its
split. Neither rule depends on a model.
"""

from __future__ import annotations

import re

# --- families: sets by the same artists, or redrawn from one another. Any other set is its own
# family.
FAMILIES = {
    "fontawesome": "fa fa-solid fa-regular fa-brands fa6-solid fa6-regular fa6-brands "
    "fa7-solid fa7-regular fa7-brands la",
    "material": "material-symbols material-symbols-light ic mdi mdi-light zmdi memory line-md",
    "microsoft": "fluent fluent-mdl2 fluent-color codicon",
    "fluent-emoji": "fluent-emoji fluent-emoji-flat fluent-emoji-high-contrast",
    "google-emoji": "noto noto-v1",
    "emojione": "emojione emojione-v1 emojione-monotone",
    "streamline": "streamline streamline-color streamline-plump streamline-plump-color "
    "streamline-sharp streamline-sharp-color streamline-ultimate "
    "streamline-ultimate-color streamline-flex streamline-flex-color "
    "streamline-cyber streamline-cyber-color streamline-kameleon-color "
    "streamline-stickies-color streamline-freehand streamline-freehand-color "
    "streamline-pixel streamline-block streamline-emojis streamline-logos "
    "guidance covid",
    "boxicons": "boxicons bx bxs bxl",
    "icon-park": "icon-park icon-park-outline icon-park-solid icon-park-twotone",
    "coreui": "cil cib cif",
    "iconscout": "uil uis uit uim",
    "halfmann": "pixelarticons majesticons",
    "juge": "mynaui vadivam",
    "pepicons": "pepicons pepicons-pop pepicons-print pepicons-pencil",
    "icons8": "icons8 wpf flat-color-icons",
    "ionic": "ion famicons",
    "feather": "feather lucide lucide-lab",
    "heroicons": "heroicons heroicons-outline heroicons-solid sidekickicons",
    "mono": "mono-icons mi",
    "map-makers": "maki temaki pinhead osmic",
    "glyphs": "glyphs glyphs-poly",
    "devicon": "devicon devicon-plain",
    "thesvg": "thesvg thesvg-color",
    "token": "token token-branded",
    "cryptocurrency": "cryptocurrency cryptocurrency-color",
    "entypo": "entypo entypo-social",
}
FAMILY_OF = {name: family for family, sets in FAMILIES.items() for name in sets.split()}

# --- roles, by family. Families in neither list are the pre-training corpus.
REFERENCE = {
    "feather",
    "tabler",
    "hugeicons",
    "mingcute",
    "ri",
    "boxicons",
    "at-icons",
    "juge",
    "griddy-icons",
    "iconscout",
    "lineicons",
    "iconoir",
    "proicons",
    "gravity-ui",
    "akar-icons",
    "charm",
    "jam",
    "teenyicons",
    "tdesign",
    "ionic",
    "bi",
    "clarity",
    "qlementine-icons",
    "flowbite",
    "basil",
    "lets-icons",
    "heroicons",
    "coreui",
}
SHIFT = {
    "streamline",
    "ph",
    "solar",
    "icon-park",
    "halfmann",
    "pixel",
    "ant-design",
    "duo-icons",
    "fluent-emoji",
    "emojione",
    "marketeq",
    "icons8",
    "flat-ui",
    "iconamoon",
    "si",
    "si-glyph",
    "circle-flags",
    "meteocons",
    "typcn",
    "flagpack",
}

EMOJI = {"fluent-emoji", "fluent-emoji-flat", "emojione", "emojione-v1", "streamline-emojis"}
MONO_EMOJI = {"fluent-emoji-high-contrast", "emojione-monotone"}
FREEHAND = {"streamline-freehand"}
PIXEL = {"pixelarticons", "pixel", "streamline-pixel"}
# Sets whose names are "category-noun": the noun is at the end of the name.
NOUN_LAST = {"streamline-freehand", "streamline-pixel"}
# ... unless a word before it indicates that the drawing shows something else, or two things.
TWO_THINGS = {
    "app",
    "apps",
    "window",
    "business",
    "cloud",
    "data",
    "database",
    "laptop",
    "smartphone",
    "mobile",
    "user",
    "users",
    "file",
    "files",
    "document",
    "chat",
    "message",
    "email",
    "read",
    "online",
    "internet",
    "network",
    "program",
    "programming",
    "coding",
    "code",
    "crypto",
    "currency",
    "money",
    "cash",
    "graph",
    "like",
    "share",
    "give",
    "giving",
    "hand",
    "hands",
    "deal",
    "setting",
    "settings",
    "security",
    "secure",
    "pen",
    "man",
    "woman",
    "people",
    "sign",
    "no",
    "search",
    "idea",
    "shop",
    "store",
    "board",
    "drawing",
    "project",
    "monitor",
    "server",
    "website",
    "favorite",
    "location",
    "time",
    "face",
    "love",
    "magic",
    "real",
    "eastate",
}
# Sets of flags and trade marks name countries and brands: "tv" is Tuvalu there.
NO_OBJECTS = {"flag", "circle-flags", "flagpack", "cif", "cib", "streamline-logos", "bxl"}

SHIFTS = ["line_new_artists", "solid", "two_tone", "color", "emoji", "pixel", "sketch"]

# --- classes: an icon belongs to one when its name without style words equals the noun or a
# synonym.
CLASSES = {
    "camera": "",
    "star": "",
    "heart": "",
    "bookmark": "",
    "flag": "",
    "folder": "",
    "cloud": "",
    "clock": "",
    "home": "house",
    "phone": "telephone",
    "lock": "padlock|locked",
    "key": "",
    "eye": "",
    "moon": "crescent moon",
    "keyboard": "",
    "sun": "",
    "book": "",
    "gift": "present|wrapped gift",
    "briefcase": "",
    "trophy": "",
    "compass": "",
    "map": "world map",
    "microphone": "mic",
    "pencil": "",
    "bug": "",
    "printer": "print",
    "laptop": "",
    "trash": "trash can|garbage|bin",
    "rocket": "",
    "calculator": "",
    "ticket": "",
    "wallet": "",
    "hourglass": "hourglass done",
    "shopping cart": "cart",
    "umbrella": "",
    "crown": "",
    "anchor": "",
    "fire": "flame",
    "wrench": "",
    "tablet": "",
    "apple": "red apple|green apple",
    "bus": "",
    "building": "office building",
    "hospital": "",
    "skull": "",
    "scissors": "scissor",
    "megaphone": "",
    "thermometer": "",
    "train": "",
    "headphones": "headphone|headset",
    "lightbulb": "light bulb|bulb",
    "magnet": "",
    "snowflake": "",
    "glasses": "eyeglasses",
    "brush": "paintbrush|paint brush",
    "palette": "artist palette",
    "envelope": "mail|email",
    "leaf": "",
    "truck": "delivery truck",
    "newspaper": "",
    "ruler": "straight ruler",
    "bell": "",
    "diamond": "gem|gem stone",
    "bed": "",
    "airplane": "plane|aeroplane",
    "tree": "deciduous tree",
    "pill": "pills|capsule",
    "stethoscope": "",
    "hammer": "",
    "ambulance": "",
    "coffee": "hot beverage|coffee cup|cup hot",
    "eraser": "",
    "television": "tv",
    "microscope": "",
    "fingerprint": "",
    "taxi": "cab",
    "fish": "",
    "ghost": "",
    "cookie": "",
    "robot": "robot face",
    "cat": "cat face",
    "flower": "",
    "telescope": "",
    "backpack": "",
    "flashlight": "",
    "ship": "boat",
    "syringe": "",
    "bomb": "",
    "bicycle": "bike",
    "dice": "game die",
    "egg": "",
    "dog": "dog face",
    "guitar": "",
    "cake": "birthday cake",
    "brain": "",
    "satellite": "",
    "tornado": "",
    "church": "",
    "helicopter": "",
    "hamburger": "burger",
    "ice cream": "soft ice cream",
    "tent": "",
    "balloon": "",
    "pizza": "",
    "wheelchair": "",
    "lemon": "",
    "castle": "european castle",
    "chair": "armchair",
    "puzzle": "puzzle piece|jigsaw",
    "medal": "sports medal",
    "door": "",
    "car": "automobile",
    "battery": "",
    "shield": "",
    "globe": "earth",
    "basket": "shopping basket",
    "hand": "raised hand",
    "tooth": "",
    "bird": "",
    "rainbow": "",
    "carrot": "",
    "cactus": "",
}
TEMPLATES = [
    "an icon of a {}.",
    "a {} icon.",
    "a drawing of a {}.",
    "a simple {} symbol.",
    "a small picture of a {}.",
    "{}",
]

STYLE_WORDS = {
    "outline",
    "outlined",
    "line",
    "linear",
    "filled",
    "fill",
    "solid",
    "bold",
    "thin",
    "light",
    "regular",
    "duotone",
    "twotone",
    "two",
    "tone",
    "rounded",
    "round",
    "sharp",
    "duo",
    "stroke",
    "bulk",
    "curved",
    "alt",
    "o",
    "variant",
    "color",
    "colored",
    "flat",
    "remix",
    "mini",
    "micro",
    "lg",
    "md",
    "sm",
    "xs",
    "xl",
    "small",
    "medium",
    "large",
    "big",
    "fat",
}
TWO_TONE_WORDS = {"duotone", "twotone", "duo"}
_SIZE = re.compile(r"\d+(px)?")


def words(name: str) -> list[str]:
    """Return the words of an icon name without style words and numbers, ``["home"]`` of
    ``home-24-filled``.

    A leading ``light`` is not a style: ``light-house`` is not a house.
    """
    parts = [w for w in re.split(r"[-_]", name.lower()) if w]
    return [
        w
        for k, w in enumerate(parts)
        if (k == 0 and w == "light" and len(parts) > 1)
        or (w not in STYLE_WORDS and not _SIZE.fullmatch(w))
    ]


def family(set_name: str) -> str:
    return FAMILY_OF.get(set_name, set_name)


def role(set_name: str) -> str:
    """Return the role of a set: ``reference``, ``shift`` or ``corpus``."""
    name = family(set_name)
    if name in REFERENCE:
        return "reference"
    return "shift" if name in SHIFT else "corpus"


_NOUNS = {
    noun: label
    for label, synonyms in CLASSES.items()
    for noun in [label, *filter(None, synonyms.split("|"))]
}


def class_of(set_name: str, name: str) -> str | None:
    """Return the IconShift class of an icon by its name, or None."""
    if set_name in NO_OBJECTS:
        return None
    parts = words(name)
    label = _NOUNS.get(" ".join(parts))
    if label is None and set_name in NOUN_LAST:
        for k in (2, 1):
            before, tail = parts[:-k], " ".join(parts[-k:])
            others = TWO_THINGS | {
                noun for noun, known in _NOUNS.items() if known != _NOUNS.get(tail)
            }
            if tail in _NOUNS and not others.intersection(before):
                return _NOUNS[tail]
    return label
