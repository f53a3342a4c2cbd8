"""`encode` with unusual, too long or invalid texts: vectors, or a clear error of one line."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import SentenceTransformer, util
from munjang.errors import InputError, InputTypeError, TruncationError
from munjang.runtime.notices import TruncationWarning
from support.peers import ARCHITECTURES
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
    """Only its beginning is encoded, and the warning has its length."""
    beginning = "The girl is carrying a baby. 축구는 정말 재미있는 일이다. "
    text = beginning * (5_000_000 // len(beginning.encode()))
    with pytest.warns(TruncationWarning, match="1 of 1 texts were longer than 48 tokens; [0-9]{6} tokens"):
        vector = bert.ours.encode(text)
    with pytest.warns(TruncationWarning):
        np.testing.assert_array_equal(vector, bert.ours.encode(beginning * 20))


def test_a_lone_surrogate_is_reported_with_its_index(bert: Trio) -> None:
    texts = ["a", "a", "b", "ab\ud800"]
    with pytest.raises(InputError, match=r"^Text 3 has a lone surrogate U\+D800 at position 2, "):
        bert.ours.encode(texts)
    with pytest.raises(InputError, match=r"^Text 4 has a lone surrogate U\+DFFF at position 0, "):
        list(bert.ours.encode(iter([*texts[:3], "c", "\udfff"]), prompt="query: "))
    with pytest.raises(InputError, match="Text 0 has a lone surrogate"):
        bert.ours.encode("\udc80")


@pytest.mark.parametrize("wrong", [None, b"bytes", 5, 1.5, object()])
def test_wrong_types(wrong: Any, bert: Trio) -> None:
    with pytest.raises(InputTypeError, match="encode needs a text or a list of texts"):
        bert.ours.encode(wrong)
    with pytest.raises(InputTypeError, match=f"^Text 1 is of type {type(wrong).__name__}, not str"):
        bert.ours.encode(["a", wrong])
    with pytest.raises(InputTypeError, match=f"^Text 1 is of type {type(wrong).__name__}, not str"):
        list(bert.ours.encode(iter(["a", wrong])))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["a", ["b"]], r"Text 1 is a list of 1 \(str\), not str; a pair has two texts"),
        ([("a", "b", "c")], r"Text 0 is a tuple of 3 \(str, str, str\), not str"),
        (["a", ("b", 5)], r"Text 1 is a tuple of 2 \(str, int\), not str"),
        (np.zeros(3), "Text 0 is of type float, not str"),
        (np.zeros((2, 2)), r"Text 0 is a list of 2 \(float, float\), not str"),
        ({"image": "a"}, "Text 0 is of type dict with 'image', not str"),
        ([{"role": "user", "content": "a"}], "dict with 'role', 'content', not str"),
        ([{"text": "a", "image": "b"}], "with 'text', 'image', not str"),
        ([{"text": 5}], "Text 0 is of type int, not str"),
        ([{}], "Text 0 is of type dict with no key, not str"),
    ],
)
def test_wrong_types_inside(wrong: Any, message: str, bert: Trio) -> None:
    with pytest.raises(InputTypeError, match=f"^{message}" if message.startswith("Text") else message):
        bert.ours.encode(wrong)


# Pairs

PAIRS: list[Any] = [
    *(("The girl", text) for text in TEXTS),
    *([text, "오늘 하루"] for text in TEXTS),
    ("", ""),
    ("a", "a"),
    ("The girl", TEXTS[0]),
]


def assert_equal(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_pairs(architecture: str, tmp_path: Path) -> None:
    """Among texts, too, and with token types where the tokeniser has them."""
    trio = Trio.make(tmp_path / "model", architecture, pooling=("mean", "lasttoken"))
    assert_equal(trio.ours.encode(PAIRS), trio.peer.encode(PAIRS))
    mixed = [item for both in zip(PAIRS, TEXTS, strict=False) for item in both]
    assert_equal(trio.ours.encode(mixed), trio.peer.encode(mixed))


@pytest.mark.parametrize("name", ["encode", "encode_query", "encode_document"])
@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_pairs_with_prompts(name: str, bert: Trio) -> None:
    """A prompt is put before the first text only."""
    ours, theirs = getattr(bert.ours, name), getattr(bert.peer, name)
    assert_equal(ours(PAIRS), theirs(PAIRS))
    for options in ({"prompt": "A man "}, {"prompt_name": "odd"}, {"prompt": ""}):
        assert_equal(ours(PAIRS, **options), theirs(PAIRS, **options))


@pytest.mark.parametrize("pooling", ["mean", "cls", "weightedmean"])
@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_pairs_whose_prompt_is_not_pooled(pooling: str, tmp_path: Path) -> None:
    trio = Trio.make(tmp_path / "model", pooling=pooling, include_prompt=False)
    assert_equal(trio.ours.encode(PAIRS, prompt="A man "), trio.peer.encode(PAIRS, prompt="A man "))


def test_a_pair_is_not_two_texts(bert: Trio) -> None:
    one = bert.ours.encode([("a", "b")])
    assert one.shape == (1, 32)
    assert_equal(one, bert.peer.encode([("a", "b")]))
    two = bert.ours.encode(("a", "b"))  # as the other library takes it
    assert two.shape == (2, 32)
    assert_equal(two, bert.peer.encode(("a", "b")))
    assert_equal(bert.ours.encode(np.array([["a", "b"]])), one)
    assert_equal(bert.ours.encode([["a", "b"]]), one)
    assert_equal(list(bert.ours.encode(iter([("a", "b")]))), one)
    assert not np.allclose(one, bert.ours.encode(["ab"]))


def test_texts_in_dictionaries(bert: Trio) -> None:
    forms: list[Any] = [{"text": "a"}, {"text": ("a", "b")}, "a", ("a", "b")]
    assert_equal(bert.ours.encode(forms), bert.peer.encode(forms))
    for form in forms[:2]:
        assert bert.ours.encode(form).shape == (32,)
        assert_equal(bert.ours.encode(form), bert.peer.encode(form))
    assert_equal(bert.ours.tokenize(forms)["token_type_ids"], bert.peer.tokenize(forms)["token_type_ids"])


def test_outputs_of_pairs(bert: Trio) -> None:
    ours, theirs = (
        model.encode(PAIRS[:1], output_value="token_embeddings") for model in (bert.ours, bert.peer)
    )
    assert_equal(ours[0], theirs[0])
    full = bert.ours.encode([("a", "b")], output_value=None)[0]
    assert full["input_ids"].tolist() == bert.ours.tokenizer.encode("a", "b")


def test_pairs_that_are_too_long_or_no_text(bert: Trio) -> None:
    pair = (LONG, LONG)
    tokens = len(bert.ours.tokenizer.encode(*pair)) - MAX_TOKENS
    with pytest.warns(TruncationWarning, match=f"^2 of 3 texts were longer than 48 tokens; {2 * tokens} "):
        found = bert.ours.encode([pair, "short", pair])
    assert_equal(found, bert.peer.encode([pair, "short", pair]))
    with pytest.raises(TruncationError, match=f"^Text 1 is {tokens} tokens longer"):
        SentenceTransformer(bert.folder, on_truncation="error").encode(["short", pair])
    with pytest.raises(InputError, match=r"^Text 1 has a lone surrogate U\+D800"):
        bert.ours.encode(["a", ("b", "\ud800")])


# Values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": -3}, "batch_size must be at least 1, got -3"),
        ({"truncate_dim": 0}, "truncate_dim must be at least 1, got 0"),
        ({"output_value": "tokens"}, "output_value must be one of .*, got 'tokens'"),
        ({"precision": "int4"}, "precision must be one of .*, got 'int4'"),
        ({"precision": "int8", "output_value": None}, "needs an output_value"),
        ({"precision": np.array(["int8", "x"])}, "precision must be one of"),
        ({"truncate_dim": 33}, "truncate_dim=33 is more than the 32 components"),
        ({"truncate_dim": 9999, "output_value": None}, "truncate_dim=9999 is more than the 32 components"),
        ({"truncate_dim": 5, "output_value": "token_embeddings"}, "truncate_dim is for sentence vectors"),
        (
            {"normalize_embeddings": True, "output_value": "token_embeddings"},
            "normalize_embeddings is for sentence vectors",
        ),
        ({"prompt": "a ", "prompt_name": "query"}, "Pass prompt or prompt_name, not both"),
        ({"device": "cuda"}, "device must be None or 'cpu', got 'cuda'"),
        ({"prompt_name": "nothing"}, "no prompt named 'nothing'"),
    ],
)
def test_unusable_values(options: dict[str, Any], message: str, bert: Trio) -> None:
    with pytest.raises(InputError, match=message):
        bert.ours.encode(["a", "b"], **options)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": "many"},
        {"truncate_dim": 1.5},
        {"prompt": 5},
        {"prompt_name": 5},
        {"prompt_name": []},
        *(
            {name: value}
            for name in (
                "normalize_embeddings",
                "convert_to_numpy",
                "convert_to_tensor",
                "show_progress_bar",
            )
            for value in ("no", 0, None if name == "normalize_embeddings" else 2)
        ),
    ],
    ids=str,
)
def test_values_of_the_wrong_type(options: dict[str, Any], bert: Trio) -> None:
    with pytest.raises(InputTypeError):
        bert.ours.encode(["a", "b"], **options)


def test_ranges_of_one_vector_are_refused(bert: Trio) -> None:
    with pytest.raises(InputError, match=r"precision='int8' needs the range .* only one text"):
        bert.ours.encode("a", precision="int8")


@pytest.mark.parametrize("name", ["encode", "encode_query", "encode_document"])
def test_unknown_arguments_are_refused(name: str, bert: Trio) -> None:
    with pytest.raises(TypeError, match="normalise_embeddings"):
        getattr(bert.ours, name)("a", normalise_embeddings=True)
    with pytest.raises(TypeError, match="pooling_mode"):
        SentenceTransformer(bert.folder, pooling_mode="cls")  # type: ignore[call-arg]


# Texts that are too long


def test_truncation_warns_once_per_call_at_the_line_of_the_caller(bert: Trio) -> None:
    counts = [len(bert.ours.tokenizer.encode(text)) - MAX_TOKENS for text in (LONG, LONG + LONG)]
    tokens = 2 * counts[0] + counts[1]  # one text occurs twice
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
        with pytest.raises(InputError, match="max_seq_length must be at least 1"):
            model.max_seq_length = wrong
    with pytest.raises(InputTypeError, match="max_seq_length must be a whole number"):
        model.max_seq_length = "long"  # type: ignore[assignment]
    model.max_seq_length = 1
    with pytest.raises(InputError, match="no room for the 2 special tokens"):
        model.encode("a")


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.tokenize(None),
        lambda model: model.encode(iter_of_none()),
        lambda model: model.add_tokens(None),
        lambda model: model.tokenizer.add_tokens(3),
        lambda model: util.community_detection(np.eye(3), threshold=model),
    ],
)
def test_arguments_of_other_types_are_named(bert: Trio, call: Any) -> None:
    with pytest.raises(InputTypeError):
        call(bert.ours)


def iter_of_none() -> Any:
    return [None]


@pytest.mark.parametrize("backend", [None, 3, np.array(["numpy", "torch"])])
def test_a_backend_is_a_name(bert: Trio, backend: Any) -> None:
    with pytest.raises(InputTypeError, match="backend must be one of"):
        SentenceTransformer(bert.ours.tokenizer.name_or_path, backend=backend)


def test_a_threshold_beyond_any_float() -> None:
    with pytest.raises(InputError, match="between -1 and 1"):
        util.community_detection(np.eye(3), threshold=-(10**400))
