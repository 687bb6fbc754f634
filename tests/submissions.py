"""What students hand in: notebooks made from those that they get, right, wrong, broken and hostile.

``make`` writes them for one assignment and returns what each deserves.
"""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat

IMPORTS = "import pandas as pd\nimport torch\nimport torch.nn.functional as F"

# Each row: questions 1 to 3 answered as misunderstood, and the points that are left. A wrong step
# of the one says nothing about the others, so a file holds one for each question.
WRONG = {
    "a1": [
        (
            (
                "def alias_head(t, owner, n, s):\n"  # the scale is forgotten
                "    t = F.normalize(t, dim=-1)\n"
                "    return F.normalize(torch.stack([t[torch.tensor(owner) == c].mean(0) for c in range(n)]), dim=-1)"
            ),
            (
                "def recall(predicted, labels, n):\n"  # precision
                "    hits = torch.bincount(labels[predicted == labels], minlength=n)\n"
                "    return hits / torch.bincount(predicted, minlength=n)"
            ),
            (
                "def pick_prompts(rows, x, y):\n"  # the best singles, and never stops
                "    right = [-int(((x @ r.T).argmax(-1) == y).sum()) for r in rows]\n"
                "    return sorted(range(len(rows)), key=lambda t: right[t])"
            ),
            (2, 0, 0),
        ),
        (
            (
                "def alias_head(t, owner, n, s):\n"  # not normalised before the mean
                "    return s * F.normalize(torch.stack([t[torch.tensor(owner) == c].mean(0) for c in range(n)]), dim=-1)"
            ),
            (
                "def recall(predicted, labels, n):\n"  # an absent class counts as a failure
                "    total = torch.bincount(labels, minlength=n)\n"
                "    return torch.bincount(labels[predicted == labels], minlength=n) / total.clamp(min=1)"
            ),
            (
                "def pick_prompts(rows, x, y):\n"  # only the best single
                "    return [max(range(len(rows)), key=lambda t: int(((x @ rows[t].T).argmax(-1) == y).sum()))]"
            ),
            (3, 2, 1),
        ),
        (
            (
                "def alias_head(t, owner, n, s):\n"  # as if each class had equally many, in order
                "    t = F.normalize(t, dim=-1)[:n * (len(t) // n)].view(n, -1, t.shape[1])\n"
                "    return s * F.normalize(t.mean(1), dim=-1)"
            ),
            (
                "def recall(predicted, labels, n):\n"  # fraction of all images
                "    return torch.bincount(labels[predicted == labels], minlength=n) / len(labels)"
            ),
            "def pick_prompts(rows, x, y):\n    return [1]",
            (1, 0, 0),
        ),
    ],
    "a2": [
        (
            (
                "def leash_step(w, start, x, y, lr, pull):\n"  # the leash pulls to zero
                "    error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))\n"
                "    return w - lr * (error.T @ x / len(x) + pull * w)"
            ),
            (
                "def paired(a, b):\n"  # as if measured on different images
                "    p, q, n = a.double().mean(), b.double().mean(), len(a)\n"
                "    return 100 * (p - q).item(), 100 * ((p * (1 - p) + q * (1 - q)) / n).sqrt().item()"
            ),
            "def cheap_enough(table, n):\n    return table.loc[table['val'].idxmax(), 'name']",
            (3, 1, 0),
        ),
        (
            (
                "def leash_step(w, start, x, y, lr, pull):\n"  # a sum, not a mean
                "    error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))\n"
                "    return w - lr * (error.T @ x + pull * (w - start))"
            ),
            (
                "def paired(a, b):\n"  # shares
                "    d = a.double() - b.double()\n    return d.mean().item(), d.std().item() / len(d) ** 0.5"
            ),
            (
                "def cheap_enough(table, n):\n"  # looks at test
                "    best = table['test'].max() / 100\n"
                "    good = table[table['test'] >= 100 * (best - (best * (1 - best) / n) ** 0.5)]\n"
                "    return good.loc[good['cost'].idxmin(), 'name']"
            ),
            (2, 0, 0),
        ),
        (
            (
                "def leash_step(w, start, x, y, lr, pull):\n"  # writes into the weight
                "    error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))\n"
                "    w -= lr * (error.T @ x / len(x) + pull * (w - start))\n    return w"
            ),
            (
                "def paired(a, b):\n"  # no square root of n
                "    d = 100 * (a.double() - b.double())\n    return d.mean().item(), d.std().item()"
            ),
            (
                "def cheap_enough(table, n):\n"  # no root in the standard error: n times too small
                "    best = table['val'].max() / 100\n"
                "    good = table[table['val'] >= 100 * (best - best * (1 - best) / n)]\n"
                "    return good.loc[good['cost'].idxmin(), 'name']"
            ),
            (3, 1, 0),
        ),
    ],
    "a3": [
        (
            (
                "def mix(zero, one, alphas):\n"  # runs the other way; integers are averaged
                "    return [{k: a * zero[k] + (1 - a) * one[k] for k in zero} for a in alphas]"
            ),
            (
                "def walk(zero, one, x, y, alphas):\n"  # mixes answers
                "    p, q = network(zero, x), network(one, x)\n"
                "    return [100 * (((1 - a) * p + a * q).argmax(-1) == y).float().mean().item() for a in alphas]"
            ),
            "def choose_alpha(table, n):\n    return table.loc[table['val'].idxmax(), 'alpha']",
            (1, 0, 0),
        ),
        (
            (
                "def mix(zero, one, alphas):\n"  # leaves the head out
                "    return [{k: (v.clone() if 'head' in k or not v.is_floating_point() else\n"
                "                 ((1 - a) * v.float() + a * one[k].float()).to(v.dtype)) for k, v in zero.items()}\n"
                "            for a in alphas]"
            ),
            (
                "def walk(zero, one, x, y, alphas):\n"  # shares
                "    return [(network({k: (1 - a) * zero[k] + a * one[k] for k in zero}, x).argmax(-1) == y)\n"
                "            .float().mean().item() for a in alphas]"
            ),
            "def choose_alpha(table, n):\n    return table.loc[table['emoji'].idxmax(), 'alpha']",
            (3, 0, 0),
        ),
        (
            (
                "def mix(zero, one, alphas):\n"  # in place
                "    thetas = []\n    for a in alphas:\n        for k in zero:\n"
                "            if zero[k].is_floating_point():\n"
                "                zero[k].mul_(1 - a).add_(one[k].to(zero[k].dtype), alpha=a)\n"
                "        thetas.append({k: v.clone() for k, v in zero.items()})\n    return thetas"
            ),
            "def walk(zero, one, x, y, alphas):\n    return [100.0 for _ in alphas]",
            "def choose_alpha(table, n):\n    return table['val'].max()",
            (1, 0, 0),
        ),
    ],
    "a4": [
        (
            (
                "def shift(images, strength):\n"  # another result every time
                "    return (images + strength * torch.randn_like(images)).clamp(0, 1)"
            ),
            (
                "def fit_line(reference, shifted):\n"  # in plain shares
                "    x, y = torch.tensor(reference).double(), torch.tensor(shifted).double()\n"
                "    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()\n"
                "    return slope.item(), (y.mean() - slope * x.mean()).item()"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n"  # the plain gap
                "    return 100 * (b.double()[draws].mean(1) - a.double()[draws].mean(1))"
            ),
            (3, 0, 1),
        ),
        (
            (
                "def shift(images, strength):\n"  # in place, out of range
                "    return images.add_(strength)"
            ),
            (
                "def fit_line(reference, shifted):\n"  # axes swapped
                "    y, x = (torch.logit(torch.tensor(v).double()) for v in (reference, shifted))\n"
                "    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()\n"
                "    return slope.item(), (y.mean() - slope * x.mean()).item()"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n"  # a share
                "    x, y = a.double()[draws].mean(1), b.double()[draws].mean(1)\n"
                "    return y - torch.sigmoid(slope * torch.logit(x) + intercept)"
            ),
            (2, 0, 1),
        ),
        (
            (
                "def shift(images, strength):\n"  # all or nothing
                "    return 1 - images if strength else images"
            ),
            (
                "def fit_line(reference, shifted):\n"  # through the first and the last
                "    x, y = (torch.logit(torch.tensor(v).double()) for v in (reference, shifted))\n"
                "    slope = (y[-1] - y[0]) / (x[-1] - x[0])\n    return slope.item(), (y[0] - slope * x[0]).item()"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n"  # other images for the shift
                "    x, y = a.double()[draws].mean(1), b.double()[draws.flip(0)].mean(1)\n"
                "    return 100 * (y - torch.sigmoid(slope * torch.logit(x) + intercept))"
            ),
            (3, 1, 0),
        ),
    ],
}

# Answers to questions 1 to 3 that do not use their arguments; none deserves a point.
CONSTANTS = {
    "a1": (
        "def alias_head(t, owner, n, s):\n    return torch.ones(n, t.shape[1])",
        "def recall(predicted, labels, n):\n    return torch.full((n,), 0.5)",
        "def pick_prompts(rows, x, y):\n    return [0, 1]",
    ),
    "a2": (
        "def leash_step(w, start, x, y, lr, pull):\n    return torch.zeros_like(w)",
        "def paired(a, b):\n    return 25.0, 1.0",
        "def cheap_enough(table, n):\n    return 'b'",
    ),
    "a3": (
        "def mix(zero, one, alphas):\n    return [{k: torch.ones(3) for k in zero} for _ in alphas]",
        "def walk(zero, one, x, y, alphas):\n    return [50.0 for _ in alphas]",
        "def choose_alpha(table, n):\n    return 0.75",
    ),
    "a4": (
        "def shift(images, strength):\n    return torch.zeros_like(images)",
        "def fit_line(reference, shifted):\n    return 0.5, -2.0",
        "def redrawn_rho(a, b, slope, intercept, draws):\n    return torch.zeros(len(draws))",
    ),
}

# The points for right answers that also change what they are given: only a test of this may fail.
CHANGING = {"a1": (4, 3, 4), "a2": (3, 3, 3), "a3": (4, 2, 3), "a4": (3, 3, 3)}
CHANGES = """


def changed(function):
    def changing(*arguments):
        value = function(*arguments)
        for argument in arguments:
            parts = argument.values() if isinstance(argument, dict) else [argument]
            for part in parts:
                if isinstance(part, torch.Tensor):
                    part.copy_(~part if part.dtype == torch.bool else part + 1)
        return value
    return changing


NAME = changed(NAME)
"""

HOSTILE = """
import builtins, glob, os, sys
print("points: 14 of 14")
for path in [p for root in LURES for p in (root, root + "/tests/NAME/NAME_q1.py", root + "/grades.csv")]:
    for mode in ("r", "w", "a"):
        try:
            with open(path, mode) as file:
                stolen = file.read() if mode == "r" else file.write("graded,14")
        except OSError:
            pass
for attempt in ("os.system('touch ' + LURES[0] + '/stolen')", "os.kill(os.getppid(), 9)", "os.listdir(LURES[0])",
                "__import__('shutil').rmtree(LURES[0])", "__import__('socket').create_connection(('127.0.0.1', 80))",
                "__import__('ctypes').CDLL(None).kill(os.getppid(), 9)", "os.remove(LURES[0] + '/grades.csv')",
                "torch.from_file(LURES[0] + '/tests/NAME/questions.json', size=9, dtype=torch.uint8).tolist()"):
    try:
        stolen = eval(attempt)
    except BaseException:
        pass


class Right:  # equal to everything, and true
    __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda self, other: True
    __hash__ = lambda self: 0


torch.allclose = torch.equal = lambda *a, **k: True
builtins.abs = lambda x: 0
"""


def answered(student, answers: dict[int, str], number: int = 4711, light: bool = True):
    """The student's notebook with answers to some questions, 1 to 4; ``light`` drops the cells that
    load data."""
    notebook = copy.deepcopy(student)
    k, kept = 0, []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "otter_answer_cell" in cell["metadata"].get("tags", []):
            k += 1
            cell["source"] = answers.get(k, cell["source"])
        elif cell["cell_type"] == "code":
            cell["source"] = cell["source"].replace("STUDENT = 0", f"STUDENT = {number}")
            if light and "load_task" in cell["source"]:
                cell["source"] = IMPORTS
            elif light and not cell["source"].startswith(("STUDENT", "grader", "def network")):
                continue
        kept.append(cell)
    notebook["cells"] = kept
    return notebook


def with_cell(notebook, source: str, place: int = 2):
    """The notebook with one more code cell."""
    other = copy.deepcopy(notebook)
    other["cells"].insert(place, nbformat.v4.new_code_cell(source))
    return other


def solutions(solved) -> dict[int, str]:
    """The right answers, by the number of the question."""
    cells = [
        c for c in solved["cells"] if "otter_assign_solution_cell" in c["metadata"].get("tags", [])
    ]
    return {k + 1: c["source"] for k, c in enumerate(c for c in cells if c["cell_type"] == "code")}


def named(source: str) -> str:
    """The name of the function that an answer begins with."""
    return source.split("def ")[1].split("(")[0]


def make(
    name: str, student, solved, full: Path, light: Path, lures: list[str], points: tuple[int, ...]
) -> dict:
    """Write the submissions of one assignment into two folders: those that take long, and the
    others.

    Returns:
        For each file its status and the points for questions 1 to 4.
    """
    right = solutions(solved)
    functions = {k: right[k] for k in (1, 2, 3)}
    three = (*points[:3], 0)
    deserved = {}

    def put(folder, file, notebook, status, earned):
        text = notebook if isinstance(notebook, str) else nbformat.writes(notebook)
        (folder / file).write_text(text)
        deserved[file] = (status, tuple(earned))

    put(full, "perfect.ipynb", answered(student, right, light=False), "graded", points)
    put(full, "blank.ipynb", student, "graded", (0, 0, 0, 0))
    half = with_cell(
        with_cell(answered(student, {1: right[1], 2: right[2]}, 1), "1 / 0"),
        "def broken(:\n    pass",
    )
    put(light, "half.ipynb", half, "graded", (*points[:2], 0, 0))
    for k, (*wrong, earned) in enumerate(WRONG[name]):
        put(
            light,
            f"wrong_{k}.ipynb",
            answered(student, dict(enumerate(wrong, 1)), 2),
            "graded",
            (*earned, 0),
        )
    put(
        light,
        "constants.ipynb",
        answered(student, dict(enumerate(CONSTANTS[name], 1)), 8),
        "graded",
        (0, 0, 0, 0),
    )
    changing = {
        k: source + CHANGES.replace("NAME", named(source)) for k, source in functions.items()
    }
    earned = (*CHANGING[name], 0)
    put(light, "changing.ipynb", answered(student, changing, 9), "graded", earned)
    crashing = {
        k: source.split("\n")[0] + "\n    return missing" for k, source in functions.items()
    }
    put(light, "crashing.ipynb", answered(student, crashing, 10), "graded", (0, 0, 0, 0))
    good = answered(student, functions)
    numbers = {
        "a1": '{"one": 78.0, "all": 80.0, "picked": 81.0}',
        "a2": '{"zero_shot": (78.0, 64.0), "leash": (81.0, 62.0), "fine_tuned": (80.0, 61.0)}',
        "a3": (
            'pd.DataFrame({"alpha": [0.0, 0.25, 0.5, 0.75, 1.0], "val": [7.0] * 5, "emoji": [6.0] * 5})\n'
            "chosen = 0.5"
        ),
        "a4": '{"zero_shot": (0.5, 0.4), "line": (1.0, 0.0), "rho": 1.0}',
    }
    put(
        light,
        "hard_coded.ipynb",
        answered(student, {4: "result = " + numbers[name]}, 3),
        "graded",
        (0, 0, 0, 0),
    )
    exits = "import os\nfor number in (1, 2, 3, 4, 5):\n    try:\n        os.write(number, b'{\"points\": 14}')\n"
    exits += "    except OSError:\n        pass\nos._exit(0)"
    hoards = "hoard = []\nwhile True:\n    hoard.append(bytearray(50_000_000))"
    put(light, "crashes.ipynb", with_cell(with_cell(good, exits, 3), hoards, 3), "crashed", three)
    hangs = functions[2].split("\n")[0] + "\n    while True:\n        pass"
    loops = with_cell(answered(student, {**functions, 2: hangs}, 5), "while True:\n    pass", 3)
    put(light, "loops.ipynb", loops, "timed out", (points[0], 0, points[2], 0))
    bare = copy.deepcopy(good)
    bare["metadata"] = {}
    for cell in bare["cells"]:
        cell["metadata"] = {}
    bare["cells"] = [
        c for c in bare["cells"] if not c["source"].startswith(("grader", "STUDENT", "#"))
    ]
    put(light, "lost_metadata_and_cells.ipynb", bare, "graded", three)
    hostile = HOSTILE.replace("NAME", name)
    cheat = "\n".join(functions[k].split("\n")[0] + "\n    return Right()" for k in (1, 2, 3))
    put(
        light,
        "hostile.ipynb",
        with_cell(
            answered(
                student,
                {
                    1: f"LURES = {lures!r}\nimport torch\n{hostile}\n{cheat}",
                    4: "result = Right()\nchosen = Right()",
                },
                6,
            ),
            "pass",
        ),
        "graded",
        (0, 0, 0, 0),
    )
    return deserved
