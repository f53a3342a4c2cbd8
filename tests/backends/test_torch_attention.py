"""Texts in groups of similar length: their layout, the gradients, and attention equal to one padded view.

What can be wrong: one text, one token, texts of equal length, a group of one, tokens that see no later ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.backends.torch import TorchOps, to_tensor
from munjang.backends.torch_attention import Groups
from munjang.models.batch import TokenBatch
from munjang.runtime.runner import pack_arrays

HEADS, SIZE = 3, 4
CPU = torch.device("cpu")
MIXED = [40, 3, 200, 1, 37, 180, 5, 90, 41, 8]  # worth three groups
LENGTHS = [[1], [7], [5, 5, 5], [2, 9, 4], MIXED, MIXED[::-1]]


def batch_of(lengths: list[int], *, causal: bool = False) -> TokenBatch[NDArray[Any]]:
    nothing = np.zeros(sum(lengths), dtype=np.int32)
    return pack_arrays(nothing, nothing, nothing, np.array(lengths, dtype=np.int32), causal=causal)


def rows_of(lengths: list[int]) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(sum(lengths), HEADS * SIZE, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_every_text_has_its_own_row(lengths: list[int]) -> None:
    groups, x = Groups(batch_of(lengths), CPU), rows_of(lengths)
    views = groups.lay_out(x, HEADS)
    found = [
        text[:, : int((bias > -1).sum())].transpose(0, 1).reshape(-1, HEADS * SIZE)
        for view, biases in zip(views, groups.biases, strict=True)
        for text, bias in zip(view, biases, strict=True)
    ]
    wanted = list(torch.split(x, lengths))
    assert {tuple(text.flatten().tolist()) for text in found} == {
        tuple(text.flatten().tolist()) for text in wanted
    }
    assert len(found) == len(wanted)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_grouping_and_ungrouping_keeps_the_values(lengths: list[int]) -> None:
    groups, x = Groups(batch_of(lengths), CPU), rows_of(lengths)
    back = groups.take_together(groups.lay_out(x, HEADS))
    assert torch.equal(back, x)
    weights = torch.randn_like(x)
    (gradient,) = torch.autograd.grad((back * weights).sum(), x)
    assert torch.equal(gradient, weights)


def test_another_number_of_heads_is_another_view() -> None:
    groups, x = Groups(batch_of(MIXED), CPU), rows_of(MIXED)
    for heads in (1, 2, 12):
        assert groups.lay_out(x, heads)[0].shape[1::2] == (heads, HEADS * SIZE // heads)
        assert torch.equal(groups.take_together(groups.lay_out(x, heads)), x)


def test_groups_leave_little_padding_and_are_few() -> None:
    for lengths, most in ((MIXED, 3), ([50] * 20, 1), ([60, 20], 1)):
        groups = Groups(batch_of(lengths), CPU)
        cells = sum(bias.shape[0] * bias.shape[3] for bias in groups.biases)
        assert len(groups.biases) == most
        assert cells <= max(1.5 * sum(lengths), 512)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_attention_and_its_gradients_are_those_of_one_view(lengths: list[int], causal: bool) -> None:
    batch = batch_of(lengths, causal=causal)
    weights = torch.randn(sum(lengths), HEADS * SIZE, dtype=torch.float64)
    results = []
    for groups in (Groups(batch, CPU), None):
        query, key, value = (rows_of(lengths) * scale for scale in (1.0, 0.5, -1.0))
        found = TorchOps(groups=groups).attention(
            query, key, value, batch.map(to_tensor), heads=HEADS, dropout=0.0, name="layer.0.attention"
        )
        gradients = torch.autograd.grad((found * weights).sum(), (query, key, value))
        results.append((found, *gradients))
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted)
