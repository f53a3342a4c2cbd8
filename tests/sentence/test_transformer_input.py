"""What `encode` says to texts that are odd, too long or none: an answer or one clear line."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest

from munjang import SentenceTransformer
from munjang.errors import InputError, InputTypeError, TruncationError
from munjang.sentence.transformer import TruncationWarning
from support.sentences import MAX_TOKENS, TEXTS, Trio

LONG = "A man is eating food and the girl is carrying a baby. " * 20


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t \n\u3000 ", "\x00", "a\x00b", "\u200b\ufeff", "e" + "\u0301" * 20, "👩‍👩‍👧‍👦 ✂ 𝄞"],
    ids=["empty", "space", "spaces", "nul", "nul-inside", "invisible", "marks", "emoji"],
)
def test_odd_texts_have_vectors(text: str, bert: Trio) -> None:
    vector = bert.ours.encode(text)
    np.testing.assert_allclose(
        vector, bert.peer.encode(unicodedata.normalize("NFC", text)), rtol=0, atol=1e-5
    )


def test_decomposed_hangul_has_the_same_vector(bert: Trio) -> None:
    text = "한국의 수도는 서울이다, café"
    decomposed = unicodedata.normalize("NFD", text)
    assert text != decomposed
    np.testing.assert_array_equal(bert.ours.encode(decomposed), bert.ours.encode(text))


def test_ten_thousand_combining_marks(bert: Trio) -> None:
    """One word of more letters than WordPiece looks at is unknown, so it is not even too long."""
    vector = bert.ours.encode("e" + "\u0301" * 10_000)
    np.testing.assert_array_equal(vector, bert.ours.encode("[UNK]"))


def test_five_megabytes_of_text(bert: Trio) -> None:
    """Only its beginning counts, and its length is told."""
    beginning = "The girl is carrying a baby. 축구는 정말 재미있는 일이다. "
    text = beginning * (5_000_000 // len(beginning.encode()))
    with pytest.warns(TruncationWarning, match="1 of 1 texts were longer than 48 tokens; [0-9]{6} tokens"):
        vector = bert.ours.encode(text)
    with pytest.warns(TruncationWarning):
        np.testing.assert_array_equal(vector, bert.ours.encode(beginning * 20))


def test_a_lone_surrogate_is_named_with_its_place(bert: Trio) -> None:
    texts = ["a", "a", "b", "ab\ud800"]
    with pytest.raises(InputError, match=r"^Text 3 has a lone surrogate U\+D800 at position 2, "):
        bert.ours.encode(texts)
    with pytest.raises(InputError, match=r"^Text 4 has a lone surrogate U\+DFFF at position 0, "):
        list(bert.ours.encode(iter([*texts[:3], "c", "\udfff"]), prompt="query: "))
    with pytest.raises(InputError, match="Text 0 has a lone surrogate"):
        bert.ours.encode("\udc80")


@pytest.mark.parametrize("wrong", [None, b"bytes", 5, 1.5, {"text": "a"}, object()])
def test_wrong_types(wrong: Any, bert: Trio) -> None:
    with pytest.raises(InputTypeError, match="encode needs a text or a list of texts"):
        bert.ours.encode(wrong)
    with pytest.raises(InputTypeError, match=f"^Text 1 is of type {type(wrong).__name__}, not str"):
        bert.ours.encode(["a", wrong])
    with pytest.raises(InputTypeError, match=f"^Text 1 is of type {type(wrong).__name__}, not str"):
        list(bert.ours.encode(iter(["a", wrong])))


@pytest.mark.parametrize("wrong", [["a", ["b"]], [("a", "b")], np.array([["a", "b"]]), np.zeros(3), [["a"]]])
def test_wrong_types_inside(wrong: Any, bert: Trio) -> None:
    with pytest.raises(InputTypeError, match="not str"):
        bert.ours.encode(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size of at least 1, got 0"),
        ({"batch_size": -3}, "batch_size of at least 1, got -3"),
        ({"truncate_dim": 0}, "truncate_dim of at least 1, got 0"),
        ({"output_value": "tokens"}, "output_value must be one of .*, got 'tokens'"),
        ({"precision": "int4"}, "precision must be one of .*, got 'int4'"),
        ({"precision": "int8", "output_value": None}, "needs an output_value"),
        ({"device": "cuda"}, "device must be None or 'cpu', got 'cuda'"),
        ({"prompt_name": "nothing"}, "no prompt named 'nothing'"),
    ],
)
def test_values_that_cannot_be_used(options: dict[str, Any], message: str, bert: Trio) -> None:
    with pytest.raises(InputError, match=message):
        bert.ours.encode(["a", "b"], **options)


@pytest.mark.parametrize("options", [{"batch_size": "many"}, {"truncate_dim": 1.5}, {"prompt": 5}])
def test_values_of_the_wrong_type(options: dict[str, Any], bert: Trio) -> None:
    with pytest.raises(InputTypeError):
        bert.ours.encode(["a", "b"], **options)


def test_ranges_of_one_vector_are_refused(bert: Trio) -> None:
    with pytest.raises(InputError, match="from a single vector"):
        bert.ours.encode("a", precision="int8")


@pytest.mark.parametrize("name", ["encode", "encode_query", "encode_document"])
def test_unknown_arguments_are_refused(name: str, bert: Trio) -> None:
    with pytest.raises(TypeError, match="normalise_embeddings"):
        getattr(bert.ours, name)("a", normalise_embeddings=True)
    with pytest.raises(TypeError, match="pooling_mode"):
        SentenceTransformer(bert.folder, pooling_mode="cls")  # type: ignore[call-arg]


# Texts that are too long


def test_what_was_cut_is_told_once_a_call_at_the_line_that_called(bert: Trio) -> None:
    counts = [len(bert.ours.tokenizer.encode(text)) - MAX_TOKENS for text in (LONG, LONG + LONG)]
    tokens = 2 * counts[0] + counts[1]  # one of them stands there twice
    texts = [LONG, "short", LONG + LONG, LONG]
    for call in (
        lambda: bert.ours.encode(texts),
        lambda: bert.ours.encode_query(texts, prompt=""),
        lambda: bert.ours.encode(texts, output_value="token_embeddings"),
        lambda: list(bert.ours.encode(iter(texts))),
    ):
        with pytest.warns(TruncationWarning) as caught:
            call()
        (warning,) = caught
        assert (
            str(warning.message) == f"3 of 4 texts were longer than 48 tokens; {tokens} tokens were cut off."
        )
        assert warning.filename == __file__


def test_truncation_as_an_error_or_ignored(bert: Trio) -> None:
    strict = SentenceTransformer(bert.folder, on_truncation="error")
    assert strict.encode("short").shape == (32,)
    with pytest.raises(TruncationError, match=r"^Text 2 is [0-9]+ tokens longer than the 48 that are read"):
        strict.encode(["short", "short", LONG])
    silent = SentenceTransformer(bert.folder, on_truncation="ignore")
    np.testing.assert_allclose(silent.encode([LONG]), bert.peer.encode([LONG]), rtol=0, atol=1e-5)
    with pytest.raises(InputError, match=r"on_truncation must be one of 'warn', 'error', 'ignore', got 'no'"):
        SentenceTransformer(bert.folder, on_truncation="no")  # type: ignore[arg-type]


def test_max_seq_length(bert: Trio) -> None:
    model = SentenceTransformer(bert.folder, on_truncation="ignore")
    assert model.max_seq_length == model.get_max_seq_length() == MAX_TOKENS
    before = bert.peer.max_seq_length
    try:
        for length in (3, 7, 20):
            model.max_seq_length = bert.peer.max_seq_length = length
            np.testing.assert_allclose(model.encode(TEXTS), bert.peer.encode(TEXTS), rtol=0, atol=1e-5)
            assert model.tokenize([LONG])["input_ids"].shape == (1, length)
    finally:
        bert.peer.max_seq_length = before
    model.max_seq_length = 10_000
    assert model.max_seq_length == MAX_TOKENS  # no model reads more than it has positions for
    for wrong in (0, -1):
        with pytest.raises(InputError, match="max_seq_length of at least 1"):
            model.max_seq_length = wrong
    with pytest.raises(InputTypeError, match="whole number for max_seq_length"):
        model.max_seq_length = "long"  # type: ignore[assignment]
    model.max_seq_length = 1
    with pytest.raises(InputError, match="no room for the 2 special tokens"):
        model.encode("a")
