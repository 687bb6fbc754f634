import os

import numpy as np
import torch
import torch.nn.functional as F


def folders_by_walk(folder, wnids):
    paths, labels = [], []
    for place, _, files in os.walk(folder):
        name = os.path.basename(place)
        if place == str(folder):
            continue
        label = wnids.index(name) if name in wnids else int(name)
        for file in files:
            paths.append(os.path.join(place, file))
            labels.append(label)
    present = set(labels)
    return paths, torch.tensor(labels), tuple(present) if len(present) < len(wnids) else None


def folders_by_glob(folder, wnids):
    paths = sorted(folder.glob("*/*"))
    names = [path.parent.name for path in paths]
    labels = [wnids.index(n) if n.startswith("n") else int(n) for n in names]
    classes = np.unique(labels)
    return paths, labels, None if len(classes) == len(wnids) else classes


def folders_by_class(folder, wnids):
    paths, labels, classes = [], [], []
    for k, wnid in enumerate(wnids):
        for name in (wnid, str(k)):
            files = list((folder / name).glob("*"))
            paths += files
            labels += [k] * len(files)
            if files:
                classes.append(k)
    return paths, labels, None if classes == list(range(len(wnids))) else classes


def objectnet_by_rows(logits, folders, folder_to_label, to_imagenet, class_names):
    shared = {name for text in to_imagenet.values() for name in text.split("; ")}
    right = total = 0
    for row, folder in zip(logits.tolist(), folders, strict=True):
        label = folder_to_label[folder]
        if label not in to_imagenet:
            continue
        best = max((x, name) for x, name in zip(row, class_names, strict=True) if name in shared)
        right += best[1] in to_imagenet[label].split("; ")
        total += 1
    return right / total


def objectnet_by_largest(logits, folders, folder_to_label, to_imagenet, class_names):
    """A group's logit is the largest of its members'."""
    labels = list(to_imagenet)
    scores = []
    for label in labels:
        columns = [class_names.index(name) for name in to_imagenet[label].split("; ")]
        scores.append(logits[:, columns].amax(1))
    predicted = torch.stack(scores).argmax(0)
    own = [folder_to_label[folder] for folder in folders]
    right = [labels[p] == y for p, y in zip(predicted.tolist(), own, strict=True) if y in labels]
    return np.mean(right)


def objectnet_by_infinity(logits, folders, folder_to_label, to_imagenet, class_names):
    owner = {
        class_names.index(name): label
        for label, text in to_imagenet.items()
        for name in text.split("; ")
    }
    masked = torch.full_like(logits, -torch.inf)
    masked[:, list(owner)] = logits[:, list(owner)]
    said = [owner[k] for k in masked.argmax(1).tolist()]
    kept = [k for k, folder in enumerate(folders) if folder_to_label[folder] in to_imagenet]
    return torch.tensor([said[k] == folder_to_label[folders[k]] for k in kept]).float().mean()


def accumulate_by_split(model, images, labels, size):
    for parameter in model.parameters():
        parameter.grad = None
    total = torch.zeros(())
    for x, y in zip(images.split(size), labels.split(size), strict=True):
        loss = F.cross_entropy(model(x), y) * len(y) / len(labels)
        loss.backward()
        total += loss.detach()
    return total


def accumulate_by_weights(model, images, labels, size):
    model.zero_grad(set_to_none=False)
    losses = []
    for start in range(0, len(images), size):
        rows = torch.arange(start, min(start + size, len(images)))
        scores = model(images[rows]).log_softmax(-1)
        part = -scores[torch.arange(len(rows)), labels[rows]]
        (part.sum() / len(labels)).backward()
        losses += part.tolist()
    return np.mean(losses)


def accumulate_by_grad(model, images, labels, size):
    parameters, n, total = list(model.parameters()), len(labels), 0
    sums = [torch.zeros_like(p) for p in parameters]
    for start in range(0, n, size):
        x, y = images[start : start + size], labels[start : start + size]
        loss = F.cross_entropy(model(x), y, reduction="sum")
        for kept, new in zip(sums, torch.autograd.grad(loss, parameters), strict=True):
            kept += new / n
        total += loss.item() / n
    for parameter, gradient in zip(parameters, sums, strict=True):
        parameter.grad = gradient
    return total


RIGHT = {
    "17.1": [folders_by_walk, folders_by_glob, folders_by_class],
    "17.3": [objectnet_by_rows, objectnet_by_largest, objectnet_by_infinity],
    "17.5": [accumulate_by_split, accumulate_by_weights, accumulate_by_grad],
}

WRONG = {
    "17.1": [
        lambda folder, wnids: folders_by_walk(folder, wnids[::-1]),
        lambda folder, wnids: ([], [], None),
    ],
    "17.3": [
        lambda *inputs: 1 - objectnet_by_rows(*inputs),
        lambda logits, *rest: objectnet_by_rows(-logits, *rest),
    ],
    "17.5": [
        lambda model, images, labels, size: F.cross_entropy(model(images[:size]), labels[:size]),
        lambda model, images, labels, size: -accumulate_by_split(model, images, labels, size),
    ],
}
