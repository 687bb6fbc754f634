"""Exercises of chapter 20, The paper's own models on a free GPU."""

from __future__ import annotations

import io
import math
import tarfile
import tempfile
import weakref
from functools import partial
from pathlib import Path

import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels as class_numbers
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.merging.soups import uniform_soup
from wiseft_lite.metrics import clopper_pearson, proportion
from wiseft_lite.tasks.webdataset import read_shards

headers = Number(
    "20.1",
    1000,
    [
        (1, "that is the cost with an index; without one, reading starts at the first header."),
        (2000, "that is the whole file. Reading stops at the image, half way on average."),
        (500, "the labels between the images have headers too."),
        (1_000_000, "that is for all 1,000 images together; the question asks for one."),
        (4, "that counts one image alone, the third or so; the last needs nearly 2,000."),
    ],
    tolerance=3,
)


def _members(generator, arrange):
    """Members of a tar file as pairs (name, content): images and labels under one key."""
    keys = [f"s{k:04d}" for k in generator.permutation(50)[: int(generator.integers(3, 6))]]
    ending = str(generator.choice(["webp", "jpg", "png"]))
    sizes = [5, 512, *generator.integers(1, 1100, size=len(keys)).tolist()]
    images = [(f"{key}.{ending}", "x" * int(size)) for key, size in zip(keys, sizes, strict=False)]
    labels = [(f"{key}.cls", f"{generator.integers(1000)}\n") for key in keys]
    return (arrange(generator, images, labels),)


def _label_first(generator):
    return _members(
        generator,
        lambda _, images, labels: [
            member for pair in zip(labels, images, strict=True) for member in pair
        ],
    )


def _labels_at_the_end(generator):
    """All images, then all labels in the order of their keys."""
    return _members(generator, lambda _, images, labels: images + sorted(labels))


def _with_others(generator):
    """Members that are neither image nor label, and everything in any order."""

    def arrange(generator, images, labels):
        others = [(name.partition(".")[0] + ".json", "{}") for name, _ in images]
        members = images + labels + others
        return [members[k] for k in generator.permutation(len(members))]

    return _members(generator, arrange)


def _in_a_tar_file(index_shard, members):
    """Write the members into a tar file, and index it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0.tar"
        with tarfile.open(path, "w") as tar:
            for name, text in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text.encode()))
        return [tuple(int(x) for x in entry) for entry in index_shard(path)]


def _index_shard(
    path,
    place=lambda member: (member.offset_data, member.size),
    is_image=lambda ending: ending in ("webp", "jpg", "jpeg", "png"),
    paired=lambda keys, labels: [labels[key] for key in keys],
    in_order=list,
):
    images, labels = {}, {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, ending = member.name.partition(".")
            if ending == "cls":
                labels[key] = int(tar.extractfile(member).read())
            elif is_image(ending):
                images[key] = place(member)
    keys = in_order(images)
    return [(*images[k], label) for k, label in zip(keys, paired(keys, labels), strict=True)]


index_shard = Code(
    "20.2",
    _index_shard,
    [_label_first, _labels_at_the_end, _with_others],
    [
        (
            partial(_index_shard, place=lambda member: (member.offset, member.size)),
            "these are the places of the headers. The image begins one block later, at offset_data.",
        ),
        (
            partial(_index_shard, paired=lambda keys, labels: list(labels.values())),
            "you pair the first label with the first image. What belongs together has the same key.",
        ),
        (
            partial(_index_shard, is_image=lambda ending: True),
            "a member that is neither .cls nor an image, such as .json, took the place of an image.",
        ),
        (
            partial(_index_shard, in_order=sorted),
            "you sorted the keys; the index is in the order of the images in the file.",
        ),
        (
            partial(
                _index_shard,
                place=lambda member: (member.offset_data, -(-member.size // 512) * 512),
            ),
            "you round the size up to whole blocks; the zeros after the image are no part of it.",
        ),
    ],
    call=_in_a_tar_file,
    library=[read_shards],
    draws=4,
)

labels = Choice(
    "20.3",
    "B",
    {
        "A": "ImageNet-R has no tench among its 200 classes, so its labels count something else.",
        "C": "the list classnames.txt beside the tar files says what each label means; the library compares it with its own.",
    },
)

_CLASSES = [
    "great white shark",
    "hair dryer",
    "tench",
    "grey owl",
    "tree frog",
    "box turtle",
    "sea snake",
    "scuba diver",
    "school bus",
    "tow truck",
]


def _test_set(generator):
    """Logits over all classes, and a set of some of them in another order and spelling."""
    n = 24
    names = [_CLASSES[k] for k in generator.permutation(len(_CLASSES))]
    subset = generator.permutation(len(names))[:4].tolist()
    written = [_spelled(names[k], generator.integers(3)) for k in subset]
    logits = normal(generator, n, len(names)) - 3
    outside = [k for k in range(len(names)) if k not in subset]
    logits[: n // 3, outside[0]] += 6
    right = logits[:, subset].argmax(1)
    drawn = class_numbers(generator, n, 4)
    return logits, torch.where(torch.arange(n) % 3 == 0, drawn, right), written, names


def _spelled(name, how):
    return [name, name.replace(" ", "_"), name.title()][how]


def _with_an_unknown_name(set_accuracy, logits, labels, set_names, class_names):
    """The accuracy, and what happens if one of the set's names is no class."""
    accuracy = set_accuracy(logits, labels, set_names, class_names)
    try:
        value = set_accuracy(logits, labels, [*set_names[:-1], "unicorn"], class_names)
    except ValueError:
        value = "ValueError"
    except Exception as error:
        value = type(error).__name__
    else:
        value = "an accuracy" if value is not None else "None"
    return {"accuracy": accuracy, "with an unknown name": value}


def _plain(name):
    return name.replace("_", " ").lower()


def _classes_of(set_names, class_names, strict=True):
    place = {_plain(name): k for k, name in enumerate(class_names)}
    unknown = [name for name in set_names if _plain(name) not in place]
    if unknown and strict:
        raise ValueError(f"no class is called {unknown[0]!r}")
    return [place.get(_plain(name), -1) for name in set_names]


def _mean(right):
    return right.double().mean().item()


def _set_accuracy(logits, labels, set_names, class_names):
    subset = _classes_of(set_names, class_names)
    return _mean(logits[:, subset].argmax(1) == labels)


def _among_all(logits, labels, set_names, class_names):
    subset = torch.tensor(_classes_of(set_names, class_names))
    return _mean(logits.argmax(1) == subset[labels])


def _in_the_models_order(logits, labels, set_names, class_names):
    subset = sorted(_classes_of(set_names, class_names))
    return _mean(logits[:, subset].argmax(1) == labels)


def _class_against_place(logits, labels, set_names, class_names):
    subset = torch.tensor(_classes_of(set_names, class_names))
    return _mean(subset[logits[:, subset].argmax(1)] == labels)


def _zeroed(logits, labels, set_names, class_names):
    subset = _classes_of(set_names, class_names)
    mask = torch.zeros(logits.shape[1])
    mask[subset] = 1
    return _mean((logits * mask).argmax(1) == torch.tensor(subset)[labels])


def _unknown_passes(logits, labels, set_names, class_names):
    subset = _classes_of(set_names, class_names, strict=False)
    return _mean(logits[:, subset].argmax(1) == labels)


set_accuracy = Code(
    "20.4",
    _set_accuracy,
    [_test_set],
    [
        (
            _among_all,
            "you predict among all classes. An image whose best class is outside the set then counts as wrong, although the set does not have that class.",
        ),
        (
            _in_the_models_order,
            "your columns are in the model's order, the labels count the names in the set's order.",
        ),
        (
            _class_against_place,
            "you compare a class of the model with a label that counts the names of the set. Both must mean the same list.",
        ),
        (
            _zeroed,
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus infinity.",
        ),
        (
            _unknown_passes,
            "a name that no class has goes through without an error, and its images count as some other class: raise a ValueError.",
        ),
        (
            lambda *inputs: 1 - _set_accuracy(*inputs),
            "that is the fraction of errors.",
        ),
    ],
    call=_with_an_unknown_name,
)

_Z = 1.96


def _ends(correct, n, z=_Z):
    """The interval of Wilson, in percent."""
    p = correct / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (middle - half), 100 * (middle + half)


def _wald(correct, n):
    p = correct / n
    half = _Z * math.sqrt(p * (1 - p) / n)
    return 100 * (p - half), 100 * (p + half)


def _exact(correct, n):
    low, high = clopper_pearson(correct, n)
    return 100 * low, 100 * high


def _measurement(generator):
    n = int(generator.choice([60, 300, 7_500, 50_000]))
    return int(generator.integers(n // 5, 4 * n // 5)), n


def _sets(generator, place):
    """Measured sets, some of which are published; the published ones lie at a place that is drawn."""
    names = ["v2", "r", "a", "sketch", "objectnet"]
    yours = {name: _measurement(generator) for name in generator.permutation(names).tolist()}
    published = {name: place(generator, *yours[name]) for name in list(yours)[:4]}
    return yours, {**published, "imagenet": 75.0}


def _rounded_away(generator, correct, n):
    """A published accuracy outside the interval by less than the half of its last digit."""
    low, high = _ends(correct, n)
    near = [math.floor(10 * low) / 10, math.ceil(10 * high) / 10]
    near = [x for x, end in zip(near, (low, high), strict=True) if 0.005 < abs(x - end) < 0.045]
    return round(float(generator.choice(near or [low + 0.3])), 1)


def _inside_or_out(generator, correct, n):
    """Clearly inside the interval, or clearly outside."""
    low, high = _ends(correct, n)
    half = (high - low) / 2
    places = [low - half, low - 0.2, low + 0.6 * half, high - 0.6 * half, high + 0.2, high + half]
    x = round(float(generator.choice(places)), 1)
    clear = all(abs(abs(x - end) - 0.05) > 0.01 for end in (low, high))
    return x if clear else round((low + high) / 2, 1)


def _any_place(generator):
    return _sets(generator, _inside_or_out)


def _at_the_edge(generator):
    return _sets(generator, _rounded_away)


def _compare(yours, published, ends=_ends, rounding=0.05, agree=None):
    rows = {}
    for name, (correct, n) in yours.items():
        if name in published:
            low, high = ends(correct, n)
            inside = low <= published[name] + rounding and published[name] - rounding <= high
            verdict = inside if agree is None else agree(100 * correct / n, published[name])
            rows[name] = (low, high, verdict)
    return rows


verdicts = Code(
    "20.5",
    _compare,
    [_any_place, _at_the_edge],
    [
        (
            partial(_compare, ends=_wald),
            "that is the normal approximation around your accuracy. Wilson's interval has its middle nearer to one half, and z²/n in three places.",
        ),
        (
            partial(_compare, ends=partial(_ends, z=1.645)),
            "that is the interval of 90 %: z is 1.96 for 95 %.",
        ),
        (
            partial(_compare, ends=_exact),
            "that is the interval of Clopper and Pearson, a little wider. Wilson's is a formula.",
        ),
        (
            partial(_compare, rounding=0),
            "the published accuracy is rounded: 63.9 stands for everything from 63.85 to 63.95.",
        ),
        (
            partial(_compare, agree=lambda own, other: abs(own - other) <= 1),
            "a point is much on 50,000 images and nothing on 300. The interval depends on n.",
        ),
        (
            lambda yours, published: {
                name: (low / 100, high / 100, same)
                for name, (low, high, same) in _compare(yours, published).items()
            },
            "the ends are fractions; give them in percent, as the published accuracies are.",
        ),
        (
            lambda yours, published: {
                name: (low, high, not same)
                for name, (low, high, same) in _compare(yours, published).items()
            },
            "the verdict is reversed: True where the two agree.",
        ),
    ],
    library=[clopper_pearson, proportion],
    tolerance=1e-5,
    draws=8,
)

_MODELS = 6


def _checkpoints(generator, dtype, size=1.0):
    """Checkpoints in half or single precision, each with a counter, and where the work breaks off."""
    steps = int(generator.integers(1, 2000))
    models = [
        {
            "encoder.w": size * (1 + normal(generator, 2, 2) / 4).to(dtype),
            "head.b": normal(generator, 3).to(dtype),
            "steps": torch.tensor(steps),
        }
        for _ in range(_MODELS)
    ]
    breaks = [[1], [2], [1, 2]][int(generator.integers(3))]  # four models are left at least
    return models, breaks


def _single(generator):
    return _checkpoints(generator, torch.float32)


def _half(generator):
    """The sum of six numbers near 30,000 is too large for float16, which ends at 65,504."""
    return _checkpoints(generator, torch.float16, 30_000.0)


class _Lost(Exception):
    """The machine is gone."""


class _Shelf:
    """Checkpoints that are read one at a time; it counts the reads and what is still in memory."""

    def __init__(self, models, breaks):
        self.models, self.breaks = models, list(breaks)
        self.read, self.given, self.most = 0, [], 0

    def __call__(self, k):
        alive = {i for i, tensor in self.given if tensor() is not None}
        self.most = max(self.most, len(alive))
        if self.read in self.breaks:
            self.breaks.remove(self.read)
            self.given = []  # a new process has an empty memory
            raise _Lost
        self.read += 1
        theta = {name: tensor.clone() for name, tensor in self.models[k].items()}
        self.given += [(k, weakref.ref(tensor)) for tensor in theta.values()]
        return theta


def _with_interruptions(resumable_soup, models, breaks):
    """Begin again in a new process after each interruption, and once more at the end."""
    shelf, names = _Shelf(models, breaks), tuple(range(len(models)))
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(len(breaks) + 1):
            try:
                mean = resumable_soup(names, shelf, Path(folder) / "soup.pt")
                break
            except _Lost:
                continue
        reads = shelf.read
        resumable_soup(names, shelf, Path(folder) / "soup.pt")
    return {
        "mean": {name: tensor.double() for name, tensor in mean.items()},
        "types": sorted({str(tensor.dtype) for tensor in mean.values()}),
        "checkpoints read": reads,
        "read again when all is done": shelf.read - reads,
        "more than two other models in memory": shelf.most > 2,
    }


def _wide(x):
    return x.double() if x.is_floating_point() else x


def _divided(total, count, types):
    return {
        k: (x / count).to(types[k]) if types[k].is_floating_point else x for k, x in total.items()
    }


def _added(total, theta):
    return {k: x + theta[k] if x.is_floating_point() else x for k, x in total.items()}


def _soup(
    names,
    load,
    path,
    widen=_wide,
    add=_added,
    mean=_divided,
    saves="each",
    recount=False,
    kept=None,
):
    count, total, types = 0, None, {}
    if path.exists():
        state = torch.load(path)
        count, total, types = state["count"], state["total"], state["types"]
        if recount:
            count = 0
    for name in names[count:]:
        theta = load(name)
        if kept is not None:
            kept.append(theta)
        if total is None:
            types = {k: x.dtype for k, x in theta.items()}
            total = {k: widen(x) for k, x in theta.items()}
        else:
            total = add(total, theta)
        count += 1
        if saves == "each" or (saves == "end" and count == len(names)):
            torch.save({"count": count, "total": total, "types": types}, path)
    return mean(total, count, types)


def _soup_of_a_list(names, load, path):
    return _soup(names, load, path, kept=[])


def _counters_summed(total, theta):
    return {k: x + theta[k] for k, x in total.items()}


def _toward(total, theta):
    """The mean of the mean so far and the next model."""
    return {k: (x + theta[k]) / 2 if x.is_floating_point() else x for k, x in total.items()}


resumable_soup = Code(
    "20.6",
    _soup,
    [_single, _half],
    [
        (
            partial(_soup, widen=lambda x: x.clone()),
            "you add in the models' own precision. In float16 the sum of six weights near 30,000 is infinite: add in float32 or float64.",
        ),
        (
            partial(_soup, saves="never"),
            "after an interruption every model is read again: save the sum after each, and begin with what is saved.",
        ),
        (
            partial(_soup, saves="end"),
            "you save once, at the end; an interruption comes before it. Save the sum after each model.",
        ),
        (
            partial(_soup, recount=True),
            "you go on with the saved sum, but count from 0: models that are in it are added once more. Save the count too.",
        ),
        (
            _soup_of_a_list,
            "all models that you have read are in memory at the same time. Keep the sum only.",
        ),
        (
            partial(_soup, add=_counters_summed),
            "you add up the integers too. They are counters, equal in all models: keep the first one's.",
        ),
        (
            partial(_soup, add=_toward, mean=lambda total, _, types: _divided(total, 1, types)),
            "the mean of the mean so far and the next model counts the last model half. Keep a sum and a count.",
        ),
        (
            partial(
                _soup,
                mean=lambda total, count, _: {
                    k: x / count if x.is_floating_point() else x for k, x in total.items()
                },
            ),
            "the mean is in the precision of the sum; return each tensor in the type that the models have.",
        ),
    ],
    call=_with_interruptions,
    library=[uniform_soup],
    draws=2,
)

ALL = [headers, index_shard, labels, set_accuracy, verdicts, resumable_soup]
