"""Retrieval tasks made of published data."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from munjang.data.files import DataFile
from munjang.data.readers.question_answers import read_question_answers
from munjang.data.splitting import sample
from munjang.errors import DataFileError
from munjang.evaluation.retrieval import RetrievalTask
from munjang.search.documents import Document

__all__ = ["beir_folder", "chatbot_questions", "korquad"]

_SEED = 1


def korquad(path: Path, queries: int | None = None) -> RetrievalTask:
    """Make the task of finding, for a question of KorQuAD 1.0, the paragraph that it was asked about.

    ``path`` is a file in the layout of SQuAD 1.1. Equal paragraphs are one. ``queries`` takes a sample.
    Raises `DataFileError` for a file in another layout.
    """
    places: dict[str, str] = {}
    asked: list[tuple[str, str]] = []
    for paragraph in _paragraphs(path):
        identifier = places.setdefault(paragraph["context"], f"p{len(places)}")
        asked += [(qa["question"], identifier) for qa in paragraph["qas"]]
    chosen = sample(asked, queries)
    return RetrievalTask(
        name="KorQuAD 1.0, question to paragraph",
        documents=[Document(id=number, fields={"text": text}) for text, number in places.items()],
        queries=[question for question, _ in chosen],
        relevant=[frozenset({number}) for _, number in chosen],
        notes=f"{len(chosen):,} questions, {len(places):,} paragraphs",
    )


def chatbot_questions(
    path: Path, queries: int | None = None, *, question: str | None = None, answer: str | None = None
) -> RetrievalTask:
    """Make the task of finding, for a question held out, a stored question that has the same answer.

    One question in ten is held out, with a fixed seed; those whose answer no stored question has can't be
    found and are left out, as the notes say. Raises as
    `munjang.data.readers.question_answers.read_question_answers`.
    """
    pairs = read_question_answers(str(path), question, answer)
    order = np.random.default_rng(_SEED).permutation(len(pairs))
    held = {int(place) for place in order[: len(pairs) // 10]}
    stored = [place for place in range(len(pairs)) if place not in held]
    by_answer: dict[str, set[int]] = {}
    for place in stored:
        by_answer.setdefault(pairs[place].answer, set()).add(place)
    possible = [(pairs[place].question, by_answer.get(pairs[place].answer)) for place in sorted(held)]
    asked = [(text, frozenset(found)) for text, found in possible if found]
    chosen = sample(asked, queries)
    return RetrievalTask(
        name="chatbot, question to a question with the same answer",
        documents=[Document(id=place, fields={"text": pairs[place].question}) for place in stored],
        queries=[text for text, _ in chosen],
        relevant=[frozenset(found) for _, found in chosen],
        notes=f"{len(chosen):,} of {len(held):,} questions held out have an answer that is stored, "
        f"{len(stored):,} stored questions",
    )


def beir_folder(folder: Path, split: str = "test", queries: int | None = None) -> RetrievalTask:
    """Read a task in the layout of BEIR: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

    A document's title stands before its text. Raises `DataFileError` for a file that is missing or broken.
    """
    corpus = {row["_id"]: row for row in _json_lines(folder / "corpus.jsonl")}
    texts = {row["_id"]: row["text"] for row in _json_lines(folder / "queries.jsonl")}
    relevant: dict[str, set[str]] = {}
    for query, document, score in _judgements(folder / "qrels" / f"{split}.tsv"):
        if score > 0 and document in corpus and query in texts:
            relevant.setdefault(query, set()).add(document)
    chosen = sample(sorted(relevant), queries)
    return RetrievalTask(
        name=f"{folder.name}, {split}",
        documents=[
            Document(id=number, fields={"text": f"{row.get('title') or ''}\n{row['text']}".strip()})
            for number, row in corpus.items()
        ],
        queries=[texts[query] for query in chosen],
        relevant=[frozenset(relevant[query]) for query in chosen],
        notes=f"{len(chosen):,} queries, {len(corpus):,} documents",
    )


def _paragraphs(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
        texts = [text for one in found for text in (one["context"], *(qa["question"] for qa in one["qas"]))]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError
    except OSError as error:
        raise DataFileError(f"'{path}' can't be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(f"'{path}' is not in the layout of SQuAD 1.1.") from error
    return found


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    rows = list(DataFile(path=str(path), column="text"))
    for row in rows:
        if not isinstance(row.values.get("_id"), str):
            raise DataFileError(f"'{path}', line {row.number + 1}: there is no '_id'.")
    return [row.values for row in rows]


def _judgements(path: Path) -> list[tuple[str, str, int]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))[1:]
        return [(query, document, int(score)) for query, document, score in rows]
    except OSError as error:
        raise DataFileError(f"'{path}' can't be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise DataFileError(f"'{path}' must have three columns: query, document, score.") from error
