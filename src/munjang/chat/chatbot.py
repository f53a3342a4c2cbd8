"""`ChatBot`: answers a question with the answer of the nearest stored question."""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypedDict, Unpack, get_args

from munjang.chat.calibration import Calibration, calibrate
from munjang.chat.retrieval import IndexedQuestions, NearestQuestions, Retriever, cached_index, index_pairs
from munjang.chat.turns import Nearest, Neighbour, Turn, TurnLog
from munjang.checkpoints import DEFAULT_MODEL
from munjang.choices import Method, Mode
from munjang.data.readers.questions import read_question_answers
from munjang.errors import InputError, InputTypeError
from munjang.search.index import Index
from munjang.search.query import SearchOptions
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization import nfc
from munjang.validation import (
    checked_choice,
    checked_count,
    checked_integer,
    checked_number,
    checked_text,
    shown_value,
    takes_keywords,
)

_SAMPLE = 300  # held-out questions
_KOREAN_UNKNOWN = "잘 모르겠어요."
_ENGLISH_UNKNOWN = "I do not know."
_FEW_WORDS = 6  # longer questions are understood alone, however they begin
_SHORT_WORD = 6  # maximum letters of a single-word question that needs context

_KOREAN_OPENING = re.compile("그럼|그러면|그래서|그리고|그런데|근데|그건|그거|그게|그때|거기|거긴|이건|이거")
_ENGLISH_OPENING = re.compile(r"(and|but|so|then|also|what about|how about|what if|that|it)\b", re.IGNORECASE)
_HANGUL = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣᄀ-ᇿ]")


class ChatArguments(TypedDict, total=False):
    """Optional arguments of `ChatBot`, `ChatBot.from_file` and `ChatBot.from_index`.

    Attributes:
        threshold: the minimum confidence of an answer, a probability from 0 to 1 (see `Turn`); by default it
            is learned from held-out questions when first needed, see `ChatBot.calibration`; 0 answers always.
        neighbours: number of stored questions in a turn, by default 5.
        unknown: the reply when no stored question is near enough; by default a text in the question's
            language.
        seed: makes the choice among several answers of one question reproducible.
        log: a file to which each turn is appended, as JSON Lines.
    """

    threshold: float | None
    neighbours: int
    unknown: str | None
    seed: int | None
    log: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """The checked `ChatArguments` of a chatbot, with defaults; raises the errors of invalid arguments."""

    threshold: float | None = None
    neighbours: int = 5
    unknown: str | None = None
    seed: int | None = None
    log: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None:
            threshold = checked_number("threshold", self.threshold, least=0, most=1)
            object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "neighbours", checked_count("neighbours", self.neighbours, 1))
        if self.unknown is not None:
            object.__setattr__(self, "unknown", checked_text(self.unknown, "unknown"))
        if self.seed is not None:
            object.__setattr__(self, "seed", checked_integer("seed", self.seed))
        if not isinstance(self.log, str | os.PathLike | None):
            raise InputTypeError(f"log must be the path of a file, got {shown_value(self.log)}.")


class ChatBot:
    """A chatbot that answers from stored questions, or with ``unknown`` when no question is near enough.

    Example::

        bot = munjang.ChatBot.from_file("examples/everyday_questions.csv")
        bot("소포가 어디쯤 왔는지 알고 싶어요")  # the answer, a str
        bot.ask("그럼 언제 도착해?").neighbours  # the stored questions that it was chosen from

    A chatbot with one or two stored questions answers only a question that is nearly equal to one of them.

    Args:
        retriever: finds the stored questions; `from_file` and `from_index` create one.

    The options ``threshold``, ``neighbours``, ``unknown``, ``seed`` and ``log`` are described at
    `munjang.chat.chatbot.ChatArguments`.
    """

    @takes_keywords(ChatArguments, ChatOptions)
    def __init__(self, retriever: Retriever, **options: Unpack[ChatArguments]) -> None:
        checked = ChatOptions(**options)
        self._retriever = retriever
        self._options = checked
        self.neighbours = checked.neighbours
        self._random = random.Random(checked.seed)  # noqa: S311 - the choice among answers is not a secret
        self._log = TurnLog(None if checked.log is None else Path(checked.log))
        self._used_answers: set[str] = set()

    @classmethod
    @takes_keywords(ChatArguments, ChatOptions)
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        question: str | None = None,
        answer: str | None = None,
        method: Method = "hybrid",
        model: str | SentenceTransformer | None = None,
        pooling: str | None = None,
        index: str | os.PathLike[str] | None = None,
        rerank: CrossEncoder | None = None,
        offline: bool | None = None,
        show_progress_bar: bool = False,
        **options: Unpack[ChatArguments],
    ) -> ChatBot:
        """Read questions and answers from CSV, TSV, JSON Lines or parquet.

        Args:
            path: the file.
            question: the column of the questions; by default one of the usual names (question, Q, 질문).
            answer: the column of the answers (answer, A, 답변).
            method: ``"nearest"`` compares vectors in memory; ``"hybrid"`` searches an index by meaning and by
                word.
            model: the sentence model; by default multilingual-e5-small.
            pooling: the pooling mode, such as ``"cls"``, instead of the model's own.
            index: the file of the index, for ``"hybrid"``; by default a file in the cache. Only new and
                changed questions are encoded, and removed questions are deleted.
            rerank: a cross-encoder that reorders the hits, for ``"hybrid"``.
            offline: open no connection to fetch a model.
            show_progress_bar: show a progress bar while questions are encoded.

        The options ``threshold``, ``neighbours``, ``unknown``, ``seed`` and ``log`` are described at
        `munjang.chat.chatbot.ChatArguments`.

        Raises `DataFileError` for the file, the errors of opening a model, and `InputError` for settings that
        contradict each other.
        """
        ChatOptions(**options)  # raises errors before questions are encoded
        checked_choice("method", method, get_args(Method))
        SearchOptions(rerank=rerank)
        if method == "nearest" and (index is not None or rerank is not None):
            raise InputError("The method 'nearest' has no index and no reranking; use method='hybrid'.")
        file = os.fspath(path)
        pairs = read_question_answers(file, question, answer)
        if not isinstance(model, SentenceTransformer):
            local = True if offline else None
            model = SentenceTransformer(model or DEFAULT_MODEL, pooling=pooling, local_files_only=local)
        elif pooling is not None:
            raise InputError("pooling is set when a model is opened; this model is open already.")
        retriever: Retriever
        if method == "nearest":
            retriever = NearestQuestions(pairs, model, show_progress_bar=show_progress_bar)
        else:
            location = Path(index) if index is not None else cached_index(file, model)
            opened = index_pairs(pairs, model, location, show_progress_bar=show_progress_bar)
            retriever = IndexedQuestions(opened, rerank=rerank)
        return cls(retriever, **options)

    @classmethod
    @takes_keywords(ChatArguments, ChatOptions)
    def from_index(
        cls,
        index: Index | str | os.PathLike[str],
        *,
        question: str = "question",
        answer: str = "answer",
        mode: Mode = "hybrid",
        rerank: CrossEncoder | None = None,
        offline: bool | None = None,
        **options: Unpack[ChatArguments],
    ) -> ChatBot:
        """Answer from an index whose documents have a field of questions and a field of answers.

        The options are those of `from_file`. Raises `InputError` if the index lacks a field, and the errors
        of opening an index.
        """
        ChatOptions(**options)  # raises errors before the index is opened
        SearchOptions(mode=mode, rerank=rerank)
        if not isinstance(index, Index):
            index = Index.open(os.fspath(index), create=False, offline=offline or None)
        return cls(
            IndexedQuestions(index, question=question, answer=answer, rerank=rerank, mode=mode), **options
        )

    def __call__(self, question: str) -> str:
        """Return the answer to a question; raise the errors of `ask`."""
        return self.ask(question).answer

    def ask(self, question: str) -> Turn:
        """Return the answer to a question with its neighbours, confidence and threshold.

        Raises `InputTypeError` for a question that is not a string, `InputError` for a blank question.
        """
        if not isinstance(question, str):
            raise InputTypeError(f"A question must be a str, got {shown_value(question)}.")
        asked = question.strip()
        if not asked:
            raise InputError("The question is empty.")
        searched, nearest = self._search(asked)
        confidence = self._confidence(nearest)
        known = bool(nearest.neighbours) and confidence >= self.threshold
        turn = Turn(
            question=asked,
            searched=searched,
            answer=self._choose(nearest.neighbours[0]) if known else self._unknown_reply(asked),
            known=known,
            confidence=confidence,
            threshold=self.threshold,
            neighbours=nearest.neighbours,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            lead=nearest.lead,
        )
        self._log.add(turn)
        return turn

    def nearest(self, question: str, limit: int | None = None) -> list[Neighbour]:
        """Return the stored questions nearest to a question, without answering it."""
        limit = self.neighbours if limit is None else checked_count("limit", limit, 1)
        return self._retriever.nearest(question, limit).neighbours

    @property
    def threshold(self) -> float:
        """The minimum confidence of an answer, a probability."""
        threshold = self._options.threshold
        return self.calibration.threshold if threshold is None else threshold

    @cached_property
    def calibration(self) -> Calibration:
        """Probabilities and a threshold, learned from held-out questions at first use."""
        return calibrate(*self._retriever.held_out(_SAMPLE))

    @property
    def log(self) -> list[Turn]:
        """The turns so far."""
        return self._log.turns

    def reset(self) -> None:
        """Clear the conversation; the log file is unchanged."""
        self._log.turns.clear()
        self._used_answers.clear()

    def close(self) -> None:
        """Close the index, if any."""
        self._retriever.close()

    def __enter__(self) -> ChatBot:
        """Use the chatbot as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _search(self, asked: str) -> tuple[str, Nearest]:
        """Return the searched text and its neighbours; a follow-up is joined to the previous question."""
        nearest = self._retriever.nearest(asked, self.neighbours)
        last = self.log[-1] if self.log else None
        if last is None or not needs_context(asked):
            return asked, nearest
        if self._confidence(nearest) >= self.threshold and not points_back(asked):
            return asked, nearest
        both = f"{last.searched} {asked}"
        others = self._retriever.nearest(both, self.neighbours + 1)
        if last.known and others.neighbours and others.neighbours[0].question == last.neighbours[0].question:
            # The question answered before is always near to itself with a few added words.
            others = others._replace(neighbours=others.neighbours[1:] or others.neighbours)
        return both, others._replace(neighbours=others.neighbours[: self.neighbours])

    def _confidence(self, nearest: Nearest) -> float:
        return self.calibration.probability(nearest.lead) if nearest.neighbours else 0.0

    def _choose(self, neighbour: Neighbour) -> str:
        """Return one of several answers at random, preferably an answer not yet used."""
        fresh = [answer for answer in neighbour.answers if answer not in self._used_answers]
        answer = self._random.choice(fresh or list(neighbour.answers))
        self._used_answers.add(answer)
        return answer

    def _unknown_reply(self, asked: str) -> str:
        if self._options.unknown is not None:
            return self._options.unknown
        return _KOREAN_UNKNOWN if _has_hangul(asked) else _ENGLISH_UNKNOWN


# Questions that can't be understood alone, such as "그럼 비용은?" and "And when?"


def needs_context(question: str) -> bool:
    """Return whether a question may need an earlier question: it points back, or is a single word."""
    words = nfc(question).split()
    return len(words) <= _FEW_WORDS and (
        points_back(question) or (len(words) == 1 and len(words[0]) <= _SHORT_WORD)
    )


def points_back(question: str) -> bool:
    """Return whether a question begins with a word that refers to an earlier question or answer."""
    composed = nfc(question)
    opening = _KOREAN_OPENING if _has_hangul(composed) else _ENGLISH_OPENING
    return opening.match(composed) is not None


def _has_hangul(text: str) -> bool:
    """Return whether a text has Hangul: syllables, or single letters such as ㅋ."""
    return _HANGUL.search(text) is not None
