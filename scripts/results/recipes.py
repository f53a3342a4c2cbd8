"""The recipes, one function each.

The data that a result is measured on never chooses the best checkpoint: if the data has no third part, some
of the training data is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from scripts.results.distilled import distilled
from scripts.results.measuring import first_sentences, has_bfloat16
from scripts.results.outcome import Outcome, Place
from scripts.results.pretrained import pretrained

import munjang
from munjang.data import (
    read_labelled_texts,
    read_questions,
    read_scored_pairs,
    read_tagged_texts,
    split,
)
from munjang.evaluation import (
    LabelledText,
    evaluate_answers,
    evaluate_classification,
    evaluate_entities,
    evaluate_similarity,
)
from munjang.tasks.question_answering import QuestionAnswering
from munjang.tasks.text_classification import TextClassification
from munjang.tasks.token_classification import TokenClassification
from munjang.training.options import AnswersTask, ClassificationTask, SentencesTask, TrainingOptions
from munjang.training.sentences.train import train_sentence_transformer
from munjang.training.tasks.answers import train_question_answering
from munjang.training.tasks.classification import train_text_classification
from munjang.training.tasks.entities import train_token_classification

__all__ = ["RECIPES"]

E5 = "multilingual-e5-small"
Parts: TypeAlias = tuple[Sequence[LabelledText], Sequence[LabelledText], Sequence[LabelledText]]
PROMPT = "query: "  # the model's prompt for symmetric comparisons


def _options(**chosen: object) -> TrainingOptions:
    return replace(TrainingOptions(bfloat16=has_bfloat16()), **chosen)  # type: ignore[arg-type]


def stsb(place: Place) -> Outcome:
    """Train the cosine of English sentences to equal the score."""
    parts = {
        name: read_scored_pairs(place.data / "stsb-en" / f"{name}.csv") for name in ("train", "dev", "test")
    }
    result = train_sentence_transformer(
        parts["train"],
        model="all-MiniLM-L6-v2",
        output=place.run("stsb"),
        held_out=parts["dev"],
        task=SentencesTask(max_seq_length=128),
        options=_options(epochs=4, learning_rate=5e-5),
        watchers=place.watchers,
    )
    model = munjang.SentenceTransformer(result.folder)
    return Outcome(
        "Sentence-BERT on the English STS benchmark, from all-MiniLM-L6-v2",
        "a Spearman correlation of 0.85 on the test split (0.820 before training)",
        result,
        [evaluate_similarity(model, parts["test"])],
    )


def _korsts(place: Place, name: str, model: str, title: str, goal: str) -> Outcome:
    parts = {
        part: read_scored_pairs(place.data / "korsts" / f"{part}.tsv") for part in ("train", "dev", "test")
    }
    result = train_sentence_transformer(
        parts["train"],
        model=model,
        output=place.run(name),
        held_out=parts["dev"],
        task=SentencesTask(prompt=PROMPT, max_seq_length=128),
        options=_options(epochs=4, learning_rate=5e-5),
        watchers=place.watchers,
    )
    trained = munjang.SentenceTransformer(result.folder)
    return Outcome(title, goal, result, [evaluate_similarity(trained, parts["test"], prompt=PROMPT)])


def korsts(place: Place) -> Outcome:
    """Train the cosine of Korean sentences to equal the score."""
    return _korsts(
        place,
        "korsts",
        E5,
        "Sentence-BERT on KorSTS, from multilingual-e5-small",
        "a Spearman correlation of 0.80 on the test split (0.768 before training)",
    )


def kornli_korsts(place: Place) -> Outcome:
    """Train on KorSTS after KorNLI, as the lessons do."""
    pairs = [
        pair
        for part in ("dev", "test")
        for pair in read_labelled_texts(place.data / "kornli" / f"xnli.{part}.ko.tsv")
    ]
    first = train_sentence_transformer(
        pairs,
        model=E5,
        output=place.run("kornli"),
        held_out=read_scored_pairs(place.data / "korsts" / "dev.tsv"),
        task=SentencesTask(prompt=PROMPT, max_seq_length=128),
        options=_options(epochs=1),
        watchers=place.watchers,
    )
    outcome = _korsts(
        place,
        "kornli-korsts",
        str(first.folder),
        "Sentence-BERT on KorNLI, then on KorSTS, from multilingual-e5-small",
        "better than KorSTS alone",
    )
    trained = munjang.SentenceTransformer(first.folder)
    test = read_scored_pairs(place.data / "korsts" / "test.tsv")
    between = evaluate_similarity(trained, test, prompt=PROMPT).metrics["spearman"]
    remark = f"After KorNLI alone the Spearman correlation on the test split is {between.value:.4f}."
    return replace(outcome, remarks=[remark])


def nsmc(place: Place) -> Outcome:
    """Train a classifier of film reviews as positive or negative."""
    train, held_out = split(read_labelled_texts(place.data / "nsmc" / "train.tsv.gz"), held_out=2_000)
    _, train = split(train, held_out=100_000, seed=1)
    return _classification(
        place,
        "nsmc",
        (train, held_out, read_labelled_texts(place.data / "nsmc" / "dev.tsv.gz")),
        _options(epochs=1, learning_rate=1.5e-4, batch_size=64),
        "Sentiment of film reviews (NSMC), from multilingual-e5-small",
        "an accuracy of 0.86 on the dev split, from 100,000 of the 213,362 training reviews",
    )


def question_pairs(place: Place) -> Outcome:
    """Train a classifier of equivalent questions."""
    train, held_out = split(read_labelled_texts(place.data / "question-pair" / "train.tsv"), held_out=400)
    return _classification(
        place,
        "question-pairs",
        (train, held_out, read_labelled_texts(place.data / "question-pair" / "dev.tsv")),
        _options(epochs=6, learning_rate=1e-4),
        "Equivalent questions (question pairs), from multilingual-e5-small",
        "an accuracy of 0.92 on the dev split",
    )


def _classification(
    place: Place, name: str, parts: Parts, options: TrainingOptions, title: str, goal: str
) -> Outcome:
    """Train on the first part, choose by the second, measure on the third."""
    train, held_out, test = parts
    result = train_text_classification(
        train,
        model=E5,
        output=place.run(name),
        held_out=held_out,
        task=ClassificationTask(max_length=96),
        options=options,
        watchers=place.watchers,
    )
    return Outcome(title, goal, result, [evaluate_classification(TextClassification(result.folder), test)])


def klue_ner(place: Place) -> Outcome:
    """Train a tagger of people, places, organisations, dates, times and quantities."""
    examples = read_tagged_texts(place.data / "klue-ner" / "train.tsv")
    train, held_out = split(examples[:-500], held_out=250)
    result = train_token_classification(
        train,
        model=E5,
        output=place.run("klue-ner"),
        held_out=held_out,
        options=_options(epochs=4, learning_rate=1.5e-4),
        watchers=place.watchers,
    )
    return Outcome(
        "Named entities (KLUE-NER), from multilingual-e5-small",
        "an entity F1 above 0.60 on the last 500 sentences",
        result,
        [evaluate_entities(TokenClassification(result.folder), examples[-500:])],
    )


def korquad(place: Place) -> Outcome:
    """Train question answering."""
    questions = read_questions(place.data / "korquad" / "KorQuAD_v1.0_dev.json")
    train, test = split(questions, held_out=0.1, key=lambda question: question.context)
    result = train_question_answering(
        train,
        model=E5,
        output=place.run("korquad"),
        task=AnswersTask(max_length=256, negative_windows=0.3),
        options=_options(epochs=1, learning_rate=1.5e-4),
        watchers=place.watchers,
    )
    found = evaluate_answers(QuestionAnswering(result.folder), test)
    baseline = first_sentences(test)
    return Outcome(
        "Question answering (KorQuAD), from multilingual-e5-small",
        "an F1 well above that of answering with the first sentence; measured on a tenth of the paragraphs",
        result,
        [found],
        [f"Answering with the first sentence of each paragraph has an F1 of {baseline:.4f}."],
    )


RECIPES: Mapping[str, Callable[[Place], Outcome]] = {
    "stsb": stsb,
    "korsts": korsts,
    "kornli-korsts": kornli_korsts,
    "nsmc": nsmc,
    "question-pairs": question_pairs,
    "klue-ner": klue_ner,
    "korquad": korquad,
    "distilled": distilled,
    "pretrained": pretrained,
}
