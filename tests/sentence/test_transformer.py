"""`SentenceTransformer.encode` gives the vectors of sentence-transformers, for all options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from munjang import SentenceTransformer
from munjang.errors import InputError
from munjang.runtime.tensors import Tensor
from support.peers import ARCHITECTURES
from support.sentences import MAX_TOKENS, TEXTS, Trio


def close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    expected = np.asarray(theirs)
    assert np.shape(ours) == expected.shape
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(architecture: str, tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "model", architecture)
    vectors = model.ours.encode(TEXTS)
    assert vectors.dtype == np.float32
    close(vectors, model.peer.encode(TEXTS))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_backend(backend: str, bert: Trio) -> None:
    model = SentenceTransformer(bert.folder, backend=backend)
    close(model.encode(TEXTS), bert.peer.encode(TEXTS))
    close(
        model.encode(TEXTS, output_value="token_embeddings")[1],
        bert.ours.encode(TEXTS[1], output_value="token_embeddings"),
    )


def test_shapes(bert: Trio) -> None:
    encode = bert.ours.encode
    assert encode("a text").shape == (32,)
    assert encode(["a text"]).shape == (1, 32)
    assert encode([]).shape == (0, 32)
    assert encode([], truncate_dim=5).shape == (0, 5)
    assert encode(np.array([], dtype=str)).shape == (0, 32)
    assert encode("").shape == (32,)
    assert encode([], output_value="token_embeddings") == []


@pytest.mark.parametrize(
    "given",
    [TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object), dict.fromkeys(TEXTS).keys()],
    ids=["list", "tuple", "array", "object-array", "keys"],
)
def test_kinds_of_input(given: Any, bert: Trio) -> None:
    close(bert.ours.encode(given), bert.ours.encode(list(given)), 1e-6)


def test_a_zero_dimensional_array_is_one_text(bert: Trio) -> None:
    close(bert.ours.encode(np.array("a text")), bert.ours.encode("a text"), 0)


def test_duplicates_and_order(bert: Trio) -> None:
    shuffled = np.random.default_rng(0).permutation(len(TEXTS) * 3)
    texts = [(TEXTS * 3)[i] for i in shuffled]
    vectors = bert.ours.encode(texts)
    for text, vector in zip(texts, vectors, strict=True):
        close(vector, bert.ours.encode(text), 2e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 1000])
def test_batch_size_has_no_influence(batch_size: int, bert: Trio) -> None:
    texts = TEXTS * 5
    close(bert.ours.encode(texts, batch_size=batch_size), bert.ours.encode(texts), 2e-6)


def test_prompts(bert: Trio) -> None:
    ours, theirs = bert.ours.encode, bert.peer.encode
    chosen: list[dict[str, Any]] = [{"prompt_name": "query"}, {"prompt_name": "odd"}, {"prompt": "any: "}]
    for options in [*chosen, {"prompt": ""}]:
        close(ours(TEXTS, **options), theirs(TEXTS, **options))
    close(bert.ours.encode_query(TEXTS), bert.peer.encode_query(TEXTS))
    close(bert.ours.encode_document(TEXTS), bert.peer.encode_document(TEXTS))
    close(bert.ours.encode_query(TEXTS, prompt_name="odd"), ours(TEXTS, prompt_name="odd"), 2e-6)
    close(bert.ours.encode_document(TEXTS, prompt="x "), ours(TEXTS, prompt="x "), 2e-6)
    with pytest.raises(InputError, match="no prompt named 'none'; it has 'document', 'odd', 'query'"):
        ours(TEXTS, prompt_name="none")


def test_the_default_prompt_is_for_encode_only(bert: Trio) -> None:
    """In sentence-transformers, too, queries and documents have a prompt of their own or none."""
    model = SentenceTransformer(bert.folder, default_prompt_name="odd")
    close(model.encode(TEXTS), bert.peer.encode(TEXTS, prompt_name="odd"))
    close(model.encode(TEXTS, prompt=""), bert.peer.encode(TEXTS))
    model.prompts = {"odd": "오늘 ", "corpus": "c: ", "passage": "p: "}
    close(model.encode_query(TEXTS), bert.peer.encode(TEXTS))
    close(model.encode_document(TEXTS), bert.peer.encode(TEXTS, prompt="p: "))


def test_normalized_and_truncated(bert: Trio) -> None:
    for options in (
        {"normalize_embeddings": True},
        {"truncate_dim": 7},
        {"truncate_dim": 7, "normalize_embeddings": True},
        {"truncate_dim": 32},
    ):
        close(bert.ours.encode(TEXTS, **options), bert.peer.encode(TEXTS, **options))


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precision(precision: Any, bert: Trio) -> None:
    """Ranges come from the vectors given; a number on the border of two steps may fall to either side."""
    ours, theirs = (model.encode(TEXTS, precision=precision) for model in (bert.ours, bert.peer))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    assert difference.max() <= (1 if "int" in precision else 0)
    assert (difference > 0).mean() < 0.02
    empty = bert.ours.encode([], precision=precision)
    assert empty.shape == (0, theirs.shape[1])
    assert empty.dtype == theirs.dtype


def test_precision_of_token_embeddings(bert: Trio) -> None:
    options: dict[str, Any] = {"output_value": "token_embeddings", "precision": "ubinary"}
    for ours, theirs in zip(
        bert.ours.encode(TEXTS, **options), bert.peer.encode(TEXTS, **options), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_token_embeddings(bert: Trio) -> None:
    ours, theirs = (model.encode(TEXTS, output_value="token_embeddings") for model in (bert.ours, bert.peer))
    for some, others in zip(ours, theirs, strict=True):
        close(some, others)
    close(bert.ours.encode(TEXTS[2], output_value="token_embeddings"), theirs[2])


def test_all_outputs_equal_the_reference(bert: Trio) -> None:
    ours, theirs = (model.encode(TEXTS, output_value=None) for model in (bert.ours, bert.peer))
    for some, others in zip(ours, theirs, strict=True):
        real = others["attention_mask"].bool()
        for name in ("input_ids", "attention_mask", "token_embeddings"):
            close(some[name], others[name][real])
        close(some["sentence_embedding"], others["sentence_embedding"])
    assert set(bert.ours.encode("one", output_value=None)) == set(ours[0])


def test_tensors(bert: Trio) -> None:
    expected = bert.ours.encode(TEXTS)
    tensor = bert.ours.encode(TEXTS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    close(tensor, expected, 0)
    assert bert.ours.encode("a", convert_to_tensor=True).shape == (32,)
    assert bert.ours.encode([], convert_to_tensor=True).shape == (0, 32)
    several = bert.ours.encode(TEXTS, convert_to_numpy=False)
    assert [type(vector) for vector in several] == [torch.Tensor] * len(TEXTS)
    close(torch.stack(several), expected, 0)
    assert isinstance(bert.ours.encode("a", convert_to_numpy=False), torch.Tensor)
    tokens = bert.ours.encode(TEXTS, output_value="token_embeddings", convert_to_tensor=True)
    assert all(isinstance(item, torch.Tensor) for item in tokens)
    one = bert.ours.encode("a", output_value=None, convert_to_tensor=True)
    assert all(isinstance(value, torch.Tensor) for value in one.values())


def test_without_torch_tensors_are_arrays_with_their_methods(
    bert: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bert.ours.encode(TEXTS)
    assert type(expected) is np.ndarray
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    vectors = bert.ours.encode(TEXTS, convert_to_tensor=True)
    assert isinstance(vectors, Tensor)
    np.testing.assert_array_equal(vectors.detach().cpu().numpy(), expected)
    assert isinstance(bert.ours.encode(TEXTS, convert_to_numpy=False)[0], Tensor)


def test_normalized_vectors_are_plain_arrays(bert: Trio) -> None:
    assert type(bert.ours.encode(TEXTS, normalize_embeddings=True)) is np.ndarray


def test_the_progress_bar_is_on_standard_error(
    bert: Trio, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # draw it although the test has no terminal
    bert.ours.encode(TEXTS * 3, show_progress_bar=True)
    list(bert.ours.encode(iter(TEXTS), show_progress_bar=True))
    out, err = capfd.readouterr()
    assert out == ""
    assert "Encoding" in err
    bert.ours.encode(TEXTS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(architecture: str, tmp_path: Path) -> None:
    """To 1e-6 of the vectors' own size."""
    model = Trio.make(tmp_path / "model", architecture).ours
    generator = np.random.default_rng(1)
    words = " ".join(TEXTS).split()
    texts = [" ".join(generator.choice(words, size=size)) for size in generator.integers(1, 11, size=60)]
    alone = np.stack([model.encode(text) for text in texts])
    size = np.abs(alone).max()
    for _ in range(3):
        order = generator.permutation(len(texts))[: generator.integers(2, len(texts))]
        together: NDArray[np.float32] = model.encode([texts[i] for i in order])
        close(together / size, alone[order] / size, 1e-6)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_texts_of_all_lengths_in_a_batch(architecture: str, tmp_path: Path) -> None:
    """From no word to more tokens than the model reads, texts and pairs mixed, against the reference."""
    model = Trio.make(tmp_path / "model", architecture)
    generator = np.random.default_rng(7)
    words = " ".join(TEXTS).split()
    texts: list[Any] = [" ".join(["a"] * size) for size in range(MAX_TOKENS + 4)]
    texts += [" ".join(generator.choice(words, size=size)) for size in range(1, 30)]
    texts += [(texts[size], texts[size // 3]) for size in range(0, MAX_TOKENS, 3)]
    texts = [texts[i] for i in generator.permutation(len(texts))]
    lengths = {len(ids.input_ids) for ids in model.ours.tokenizer.encode_ids(texts, max_length=MAX_TOKENS)}
    assert lengths >= set(range(3, MAX_TOKENS + 1))
    expected = model.peer.encode(texts)
    close(model.ours.encode(texts), expected)
    close(np.stack(list(model.ours.encode(iter(texts)))), expected)
    close(model.ours.encode(texts, batch_size=1), expected)
