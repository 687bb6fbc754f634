"""Several processes, one for each GPU: who does what, and how it comes together again.

``accelerate launch`` or ``torchrun`` starts the processes, and ``start`` makes them a group. Each
of them runs the whole program; what is worth it is divided. Without a group there is one process,
and every function here does what is right for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from wiseft_lite.errors import UserError

PATIENCE = timedelta(
    days=1
)  # the others wait while one names a large data set, or for the lock of another job


def start(device: str | None = None) -> None:
    """Join the processes that a launcher started into one group; this one takes its own GPU. All
    must call it.

    A program that was not started by a launcher, or as its only process, goes on alone.

    Args:
        device: ``"cpu"`` leaves the GPUs alone.

    Raises:
        UserError: more processes on this machine than it has GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    on_gpus = torch.cuda.is_available() and device != "cpu"
    if on_gpus:
        place, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= there:
            raise UserError(
                f"process {place} has no GPU of its own, this machine has {there}; launch as many processes "
                "as there are GPUs, or pass --device cpu"
            )
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=PATIENCE)


def stop() -> None:
    """Leave the group, when all have done their work."""
    if world_size() > 1:
        all_true(True)
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that prints and writes files."""
    return rank() == 0


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process go through alone, then the others: what it downloads they find."""
    if not is_main():
        all_true(True)
    try:
        yield
    finally:
        if is_main():
            all_true(True)


def broadcast_object(make: Callable[[], Any]) -> Any:
    """What ``make`` returns in the main process, for all; the others do not call it.

    Args:
        make: returns what JSON can hold.

    Example:
        >>> broadcast_object(lambda: [1, None])
        [1, None]
    """
    if world_size() == 1:
        return make()
    text = json.dumps(make()).encode() if is_main() else b""
    size = torch.tensor(len(text))
    dist.broadcast(size, 0)
    letters = (
        torch.tensor(list(text), dtype=torch.uint8)
        if is_main()
        else torch.empty(int(size), dtype=torch.uint8)
    )
    dist.broadcast(letters, 0)
    return json.loads(bytes(letters.tolist()))


def main_only(work: Callable[[], object]) -> None:
    """Call ``work`` in the main process alone; if it fails there, raise in every process.

    All must call it. Without it the others would wait in the next exchange for a process that has
    ended.

    Raises:
        UserError: in the other processes, with the main one's message, whatever it raised itself.

    Example:
        >>> main_only(lambda: print("written once"))
        written once
    """
    failure: Exception | None = None
    if is_main():
        try:
            work()
        except Exception as error:
            failure = error
    message = broadcast_object(lambda: None if failure is None else str(failure))
    if failure is not None:
        raise failure
    if message is not None:
        raise UserError(message)


def all_true(holds: bool) -> bool:
    """Whether it holds in every process; none goes on before all have asked."""
    yes = torch.tensor(int(holds))
    all_reduce([yes])
    return int(yes) == world_size()


def all_reduce(tensors: Iterable[Tensor]) -> None:
    """Put the sum over all processes in place of each tensor; every process gets the same bits."""
    if world_size() > 1:
        for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
            work.wait()


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Put the main process's values in place of each tensor."""
    if world_size() > 1:
        for tensor in tensors:
            values = tensor.contiguous()  # itself, as a rule
            dist.broadcast(values, 0)
            if values is not tensor:
                tensor.copy_(values)


def local_slice(n: int) -> tuple[slice, float]:
    """The part of a batch of ``n`` inputs that is this process's, and its weight in the mean over
    the batch.

    Where there are fewer inputs than processes, one that would get none takes the first with weight
    0, so that its gradient is a gradient of the same kind, all zeros.

    Example:
        >>> local_slice(5)
        (slice(0, 5, None), 1.0)
    """
    first, end = rank() * n // world_size(), (rank() + 1) * n // world_size()
    return (slice(first, end), (end - first) / n) if end > first else (slice(0, 1), 0.0)


class Shards:
    """The ``n`` inputs of a pass without training, whole batches in turn to each process.

    A batch has the same inputs however many processes there are, and so the same bits come out.

    Args:
        n: inputs.
        batch_size: inputs a batch.

    Example:
        >>> Shards(3, 2).rows.tolist()
        [0, 1, 2]
    """

    def __init__(self, n: int, batch_size: int):
        every_batch = torch.arange(n).split(batch_size)
        self._rows = [
            torch.cat(every_batch[k :: world_size()] or (torch.arange(0),))
            for k in range(world_size())
        ]
        self._n = n

    @property
    def rows(self) -> Tensor:
        """The places of this process's inputs. One without a batch gets the first input, which then
        counts nothing: what it makes of it has the right shape.
        """
        mine = self._rows[rank()]
        return mine if len(mine) else torch.arange(1)

    def shard(self, inputs: Any) -> Any:
        """This process's part of a split or tensor; with one process that is ``inputs`` itself."""
        if world_size() == 1:
            return inputs
        return inputs[self.rows] if isinstance(inputs, Tensor) else inputs.select(self.rows)

    def gather(self, part: Tensor) -> Tensor:
        """What all processes made of their inputs, ``[n, ...]`` in order, from this one's part
        ``[len(rows), ...]``."""
        if world_size() == 1:
            return part
        result = part.new_empty(self._n, *part.shape[1:])
        for k, rows in enumerate(self._rows):
            if len(rows):
                piece = (
                    part.contiguous() if k == rank() else part.new_empty(len(rows), *part.shape[1:])
                )
                dist.broadcast(piece, k)
                result[rows] = piece
        return result
