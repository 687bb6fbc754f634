"""What tests run in processes of their own: there it is killed, starved of disk space, or meets a
rival.

A process that has used torch must not fork, for its threads stay behind and their locks stay shut.
On Linux every child is forked from a server that has imported torch and used nothing of it;
elsewhere it starts from nothing.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import patience
import torch
from torch import nn

from wiseft_lite import Recipe, UserError, callbacks, load, save
from wiseft_lite._runtime import progress
from wiseft_lite._runtime.digest import digest
from wiseft_lite.book import runs
from wiseft_lite.callbacks import Checkpoints
from wiseft_lite.losses import cross_entropy
from wiseft_lite.merging.moving_averages import MovingAverages
from wiseft_lite.merging.soups import greedy_soup
from wiseft_lite.training import fit

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    CONTEXT.set_forkserver_preload(
        ["wiseft_lite.book.runs", "safetensors.torch", "open_clip", "torch._dynamo", "tqdm"]
    )

DATA = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 3


def exit_code(function, *arguments):
    """Run a function of this module in a child and return how it ended: 0, or minus the signal that
    killed it."""
    child = CONTEXT.Process(target=function, args=arguments)
    child.start()
    child.join(patience.SECONDS)
    return child.exitcode


def noisy(model, inputs, labels):
    return cross_entropy(model, inputs + 0.1 * torch.randn_like(inputs), labels)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
        )


def whole_run(folder=None):
    """Fifteen steps with everything that has a state; returns all bits of the end as one digest."""
    model, averages = network(), MovingAverages([0.9])
    fit(
        model,
        DATA,
        LABELS,
        Recipe(epochs=3, lr=1e-2, batch_size=5),
        objective=noisy,
        callbacks=[averages, *([] if folder is None else [Checkpoints(folder)])],
    )
    return digest(model.state_dict(), averages.state_dict())


def whole_soup(folder=None):
    """A greedy soup of seven models, three of which stay; returns all bits of the end as one
    digest."""
    values = (5.3, 9.1, 1.7, 30.9, 12.2, 10.4, 10.9)
    pool = [{"w": torch.full((50,), value), "b": torch.tensor([value])} for value in values]
    soup, trace = greedy_soup(pool, near_ten, folder=folder)
    assert trace["kept"].sum() > 2
    return digest(soup, trace.to_dict("list"))


def near_ten(theta):
    return -abs(theta["b"].item() - 10)


def killed_soup(folder, at):
    """Make a soup and die by SIGKILL at the ``at``-th event: before, in or after a write."""
    event, around = dying(at)
    around(progress, "save_file", lambda tensors, path: Path(path).write_bytes(os.urandom(500)))
    around(Path, "write_text", lambda path, text: path.write_bytes(text[:50].encode()))
    around(os, "fsync")
    around(os, "replace")
    around(Path, "unlink")
    whole_soup(folder)
    (folder / "events").write_bytes(str(event.count).encode())


def killed_run(folder, at, begins=None):
    """Train and die by SIGKILL at the ``at``-th event: a step, or a point before, in or after a
    write of a state."""
    import safetensors.torch

    event, around = dying(at)
    callbacks.SAVE_INTERVAL = 0
    around(
        safetensors.torch,
        "save_file",
        lambda tensors, path, metadata: Path(path).write_bytes(os.urandom(500)),
    )
    around(os, "fsync")
    around(os, "replace")
    around(Path, "unlink")
    around(torch.optim.AdamW, "step")
    if begins is not None:
        begins.set()
    whole_run(folder)
    (folder / "events").write_text(str(event.count))


def dying(at):
    """Return a function that counts its calls and dies in the ``at``-th, after some harm; and one
    that makes it called before and after a function."""

    def event(harm=lambda: None):
        event.count += 1
        if event.count == at:
            harm()
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner, name, harm=lambda *a, **k: None):
        function = getattr(owner, name)

        def watched(*a, **k):
            event(lambda: harm(*a, **k))
            result = function(*a, **k)
            event()
            return result

        setattr(owner, name, watched)

    event.count = 0
    return event, around


def save_with_little_room(checkpoint, folder, size):
    """Write a checkpoint where every file longer than ``size`` bytes fails, as on a full disk; exit
    with 7 if told."""
    import resource

    classifier = load(checkpoint)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        save(classifier, folder, overwrite=True)
    except UserError:
        os._exit(7)


def train_when_both_are_ready(checkpoint, task, recipe, cache, ready, result):
    """Ask for a run at the same time as a rival; report its bits and what was said."""
    os.environ["WISEFT_CACHE"] = str(cache)
    theta_0, said = load(checkpoint), io.StringIO()
    ready.wait(200)
    with contextlib.redirect_stderr(said):
        model = runs.trained(theta_0, task, recipe)
    result.put((digest(model.state_dict()), said.getvalue()))


def die_while_saving(checkpoint, task, recipe, cache):
    os.environ["WISEFT_CACHE"] = str(cache)
    runs.save = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
    runs.trained(load(checkpoint), task, recipe, progress=False)
