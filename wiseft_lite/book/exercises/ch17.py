"""Exercises of chapter 17, The paper at full size."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels as class_numbers
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.tasks.own import class_folders
from wiseft_lite.tasks.published import imagenet

_IDS = [f"n{k:08d}" for k in (14, 27, 103, 240, 311, 402, 555, 623, 700, 811, 905, 990)]


def _folders(generator, names):
    """One to three files in each folder, and a file beside the folders."""
    tree = {}
    for name in names:
        letters = generator.permutation(list("abcdef"))[: int(generator.integers(1, 4))]
        tree[name] = sorted(f"{letter}.JPEG" for letter in letters.tolist())
    return tree, _IDS


def _all_ids(generator):
    return _folders(generator, _IDS)


def _some_ids(generator):
    chosen = sorted(generator.permutation(len(_IDS))[: int(generator.integers(3, 8))].tolist())
    return _folders(generator, [_IDS[k] for k in chosen])


def _numbers(generator):
    """As ImageNetV2: folders 0 to 11, of which 10 comes before 2 in the order of words."""
    return _folders(generator, [str(k) for k in range(len(_IDS))])


def _on_disk(read_folders, tree, wnids):
    """Make the folders, read them, and note the class of each file."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "README.txt").write_text("about this data set")
        for name, files in tree.items():
            (Path(place) / name).mkdir()
            for file in files:
                (Path(place) / name / file).touch()
        paths, labels, classes = read_folders(Path(place), wnids)
        pairs = zip(paths, labels, strict=True)
        found = {"/".join(Path(path).parts[-2:]): int(label) for path, label in pairs}
    return {
        "class of each file": found,
        "images": len(paths),
        "classes": "all" if classes is None else sorted(int(k) for k in classes),
    }


def _by_name(places, wnids):
    number = {wnid: k for k, wnid in enumerate(wnids)}
    return [int(p.name) if p.name.isdigit() else number[p.name] for p in places]


def _in_order(places, wnids):
    return list(range(len(places)))


def _in_numerical_order(places, wnids):
    if not places[0].name.isdigit():
        return _in_order(places, wnids)
    return _by_name(places, wnids)


def _subset(classes, wnids):
    return None if len(classes) == len(wnids) else classes


def _read_folders(folder, wnids, number=_by_name, subset=_subset):
    places = sorted(place for place in folder.iterdir() if place.is_dir())
    paths, labels = [], []
    for place, k in zip(places, number(places, wnids), strict=True):
        files = sorted(place.iterdir())
        paths += files
        labels += [k] * len(files)
    return paths, labels, subset(sorted(set(labels)), wnids)


read_folders = Code(
    "17.1",
    _read_folders,
    [_all_ids, _some_ids, _numbers],
    [
        (
            partial(_read_folders, number=_in_order),
            "the place of a folder is no class: in a set of 200 the first folder is not class 0, and '10' is sorted before '2'.",
        ),
        (
            partial(_read_folders, number=_in_numerical_order),
            "ImageNetV2 is right, but in a set of 200 classes the place of a folder is not its class: look the id up.",
        ),
        (
            partial(_read_folders, subset=lambda classes, wnids: classes),
            "a set that has all classes is restricted to none: the third value is None there.",
        ),
        (
            partial(_read_folders, subset=lambda classes, wnids: None),
            "the third value must say which classes a smaller set has, or the model may predict the others.",
        ),
        (
            partial(
                _read_folders,
                subset=lambda classes, wnids: (
                    None if len(classes) == len(wnids) else list(range(len(classes)))
                ),
            ),
            "the third value counts the set's classes; give their numbers among all classes.",
        ),
    ],
    call=_on_disk,
    library=[imagenet.from_folders, class_folders],
    draws=4,
)

confidence = Number(
    "17.2",
    75,
    [
        (
            30,
            "that is its probability among all 1000; what remains of 100 % belongs to classes that are cut off.",
        ),
        (60, "30 of 50: you divide by the lemon's 50; divide by the sum of the classes that stay."),
        (37.5, "you divide by the lemon and orange together; the lemon is cut off."),
        (25, "that is the banana."),
        (40, "that is the sum of both fruits before the cut; it becomes 100 %."),
    ],
    tolerance=0.5,
)

_NAMES = [
    "analog clock",
    "digital clock",
    "wall clock",
    "tench, Tinca tinca",
    "desk",
    "dining table, board",
    "mouse, computer mouse",
    "screwdriver",
    "hammer",
]
_LABELS = {
    "alarm_clock": "Alarm clock",
    "desk": "Desk or table",
    "mouse_computer": "Mouse (computer)",
    "hammer": "Hammer",
    "yoga_mat": "Yoga mat",
}


def _photographs(generator, move=0.0):
    """Logits that often favour a member of the right group; some images of a class that is not shared."""
    order = generator.permutation(len(_NAMES))
    class_names = [_NAMES[k] for k in order]
    groups = {
        "Alarm clock": generator.permutation(_NAMES[:3])[:2].tolist(),
        "Desk or table": _NAMES[4:6],
        "Mouse (computer)": [_NAMES[6]],
        "Hammer": [_NAMES[8]],
    }
    to_imagenet = {label: "; ".join(group) for label, group in groups.items()}
    folders = [str(name) for name in generator.choice(list(_LABELS), size=20)]
    folders[:5] = list(_LABELS)
    logits = normal(generator, len(folders), len(_NAMES)) + move
    for row, folder in enumerate(folders):
        if _LABELS[folder] in groups:
            name = generator.choice(groups[_LABELS[folder]])
            logits[row, class_names.index(str(name))] += 2
    shared = {name for group in groups.values() for name in group}
    outside = next(k for k, name in enumerate(class_names) if name not in shared)
    logits[5:12, outside] += 5  # the best of all for some images, if it were allowed
    return logits, folders, dict(_LABELS), to_imagenet, class_names


def _negative_photographs(generator):
    return _photographs(generator, -8.0)


def _groups_of(folder_to_label, to_imagenet, class_names):
    number = {name: k for k, name in enumerate(class_names)}
    return {
        folder: [number[name] for name in to_imagenet[label].split("; ")]
        for folder, label in folder_to_label.items()
        if label in to_imagenet
    }


def _among_groups(logits, groups):
    allowed = sorted({k for group in groups.values() for k in group})
    return [allowed[i] for i in logits[:, allowed].argmax(1).tolist()]


def _zeroed(logits, groups):
    mask = torch.zeros(logits.shape[1])
    mask[sorted({k for group in groups.values() for k in group})] = 1
    return (logits * mask).argmax(1).tolist()


def _shared_only(right):
    right = [good for good in right if good is not None]
    return sum(right) / len(right)


def _objectnet(
    logits,
    folders,
    folder_to_label,
    to_imagenet,
    class_names,
    predict=_among_groups,
    first_only=False,
    mean=_shared_only,
):
    groups = _groups_of(folder_to_label, to_imagenet, class_names)
    if first_only:
        groups = {folder: group[:1] for folder, group in groups.items()}
    predicted = predict(logits, groups)
    return mean(
        [
            k in groups[folder] if folder in groups else None
            for k, folder in zip(predicted, folders, strict=True)
        ]
    )


def _pooled(pool):
    """Give each group one logit, and take the largest."""

    def accuracy(logits, folders, folder_to_label, to_imagenet, class_names):
        groups = _groups_of(folder_to_label, to_imagenet, class_names)
        scores = torch.stack([pool(logits[:, group]) for group in groups.values()], 1)
        names = [list(groups)[k] for k in scores.argmax(1).tolist()]
        right = [a == b for a, b in zip(names, folders, strict=True) if b in groups]
        return sum(right) / len(right)

    return accuracy


objectnet_accuracy = Code(
    "17.3",
    _objectnet,
    [_photographs, _negative_photographs],
    [
        (
            partial(_objectnet, predict=lambda logits, groups: logits.argmax(1).tolist()),
            "a class of ImageNet that ObjectNet lacks was allowed to win: choose among the classes of all groups.",
        ),
        (
            partial(_objectnet, predict=_zeroed),
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus infinity.",
        ),
        (
            partial(_objectnet, mean=lambda right: sum(map(bool, right)) / len(right)),
            "images of a class that ImageNet does not have count as wrong. They are no part of the test: leave them out.",
        ),
        (
            partial(_objectnet, first_only=True),
            "a digital clock is an alarm clock too: every class of a group takes part and counts, not the first alone.",
        ),
        (
            _pooled(lambda logits: logits.mean(-1)),
            "the mean of a group is pulled down by a member that does not fit. One member that wins is enough.",
        ),
        (
            _pooled(lambda logits: logits.sum(-1)),
            "the sum of a group depends on how many members it has. One member that wins is enough.",
        ),
        (
            lambda *inputs: 100 * _objectnet(*inputs),
            "that is in percent; return a fraction.",
        ),
    ],
)

objectnet_names = Choice(
    "17.4",
    "C",
    {
        "A": "another crop moves a number by little and at random; two points are too much for a frame of two pixels.",
        "B": "the zero-shot model has seen no ImageNet label, so nothing was trained wrong.",
        "D": "that compares two tasks: ObjectNet's own names are not those of the paper's tables 1 and 8.",
    },
)


def _batch(generator, n, size):
    theta = {"weight": normal(generator, 3, 4), "bias": normal(generator, 3)}
    old = {"weight": normal(generator, 3, 4), "bias": normal(generator, 3)}
    return theta, old, normal(generator, n, 4), class_numbers(generator, n, 3), size


def _uneven(generator):
    """The last micro-batch is smaller."""
    return _batch(generator, int(generator.choice([7, 10, 13])), 3)


def _even(generator):
    return _batch(generator, 12, int(generator.choice([3, 4])))


def _gradient_of(accumulate, theta, old_gradient, images, labels, size):
    """The loss and the gradients of a small model, and the largest batch that it saw."""
    model, seen = torch.nn.Linear(4, 3), []
    model.load_state_dict(theta)
    for name, parameter in model.named_parameters():  # of a step before this one
        parameter.grad = old_gradient[name].clone()
    model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    loss = accumulate(model, images, labels, size)
    return {
        "loss": loss.detach() if isinstance(loss, torch.Tensor) else loss,
        "gradient": {name: parameter.grad for name, parameter in model.named_parameters()},
        "largest batch in the model": max(seen),
    }


def _accumulate(
    model,
    images,
    labels,
    size,
    part=lambda losses, n, parts: losses.sum() / n,
    clear="once",
    whole_only=False,
):
    if clear == "once":
        model.zero_grad()
    n, total = len(labels), 0.0
    starts = range(0, n - size + 1 if whole_only else n, size)
    for start in starts:
        if clear == "each":
            model.zero_grad()
        piece = slice(start, start + size)
        losses = F.cross_entropy(model(images[piece]), labels[piece], reduction="none")
        loss = part(losses, n, -(-n // size))
        loss.backward()
        total += loss.item()
    return total


accumulate = Code(
    "17.5",
    _accumulate,
    [_uneven, _even],
    [
        (
            partial(_accumulate, part=lambda losses, n, parts: losses.mean() / parts),
            "the last micro-batch is smaller, but its images count as much as all others: divide each sum of losses by the size of the whole batch.",
        ),
        (
            partial(_accumulate, part=lambda losses, n, parts: losses.mean()),
            "the mean losses of the micro-batches add up to several times the loss; divide by the size of the whole batch.",
        ),
        (
            partial(_accumulate, part=lambda losses, n, parts: losses.sum()),
            "that is the sum over the images; the loss is their mean.",
        ),
        (
            partial(_accumulate, clear="never"),
            "the gradient of the step before is still in it: remove it first.",
        ),
        (
            partial(_accumulate, clear="each"),
            "you remove the gradient before each micro-batch, so only the last one is left. Remove it once.",
        ),
        (
            partial(_accumulate, whole_only=True),
            "the images of the last, smaller micro-batch are left out.",
        ),
        (
            lambda model, images, labels, size: _accumulate(model, images, labels, len(labels)),
            "the whole batch goes through the model at once, which is what the memory does not allow.",
        ),
    ],
    call=_gradient_of,
    draws=4,
)

ALL = [read_folders, confidence, objectnet_accuracy, objectnet_names, accumulate]
