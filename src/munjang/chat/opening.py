"""Opening a chatbot's retriever from a file or an index."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from munjang.chat.index_retrieval import IndexedQuestions
from munjang.chat.retrieval import NearestQuestions, Retriever, grouped
from munjang.checkpoints import DEFAULT_MODEL, cache_root
from munjang.choices import Method, Mode
from munjang.data.readers.question_answers import QuestionAnswer, read_question_answers
from munjang.errors import InputError, StoreError
from munjang.progress import track
from munjang.search.documents import Document
from munjang.search.index import Index
from munjang.search.stores.locations import is_database
from munjang.search.text.analysis import analyzer_named
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Method", "is_index", "open_file", "open_index"]

_FIELDS = ("question", "answer")


def open_file(
    path: str,
    question: str | None,
    answer: str | None,
    *,
    method: Method,
    model: str | SentenceTransformer | None,
    pooling: str | None,
    index: str | os.PathLike[str] | None,
    rerank: CrossEncoder | None,
    offline: bool | None,
    shown: bool,
) -> Retriever:
    """Read a file of questions and answers, and return a retriever for them."""
    if method not in ("nearest", "hybrid"):
        raise InputError(f"Unknown method '{method}'; there are nearest and hybrid.")
    if method == "nearest" and (index is not None or rerank is not None):
        raise InputError("The method 'nearest' has no index and no reranking; use method='hybrid'.")
    pairs = read_question_answers(path, question, answer)
    encoder = _model(model, pooling, offline)
    if method == "nearest":
        return NearestQuestions(pairs, encoder, show_progress_bar=shown)
    place = Path(index) if index is not None else _cached(path, encoder)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"'{place.parent!s:.300}' can't be made: {error.strerror}"
        raise StoreError(f"The folder of the index {reason}.") from error
    # A question is compared with questions, so both have the prompt of one.
    prompts = {"document": encoder.prompts["query"]} if "query" in encoder.prompts else None
    opened = Index.open(place, model=encoder, fields=_FIELDS, embedded=_FIELDS[:1], prompts=prompts)
    _bring_up_to_date(opened, pairs, shown)
    return IndexedQuestions(opened, rerank=rerank)


def is_index(location: str) -> bool:
    """Return whether a location names an index rather than a file of questions and answers."""
    return is_database(location) or Path(location).suffix == ".munjang"


def open_index(
    index: Index | str | os.PathLike[str],
    question: str,
    answer: str,
    mode: Mode,
    rerank: CrossEncoder | None,
    offline: bool | None,
) -> Retriever:
    """Return a retriever for an existing index."""
    if isinstance(index, Index):
        opened = index
    else:
        opened = Index.open(os.fspath(index), create=False, offline=offline or None)
    return IndexedQuestions(opened, question=question, answer=answer, rerank=rerank, mode=mode)


def _model(
    model: str | SentenceTransformer | None, pooling: str | None, offline: bool | None
) -> SentenceTransformer:
    if isinstance(model, SentenceTransformer):
        if pooling is not None:
            raise InputError("pooling is set where the model is opened; the one given is open already.")
        return model
    return SentenceTransformer(
        model or DEFAULT_MODEL, pooling=pooling, local_files_only=True if offline else None
    )


def _cached(path: str, model: SentenceTransformer) -> Path:
    """Return the path of the cached index for this file, model and analyzer."""
    vector = model.encode(["munjang"])[0]
    identity = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape"))
    identity.update(vector.round(3).tobytes() + analyzer_named(None).name.encode())
    return Path(cache_root(None)) / "chat" / f"{identity.hexdigest()[:20]}.munjang"


def _bring_up_to_date(index: Index, pairs: list[QuestionAnswer], shown: bool) -> None:
    """Add new pairs to the index, and delete pairs that are not in the file any more."""
    documents = [
        Document(id=_id(question, answer), fields={"question": question, "answer": answer})
        for question, answers in grouped(pairs).items()
        for answer in answers
    ]
    wanted = {document.id for document in documents}
    gone = [document.id for document in index if document.id not in wanted]
    if gone:
        index.delete(gone)
    new = index.changed(documents)
    with track(shown and bool(new), len(new), "Encoding") as advance:
        index.upsert(new, advance=advance)


def _id(question: str, answer: str) -> str:
    """Return an id computed from a pair's content, so that unchanged pairs keep their id."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:24]
