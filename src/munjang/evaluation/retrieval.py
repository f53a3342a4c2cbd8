"""Evaluation of retrieval: how high an index ranks relevant documents, and tasks made of published data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from munjang.data.files import DataFile
from munjang.data.readers.questions import read_question_answers
from munjang.data.splitting import sample
from munjang.errors import DataFileError, InputError
from munjang.evaluation.measures.rankings import ranking_metrics
from munjang.evaluation.measures.resampling import Estimate
from munjang.progress import Advance, no_advance
from munjang.rounding import rounded

if TYPE_CHECKING:
    from munjang.choices import Mode
    from munjang.search.documents import Document, DocumentId
    from munjang.search.index import Index
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer

MODES = ("semantic", "lexical", "hybrid", "reranked")
_DEPTH = 10
_BATCH = 64  # queries per search
_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalTask:
    """Documents, and queries with the ids of their relevant documents.

    Attributes:
        name: of the task.
        documents: each with one field, ``text``.
        queries: the queries.
        relevant: for each query, the ids of its relevant documents; at least one.
        notes: how the task was made, for readers of the results.
    """

    name: str
    documents: Sequence[Document]
    queries: Sequence[str]
    relevant: Sequence[frozenset[DocumentId]]
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalResult:
    """The measures of one search mode.

    Attributes:
        mode: one of `MODES`.
        metrics: by their names.
        seconds_per_query: of searching, including the encoding of the query.
    """

    mode: str
    metrics: Mapping[str, Estimate]
    seconds_per_query: float

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        metrics = {name: estimate.to_dict() for name, estimate in self.metrics.items()}
        return {"mode": self.mode, **metrics, "seconds_per_query": rounded(self.seconds_per_query)}


def evaluate_retrieval(
    task: RetrievalTask,
    index: Index,
    modes: Sequence[str] = MODES[:3],
    *,
    rerank: CrossEncoder | None = None,
    weights: Mapping[str, float] | None = None,
    advance: Advance = no_advance,
) -> list[RetrievalResult]:
    """Search an index of the task's documents for every query, in each mode.

    ``"reranked"`` is the hybrid search whose best results ``rerank`` reorders. ``advance`` is called with
    the number of queries done. Raises `InputError` for an unknown or repeated mode, a missing cross-encoder,
    and a task without queries.
    """
    for mode in modes:
        if mode not in MODES:
            raise InputError(f"Unknown mode '{mode}'; there are {', '.join(MODES)}.")
        if mode == "reranked" and rerank is None:
            raise InputError("The mode 'reranked' needs a cross-encoder; name one with rerank.")
    if len(set(modes)) < len(modes):
        raise InputError(f"A mode is given twice: {', '.join(modes)}.")
    if not task.queries:
        raise InputError(f"The task '{task.name}' has no queries.")
    return [_evaluate_mode(task, index, mode, rerank, weights, advance) for mode in modes]


def _evaluate_mode(
    task: RetrievalTask,
    index: Index,
    mode: str,
    rerank: CrossEncoder | None,
    weights: Mapping[str, float] | None,
    advance: Advance,
) -> RetrievalResult:
    rankings: list[list[DocumentId]] = []
    start_time = time.perf_counter()
    for start in range(0, len(task.queries), _BATCH):
        queries = task.queries[start : start + _BATCH]
        results = index.search_batch(
            queries,
            mode=cast("Mode", "hybrid" if mode == "reranked" else mode),
            limit=_DEPTH,
            weights=weights if mode in ("hybrid", "reranked") else None,
            rerank=rerank if mode == "reranked" else None,
        )
        rankings += [[hit.id for hit in hits] for hits in results]
        advance(len(queries))
    seconds = (time.perf_counter() - start_time) / len(task.queries)
    return RetrievalResult(
        mode=mode, metrics=ranking_metrics(rankings, task.relevant), seconds_per_query=seconds
    )


@contextmanager
def indexed(
    task: RetrievalTask,
    model: SentenceTransformer | str,
    *,
    analyzer: str | None = None,
    advance: Advance = no_advance,
) -> Iterator[Index]:
    """Yield a temporary index of the task's documents."""
    from munjang.search.index import Index

    with (
        TemporaryDirectory() as folder,
        Index.open(Path(folder) / "task.munjang", model=model, analyzer=analyzer) as index,
    ):
        index.upsert(task.documents, advance=advance)
        yield index


def korquad(path: Path, queries: int | None = None) -> RetrievalTask:
    """Make the task of finding, for a question of KorQuAD 1.0, the paragraph that it was asked about.

    ``path`` is a file in the layout of SQuAD 1.1. Equal paragraphs are one document. ``queries`` is the size
    of a sample. Raises `DataFileError` for a file in another layout.
    """
    ids: dict[str, DocumentId] = {}
    questions: list[tuple[str, DocumentId]] = []
    for paragraph in _paragraphs(path):
        paragraph_id = ids.setdefault(paragraph["context"], f"p{len(ids)}")
        questions += [(qa["question"], paragraph_id) for qa in paragraph["qas"]]
    chosen = sample(questions, queries)
    return RetrievalTask(
        name="KorQuAD 1.0, question to paragraph",
        documents=_documents({paragraph_id: text for text, paragraph_id in ids.items()}),
        queries=[question for question, _ in chosen],
        relevant=[frozenset({paragraph_id}) for _, paragraph_id in chosen],
        notes=f"{len(chosen):,} questions, {len(ids):,} paragraphs",
    )


def chatbot_questions(
    path: Path, queries: int | None = None, *, question: str | None = None, answer: str | None = None
) -> RetrievalTask:
    """Make the task of finding, for a held-out question, a stored question that has the same answer.

    One question in ten is held out, with a fixed seed; a held-out question whose answer no stored question
    has can't be found and is left out, as the notes say. Raises as
    `munjang.data.readers.questions.read_question_answers`.
    """
    pairs = read_question_answers(str(path), question, answer)
    order = np.random.default_rng(_SEED).permutation(len(pairs)).tolist()
    held_out = sorted(order[: len(pairs) // 10])
    stored = sorted(order[len(pairs) // 10 :])
    by_answer: dict[str, set[DocumentId]] = {}
    for number in stored:
        by_answer.setdefault(pairs[number].answer, set()).add(number)
    possible = [(pairs[number].question, by_answer.get(pairs[number].answer)) for number in held_out]
    chosen = sample([(text, frozenset(same)) for text, same in possible if same], queries)
    return RetrievalTask(
        name="chatbot, question to a question with the same answer",
        documents=_documents({number: pairs[number].question for number in stored}),
        queries=[text for text, _ in chosen],
        relevant=[same for _, same in chosen],
        notes=f"{len(chosen):,} of {len(held_out):,} questions held out have an answer that is stored, "
        f"{len(stored):,} stored questions",
    )


def beir_folder(folder: Path, split: str = "test", queries: int | None = None) -> RetrievalTask:
    """Read a task in the layout of BEIR: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``.

    A document's title stands before its text. Raises `DataFileError` for a file that is missing or broken.
    """
    corpus = {row["_id"]: row for row in _json_lines(folder / "corpus.jsonl")}
    texts = {row["_id"]: row["text"] for row in _json_lines(folder / "queries.jsonl")}
    relevant: dict[str, set[DocumentId]] = {}
    for query, document, score in _judgements(folder / "qrels" / f"{split}.tsv"):
        if score > 0 and document in corpus and query in texts:
            relevant.setdefault(query, set()).add(document)
    chosen = sample(sorted(relevant), queries)
    return RetrievalTask(
        name=f"{folder.name}, {split}",
        documents=_documents(
            {number: f"{row.get('title') or ''}\n{row['text']}".strip() for number, row in corpus.items()}
        ),
        queries=[texts[query] for query in chosen],
        relevant=[frozenset(relevant[query]) for query in chosen],
        notes=f"{len(chosen):,} queries, {len(corpus):,} documents",
    )


def _documents(texts: Mapping[DocumentId, str]) -> list[Document]:
    from munjang.search.documents import Document

    return [Document(id=number, fields={"text": text}) for number, text in texts.items()]


def _paragraphs(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        paragraphs = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
        for paragraph in paragraphs:
            texts = [paragraph["context"], *(qa["question"] for qa in paragraph["qas"])]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError
    except OSError as error:
        raise DataFileError(f"'{path}' can't be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(f"'{path}' is not in the layout of SQuAD 1.1.") from error
    return paragraphs


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    rows = list(DataFile(path=str(path), column="text", ids=False))
    for row in rows:
        if not isinstance(row.values.get("_id"), str):
            raise DataFileError(f"'{path}', line {row.number + 1}: there is no '_id'.")
    return [row.values for row in rows]


def _judgements(path: Path) -> list[tuple[str, str, int]]:
    file = DataFile(path=str(path), quoting=False, header=False)
    rows = [list(entry.values.values()) for entry in file.records()]
    if not rows[0][-1].strip().isdecimal():  # a header
        rows = rows[1:]
    try:
        return [(query, document, int(score)) for query, document, score in rows]
    except ValueError as error:
        raise DataFileError(f"'{path}' must have three columns: query, document, score.") from error
