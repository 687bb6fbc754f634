import os
import tarfile

import numpy as np
import torch

ENDINGS = ("webp", "jpg", "jpeg", "png")


def index_by_hand(path):
    data, at, images, labels = path.read_bytes(), 0, {}, {}
    while data[at : at + 512].strip(b"\0"):
        name = data[at : at + 100].rstrip(b"\0").decode()
        size = int(data[at + 124 : at + 136].rstrip(b"\0 "), 8)
        key, ending = name.split(".")
        if ending == "cls":
            labels[key] = int(data[at + 512 : at + 512 + size])
        if ending in ENDINGS:
            images[key] = (at + 512, size)
        at += 512 + (size + 511) // 512 * 512
    return [[*images[key], labels[key]] for key in images]


def index_in_two_passes(path):
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        labels = {
            m.name[:-4]: int(tar.extractfile(m).read()) for m in members if m.name.endswith(".cls")
        }
    images = [m for m in members if m.name.split(".")[-1] in ENDINGS]
    return [(m.offset_data, m.size, labels[m.name.split(".")[0]]) for m in images]


def index_with_open_file(path):
    found, place = {}, {}
    with tarfile.open(path) as tar, open(path, "rb") as file:
        for member in tar.getmembers():
            stem, ending = os.path.splitext(member.name)
            file.seek(member.offset_data)
            if ending == ".cls":
                found[stem] = int(file.read(member.size).decode())
            elif ending[1:] in ENDINGS:
                place[stem] = np.array([member.offset_data, member.size])
    return [np.append(where, found[stem]) for stem, where in place.items()]


def plain(name):
    return name.lower().replace("_", " ")


def accuracy_by_mask(logits, labels, set_names, class_names):
    names = [plain(name) for name in class_names]
    subset = torch.tensor([names.index(plain(name)) for name in set_names])
    inside = torch.full_like(logits, -torch.inf)
    inside[:, subset] = logits[:, subset]
    return float((inside.argmax(1) == subset[labels]).double().mean())


def accuracy_by_loop(logits, labels, set_names, class_names):
    column = {plain(name): k for k, name in enumerate(class_names)}
    for name in set_names:
        if plain(name) not in column:
            raise ValueError(name)
    correct = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        scores = [row[column[plain(name)]] for name in set_names]
        correct += scores.index(max(scores)) == label
    return correct / len(labels)


def accuracy_in_numpy(logits, labels, set_names, class_names):
    known = np.array([plain(name) for name in class_names])
    wanted = np.array([plain(name) for name in set_names])
    if not np.isin(wanted, known).all():
        raise ValueError("a name is unknown")
    subset = (known[None] == wanted[:, None]).argmax(1)
    return np.mean(logits.numpy()[:, subset].argmax(1) == labels.numpy())


def verdicts_by_square(yours, published):
    z2, rows = 1.96**2, {}
    for name in yours.keys() & published.keys():
        correct, n = yours[name]
        root = (z2**2 + 4 * z2 * correct * (n - correct) / n) ** 0.5
        ends = [100 * (2 * correct + z2 + sign * root) / (2 * (n + z2)) for sign in (-1, 1)]
        away = max(ends[0] - published[name], published[name] - ends[1])
        rows[name] = [*ends, away <= 0.05]
    return rows


def verdicts_in_numpy(yours, published):
    names = [name for name in yours if name in published]
    correct, n = np.array([yours[name] for name in names], dtype=float).T
    other = np.array([published[name] for name in names])
    p, z = correct / n, 1.96
    wide = 1 + z**2 / n
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / wide
    middle = (p + z**2 / (2 * n)) / wide
    low, high = 100 * (middle - half), 100 * (middle + half)
    inside = (other + 0.05 >= low) & (other - 0.05 <= high)
    return dict(zip(names, zip(low, high, inside, strict=True), strict=True))


def verdicts_by_root(yours, published):
    """The ends solve |p - x| = z sqrt(x (1 - x) / n)."""
    rows = {}
    for name, (correct, n) in yours.items():
        if name not in published:
            continue
        p, z = correct / n, 1.96
        low, high = sorted(np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p]).real.tolist())
        x = published[name] / 100
        rows[name] = (100 * low, 100 * high, low - 0.0005 <= x <= high + 0.0005)
    return rows


def soup_of_sums(names, load, path):
    state = torch.load(path) if path.exists() else {"done": 0, "sum": {}}
    while state["done"] < len(names):
        theta = load(names[state["done"]])
        for key, x in theta.items():
            if x.is_floating_point():
                zero = torch.zeros_like(x, dtype=torch.float32)
                state["sum"][key] = state["sum"].get(key, zero) + x
            else:
                state["sum"][key] = x
        state["types"] = {key: x.dtype for key, x in theta.items()}
        state["done"] += 1
        torch.save(state, path)
    return {key: (x / state["done"]).to(state["types"][key]) for key, x in state["sum"].items()} | {
        key: x for key, x in state["sum"].items() if not x.is_floating_point()
    }


def soup_by_running_mean(names, load, path):
    mean, first, count = {}, {}, 0
    if path.exists():
        mean, first, count = torch.load(path)
    for k, name in enumerate(names):
        if k < count:
            continue
        theta = load(name)
        if not first:
            first = {key: x.clone() for key, x in theta.items()}
            mean = {key: x.double() for key, x in theta.items()}
        else:
            for key, x in theta.items():
                mean[key] += (x.double() - mean[key]) / (k + 1)
        torch.save((mean, first, k + 1), path)
    return {key: mean[key].to(x.dtype) if x.is_floating_point() else x for key, x in first.items()}


def soup_in_numpy(names, load, path):
    total, count, like = None, 0, None
    if os.path.exists(path):
        state = torch.load(path, weights_only=False)
        total, count, like = state["total"], state["count"], state["like"]
    for name in names[count:]:
        theta = load(name)
        arrays = {key: x.numpy().astype(np.float64) for key, x in theta.items()}
        total = arrays if total is None else {key: total[key] + arrays[key] for key in arrays}
        like, count = {key: torch.zeros(0, dtype=x.dtype) for key, x in theta.items()}, count + 1
        torch.save({"total": total, "count": count, "like": like}, path)
    return {key: torch.tensor(x / count).to(like[key].dtype) for key, x in total.items()}


RIGHT = {
    "20.2": [index_by_hand, index_in_two_passes, index_with_open_file],
    "20.4": [accuracy_by_mask, accuracy_by_loop, accuracy_in_numpy],
    "20.5": [verdicts_by_square, verdicts_in_numpy, verdicts_by_root],
    "20.6": [soup_of_sums, soup_by_running_mean, soup_in_numpy],
}

WRONG = {
    "20.2": [
        lambda path: [(size, offset, label) for offset, size, label in index_by_hand(path)],
        lambda path: index_by_hand(path)[:1],
    ],
    "20.4": [
        lambda *inputs: 1.0,
        lambda logits, labels, set_names, class_names: (
            (logits.argmax(1) == labels).float().mean().item()
        ),
    ],
    "20.5": [
        lambda yours, published: dict.fromkeys(yours.keys() & published.keys(), (0, 100, True)),
        lambda yours, published: {
            name: (low + 1, high - 1, same)
            for name, (low, high, same) in verdicts_by_square(yours, published).items()
        },
    ],
    "20.6": [
        lambda names, load, path: load(names[0]),
        lambda names, load, path: {
            key: 2 * x for key, x in soup_of_sums(names, load, path).items()
        },
    ],
}
