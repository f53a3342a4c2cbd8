"""Next-sentence prediction against `transformers`, orders against every permutation, and bad input."""

from __future__ import annotations

import warnings
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from munjang.errors import CheckpointError, InputError, InputTypeError, TruncationError
from munjang.runtime.notices import TruncationWarning
from munjang.tasks.next_sentence import EXACT, NextSentencePrediction, best_order
from support.wordpiece import bert_with_words, model_with_words

SENTENCES = [
    "나는 극장에 출근을 했다.",
    "정말 재미있는 축구다!",
    "soccer is a really fun game",
    "the sky is blue",
    "i love paris.",
]
PAIRS = [(a, b) for a in SENTENCES for b in SENTENCES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    bert_with_words(path, seed=4)
    return path


@pytest.fixture(scope="module")
def judge(folder: Path) -> NextSentencePrediction:
    return NextSentencePrediction(folder)


@pytest.fixture(scope="module")
def expected(folder: Path) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertForNextSentencePrediction.from_pretrained(folder).eval()
    with torch.no_grad():
        rows = [model(**tokenizer(a, b, return_tensors="pt")).logits[0] for a, b in PAIRS]
    return torch.softmax(torch.stack(rows).double(), dim=-1).numpy()


def test_as_transformers(judge: NextSentencePrediction, expected: Any) -> None:
    found = judge(PAIRS)
    assert np.abs(np.array([[one["follows"], one["unrelated"]] for one in found]) - expected).max() < 1e-5
    assert [one["label"] for one in found] == expected.argmax(axis=1).tolist()
    assert {one["label"] for one in found} == {0, 1}
    assert list(found[0]) == ["label", "follows", "unrelated"]
    single = judge(*PAIRS[3])
    assert single["label"] == found[3]["label"]
    assert single["follows"] == pytest.approx(found[3]["follows"], abs=1e-6)
    assert judge([]) == []


def test_a_pair_that_is_too_long(folder: Path, judge: NextSentencePrediction) -> None:
    long = "soccer is fun " * 20
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertForNextSentencePrediction.from_pretrained(folder).eval()
    tensors = tokenizer(
        long, "the sky is blue", truncation="longest_first", max_length=40, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = torch.softmax(model(**tensors).logits[0], dim=-1)
    with pytest.warns(TruncationWarning, match="1 of 2 pairs were longer than 40 tokens; 27 tokens were cut"):
        found = judge([(long, "the sky is blue"), PAIRS[0]])
    assert found[0]["follows"] == pytest.approx(float(theirs[0]), abs=1e-5)
    strict = NextSentencePrediction(folder, on_truncation="error")
    with pytest.raises(TruncationError, match=r"Pair 0 is \d+ tokens longer than the 40 that are read"):
        strict(long, "the sky is blue")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NextSentencePrediction(folder, on_truncation="ignore")(long, "the sky is blue")


def test_order(judge: NextSentencePrediction, expected: Any) -> None:
    follows = np.log(expected[:, 0].reshape(5, 5))

    def total(order: tuple[int, ...]) -> float:
        return float(sum(follows[a, b] for a, b in pairwise(order)))

    found = judge.order(SENTENCES)
    best = max(permutations(range(5)), key=total)
    assert tuple(found["order"]) == best
    assert found["log_probability"] == pytest.approx(total(best), abs=1e-4)
    assert found["sentences"] == [SENTENCES[i] for i in best]
    assert judge.order([]) == {"order": [], "sentences": [], "log_probability": 0.0}
    assert judge.order(SENTENCES[:1])["order"] == [0]


@pytest.mark.parametrize("n", [2, 3, 6, EXACT])
def test_the_best_order_of_all(n: int) -> None:
    gain = np.log(np.random.default_rng(n).random((n, n)))
    order, total = best_order(gain)
    assert sorted(order) == list(range(n))
    steps = np.array(list(permutations(range(n))))
    totals = gain[steps[:, :-1], steps[:, 1:]].sum(axis=1)
    assert total == pytest.approx(totals.max())
    assert total == pytest.approx(gain[order[:-1], order[1:]].sum())


def test_a_long_paragraph_is_ordered() -> None:
    n = EXACT + 6
    hidden = np.random.default_rng(0).permutation(n)
    gain = np.full((n, n), -5.0)
    gain[hidden[:-1], hidden[1:]] = -0.01
    order, total = best_order(gain)
    assert order == hidden.tolist()
    assert total == pytest.approx(-0.01 * (n - 1))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("a sky", ""), InputError, "The second sentence is empty"),
        (([("the sky", " \n")],), InputError, "The second sentence is empty"),
        (([("the sky", "is"), ("blue",)],), InputTypeError, "Pair 1 must be two texts"),
        ((["the sky", "is blue"],), InputTypeError, "Pair 0 must be two texts"),
        (([("the sky", 3)],), InputTypeError, "The second sentence must be a str, got 3"),
        (("the sky",), InputTypeError, "Pass two texts"),
        (([("the sky", "is")], "blue"), InputTypeError, "Pass two texts"),
    ],
)
def test_bad_input(
    judge: NextSentencePrediction, given: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        judge(*given)


def test_bad_orders_and_models(judge: NextSentencePrediction, tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="a list of sentences"):
        judge.order("the sky")
    with pytest.raises(InputError, match="Sentence 1 is empty"):
        judge.order(["the sky", " "])
    model_with_words(tmp_path, "BertForMaskedLM")
    with pytest.raises(CheckpointError, match="no trained next-sentence-prediction head; it has masked-lm"):
        NextSentencePrediction(tmp_path)
    with pytest.raises(InputError, match=r"on_truncation must be one of .*, got 'never'"):
        NextSentencePrediction(tmp_path, on_truncation="never")  # type: ignore[arg-type]
