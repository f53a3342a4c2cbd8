"""The other commands of `munjang train`: negatives, vocabularies, tokens; and each kind of training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import munjang
from munjang.data import read_contrasts
from munjang.training import mine_hard_negatives
from munjang.training.options import MiningTask
from support.program import Invoke
from support.tiny import tiny_cross_encoder, tiny_sentence_model

ROWS = [("밥", "쌀"), ("집", "방"), ("물", "강"), ("불", "열"), ("말", "글"), ("꽃", "잎"), ("산", "숲")]
ONCE = ("--max-steps", 1, "--device", "cpu", "--json")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher whose students have fewer layers."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return tiny_sentence_model(folder, settings={"num_hidden_layers": 3})


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoder(tmp_path_factory.mktemp("models") / "pairs", layers=3)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    rows = "".join(f"{first} 하나,{second} 하나\n" for first, second in ROWS)
    path.write_text("Q,A\n" + rows, encoding="utf-8")
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text(
        "".join(f"{first}은 {second} 있는 것이다.\n" for first, second in ROWS * 3), encoding="utf-8"
    )
    return path


def answered(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def identity(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "run.json").read_text(encoding="utf-8"))["identity"]
    return found


# Hard negatives


def test_a_corpus_without_header(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    data, corpus, output = (tmp_path / name for name in ("data.tsv", "corpus.tsv", "mined.jsonl"))
    data.write_text("밥 먹자\t밥 줘\n집에 가자\t집이야\n", encoding="utf-8")
    corpus.write_text('"밥 먹을래\n집에 갈래\n밥 주세요"\n집이 멀다\n', encoding="utf-8")
    options = (
        "--anchor",
        "1",
        "--positive",
        "2",
        "--no-header",
        "--no-quoting",
        "--negatives",
        5,
        "--together",
    )
    files = ("--data", data, "--corpus", corpus, "--output", output, "--model", model)
    assert answered(invoke("train", "mine", *files, *options, "--json"))["rows"] == 2
    for line in output.read_text(encoding="utf-8").splitlines():
        assert {'"밥 먹을래', "집에 갈래", '밥 주세요"', "집이 멀다"} <= {*json.loads(line)["negatives"]}


def test_pairs_and_scores_without_header(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.tsv"
    path.write_text("".join(f"{a}\t{b}\t{n % 5}\n" for n, (a, b) in enumerate(ROWS)), encoding="utf-8")
    options = ("--data", path, "--model", model, "--output", tmp_path / "out", *ONCE)
    assert answered(invoke("train", "sentences", *options))["steps"] == 1


def test_mined_negatives(invoke: Invoke, model: Path, pairs: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "mined.jsonl"
    options = ("--negatives", 2, "--range-min", 1, "--together", "--corpus", texts, "--model", model)
    got = answered(invoke("train", "mine", "--data", pairs, "--output", output, *options, "--json"))
    expected = mine_hard_negatives(
        munjang.SentenceTransformer(model),
        read_contrasts(pairs),
        texts.read_text(encoding="utf-8").splitlines(),
        task=MiningTask(num_negatives=2, range_min=1, output_format="n-tuple"),
    )
    assert read_contrasts(output) == expected
    assert got == {"output": str(output), "pairs": 7, "rows": 7}
    assert all(len(one.negatives) == 2 for one in expected)


def test_mined_negatives_can_be_trained_on(invoke: Invoke, model: Path, pairs: Path, tmp_path: Path) -> None:
    mined = tmp_path / "mined.jsonl"
    given = ("--data", pairs, "--output", mined, "--negatives", 2, "--model", model)
    said = invoke("train", "mine", *given)
    assert said.stdout == f"{mined}: 14 rows from 7 pairs\n"
    sentences = ("--loss", "TripletLoss", "--margin", 2, "--dev-share", 0.3)
    answered(
        invoke("train", "sentences", "--data", mined, "-m", model, "-o", tmp_path / "s", *sentences, *ONCE)
    )
    assert identity(tmp_path / "s")["loss"] == "TripletLoss(euclidean, margin 2)"
    assert (identity(tmp_path / "s")["examples"], identity(tmp_path / "s")["held out"]) == (10, 4)
    lists = ("--kind", "contrasts", "--loss", "ranknet")
    answered(invoke("train", "reranker", "--data", mined, "-m", model, "-o", tmp_path / "r", *lists, *ONCE))
    assert identity(tmp_path / "r")["loss"] == "ranknet"
    assert munjang.CrossEncoder(tmp_path / "r").predict([("밥", "쌀")]).shape == (1,)


# Sentence encoders and students


def test_labels_learned_and_scores_measured(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    """The lessons' first way: a classifier of pairs, measured by the cosines of others."""
    nli, sts = tmp_path / "nli.tsv", tmp_path / "sts.tsv"
    labels = ("entailment", "neutral", "contradiction")
    rows = [f"{one} 하나\t{one} 둘\t{label}\n" for one, _ in ROWS for label in labels]
    nli.write_text("sentence1\tsentence2\tgold_label\n" + "".join(rows), encoding="utf-8")
    scored = [f"{a}\t{b}\t{n % 6}\n" for n, (a, b) in enumerate(ROWS)]
    sts.write_text("sentence1\tsentence2\tscore\n" + "".join(scored), encoding="utf-8")
    given = ("--data", nli, "--dev", sts, "--dev-kind", "scores", "--loss", "SoftmaxLoss")
    prompts = ("--prompt", "ask: ", "--document-prompt", "say: ", "--pooling", "cls")
    output = tmp_path / "out"
    got = answered(invoke("train", "sentences", *given, *prompts, "-m", model, "-o", output, *ONCE))
    assert list(got["metrics"]) == ["spearman", "pearson"]
    found = identity(output)
    assert found["loss"] == "SoftmaxLoss(3 labels)"
    assert found["prompt"] == "'ask: ' and 'say: '"
    assert found["pooling"] == "cls"
    again = ("--data", sts, "--matryoshka", "32,8", "--scale", 10, "--loss", "CoSENTLoss", "--seed", 3)
    answered(invoke("train", "sentences", *again, "-m", output, "-o", tmp_path / "then", *ONCE))
    assert identity(tmp_path / "then")["loss"].startswith("MatryoshkaLoss(CoSENTLoss")


def test_students_of_an_encoder(invoke: Invoke, model: Path, pairs: Path, tmp_path: Path) -> None:
    inside = ("--hidden-states", 1, "--layer-map", 1, "--attention", 0.5)
    more = ("--layers", 1, "--distance", "mse", *inside)
    given = ("--data", pairs, "--kind", "translations", "--teacher", model, "--output", tmp_path / "out")
    answered(invoke("train", "distill", "sentences", *given, *more, *ONCE))
    student = munjang.SentenceTransformer(tmp_path / "out")
    assert student.model.config.num_hidden_layers == 1
    assert "mse" in str(identity(tmp_path / "out").values())


def test_scores_of_a_cross_encoder(
    invoke: Invoke, model: Path, cross_encoder: Path, pairs: Path, tmp_path: Path
) -> None:
    mined = tmp_path / "mined.jsonl"
    invoke("train", "mine", "--data", pairs, "--output", mined, "--negatives", 1, "--model", model)
    given = ("--data", mined, "--teacher", cross_encoder, "--kind", "contrasts")
    small = ("--layers", 1, "--output", tmp_path / "small")
    answered(invoke("train", "distill", "reranker", *given, *small, *ONCE))
    assert munjang.CrossEncoder(tmp_path / "small").predict([("밥", "쌀")]).shape == (1,)
    vectors = ("--model", model, "--divisor", 2, "--output", tmp_path / "vectors")
    answered(invoke("train", "distill", "scores", *given, *vectors, *ONCE))
    assert munjang.SentenceTransformer(tmp_path / "vectors").encode("밥").shape == (32,)
    alone = ("--data", pairs, "--teacher", cross_encoder, "--kind", "contrasts")  # there are no negatives
    answered(invoke("train", "distill", "reranker", *alone, "--output", tmp_path / "pairs", *ONCE))


def test_a_student_of_texts_without_labels(invoke: Invoke, texts: Path, tmp_path: Path) -> None:
    teacher = tiny_cross_encoder(tmp_path / "teacher", labels=3)
    given = ("--teacher", teacher, "--data", texts, "--unlabelled", "--temperature", 4, "--output")
    answered(invoke("train", "distill", "classification", *given, tmp_path / "out", *ONCE))
    found = identity(tmp_path / "out")
    assert (found["examples"], found["examples without label"], found["temperature"]) == (21, 21, 4.0)


# Vocabularies and language models


def test_pre_training_from_scratch(invoke: Invoke, texts: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    given = ("--data", texts, "--size", 200, "--min-frequency", 1, "--output", words)
    got = answered(invoke("train", "vocabulary", *given, "--json"))
    assert got == {"output": str(words), "pieces": len(munjang.Tokenizer.from_pretrained(words))}
    again = invoke("train", "vocabulary", *given[:-1], f"{words}-again")
    assert again.stdout == f"{words}-again: {got['pieces']} pieces\n"
    assert "is not empty" in invoke("train", "vocabulary", *given).stderr
    size = ("--layers", 1, "--width", 32, "--heads", 2, "--max-length", 16, "--probability", 0.3)
    run = ("--data", texts, "--dev-share", 0.2, "--tokenizer", words, "--whole-words", *size)
    got = answered(invoke("train", "language-model", *run, "--output", tmp_path / "small", *ONCE))
    assert list(got["metrics"]) == ["loss", "accuracy"]
    found = identity(tmp_path / "small")
    assert (found["num_hidden_layers"], found["hidden_size"], found["learning_rate"]) == (1, 32, 5e-4)
    assert munjang.pipeline("fill-mask", tmp_path / "small")("밥은 [MASK] 있는")
    assert found["batch_tokens"] == 4096
    more = ("--data", texts, "--model", tmp_path / "small", "--output", tmp_path / "more", "--batch-size", 4)
    answered(invoke("train", "language-model", *more, *ONCE))
    found = identity(tmp_path / "more")
    assert (found["learning_rate"], found["batch_size"], found["batch_tokens"]) == (5e-5, 4, None)
    electra = ("--data", texts, "--tokenizer", words, "--objective", "electra", *size)
    answered(invoke("train", "language-model", *electra, "--output", tmp_path / "electra", *ONCE))
    assert identity(tmp_path / "electra")["task"] == "replaced-token-detection"


def test_next_sentences(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "documents.txt"
    texts.write_text("가 나 다.\n라 마.\n바 사.\n\n아 자.\n차 카.\n타 파.\n" * 3, encoding="utf-8")
    given = ("--data", texts, "--model", model, "--next-sentences", "--output", tmp_path / "out")
    answered(invoke("train", "language-model", *given, *ONCE))
    assert munjang.pipeline("next-sentence-prediction", tmp_path / "out")("가 나 다.", "라 마.")


def test_a_trimmed_model(invoke: Invoke, model: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "trimmed"
    given = ("--model", model, "--output", output, "--data", texts)
    got = answered(invoke("train", "trim", *given, "--json"))
    assert got["pieces"] < got["pieces_before"] == len(munjang.Tokenizer.from_pretrained(model))
    assert got["parameters"] < got["parameters_before"]
    sentence = "밥은 쌀 있는 것이다."
    before, after = munjang.SentenceTransformer(model), munjang.SentenceTransformer(output)
    np.testing.assert_allclose(after.encode(sentence), before.encode(sentence), atol=1e-6)
    said = invoke("train", "trim", "-m", model, "-o", tmp_path / "korean", "--scripts", "Hangul, Common")
    assert "pieces of" in said.stdout
    result = invoke("train", "trim", "-m", model, "-o", tmp_path / "none", "--scripts", "Korean")
    assert result.exit_code == 1
    assert "'Korean' is no script of Unicode" in result.stderr


def test_words_of_a_domain(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "domain.txt"
    texts.write_text("심근경색은 병이다.\n심근경색을 고친다.\n고지혈증이 있다.\n", encoding="utf-8")
    given = ("--data", texts, "--min-count", 1, "--top", 2, "--model", model)
    [first, second] = answered(invoke("train", "suggest-tokens", *given, "--json"))
    assert (first["word"], first["count"], second["word"]) == ("심근경색", 2, "고지혈증")
    assert first["pieces"] == ["심", "##근", "##경", "##색"]
    assert "심근경색" in invoke("train", "suggest-tokens", *given).stdout
    words = tmp_path / "words.txt"
    words.write_text("심근경색\n 고지혈증\n", encoding="utf-8")
    output = tmp_path / "more"
    got = answered(invoke("train", "add-tokens", "--file", words, "-m", model, "-o", output, "--json"))
    assert list(got["tokens"]) == ["심근경색", "고지혈증"]
    assert munjang.Tokenizer.from_pretrained(output).tokenize("심근경색은")[0] == "심근경색"
    said = invoke("train", "add-tokens", "심근경색", "가", "-m", model, "-o", tmp_path / "one")
    assert said.stdout.startswith(f"{tmp_path / 'one'}: 1 word added, 1 known before, ")
