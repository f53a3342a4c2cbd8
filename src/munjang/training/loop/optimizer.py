"""AdamW with decoupled weight decay (arXiv:1711.05101), warm-up and layer-wise learning-rate decay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.training.loop.network import Network
from munjang.training.options import TrainingOptions

_MOMENTS = ("exp_avg", "exp_avg_sq")


def learning_rate_at(step: int, steps: int, options: TrainingOptions) -> float:
    """Return the learning rate of update ``step`` (counted from 1) of ``steps``."""
    warmup = math.ceil(options.warmup_ratio * steps)
    if step <= warmup:
        return options.learning_rate * step / warmup
    if options.schedule == "constant":
        return options.learning_rate
    left = (steps - step + 1) / (steps - warmup + 1)
    if options.schedule == "linear":
        return options.learning_rate * left
    return options.learning_rate * (1 - math.cos(math.pi * left)) / 2


def decays(name: str, value: Tensor) -> bool:
    """Return whether a tensor has weight decay: matrices and embedding tables do, biases and norms do not."""
    return value.dim() > 1 and not name.endswith(".bias")


class Optimizer:
    """The optimizer of a network's trained tensors; its state can be saved and loaded."""

    def __init__(self, network: Network, options: TrainingOptions) -> None:
        self._trained = network.trained
        self._depth_of = network.depth_of
        self._options = options
        self._layers = network.model.config.num_hidden_layers
        groups: dict[tuple[bool, float], list[Tensor]] = {}
        for name, value in self._trained.items():
            decaying = decays(name, value) and name not in network.undecayed
            groups.setdefault((decaying, self._scale(name)), []).append(value)
        self._adam = torch.optim.AdamW(
            [
                {"params": values, "weight_decay": options.weight_decay * decaying, "scale": scale}
                for (decaying, scale), values in groups.items()
            ],
            lr=options.learning_rate,
            betas=(options.adam_beta1, options.adam_beta2),
            eps=options.adam_epsilon,
            fused=True,
        )

    def _scale(self, name: str) -> float:
        """How much of the learning rate a tensor gets: all of it above the layers, less further down."""
        depth = self._depth_of(name)
        above = 0 if depth is None else self._layers + 1 - depth
        return self._options.layer_decay**above

    def clip(self) -> float:
        """Clip the gradients to ``max_grad_norm``. Return their norm before clipping."""
        gradients = [value.grad for value in self._trained.values() if value.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        length = float(norm)
        if self._options.max_grad_norm and math.isfinite(length):
            torch.nn.utils.clip_grads_with_norm_(self._trained.values(), self._options.max_grad_norm, norm)
        return length

    def step(self, learning_rate: float) -> None:
        """Update all trained tensors and delete the gradients."""
        for group in self._adam.param_groups:
            group["lr"] = learning_rate * group["scale"]
        self._adam.step()
        self.forget()

    def forget(self) -> None:
        """Delete the gradients."""
        self._adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the optimizer state (moments and step counts) by name."""
        state: dict[str, NDArray[Any]] = {}
        for name, value in self._trained.items():
            own = self._adam.state.get(value)
            if own:
                state |= {f"{moment}/{name}": own[moment].cpu().numpy() for moment in _MOMENTS}
                state[f"step/{name}"] = own["step"].cpu().numpy()
        return state

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Load a state that `state` returned."""
        for name, value in self._trained.items():
            if f"step/{name}" not in state:
                continue
            own = {moment: torch.from_numpy(np.array(state[f"{moment}/{name}"])) for moment in _MOMENTS}
            own["step"] = torch.from_numpy(np.array(state[f"step/{name}"])).reshape(())
            self._adam.state[value] = {key: tensor.to(value.device) for key, tensor in own.items()}
