"""The rules of the six IconTasks: a class is a set of icon names, as the artists wrote them.

Test images come from families that neither pre-training nor training uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import rules

# All shift families, and every second reference family in alphabetical order.
TEST_FAMILIES = frozenset(rules.SHIFT | set(sorted(rules.REFERENCE)[::2]))


@dataclass(frozen=True)
class IconTask:
    name: str
    title: str
    classes: list[str]
    templates: list[str]
    label_of: Callable[[str, str], str | None]
    test_families: frozenset = TEST_FAMILIES
    most: int = 900  # images in one split


def _tokens(name: str) -> list[str]:
    return [w for w in re.split(r"[-_]", name.lower()) if w and w not in rules.STYLE_WORDS]


def _by_name(names: dict[str, str]) -> Callable[[str, str], str | None]:
    """Label icons by their whole name without style words; ``|`` separates synonyms."""
    table = {
        n: label
        for label, others in names.items()
        for n in [label, *filter(None, others.split("|"))]
    }
    return lambda set_name, name: (
        None if set_name in rules.NO_OBJECTS else table.get(" ".join(rules.words(name)))
    )


# --- arrows: eight directions and two double ones
_DIRECTION = {
    "up": "up",
    "top": "up",
    "north": "up",
    "upper": "up",
    "down": "down",
    "bottom": "down",
    "south": "down",
    "lower": "down",
    "left": "left",
    "west": "left",
    "right": "right",
    "east": "right",
}
_ARROWS = [
    "up",
    "down",
    "left",
    "right",
    "up left",
    "up right",
    "down left",
    "down right",
    "left right",
    "up down",
]
_ARROW_FILLERS = {"arrow", "arrows", "narrow", "long", "circle", "square", "box", "thick", "simple"}


def _arrow(set_name: str, name: str) -> str | None:
    tokens = list(rules.words(name))
    if not {"arrow", "arrows"} & set(tokens) or set(tokens) - _ARROW_FILLERS - set(_DIRECTION):
        return None
    found = sorted(
        {_DIRECTION[w] for w in tokens if w in _DIRECTION},
        key=["up", "down", "left", "right"].index,
    )
    label = " ".join(found)
    return label if label in _ARROWS else None


# --- brands: marks that several sets draw, each with an unambiguous name
_BRANDS = {
    "github": "",
    "gitlab": "",
    "spotify": "",
    "youtube": "",
    "facebook": "",
    "instagram": "",
    "whatsapp": "",
    "telegram": "",
    "reddit": "",
    "pinterest": "",
    "linkedin": "",
    "skype": "",
    "dropbox": "",
    "figma": "",
    "paypal": "",
    "wordpress": "",
    "docker": "",
    "npm": "",
    "python": "",
    "javascript": "",
    "html5": "",
    "css3": "",
    "react": "",
    "angular": "",
    "android": "",
    "bitcoin": "",
    "ethereum": "",
    "xbox": "",
    "playstation": "",
    "netflix": "",
    "airbnb": "",
    "uber": "",
    "dribbble": "",
    "behance": "",
    "tumblr": "",
    "vimeo": "",
    "soundcloud": "",
    "snapchat": "",
    "tiktok": "",
    "twitch": "",
    "twitter": "",
    "discord": "",
    "google": "",
    "chrome": "googlechrome|google chrome",
    "firefox": "",
    "ubuntu": "",
    "codepen": "",
    "stack overflow": "stackoverflow",
    "bitbucket": "",
    "trello": "",
    "wechat": "",
    "weibo": "",
    "blogger": "",
    "deviantart": "",
    "flickr": "",
    "yahoo": "",
    "visa": "",
    "mastercard": "",
    "stripe": "",
    "messenger": "",
    "vuejs": "vue",
    "mastodon": "",
    "windows": "microsoft windows",
    "slack": "",
    "opera": "",
    "notion": "",
    "amazon": "",
}
_BRAND_FILLERS = {
    "logo",
    "logos",
    "brand",
    "social",
    "original",
    "plain",
    "wordmark",
    "icon",
    "block",
    "square",
    "circle",
    "color",
    "new",
}
_PLAIN_WORDS = {
    "windows",
    "react",
    "messenger",
    "python",
    "angular",
    "uber",
    "slack",
    "opera",
    "notion",
    "amazon",
    "stripe",
    "visa",
    "twitter",
    "bitcoin",
}
_LOGO_SETS = {
    "simple-icons",
    "logos",
    "thesvg",
    "thesvg-color",
    "devicon",
    "devicon-plain",
    "cib",
    "bxl",
    "skill-icons",
    "streamline-logos",
    "fa-brands",
    "fa6-brands",
    "fa7-brands",
    "entypo-social",
    "vscode-icons",
    "selfhst",
}
_BRAND_TABLE = {
    n: label for label, others in _BRANDS.items() for n in [label, *filter(None, others.split("|"))]
}


def _brand(set_name: str, name: str) -> str | None:
    tokens = _tokens(name)
    label = _BRAND_TABLE.get(
        " ".join(w for w in tokens if w not in _BRAND_FILLERS and not w.isdigit())
    )
    if (
        label in _PLAIN_WORDS
        and set_name not in _LOGO_SETS
        and not {"logo", "brand", "social"} & set(tokens)
    ):
        return None
    return None if "wordmark" in tokens else label


# --- flags
_COUNTRIES = {
    "ar": "argentina",
    "au": "australia",
    "at": "austria",
    "be": "belgium",
    "br": "brazil",
    "ca": "canada",
    "cl": "chile",
    "cn": "china",
    "co": "colombia",
    "hr": "croatia",
    "cu": "cuba",
    "cz": "czechia",
    "dk": "denmark",
    "eg": "egypt",
    "ee": "estonia",
    "fi": "finland",
    "fr": "france",
    "de": "germany",
    "gr": "greece",
    "hu": "hungary",
    "is": "iceland",
    "in": "india",
    "id": "indonesia",
    "ie": "ireland",
    "il": "israel",
    "it": "italy",
    "jm": "jamaica",
    "jp": "japan",
    "ke": "kenya",
    "lb": "lebanon",
    "my": "malaysia",
    "mx": "mexico",
    "ma": "morocco",
    "np": "nepal",
    "nl": "netherlands",
    "nz": "new zealand",
    "ng": "nigeria",
    "no": "norway",
    "pk": "pakistan",
    "pa": "panama",
    "pe": "peru",
    "pl": "poland",
    "pt": "portugal",
    "qa": "qatar",
    "ro": "romania",
    "ru": "russia",
    "sa": "saudi arabia",
    "rs": "serbia",
    "sg": "singapore",
    "za": "south africa",
    "kr": "south korea",
    "es": "spain",
    "se": "sweden",
    "ch": "switzerland",
    "th": "thailand",
    "tr": "turkey",
    "ua": "ukraine",
    "uy": "uruguay",
    "vn": "vietnam",
    "gb": "united kingdom",
    "us": "united states",
}
_CODE_SETS = {"flag", "circle-flags", "flagpack", "cif"}


def _flag(set_name: str, name: str) -> str | None:
    if set_name in _CODE_SETS:
        return _COUNTRIES.get(re.sub(r"-(1x1|4x3)$", "", name))
    match = re.fullmatch(r"flag-(?:for-)?(.+)", name)
    country = match and match[1].replace("-", " ")
    return country if country in _COUNTRIES.values() else None


# --- glyphs: letters and digits that are named as such
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_GLYPH_WORDS = {
    "letter",
    "alpha",
    "number",
    "numeric",
    "digit",
    "keycap",
    "indicator",
    "counter",
    "latin",
}
_GLYPH_FILLERS = _GLYPH_WORDS | {
    "circle",
    "square",
    "box",
    "symbol",
    "regional",
    "rectangle",
    "rounded",
}


def _glyph(set_name: str, name: str) -> str | None:
    tokens = [
        w
        for w in re.split(r"[-_]", name.lower())
        if w and (w == "o" or w not in rules.STYLE_WORDS or w in _DIGITS)
    ]
    rest = [w for w in tokens if w not in _GLYPH_FILLERS]
    if not _GLYPH_WORDS & set(tokens) or len(rest) != 1:
        return None
    glyph = str(_DIGITS.index(rest[0])) if rest[0] in _DIGITS else rest[0]
    return glyph.upper() if re.fullmatch(r"[a-z0-9]", glyph) else None


_GAUGES = {
    "empty battery": "battery empty|battery none|battery dead",
    "low battery": "battery low|battery quarter",
    "half battery": "battery half|battery medium|battery mid|battery middle",
    "full battery": "battery full|battery high",
    "charging battery": "battery charging|battery charge|battery bolt",
    "muted volume": "volume off|volume mute|volume x|volume slash|volume xmark|volume cross|speaker slash|"
    "speaker mute|muted speaker|speaker off|speaker x|volume none|sound off|sound mute",
    "low volume": "volume low|volume down|speaker low|speaker low volume|volume min|volumedown|sound low",
    "high volume": "volume high|volume up|volume max|volume loud|speaker high|speaker high volume|volumeup|"
    "volume full|sound high",
    "no wifi": "wifi off|wifi slash|wifi none|wifi x|wifi disconnected|wifi disabled",
    "low wifi": "wifi low|wifi weak|wifi fair",
    "full wifi": "wifi|wifi high|wifi full|wifi on",
    "no signal": "signal off|signal slash|signal none|cell signal slash|cell signal none|cell signal x",
    "low signal": "signal low|signal weak|cell signal low|signal fair",
    "full signal": "signal full|signal high|signal strong|cell signal full|cell signal high|signal good",
    "cold thermometer": "thermometer cold|thermometer low|thermometer empty|temperature low|temperature cold|"
    "thermometer snow|thermometer snowflake",
    "hot thermometer": "thermometer hot|thermometer high|thermometer full|temperature high|temperature hot|"
    "thermometer sun",
    "started hourglass": "hourglass start|hourglass not done|hourglass top|hourglass high",
    "finished hourglass": "hourglass end|hourglass done|hourglass bottom|hourglass low|hourglass full",
}
_WEATHER = {
    "sun": "sunny|clear day",
    "moon": "clear night|crescent moon",
    "cloud": "cloudy|clouds|overcast",
    "partly cloudy day": "cloud sun|sun cloud|partly cloudy|sun behind cloud|cloudy day|partly sunny",
    "partly cloudy night": "cloud moon|moon cloud|cloudy night|moon clouds",
    "rain": "cloud rain|cloud with rain|rainy",
    "drizzle": "cloud drizzle|sprinkle|cloud sprinkle",
    "heavy rain": "cloud showers heavy|pouring|cloud heavy rain|rainy heavy|cloud rain heavy|showers heavy",
    "snow": "cloud snow|cloud with snow|snowy|snowing",
    "hail": "cloud hail|hailstorm",
    "thunderstorm": "cloud lightning|cloud with lightning|thunder|thunderstorms|storm|cloud bolt|"
    "cloud with lightning and rain|lightning rain|cloud lightning rain",
    "fog": "cloud fog|foggy|mist|haze",
    "wind": "windy|wind face",
    "tornado": "hurricane|cyclone",
    "sunrise": "sun rise",
    "sunset": "sun set",
    "rainbow": "",
    "snowflake": "",
    "thermometer": "",
    "umbrella": "umbrella with rain drops",
}
_ICON = ["an icon of a {}.", "a {} icon.", "a drawing of a {}.", "{}"]

TASKS = [
    IconTask(
        "arrows",
        "Arrows: the direction",
        _ARROWS,
        ["an arrow pointing {}.", "arrow {}", "{} arrow icon", "an icon of an arrow {}."],
        _arrow,
    ),
    IconTask(
        "brands",
        "Brands: whose mark it is",
        list(_BRANDS),
        ["the {} logo.", "{} logo", "{} icon", "{}"],
        _brand,
    ),
    IconTask(
        "flags",
        "Flags: the country",
        list(_COUNTRIES.values()),
        ["the flag of {}.", "flag {}", "flag for {}", "{} flag icon"],
        _flag,
    ),
    IconTask(
        "glyphs",
        "Glyphs: letters and digits",
        [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *"0123456789"],
        ["letter {}", "the letter or number {}.", "number {}", "{} icon"],
        _glyph,
    ),
    IconTask("gauges", "Gauges: the level shown", list(_GAUGES), _ICON, _by_name(_GAUGES)),
    IconTask(
        "weather",
        "Weather: what the sky does",
        list(_WEATHER),
        ["an icon of {} weather.", "{} weather icon", "an icon of a {}.", "{}"],
        _by_name(_WEATHER),
    ),
]
