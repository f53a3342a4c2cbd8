"""Encoding of an iterator of texts to an iterator of vectors: in order, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
import torch

from munjang.errors import InputError
from munjang.sentence.encoding import CHUNK_CHARACTERS, CHUNK_TEXTS
from support.sentences import TEXTS, Trio


class Pulled:
    """An endless iterator of texts, with the number of texts taken."""

    def __init__(self, text: str = "text") -> None:
        self.text = text
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for number in count():
            self.count += 1
            yield f"{self.text} {number % 10}"


def test_the_same_vectors_in_the_same_order(bert: Trio) -> None:
    texts = [f"{text} {i % 7}" for i, text in enumerate(TEXTS * 20)]
    vectors = bert.ours.encode(iter(texts))
    assert isinstance(vectors, Iterator)
    np.testing.assert_allclose(np.stack(list(vectors)), bert.ours.encode(texts), rtol=0, atol=3e-6)


def test_any_iterator(bert: Trio) -> None:
    expected = bert.ours.encode([text.lower() for text in TEXTS])
    for stream in ((text.lower() for text in TEXTS), map(str.lower, TEXTS)):
        np.testing.assert_allclose(np.stack(list(bert.ours.encode(stream))), expected, rtol=0, atol=3e-6)
    assert list(bert.ours.encode(iter([]))) == []


def test_no_more_is_read_than_a_chunk(bert: Trio) -> None:
    texts = Pulled()
    vectors = bert.ours.encode(iter(texts))
    assert texts.count == 0
    next(vectors)
    assert texts.count == CHUNK_TEXTS
    list(islice(vectors, CHUNK_TEXTS - 1))
    assert texts.count == CHUNK_TEXTS
    next(vectors)
    assert texts.count == 2 * CHUNK_TEXTS


@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_chunks_of_long_texts_have_fewer_texts(bert: Trio) -> None:
    texts = Pulled("a" * (CHUNK_CHARACTERS // 4))
    next(bert.ours.encode(iter(texts)))
    assert texts.count == 4


def test_memory_does_not_grow(bert: Trio) -> None:
    """Python's memory for 12 chunks is that for 3."""

    def peak(chunks: int) -> int:
        tracemalloc.start()
        for _ in islice(bert.ours.encode(iter(Pulled())), chunks * CHUNK_TEXTS):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(1)  # the graph and whatever else is made once
    assert peak(12) < 1.1 * peak(3)


def test_every_option(bert: Trio) -> None:
    options: list[dict[str, Any]] = [
        {"prompt_name": "query", "normalize_embeddings": True, "truncate_dim": 6, "batch_size": 2},
        {"precision": "binary"},
        {"output_value": "token_embeddings"},
        {"output_value": "token_embeddings", "precision": "ubinary"},
        {"show_progress_bar": True},
    ]
    for chosen in options:
        expected = bert.ours.encode(TEXTS, **chosen)
        for ours, theirs in zip(bert.ours.encode(iter(TEXTS), **chosen), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6)
    tensors = bert.ours.encode(iter(TEXTS), convert_to_tensor=True)
    assert all(isinstance(vector, torch.Tensor) for vector in tensors)
    first = next(bert.ours.encode(iter(TEXTS), output_value=None))
    assert first["token_embeddings"].shape == (len(first["input_ids"]), 32)
    queries = bert.ours.encode_query(iter(TEXTS))
    np.testing.assert_allclose(np.stack(list(queries)), bert.ours.encode_query(TEXTS), rtol=0, atol=3e-6)


def test_wrong_options_are_reported_before_any_work(bert: Trio) -> None:
    with pytest.raises(InputError, match="precision 'int8' takes its ranges from all vectors"):
        bert.ours.encode(iter(TEXTS), precision="int8")
    with pytest.raises(InputError, match="no prompt named 'none'"):
        bert.ours.encode(iter(TEXTS), prompt_name="none")


def test_an_error_in_the_texts_comes_through(bert: Trio) -> None:
    def broken() -> Iterator[str]:
        yield from TEXTS
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(bert.ours.encode(broken()))
    assert bert.ours.encode("still there").shape == (32,)


def test_a_stream_may_be_left_in_the_middle(bert: Trio) -> None:
    vectors = bert.ours.encode(iter(Pulled()))
    next(vectors)
    vectors.close()
    assert bert.ours.encode("still there").shape == (32,)
