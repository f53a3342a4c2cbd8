"""Dropout on a CPU: its rate and scale, its gradients, and attention with dropout.

What can be wrong: a rate of 0 or 1, or so close to them that no 16-bit number is between.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from munjang.backends.torch import attention_with_dropout, dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_cells_are_dropped_at_the_rate_and_the_others_scaled(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    found = dropout(torch.ones(300, 1001, dtype=dtype), rate)
    assert found.dtype == dtype
    share = (found == 0).double().mean().item()
    assert abs(share - rate) < 5 * (rate * (1 - rate) / found.numel()) ** 0.5
    torch.testing.assert_close(found[found != 0], torch.full_like(found[found != 0], 1 / (1 - rate)))


def test_rows_and_columns_are_dropped_alike() -> None:
    torch.manual_seed(0)
    dropped = (dropout(torch.ones(1000, 1000), 0.3) == 0).double()
    spread = (0.3 * 0.7 / 1000) ** 0.5
    for side in (0, 1):
        assert dropped.mean(dim=side).std().item() == pytest.approx(spread, rel=0.15)
    together = (dropped[:, 1:] * dropped[:, :-1]).mean().item()
    assert together == pytest.approx(0.09, abs=0.002)


def test_the_seed_determines_the_dropout() -> None:
    x = torch.ones(50, 7)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append((dropout(x, 0.5), dropout(x, 0.5)))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert not torch.equal(drawn[0][0], drawn[2][0])


def test_kept_cells_have_a_gradient() -> None:
    x = torch.randn(40, 33, requires_grad=True)
    found = dropout(x, 0.4)
    weights = torch.randn(40, 33)
    (gradient,) = torch.autograd.grad((found * weights).sum(), x)
    torch.testing.assert_close(gradient, weights * (found != 0) / 0.6)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_of_zero_and_one(rate: float) -> None:
    x = torch.randn(5, 3)
    assert torch.equal(dropout(x, rate), functional.dropout(x, rate))


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_rates_close_to_zero_and_one(rate: float) -> None:
    assert ((dropout(torch.ones(1000), rate) == 0).double().mean() > 0.5) == (rate > 0.5)


def _inputs(dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(3)
    parts = [torch.randn(3, 2, 7, 8).to(dtype).requires_grad_() for _ in range(3)]
    bias = torch.zeros(3, 1, 1, 7, dtype=dtype)
    bias[1, ..., 4:] = -1e9
    return parts, bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_that_of_the_formula(dtype: torch.dtype) -> None:
    """softmax(q k' / sqrt(d) + bias), dropped out, times v; and so are its gradients."""
    (q, k, v), bias = _inputs(dtype)
    weights = torch.randn(3, 2, 7, 8)
    torch.manual_seed(5)
    found = attention_with_dropout(q, k, v, bias, 0.3)
    assert found.dtype == dtype
    gradients = torch.autograd.grad((found.float() * weights).sum(), (q, k, v))
    torch.manual_seed(5)
    mask = dropout(torch.ones(3, 2, 7, 7, dtype=dtype), 0.3) != 0  # the same cells
    exact = [part.detach().double().requires_grad_() for part in (q, k, v)]
    probabilities = (exact[0] @ exact[1].transpose(-1, -2) / 8**0.5 + bias.double()).softmax(dim=-1)
    wanted = (probabilities * mask / 0.7) @ exact[2]
    limit = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found.double(), wanted, rtol=limit, atol=limit)
    for here, there in zip(gradients, torch.autograd.grad((wanted * weights).sum(), exact), strict=True):
        torch.testing.assert_close(here.double(), there, rtol=limit, atol=limit)


def test_attention_without_dropout_is_torch_s() -> None:
    (q, k, v), bias = _inputs()
    wanted = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    assert torch.equal(attention_with_dropout(q, k, v, bias, 0.0), wanted)


def test_attention_is_right_on_average() -> None:
    (q, k, v), bias = _inputs()
    with torch.no_grad():
        many = torch.stack([attention_with_dropout(q, k, v, bias, 0.2) for _ in range(4000)])
        wanted = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    torch.testing.assert_close(many.mean(dim=0), wanted, rtol=0, atol=0.05)
