"""A cross-encoder that orders what a search has found, and the search with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scripts.results.measuring import has_bfloat16
from scripts.results.outcome import Outcome, Place

import munjang
from munjang.evaluation import Contrast, Evaluation, QuestionExample, RankedList
from munjang.evaluation.example_files import read_questions, split
from munjang.evaluation.retrieval import MODES, RetrievalTask, evaluate_retrieval, indexed
from munjang.evaluation.sampling import sample
from munjang.search.documents import Document
from munjang.training.mining import mine_hard_negatives
from munjang.training.options import TrainingOptions
from munjang.training.reranking import train_cross_encoder

__all__ = ["reranker"]

RETRIEVER = "multilingual-e5-small"
LEARNED_FROM, ASKED = 1_600, 120  # questions
LONGEST = 320  # tokens of a question and a paragraph


def reranker(place: Place) -> Outcome:
    """Begin with the model of the recipe ``korquad``, which must be there, and leave out what it left out."""
    questions = read_questions(place.data / "korquad" / "KorQuAD_v1.0_dev.json")
    train, test = split(questions, held_out=0.1, key=lambda question: question.context)
    encoder = munjang.SentenceTransformer(RETRIEVER)
    result = train_cross_encoder(
        _with_hard_negatives(encoder, train),
        model=place.run("korquad"),
        output=place.run("reranker"),
        max_length=LONGEST,
        options=replace(TrainingOptions(epochs=1, learning_rate=1e-4, batch_size=8), bfloat16=has_bfloat16()),
        watchers=place.watchers,
    )
    return Outcome(
        "Reranking paragraphs (KorQuAD), from the model that finds answers",
        "a better order than that of the hybrid search",
        result,
        _searches(encoder, munjang.CrossEncoder(result.folder), questions, sample(test, ASKED)),
    )


def _with_hard_negatives(
    encoder: munjang.SentenceTransformer, questions: Sequence[QuestionExample]
) -> list[RankedList]:
    """Questions, each with its paragraph and three others that are most like it to the encoder."""
    pairs = [Contrast(one.question, one.context) for one in sample(questions, LEARNED_FROM)]
    corpus = list(dict.fromkeys(one.context for one in questions))
    found = mine_hard_negatives(encoder, pairs, corpus, output_format="n-tuple")
    return [
        RankedList(one.anchor, (one.positive, *one.negatives), (1.0, *(0.0 for _ in one.negatives)))
        for one in found
    ]


def _searches(
    encoder: munjang.SentenceTransformer,
    model: munjang.CrossEncoder,
    questions: Sequence[QuestionExample],
    asked: Sequence[QuestionExample],
) -> list[Evaluation]:
    """Search all paragraphs for each of the questions, in every mode."""
    paragraphs = {text: number for number, text in enumerate(dict.fromkeys(one.context for one in questions))}
    task = RetrievalTask(
        name="KorQuAD, question to paragraph",
        documents=[Document(id=number, fields={"text": text}) for text, number in paragraphs.items()],
        queries=[one.question for one in asked],
        relevant=[frozenset({paragraphs[one.context]}) for one in asked],
    )
    with indexed(task, encoder) as index:
        rows = evaluate_retrieval(task, index, MODES, rerank=model)
    return [
        Evaluation(
            f"retrieval, {row.mode}",
            "",
            len(asked),
            row.metrics,
            f"{len(paragraphs)} paragraphs, {1e3 * row.seconds_per_query:,.0f} ms a question",
        )
        for row in rows
    ]
