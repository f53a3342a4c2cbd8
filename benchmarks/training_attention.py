"""The cost of one layer's attention with dropout and gradients: torch's attention and munjang's.

``python -m benchmarks.training_attention`` compares them on random numbers, in float32 and bfloat16, for
texts of several lengths: median milliseconds of some rounds in turns, and how many times as fast ours is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.rounds import quartiles, ratios, take_turns
from munjang.backends.torch import attention_with_dropout

RATE = 0.1
HEADS, WIDTH = 12, 32  # those of small encoders
SHAPES = ((256, 24), (32, 235), (8, 512))  # texts and their length

Attention = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


def torch_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, rate: float) -> Tensor:
    return scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=rate)


ENTRANTS: dict[str, Attention] = {"torch": torch_attention, "munjang": attention_with_dropout}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print("| texts | precision | torch, ms | ours, ms | times as fast |")
    print("| --- | --- | ---: | ---: | --- |")
    for texts, length in SHAPES:
        for precision in (torch.float32, torch.bfloat16):
            found = compare(texts, length, precision, rounds)
            theirs, ours = (1e3 * quartiles(found[name]).median for name in ENTRANTS)
            faster = ratios(found["torch"], found["munjang"]).text()
            kind = str(precision).removeprefix("torch.")
            print(
                f"| {texts} of {length} tokens | {kind} | {theirs:.0f} | {ours:.0f} | {faster} |", flush=True
            )


def compare(texts: int, length: int, precision: torch.dtype, rounds: int) -> dict[str, list[float]]:
    """Return the seconds forward and backward, a list per implementation."""
    shape = (texts, HEADS, length, WIDTH)
    query, key, value = (torch.randn(shape).to(precision).requires_grad_() for _ in range(3))
    bias = torch.zeros(texts, 1, 1, length, dtype=precision)
    gradient = torch.randn(shape).to(precision)

    def run(name: str) -> float:
        begin = time.perf_counter()
        seen = ENTRANTS[name](query, key, value, bias, RATE)
        torch.autograd.grad(seen, (query, key, value), gradient)
        return time.perf_counter() - begin

    for name in ENTRANTS:
        run(name)
    return take_turns(list(ENTRANTS), rounds, run)


if __name__ == "__main__":
    main()
