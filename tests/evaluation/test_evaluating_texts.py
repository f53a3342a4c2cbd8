"""Evaluating encoders, cross-encoders, answerers and language models: their numbers, worked out plainly."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import transformers

from munjang.data.examples import AnswerSpan, QuestionExample, RankedList, ScoredPair
from munjang.errors import CheckpointError, InputError, InputTypeError, UnsupportedModelError
from munjang.evaluation.answers import evaluate_answers
from munjang.evaluation.evaluation import Evaluation
from munjang.evaluation.language_models import evaluate_language_model, perplexity
from munjang.evaluation.measures.answers import answer_f1, exact_match
from munjang.evaluation.measures.rankings import graded_ndcg, mean_reciprocal_rank
from munjang.evaluation.measures.resampling import Estimate
from munjang.evaluation.sentences import evaluate_reranking, evaluate_scored_pairs, evaluate_similarity
from munjang.runtime.notices import TruncationWarning
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.similarity import cos_sim
from munjang.sentence.transformer import SentenceTransformer
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.generation.text_generation import TextGeneration
from munjang.tasks.question_answering import QuestionAnswering
from support.answers import LONG, QUESTION, SHORT, make_answerer
from support.broken import with_nan
from support.gpt2 import make_gpt2
from support.tiny import PROMPTS, tiny_cross_encoder, tiny_sentence_model
from support.wordpiece import bert_with_words

SENTENCES = ["서울은 한국의 수도다", "고양이가 잔다", "a cat is asleep", "우산 챙겨", "배고파", "I am hungry"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    return SentenceTransformer(tiny_sentence_model(tmp_path_factory.mktemp("encoder") / "model"))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder(tiny_cross_encoder(tmp_path_factory.mktemp("scorer") / "model"))


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> QuestionAnswering:
    folder = tmp_path_factory.mktemp("answerer")
    make_answerer("bert", folder)
    return QuestionAnswering(folder)


def pairs() -> list[ScoredPair]:
    rng = np.random.default_rng(4)
    return [
        ScoredPair(one, other, round(float(rng.random() * 5), 1)) for one, other in combinations(SENTENCES, 2)
    ]


@pytest.mark.parametrize("prompt", [{}, {"prompt": "ask: "}, {"prompt_name": "query"}])
def test_similarity(encoder: SentenceTransformer, prompt: dict[str, str]) -> None:
    before = PROMPTS["query"] if prompt else ""
    cosines = [
        float(cos_sim(*(encoder.encode(before + text) for text in (one.sentence1, one.sentence2)))[0, 0])
        for one in pairs()
    ]
    gold = [one.score for one in pairs()]
    found = evaluate_similarity(encoder, pairs(), **prompt)  # type: ignore[arg-type]
    assert (found.task, found.count) == ("similarity", 15)
    assert found.values["spearman"] == pytest.approx(scipy.stats.spearmanr(gold, cosines)[0])
    assert found.values["pearson"] == pytest.approx(scipy.stats.pearsonr(gold, cosines)[0], abs=1e-5)
    assert found.metrics["pearson"].low < found.values["pearson"] < found.metrics["pearson"].high


def test_scored_pairs(scorer: CrossEncoder, tmp_path: Path) -> None:
    gold = [one.score for one in pairs()]
    scores = scorer.predict([(one.sentence1, one.sentence2) for one in pairs()])
    done: list[int] = []
    found = evaluate_scored_pairs(scorer, pairs(), advance=done.append)
    assert sum(done) == 15
    assert found.values["pearson"] == pytest.approx(scipy.stats.pearsonr(gold, scores)[0], abs=1e-5)
    several = CrossEncoder(tiny_cross_encoder(tmp_path / "several", labels=3))
    with pytest.raises(InputError, match="one label, this one has 3"):
        evaluate_scored_pairs(several, pairs())


def test_reranking(scorer: CrossEncoder) -> None:
    lists = [
        RankedList("고양이", tuple(SENTENCES), (0, 2, 1, 0, 0, 0)),
        RankedList("날씨", tuple(SENTENCES[:3]), (0, 0, 0)),
        RankedList("hungry", tuple(SENTENCES[3:]), (0, 1, 1)),
    ]
    scores = [[float(scorer.predict((one.query, text))) for text in one.documents] for one in lists]
    found = evaluate_reranking(scorer, lists)
    ranks = [mean_reciprocal_rank(row, one.relevance) for row, one in zip(scores, lists, strict=True)]
    gains = [graded_ndcg(row, one.relevance) for row, one in zip(scores, lists, strict=True)]
    assert found.values == pytest.approx({"MRR@10": np.mean(ranks), "nDCG@10": np.mean(gains)})
    assert found.notes == "12 documents; 1 list has nothing relevant, which counts 0"


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (RankedList("q", ("a", "b"), (1.0,)), "2 documents in list 1, but 1 grades"),
        (RankedList("q", (), ()), "no documents in list 1"),
        (RankedList("q", ("a",), (-1.0,)), "List 1 has the relevance -1.0"),
        (RankedList("q", ("a",), (math.nan,)), "List 1 has the relevance nan"),
    ],
)
def test_bad_lists(scorer: CrossEncoder, one: RankedList, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_reranking(scorer, [RankedList("q", ("a",), (1.0,)), one])


def question(context: str, *answers: str) -> QuestionExample:
    spans = tuple(AnswerSpan(text, context.index(text)) for text in answers)
    return QuestionExample(f"id-{context[:4]}", QUESTION, context, spans)


@pytest.mark.parametrize("normalization", ["korquad", "squad"])
def test_answers(answerer: QuestionAnswering, normalization: Any) -> None:
    guess = answerer(QUESTION, SHORT)
    assert isinstance(guess, dict)
    questions = [
        question(SHORT, "서울", guess["answer"]),
        question(SHORT, "Seoul"),
        question(LONG, "서울에서"),
    ]
    given = [answerer(QUESTION, one.context) for one in questions]
    right = [[answer.text for answer in one.answers] for one in questions]
    rows = [(one["answer"], texts) for one, texts in zip(given, right, strict=True) if isinstance(one, dict)]
    found = evaluate_answers(answerer, questions, normalization=normalization)
    exact = [exact_match(*row, normalization=normalization) for row in rows]
    shared = [answer_f1(*row, normalization=normalization) for row in rows]
    assert len(rows) == 3
    assert found.values == pytest.approx({"exact_match": np.mean(exact), "f1": np.mean(shared)})
    assert found.values["exact_match"] >= 1 / 3
    assert found.notes == f"normalised as {normalization}"


def test_questions_without_an_answer(answerer: QuestionAnswering) -> None:
    guess = answerer(QUESTION, SHORT, handle_impossible_answer=True)
    assert isinstance(guess, dict)
    found = evaluate_answers(answerer, [question(SHORT)] * 2)
    assert found.values["f1"] == float(not guess["answer"])
    assert found.notes == "normalised as korquad, 2 questions have no answer"


def test_bad_questions(answerer: QuestionAnswering) -> None:
    moved = QuestionExample("q7", QUESTION, SHORT, (AnswerSpan("서울", 3),))
    with pytest.raises(InputError, match="Question 'q7': the answer '서울' is not at offset 3"):
        evaluate_answers(answerer, [moved])
    with pytest.raises(InputError, match="Unknown normalization 'klue'"):
        evaluate_answers(answerer, [question(SHORT, "서울")], normalization="klue")  # type: ignore[arg-type]


def test_perplexity(tmp_path: Path) -> None:
    writer = TextGeneration(make_gpt2(tmp_path).folder)
    texts = ["The cat sat on the mat.", "고양이가 지붕 위에", "x", "The dog. " * 40]
    found = evaluate_language_model(writer, texts)
    assert found.values == pytest.approx({"perplexity": writer.perplexity(texts)})
    estimate = found.metrics["perplexity"]
    assert estimate.low < estimate.value < estimate.high
    assert "tokens" in found.notes
    with pytest.raises(InputError, match="two tokens"):
        evaluate_language_model(writer, ["x"])
    assert perplexity([np.array([1.0, 3.0]), np.array([2.0])]) == pytest.approx(math.exp(2))
    with pytest.raises(InputError, match="two tokens"):
        perplexity([np.empty(0)])


def test_pseudo_perplexity_as_its_paper_defines_it(tmp_path: Path) -> None:
    bert_with_words(tmp_path)
    peer = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = ["I like tea .", "축구는 정말 재미있는 경기다."]
    total, count = 0.0, 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        for place in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, place] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = peer(masked).logits[0, place]
            total -= float(torch.log_softmax(logits, 0)[ids[0, place]])
            count += 1
    model = FillMask(tmp_path)
    done: list[int] = []
    found = evaluate_language_model(model, texts, advance=done.append)
    assert found.values == pytest.approx({"pseudo_perplexity": math.exp(total / count)}, rel=1e-4)
    assert found.notes == f"{count} tokens foreseen"
    assert sum(done) == 2
    with pytest.warns(TruncationWarning):
        evaluate_language_model(model, ["tea " * (model.max_length + 5)], intervals=False)


def test_data_without_examples(encoder: SentenceTransformer, scorer: CrossEncoder, tmp_path: Path) -> None:
    writer = TextGeneration(make_gpt2(tmp_path).folder)
    with pytest.raises(InputError, match="no examples"):
        evaluate_similarity(encoder, [])
    with pytest.raises(InputError, match="no examples"):
        evaluate_scored_pairs(scorer, [])
    with pytest.raises(InputError, match="no examples"):
        evaluate_reranking(scorer, [])
    with pytest.raises(InputError, match="no examples"):
        evaluate_language_model(writer, [])
    with pytest.raises(InputError, match="Text 1 is empty"):
        evaluate_language_model(writer, ["a b c", " "])
    with pytest.raises(InputTypeError, match="TextGeneration or FillMask, got a CrossEncoder"):
        evaluate_language_model(scorer, ["a"])  # type: ignore[arg-type]


def test_scores_that_are_not_numbers(tmp_path: Path) -> None:
    encoder = SentenceTransformer(
        with_nan(tiny_sentence_model(tmp_path / "a"), "encoder.layer.0.output.dense.bias")
    )
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_similarity(encoder, pairs())
    scorer = CrossEncoder(with_nan(tiny_cross_encoder(tmp_path / "b"), "classifier.bias"))
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_scored_pairs(scorer, pairs())
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_reranking(scorer, [RankedList("q", ("a", "b"), (0, 1))])
    make_answerer("bert", tmp_path / "c")
    answerer = QuestionAnswering(with_nan(tmp_path / "c", "qa_outputs.bias"))
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_answers(answerer, [question(SHORT, "서울")])
    writer = TextGeneration(with_nan(make_gpt2(tmp_path / "d").folder, "transformer.ln_f.bias"))
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_language_model(writer, ["The cat sat on the mat."])


def test_models_without_the_head(tmp_path: Path) -> None:
    folder = tiny_sentence_model(tmp_path / "model")
    for opened, error in (
        (CrossEncoder, UnsupportedModelError),
        (QuestionAnswering, CheckpointError),
        (FillMask, CheckpointError),
        (TextGeneration, InputError),
    ):
        with pytest.raises(error):
            opened(folder)


def test_evaluation_as_text() -> None:
    metrics = {"f1": Estimate(0.51239, 0.4, 0.6), "perplexity": Estimate(12345.678)}
    found = Evaluation("answers", "korquad.json", 1500, metrics, "normalised as korquad")
    assert found.to_markdown().splitlines() == [
        "**answers, 1,500 examples of korquad.json**",
        "",
        "normalised as korquad",
        "",
        "| measure | value | 95% interval |",
        "| --- | ---: | --- |",
        "| f1 | 0.5124 | 0.4000 to 0.6000 |",
        "| perplexity | 12,345.68 |  |",
    ]
    assert found.to_dict() == {
        "task": "answers",
        "data": "korquad.json",
        "count": 1500,
        "metrics": {
            "f1": {"value": 0.51239, "low": 0.4, "high": 0.6},
            "perplexity": {"value": 12345.678, "low": None, "high": None},
        },
        "notes": "normalised as korquad",
    }
    plain = Evaluation("classification", "", 1, {"accuracy": Estimate(1.0)})
    assert plain.to_markdown().splitlines()[0] == "**classification, 1 example**"
    assert plain.to_markdown().splitlines()[2] == "| measure | value |"
