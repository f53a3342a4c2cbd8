"""Data-parallel training of a model in several processes, started by ``torchrun``.

Each process works on its share of every batch. The gradients are summed over the processes, so the result is
the same as with a single process.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from munjang.errors import TrainingError

_PATIENCE = dt.timedelta(hours=4)  # the other processes wait while the leading process evaluates


class Processes:
    """The processes of a run. A single process needs no communication."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def leads(self) -> bool:
        """Return whether this process evaluates, writes and reports."""
        return self.rank == 0

    def share(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return this process's part of a batch."""
        return places[self.rank :: self.count]

    def add_up(self, numbers: Sequence[float], device: torch.device) -> list[float]:
        """Sum numbers over all processes."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(list(numbers), dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return [float(number) for number in total]

    def add_up_gradients(self, trained: Iterable[Tensor]) -> None:
        """Sum gradients over all processes. A gradient that is ``None`` in all processes stays ``None``."""
        if self.count == 1:
            return
        tensors = list(trained)
        have = torch.tensor([float(value.grad is not None) for value in tensors], device=tensors[0].device)
        distributed.all_reduce(have)
        chosen = [value for value, there in zip(tensors, have.tolist(), strict=True) if there]
        flat = torch.cat([_gradient(value).reshape(-1) for value in chosen])
        distributed.all_reduce(flat)
        start = 0
        for value in chosen:
            value.grad = flat[start : start + value.numel()].view_as(value).clone()
            start += value.numel()

    def told(self, value: Any) -> Any:
        """Broadcast the leading process's value and return it in every process."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Yield the group of processes that ``torchrun`` started, or a group of this process alone.

    Raises `TrainingError` if there are more processes than GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise TrainingError(f"Process {local} has no GPU: there are only {torch.cuda.device_count()}.")
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
