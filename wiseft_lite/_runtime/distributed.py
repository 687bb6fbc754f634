"""Data-parallel processes, one per GPU: split a batch or a pass, and combine the results.

``accelerate launch`` or ``torchrun`` starts the processes, and ``start`` makes them a group. Every
process runs the whole program; training batches and inference passes are divided. Without a group
there is one process, and every function here works for it too.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wiseft_lite.errors import UserError

# long: the others wait while the main process hashes a large data set or waits for a lock
TIMEOUT = timedelta(days=1)


def start(device: str | None = None) -> None:
    """Join the processes of a launch into one group and set each one's GPU; all must call it.

    Without a launcher, or with a single process, it does nothing.

    Args:
        device: ``"cpu"`` uses no GPU.

    Raises:
        UserError: there are more processes on this machine than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    on_gpus = torch.cuda.is_available() and device != "cpu"
    if on_gpus:
        local_rank, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local_rank >= gpus:
            raise UserError(
                f"process {local_rank} has no GPU: this machine has {gpus}; launch one process per GPU, "
                "or pass --device cpu"
            )
        torch.cuda.set_device(local_rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=TIMEOUT)


def stop() -> None:
    """Leave the group once all processes are done."""
    if world_size() > 1:
        all_true(True)
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Return whether this is the main process, which prints and writes files."""
    return rank() == 0


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block in the main process first, then in the others: one download serves all."""
    if not is_main():
        all_true(True)
    try:
        yield
    finally:
        if is_main():
            all_true(True)


def broadcast_object(make: Callable[[], Any]) -> Any:
    """Call ``make`` in the main process alone and return its result in every process.

    All must call it. If ``make`` fails, it fails in every process: otherwise the others would wait
    in the next exchange for a process that has ended.

    Args:
        make: returns a value that JSON can hold.

    Raises:
        UserError: in the other processes, with the main one's message, whatever it raised itself.

    Example:
        >>> broadcast_object(lambda: [1, None])
        [1, None]
    """
    if world_size() == 1:
        return make()
    failure: Exception | None = None
    data = b""
    if is_main():
        try:
            data = json.dumps({"value": make()}).encode()
        except Exception as error:
            failure = error
            data = json.dumps({"error": str(error)}).encode()
    size = torch.tensor(len(data))
    dist.broadcast(size, 0)
    buffer = torch.empty(int(size), dtype=torch.uint8)
    if is_main():
        buffer = torch.tensor(list(data), dtype=torch.uint8)
    dist.broadcast(buffer, 0)
    answer = json.loads(bytes(buffer.tolist()))
    if failure is not None:
        raise failure
    if "error" in answer:
        raise UserError(answer["error"])
    return answer["value"]


def main_only(work: Callable[[], object]) -> None:
    """Call ``work`` in the main process alone; if it fails there, raise in every process.

    All must call it.

    Raises:
        UserError: as ``broadcast_object``.

    Example:
        >>> main_only(lambda: print("written once"))
        written once
    """

    def done() -> None:
        work()

    broadcast_object(done)


def all_true(value: bool) -> bool:
    """Return whether ``value`` is true in every process; a barrier: all processes wait for all."""
    total = torch.tensor(int(value))
    all_reduce([total])
    return int(total) == world_size()


def all_reduce(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor, in place, by its sum over all processes; all get the same bits."""
    if world_size() > 1:
        for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
            work.wait()


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor, in place, by the main process's."""
    if world_size() > 1:
        for tensor in tensors:
            values = tensor.contiguous()  # usually the tensor itself
            dist.broadcast(values, 0)
            if values is not tensor:
                tensor.copy_(values)


def parallel(module: nn.Module, shard: bool) -> nn.Module:
    """Prepare a module for training in all processes of a launch, from the main one's weights.

    Args:
        module: its forward pass is a loss.
        shard: each process computes its part of each batch; gradients are averaged while the
            backward pass is running, by ``DistributedDataParallel``. Otherwise all compute the same.

    Raises:
        UserError: batch norm would have to average over the processes, and runs on CPUs, for which
            torch has no ``SyncBatchNorm``.
    """
    if world_size() == 1:
        return module
    if not shard:
        broadcast(module.state_dict().values())  # each process may have drawn its own
        return module
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training:
            if next(module.parameters()).device.type != "cuda":
                raise UserError(
                    f"{name.removeprefix('model.')} is batch norm, which needs the whole batch; fine-tune this model on "
                    "GPUs, with one process, or freeze it"
                )
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
            break
    # every process has the same buffers, and an encoder may have parameters that its output ignores
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)


def reduce_gradients(module: nn.Module, now: bool) -> AbstractContextManager:
    """Return a context for a forward and backward pass; gradients are averaged if ``now``.

    Args:
        module: of ``parallel``.
        now: False for all micro-batches of a step but the last: their gradients add up first.
    """
    if isinstance(module, DistributedDataParallel) and not now:
        return module.no_sync()
    return nullcontext()


def broadcast_tensors(make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Call ``make`` in the main process alone and return its tensors, bit for bit, in every process.

    Args:
        make: returns tensors on the CPU, such as weights that it reads from a file.

    Raises:
        UserError: as ``main_only``.

    Example:
        >>> broadcast_tensors(lambda: {"w": torch.ones(2)})
        {'w': tensor([1., 1.])}
    """
    made: dict[str, Tensor] = {}
    main_only(lambda: made.update(make()))
    if world_size() == 1:
        return made
    kinds = broadcast_object(
        lambda: {key: (str(t.dtype).removeprefix("torch."), t.shape) for key, t in made.items()}
    )
    if is_main():
        tensors = {key: tensor.contiguous() for key, tensor in made.items()}
    else:
        tensors = {
            key: torch.empty(shape, dtype=getattr(torch, kind))
            for key, (kind, shape) in kinds.items()
        }
    # as bytes: not every backend can send every type
    broadcast(tensor.reshape(-1).view(torch.uint8) for tensor in tensors.values())
    return tensors


def local_slice(n: int) -> tuple[slice, float]:
    """Return this process's slice of a batch of ``n`` inputs, and its weight in the batch's mean.

    Where a batch has fewer inputs than processes, a process without any takes the first one with
    weight 0, so that it still computes a gradient for every parameter, of zeros.

    Example:
        >>> local_slice(5)
        (slice(0, 5, None), 1.0)
    """
    first, end = rank() * n // world_size(), (rank() + 1) * n // world_size()
    if end == first:
        return slice(0, 1), 0.0
    return slice(first, end), (end - first) / n


class Shards:
    """Divide the ``n`` inputs of an inference pass among the processes, batch by batch.

    A batch holds the same inputs whatever the number of processes, so the results are the same,
    bit for bit.

    Args:
        n: inputs.
        batch_size: inputs per batch.

    Example:
        >>> Shards(3, 2).rows.tolist()
        [0, 1, 2]
    """

    def __init__(self, n: int, batch_size: int):
        batches = torch.arange(n).split(batch_size)
        self._rows = [
            torch.cat(batches[k :: world_size()] or (torch.arange(0),)) for k in range(world_size())
        ]
        self._n = n

    @property
    def rows(self) -> Tensor:
        """The indices of this process's inputs.

        A process without a batch gets input 0, so that its output has the right shape; ``gather``
        ignores that output.
        """
        local = self._rows[rank()]
        return local if len(local) else torch.arange(1)

    def shard(self, inputs: Any) -> Any:
        """Return this process's part of a split or tensor; with one process, ``inputs`` itself."""
        if world_size() == 1:
            return inputs
        return inputs[self.rows] if isinstance(inputs, Tensor) else inputs.select(self.rows)

    def gather(self, local: Tensor) -> Tensor:
        """Combine the outputs of all processes, each ``[len(rows), ...]``, into ``[n, ...]``."""
        if world_size() == 1:
            return local
        result = local.new_empty(self._n, *local.shape[1:])
        for k, rows in enumerate(self._rows):
            if len(rows):
                shard = local.new_empty(len(rows), *local.shape[1:])
                if k == rank():
                    shard = local.contiguous()
                dist.broadcast(shard, k)
                result[rows] = shard
        return result
