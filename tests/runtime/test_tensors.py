"""`Tensor`: a NumPy array on which the lines of lessons that expect torch tensors run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from munjang import util
from munjang.errors import InputError
from munjang.runtime.tensors import Tensor, tensor, torch_tensor
from support.processes import run_python

VALUES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
OURS, THEIRS = tensor(VALUES), torch.from_numpy(VALUES)


@pytest.mark.parametrize(
    "line",
    [
        "x.shape",
        "x.size()",
        "x.size(1)",
        "x.size(-1)",
        "x.dim()",
        "x.numel()",
        "x.detach().cpu().numpy()",
        "x.to('cpu').clone().float()",
        "x.long()",
        "x.unsqueeze(0)",
        "x.unsqueeze(-1)",
        "x.unsqueeze(0).squeeze()",
        "x.unsqueeze(0).squeeze(0)",
        "x.unsqueeze(1).squeeze(dim=0)",
        "x.view(-1)",
        "x.view(2, 6)",
        "x.tolist()",
        "x[0, 0].item()",
        "x[:1, :1].item()",
        "float(x[:1, :1])",
        "int(x[:1, :1] * 100)",
        "x.argmax()",
        "x.argmax(dim=1)",
        "x.argmax(-1)",
        "x.argmin(dim=0)",
        "(x > 0).nonzero(as_tuple=True)[1]",
        "(x > 0).nonzero(as_tuple=False)",
        "x.sum(dim=0)",
        "x.sum(1)",
        "x.mean(dim=-1)",
        "x.mean()",
        "x.max()",
        "x.max(dim=1)[0]",
        "x.max(dim=1).indices",
        "x.softmax(dim=-1)",
        "x.softmax(0)",
        "x.topk(2).values",
        "x.topk(2)[1]",
        "x[0].topk(k=3, largest=False).values",
        "x.topk(2, dim=0).indices",
        "torch.topk(x[0], k=2).values",
        "torch.topk(x, k=2).indices",
        "torch.softmax(x, dim=1)",
        "torch.argmax(x)",
        "torch.nn.functional.softmax(x, dim=-1)",
        "torch.nn.Softmax(dim=0)(x)",
        "torch.cat([x, x])",
        "torch.stack([x, torch.ones(3, 4)])",
        "torch.max(x, dim=1).values",
        "torch.as_tensor(x)",
        "x * torch.ones(3, 4)",
        "torch.ones(2, 3) @ x",
        "np.mean(np.asarray(x), axis=0)",
    ],
)
def test_a_line_has_the_same_value_as_in_torch(line: str) -> None:
    ours, theirs = (eval(line, {"x": x, "torch": torch, "np": np}) for x in (OURS, THEIRS))
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5)
    if isinstance(ours, Tensor):
        assert ours.dtype == theirs.numpy().dtype


def test_a_number_is_formatted() -> None:
    assert f"{OURS[0][0]:.4f}" == f"{THEIRS[0][0]:.4f}"


def test_numpy_is_not_disturbed() -> None:
    assert type(np.asarray(OURS)) is np.ndarray
    assert np.shares_memory(np.asarray(OURS), VALUES)
    assert OURS.dtype == np.float32
    assert (OURS.size, OURS.size * 2, np.size(OURS)) == (12, 24, 12)
    functions: list[Any] = [np.sort, np.cumsum, np.median, np.squeeze, np.argmax, np.max, np.linalg.norm]
    for function in functions:
        np.testing.assert_array_equal(function(OURS), function(VALUES))
    assert OURS.view(np.int32).dtype == np.int32
    np.testing.assert_array_equal(OURS.max(0), VALUES.max(0))
    np.testing.assert_array_equal(OURS.sum(axis=1, keepdims=True), VALUES.sum(axis=1, keepdims=True))
    again = pickle.loads(pickle.dumps(OURS))
    assert isinstance(again, Tensor)
    np.testing.assert_array_equal(again, VALUES)


def test_invalid_operations() -> None:
    with pytest.raises(InputError, match="topk needs a k of 0 to 4, got 5"):
        OURS.topk(5)
    with pytest.raises(InputError, match="'cuda'"):
        OURS.to("cuda")


def test_torch_tensors_share_memory_unless_it_is_read_only() -> None:
    values = VALUES.copy()
    torch_tensor(values)[0, 0] = 5
    assert values[0, 0] == 5
    values.flags.writeable = False
    torch_tensor(values)[0, 0] = 7
    assert values[0, 0] == 5
    np.testing.assert_array_equal(torch_tensor(VALUES[::-1]), VALUES[::-1])


@pytest.mark.parametrize(
    "name", ["cos_sim", "pytorch_cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"]
)
def test_scores(name: str) -> None:
    function: Any = getattr(util, name)
    one = function(VALUES[0], VALUES[1])
    expected = function(torch.from_numpy(VALUES[0]), torch.from_numpy(VALUES[1]))
    assert isinstance(expected, torch.Tensor)
    assert float(one) == one.item() == float(expected) == expected.item()
    assert isinstance(one, Tensor)
    assert one.dtype == np.float32
    scores = function(VALUES[0], VALUES)[0]
    best = torch.topk(scores, k=2)
    assert isinstance(best.values, torch.Tensor)
    np.testing.assert_array_equal(best.indices, scores.topk(2).indices)
    assert isinstance(function(one, torch.tensor([1.0])), torch.Tensor)


def test_pairwise_score_of_two_vectors() -> None:
    assert float(util.pairwise_cos_sim(VALUES[0], VALUES[0])) == pytest.approx(1, abs=1e-6)


def test_hits_are_numbers() -> None:
    [hits] = util.semantic_search(VALUES[0], VALUES, top_k=1)
    assert (type(hits[0]["corpus_id"]), type(hits[0]["score"])) == (int, float)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
from munjang import util
scores = util.cos_sim(np.eye(3, dtype="f"), np.eye(3, dtype="f"))
print(float(scores[:1, :1]), scores[0].topk(k=1).indices.tolist(), scores.cpu().numpy().argmax(-1).tolist())
"""
NOT_IMPORTED = """
import sys
import numpy as np
from munjang import util
util.cos_sim(np.eye(3), np.eye(3)).topk(2)
print("torch" in sys.modules)
"""


def test_without_torch(tmp_path: Path) -> None:
    assert run_python(WITHOUT_TORCH, home=tmp_path) == "1.0 [0] [0, 1, 2]\n"
    assert run_python(NOT_IMPORTED, home=tmp_path) == "False\n"
