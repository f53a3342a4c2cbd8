"""Properties of every architecture on every executor, for all batches."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from munjang.backends.registry import BACKENDS
from munjang.runtime.model import Model, ModelOutput
from support.peers import ARCHITECTURES, random_inputs, random_peer, reference

TOLERANCE = 1e-5
INVARIANT = 1e-6  # of the largest value: hidden states are some units large
Inputs = dict[str, Any]


class Opened(NamedTuple):
    peer: Any
    folder: Path


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Checkpoints by architecture and head, each made once."""

    @cache
    def make(architecture: str, head: bool = False) -> Opened:
        folder = tmp_path_factory.mktemp(architecture)
        # Values of the size that trained models have: the tolerances here are absolute.
        peer = random_peer(architecture, folder, head=head, settings={"initializer_range": 0.1})
        return Opened(peer, folder)

    return make


def biggest(difference: NDArray[Any]) -> float:
    return float(np.abs(difference).max())


def same(ours: NDArray[Any] | None, theirs: NDArray[Any] | None) -> bool:
    assert ours is not None
    assert theirs is not None
    return ours.shape == theirs.shape and biggest(ours - theirs) < INVARIANT * max(1.0, biggest(theirs))


def of_text(output: ModelOutput, i: int, mask: NDArray[np.int64]) -> NDArray[np.float32]:
    assert output.last_hidden_state is not None
    kept: NDArray[np.float32] = output.last_hidden_state[i][mask[i] == 1]
    return kept


def widened(inputs: Inputs, columns: int, *, left: bool = False, pad: int = 1) -> Inputs:
    """Add columns of padding."""
    sides = (columns, 0) if left else (0, columns)
    fill = {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0}
    return {
        name: np.pad(array, ((0, 0), sides), constant_values=fill[name]) for name, array in inputs.items()
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_does_not_depend_on_its_batch(architecture: str, backend: str, peers: Any) -> None:
    """One alone, in another order, and with more padding: the same vectors."""
    model = Model.from_pretrained(peers(architecture).folder, backend=backend)
    inputs: Inputs = random_inputs(np.random.default_rng(6), texts=7)
    mask = inputs["attention_mask"]
    together = model(**inputs)
    order = np.random.default_rng(7).permutation(7)
    shuffled = model(**{name: array[order] for name, array in inputs.items()})
    wider = model(**widened(inputs, 9))
    for i in range(7):
        n = int(mask[i].sum())
        alone = model(**{name: array[i : i + 1, :n] for name, array in inputs.items()})
        expected = of_text(together, i, mask)
        assert same(of_text(alone, 0, mask[i : i + 1, :n]), expected)
        place = int(np.flatnonzero(order == i)[0])
        assert same(of_text(shuffled, place, mask[order]), expected)
        assert same(of_text(wider, i, np.pad(mask, ((0, 0), (0, 9)))), expected)
        if together.pooler_output is not None:
            assert alone.pooler_output is not None
            assert same(alone.pooler_output[0], together.pooler_output[i])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_left_padding(architecture: str, backend: str, peers: Any) -> None:
    """Positions follow the columns (BERT) or the padding tokens (RoBERTa), as in the reference."""
    peer, folder = peers(architecture)
    model = Model.from_pretrained(folder, backend=backend)
    inputs = widened(random_inputs(np.random.default_rng(8)), 4, left=True)
    mask = inputs["attention_mask"]
    expected = reference(peer, inputs)["last_hidden_state"].numpy()
    ours = model(**inputs).last_hidden_state
    assert ours is not None
    assert biggest((ours - expected)[mask == 1]) < TOLERANCE
    assert not ours[mask == 0].any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if "roberta" in name])
def test_padding_token_inside_a_text(architecture: str, backend: str, peers: Any) -> None:
    """RoBERTa's positions skip padding tokens, even if the mask includes a padding token."""
    peer, folder = peers(architecture)
    inputs: Inputs = random_inputs(np.random.default_rng(9))
    inputs["input_ids"][:, [2, 5]] = 1
    inputs["input_ids"][0, 0] = 1
    expected = reference(peer, inputs)["last_hidden_state"].numpy()
    ours = Model.from_pretrained(folder, backend=backend)(**inputs).last_hidden_state
    assert ours is not None
    assert biggest((ours - expected)[inputs["attention_mask"] == 1]) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ["roberta", "xlm-roberta", "distilbert"])
def test_token_types_that_a_model_lacks_are_ignored(architecture: str, backend: str, peers: Any) -> None:
    model = Model.from_pretrained(peers(architecture).folder, backend=backend)
    inputs: Inputs = random_inputs(np.random.default_rng(10))
    assert inputs["token_type_ids"].any()
    with_types = model(**inputs).last_hidden_state
    del inputs["token_type_ids"]
    without = model(**inputs).last_hidden_state
    assert with_types is not None
    assert without is not None
    np.testing.assert_array_equal(with_types, without)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_values_requested_alone_are_equal(architecture: str, backend: str, peers: Any) -> None:
    """The values are the same if only the first token's row goes through the last layer."""
    model = Model.from_pretrained(
        peers(architecture, head=True).folder, head="sequence-classification", backend=backend
    )
    inputs: Inputs = random_inputs(np.random.default_rng(11))
    names = ["last_hidden_state", "logits", *(["pooler_output"] if model.has_pooler else [])]
    everything = model(**inputs, outputs=names, output_hidden_states=True, output_attentions=True)
    for name in names:
        alone = model(**inputs, outputs=[name])
        assert same(alone[name], everything[name])
        assert alone.keys() == [name]
    only_states = model(**inputs, outputs=[], output_hidden_states=True).hidden_states
    assert only_states is not None
    assert everything.hidden_states is not None
    for ours, theirs in zip(only_states, everything.hidden_states, strict=True):
        assert same(ours, theirs)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_other_weights_and_inputs(architecture: str, seed: int, tmp_path: Path) -> None:
    # Larger weights than these, and the reference's own rounding comes near the tolerance.
    peer = random_peer(architecture, tmp_path, head=True, seed=seed, settings={"initializer_range": 0.2})
    model = Model.from_pretrained(tmp_path, head="sequence-classification")
    generator = np.random.default_rng(seed)
    inputs: Inputs = random_inputs(
        generator,
        texts=int(generator.integers(1, 12)),
        longest=int(generator.integers(3, 38)),
        random_mask=bool(seed % 2),
    )
    expected = reference(peer, inputs, output_hidden_states=True)
    output = model(**inputs, outputs=["last_hidden_state", "logits"])
    assert output.logits is not None
    assert output.last_hidden_state is not None
    assert biggest(output.logits - expected["logits"].numpy()) < TOLERANCE
    difference = output.last_hidden_state - expected["hidden_states"][-1].numpy()
    assert biggest(difference[inputs["attention_mask"] == 1]) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_token(backend: str, peers: Any) -> None:
    peer, folder = peers("bert")
    inputs: Inputs = {"input_ids": np.array([[5]]), "attention_mask": np.array([[1]])}
    expected = reference(peer, {**inputs, "token_type_ids": np.array([[0]])})
    output = Model.from_pretrained(folder, backend=backend)([5])
    assert output.last_hidden_state is not None
    assert biggest(output.last_hidden_state - expected["last_hidden_state"].numpy()) < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_longest_text(backend: str, peers: Any) -> None:
    """Exactly as many tokens as there are positions, also where RoBERTa's begin later."""
    for architecture, length in (("bert", 40), ("roberta", 38)):
        peer, folder = peers(architecture)
        inputs: Inputs = random_inputs(np.random.default_rng(12), texts=2, longest=length)
        expected = reference(peer, inputs)["last_hidden_state"].numpy()
        model = Model.from_pretrained(folder, backend=backend)
        assert model.config.max_length == length
        ours = model(**inputs).last_hidden_state
        assert ours is not None
        assert biggest((ours - expected)[inputs["attention_mask"] == 1]) < TOLERANCE
