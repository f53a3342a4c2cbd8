"""A model during training: which of its tensors are trained, and their current values."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.backends.torch import TorchExecutor
from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.params import Params
from munjang.models.program import Program
from munjang.runtime.model import Model
from munjang.training.options import TrainingOptions


class Network:
    """A model on the torch executor, with its trained tensors.

    Pieces that occur in no example get no gradient, so weight decay alone would change their rows of the word
    embeddings. With ``used_ids`` these rows stay unchanged and only the used rows are trained. For a
    vocabulary of 250,000 pieces this saves most of the memory and much of the time.

    Args:
        model: a model with the backend ``torch``. It computes with the trained values; with ``used_ids``, its
            word embeddings are updated by `settle`.
        options: the frozen layers, the device and the precision. `InputError` for more frozen layers than the
            model has.
        used_ids: the ids that occur in the examples; ``None`` if any id may occur.
        only_rows: rows of the word embeddings. Only these are trained, without weight decay.
        more: further trained tensors, such as those of a loss, by name.
    """

    def __init__(
        self,
        model: Model,
        options: TrainingOptions,
        *,
        used_ids: NDArray[np.integer[Any]] | None = None,
        only_rows: NDArray[np.integer[Any]] | None = None,
        more: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        executor = model.runner.executor
        if not isinstance(executor, TorchExecutor):
            raise InputError("A model is trained by torch: open it with backend='torch'.")
        self.model = model
        self.options = options
        layers = model.config.num_hidden_layers
        if options.freeze_layers > layers:
            raise InputError(f"freeze_layers={options.freeze_layers}, but the model has {layers} layers.")
        self._executor = executor
        self.device = choose_device(options.device)
        _check_bfloat16(options, self.device)
        executor.to(self.device)
        self.more = {
            name: torch.from_numpy(np.array(value)).to(self.device).requires_grad_(True)
            for name, value in (more or {}).items()
        }
        self.depth_of = model.architecture.depth_of
        self._words = model.architecture.base(executor.params).prefix + model.architecture.words
        self._places: NDArray[np.int32] | None = None
        self.trained = {name: value for name, value in executor.parameters.items() if self._learns(name)}
        self.undecayed: frozenset[str] = frozenset()
        if only_rows is not None:
            if options.freeze_layers or options.freeze_embeddings:
                raise InputError("Nothing is left to train: the embeddings of the added tokens are frozen.")
            self.trained = {self._words: executor.parameters[self._words]}
            self.undecayed = frozenset(self.trained)  # or the other rows would decay
        for name, value in executor.parameters.items():
            value.requires_grad_(name in self.trained)
        if only_rows is not None:
            self._keep_gradients_of(only_rows)
        if used_ids is not None and self._words in self.trained:
            self._train_rows(used_ids)
        self.trained |= self.more

    def _learns(self, name: str) -> bool:
        if not self._executor.parameters[name].is_floating_point():
            return False
        frozen = self.options.freeze_layers
        depth = self.depth_of(name)
        if depth is None:
            return True
        if depth == 0:
            return not (frozen or self.options.freeze_embeddings)
        return depth > frozen

    def _keep_gradients_of(self, ids: NDArray[np.integer[Any]]) -> None:
        """Set the gradient of all other rows of the word embeddings to 0, by a hook."""
        table = self.trained[self._words]
        kept = torch.zeros(len(table), 1, device=self.device)
        kept[torch.from_numpy(ids.astype(np.int64)).to(self.device)] = 1
        table.register_hook(lambda gradient: gradient * kept)  # type: ignore[no-untyped-call]

    def _train_rows(self, used_ids: NDArray[np.integer[Any]]) -> None:
        ids = np.unique(used_ids)
        table = self._executor.parameters[self._words]
        table.requires_grad_(False)
        self._ids = torch.from_numpy(ids.astype(np.int64)).to(self.device)
        self._places = np.full(len(table), -1, dtype=np.int32)
        self._places[ids] = np.arange(len(ids), dtype=np.int32)
        self.trained[self._words] = table[self._ids].clone().requires_grad_(True)

    def forward(
        self, program: Program, batch: TokenBatch[NDArray[Any]], *, training: bool = True
    ) -> dict[str, Tensor]:
        """Run a program with gradients. Return its outputs as tensors on the network's device."""
        if self._places is not None:
            batch = replace(batch, input_ids=self._places[batch.input_ids])
        params = Params(ChainMap(self.trained, self._executor.parameters))
        return self._executor.forward(program, batch, training=training, params=params)

    def precision(self) -> AbstractContextManager[Any]:
        """Return a context manager for matrix multiplication in the precision of the options."""
        if self.options.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def settle(self) -> None:
        """Copy the trained embedding rows into the model's full table. Call before evaluating or saving."""
        if self._places is not None:
            with torch.no_grad():
                self._executor.parameters[self._words][self._ids] = self.trained[self._words]

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the model's current tensors by their published names."""
        self.settle()
        return {name: value.detach().cpu().numpy() for name, value in self._executor.parameters.items()}

    def state(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the name and the current value of each trained tensor."""
        for name, value in self.trained.items():
            yield name, value.detach().cpu().numpy()

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Load values that `state` returned."""
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(torch.from_numpy(np.array(state[name])))
        self.settle()


def choose_device(name: str) -> torch.device:
    """Return the device for a name. Raises `InputError` if it is unknown or not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"Unknown device {name!r}; there are auto, cpu, cuda and cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device={name!r}, but torch sees {torch.cuda.device_count()} GPUs.")
    return device


def has_bfloat16(device: torch.device | None = None) -> bool:
    """Return whether a device, by default that of ``auto``, supports matrix multiplication in bfloat16."""
    if (device or choose_device("auto")).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check_bfloat16(options: TrainingOptions, device: torch.device) -> None:
    if options.bfloat16 and not has_bfloat16(device):
        raise InputError(
            f"bfloat16 was asked for, but this {device.type} can't multiply in it; leave it out."
        )
