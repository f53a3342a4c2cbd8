"""The chatbot answers stored questions, refuses unknown ones, and reports how it found its answer."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import ChatBot, Index, SentenceTransformer
from munjang.chat.chatbot import needs_context, points_back
from munjang.chat.retrieval import NearestQuestions
from munjang.chat.turns import Neighbour, Turn
from munjang.data.readers.questions import QuestionAnswer
from munjang.errors import DataFileError, InputError, InputTypeError
from munjang.search.query import lead
from support.tiny import tiny_sentence_model

PAIRS = [
    ("여권을 잃어버렸어요", "대사관에 연락하세요."),
    ("배송은 언제 되나요?", "이틀 걸려요."),
    ("배송은 언제 되나요?", "모레 와요."),
    ("언제 도착해요?", "이틀 걸려요."),
    ("How do I cancel my order?", "Press cancel."),
    ("안녕", "안녕하세요!"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    # With other layers the random vectors would be others, and some questions would not be known.
    return SentenceTransformer(tiny_sentence_model(folder, settings={"num_hidden_layers": 3}))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "qa.csv"
    rows = [f'"{question}","{answer}"' for question, answer in PAIRS]
    path.write_text("\n".join(["Q,A", *rows]), encoding="utf-8")
    return path


@pytest.fixture(params=["nearest", "hybrid"])
def bot(
    request: pytest.FixtureRequest, table: Path, model: SentenceTransformer, tmp_path: Path
) -> Iterator[ChatBot]:
    index = tmp_path / "qa.munjang" if request.param == "hybrid" else None
    with ChatBot.from_file(
        table, method=request.param, model=model, index=index, threshold=0.0, seed=1, neighbours=3
    ) as opened:
        yield opened


def test_stored_questions_get_their_answers(bot: ChatBot) -> None:
    for question in ("여권을 잃어버렸어요", "How do I cancel my order?", "언제 도착해요?"):
        turn = bot.ask(f" {question} ")
        assert turn.known
        assert turn.answer == dict(PAIRS)[question]
        assert turn.neighbours[0].question == question
        assert turn.neighbours[0].similarity == pytest.approx(1, abs=1e-5)
        assert 0 < turn.confidence <= 1
        assert turn.confidence == bot.calibration.probability(turn.lead)
        assert len(turn.neighbours) == 3
        assert not turn.follows_up
    assert len(bot.log) == 3
    bot.reset()
    assert bot.log == []


def test_several_answers_take_turns(bot: ChatBot) -> None:
    answers = [bot("배송은 언제 되나요?") for _ in range(2)]
    assert sorted(answers) == ["모레 와요.", "이틀 걸려요."]
    assert bot("배송은 언제 되나요?") in answers


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("완전히 다른 아주 긴 이야기를 물어볼게요", "잘 모르겠어요."),
        ("What a long unrelated thing", "I do not know."),
    ],
)
def test_unknown_questions_are_reported(
    question: str, reply: str, table: Path, model: SentenceTransformer
) -> None:
    strict = ChatBot.from_file(table, method="nearest", model=model, threshold=1.0)
    turn = strict.ask(question)
    assert not turn.known
    assert turn.answer == reply
    assert turn.neighbours
    own = ChatBot.from_file(table, method="nearest", model=model, threshold=1.0, unknown="?")
    assert own(question) == "?"


def test_the_threshold_is_learned(bot: ChatBot, table: Path, model: SentenceTransformer) -> None:
    assert bot.threshold == 0.0
    free = ChatBot.from_file(table, method="nearest", model=model)
    calibration = free.calibration
    assert free.threshold == calibration.threshold
    assert calibration.answerable == 2  # two questions share an answer
    assert calibration.unanswerable == 5


def test_held_out_confidence(model: SentenceTransformer) -> None:
    retriever = NearestQuestions([QuestionAnswer(*pair) for pair in PAIRS], model)
    questions = list(dict(PAIRS))
    vectors = model.encode_query(questions, normalize_embeddings=True)
    similarities = vectors @ vectors.T
    pair = {questions.index("배송은 언제 되나요?"), questions.index("언제 도착해요?")}

    def confidence(place: int, out: set[int]) -> float:
        rest = sorted(similarities[place][[i for i in range(len(questions)) if i not in out]])
        return float(rest[-1] - np.mean(rest[:-1]))

    answerable, unanswerable = retriever.held_out(100)
    assert sorted(answerable) == pytest.approx(sorted(confidence(i, {i}) for i in pair), abs=1e-5)
    expected = [confidence(i, pair if i in pair else {i}) for i in range(len(questions))]
    assert sorted(unanswerable) == pytest.approx(sorted(expected), abs=1e-5)


@pytest.mark.parametrize("method", ["nearest", "hybrid"])
@pytest.mark.parametrize(
    "pairs",
    [
        [("hello", "hi there"), ("goodbye", "see you")],
        [("hello", "hi there"), ("hello hello", "hi there"), ("goodbye", "see you")],
    ],
)
def test_few_stored_questions_get_their_answers(
    tmp_path: Path, model: SentenceTransformer, method: Any, pairs: list[tuple[str, str]]
) -> None:
    """With so few questions, holding some out leaves only a similarity, and no lead reaches its level."""
    path = tmp_path / "few.csv"
    path.write_text("\n".join(["Q,A", *map(",".join, pairs)]), encoding="utf-8")
    index = tmp_path / "few.munjang" if method == "hybrid" else None
    with ChatBot.from_file(path, method=method, model=model, index=index) as bot:
        turn = bot.ask(pairs[-1][0])
    assert (turn.answer, turn.known) == ("see you", True)
    assert turn.confidence > 0.5


@pytest.mark.models
@pytest.mark.parametrize("method", ["nearest", "hybrid"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["multilingual-e5-small", "all-MiniLM-L6-v2"])
def test_with_one_or_two_stored_questions_only_nearly_equal_questions_are_answered(
    tmp_path: Path, method: Any, count: int, name: str
) -> None:
    pairs = [("How do I reset my password?", "Press reset."), ("When are you open?", "From nine to five.")]
    path = tmp_path / "few.csv"
    path.write_text("\n".join(["Q,A", *map(",".join, pairs[:count])]), encoding="utf-8")
    index = tmp_path / "few.munjang" if method == "hybrid" else None
    with ChatBot.from_file(path, method=method, model=name, index=index) as bot:
        for unrelated in ("What is the capital of Mongolia?", "공룡은 왜 멸종했나요?", "asdf qwer zxcv"):
            turn = bot.ask(unrelated)
            assert not turn.known
            assert turn.confidence < 0.1
        for question in (pairs[0][0], "how do i reset my password"):
            turn = bot.ask(question)
            assert (turn.answer, turn.known) == ("Press reset.", True)
            assert 0.5 < turn.confidence < 1


def test_lead_of_hits() -> None:
    surroundings = [0.5] * 5 + [0.4] * 20 + [0.1] * 30
    assert lead(0.9, [0.9, *surroundings]) == pytest.approx(0.5 - 0.005)  # the 6th is one of the five
    assert lead(0.9, [0.9, 0.7, 0.5]) == pytest.approx(0.3)
    assert lead(0.9, [0.9]) == 0.9
    assert lead(0.9, [0.9, math.nan, 0.5]) == pytest.approx(0.4)


def test_turns_are_logged(table: Path, model: SentenceTransformer, tmp_path: Path) -> None:
    log = tmp_path / "turns.jsonl"
    bot = ChatBot.from_file(table, method="nearest", model=model, threshold=0.0, log=log)
    bot.ask("안녕")
    bot.ask("여권을 잃어버렸어요")
    first, second = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (first["question"], first["answer"], first["known"]) == ("안녕", "안녕하세요!", True)
    assert second["neighbours"][0]["question"] == "여권을 잃어버렸어요"
    unwritable = ChatBot.from_file(table, method="nearest", model=model, threshold=0.0, log=tmp_path)
    with pytest.raises(DataFileError, match="can't be written"):
        unwritable.ask("안녕")


def test_an_index_in_a_file_follows_the_questions(
    table: Path, model: SentenceTransformer, tmp_path: Path
) -> None:
    place = tmp_path / "kept.munjang"
    ChatBot.from_file(table, model=model, index=place, threshold=0).close()
    with Index.open(place, model=model) as index:
        before = {document.id for document in index}
    assert len(before) == len(PAIRS)
    content = table.read_text(encoding="utf-8").replace("Press cancel.", "Write to us.")
    table.write_text(content, encoding="utf-8")
    with ChatBot.from_file(table, model=model, index=place, threshold=0.0) as bot:
        assert bot("How do I cancel my order?") == "Write to us."
    with Index.open(place, model=model) as index:
        after = {document.id for document in index}
    assert len(before & after) == len(PAIRS) - 1
    with ChatBot.from_index(place, threshold=0.0) as bot:
        assert bot("안녕") == "안녕하세요!"


def test_a_document_without_an_answer_is_no_answer(tmp_path: Path, model: SentenceTransformer) -> None:
    place = tmp_path / "faq.munjang"
    with Index.open(place, model=model, fields=["question", "answer"]) as index:
        index.add(
            [
                {"id": 1, "question": "비가 오나요?"},
                {"id": 2, "question": "빵집은 언제 열어요?", "answer": "일곱 시에 엽니다."},
            ]
        )
    with ChatBot.from_index(place, threshold=0.0) as bot:
        assert bot("비가 오나요?") == "일곱 시에 엽니다."
        assert [one.question for one in bot.log[0].neighbours] == ["빵집은 언제 열어요?"]


def test_short_questions_are_follow_ups(table: Path, model: SentenceTransformer) -> None:
    bot = ChatBot.from_file(table, method="nearest", model=model, threshold=0.2)
    bot.ask("여권을 잃어버렸어요")
    turn = bot.ask("그럼 언제?")
    assert turn.searched == "여권을 잃어버렸어요 그럼 언제?"
    assert turn.follows_up
    assert bot.ask("안녕").searched == "안녕"  # short, and stored as a question


def test_follow_ups_are_recognised_by_their_words() -> None:
    for short in ("그럼 비용은?", "언제요?", "and when?", "why?"):
        assert needs_context(short)
    for short in ("그럼 비용은?", "근데 어디서?", "And when?", "what about Monday?"):
        assert points_back(short)
    for whole in ("여권을 잃어버렸는데 어떻게 해야 하나요?", "주식 추천해줘", "How do I cancel my order?"):
        assert not needs_context(whole)
        assert not points_back(whole)
    assert points_back(unicodedata.normalize("NFD", "그럼 비용은?"))
    assert needs_context(unicodedata.normalize("NFD", "언제요?"))
    assert not needs_context("그럼 제가 어제 주문한 물건을 오늘 취소하면 돈은 언제 돌려받아요?")


@pytest.mark.parametrize("threshold", [7, -0.1, "0.5", True, math.nan, 10**400])
def test_a_threshold_is_a_probability(table: Path, model: SentenceTransformer, threshold: Any) -> None:
    with pytest.raises((InputError, InputTypeError), match="threshold must be a number from 0 to 1"):
        ChatBot.from_file(table, method="nearest", model=model, threshold=threshold)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("seed", [1], "seed must be a whole number"),
        ("seed", "7", "seed must be a whole number"),
        ("seed", True, "seed must be a whole number"),
        ("log", 5, "log must be the path of a file"),
        ("unknown", 5, "unknown must be a text"),
        ("unknown", "\ud800", "unknown has a lone surrogate"),
        ("neighbours", "5", "neighbours must be a whole number"),
        ("rerank", "model", "rerank must be an opened CrossEncoder"),
    ],
)
def test_options_are_checked_before_the_file_is_read(
    tmp_path: Path, option: str, value: Any, message: str
) -> None:
    wrong: Any = {option: value}
    for make in (ChatBot.from_file, ChatBot.from_index):
        with pytest.raises((InputError, InputTypeError), match=message):
            make(tmp_path / "missing", **wrong)


def test_an_unknown_mode_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mode must be one of"):
        ChatBot.from_index(tmp_path / "missing", mode="fuzzy")  # type: ignore[arg-type]


def test_seeds_of_any_size(table: Path, model: SentenceTransformer) -> None:
    seeds: list[Any] = [-5, -5, np.int64(-5), 10**30]
    answers = [
        ChatBot.from_file(table, method="nearest", model=model, threshold=0, seed=seed)("안녕")
        for seed in seeds
    ]
    assert len({*answers[:3]}) == 1


def test_bad_calls(bot: ChatBot, table: Path, model: SentenceTransformer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The question is empty"):
        bot.ask("  ")
    with pytest.raises(InputTypeError, match="must be a str, got 3"):
        bot.ask(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="neighbours must be at least 1"):
        ChatBot.from_file(table, method="nearest", model=model, neighbours=0)
    with pytest.raises(InputError, match="limit must be at least 1"):
        bot.nearest("안녕", 0)
    with pytest.raises(InputError, match="method must be one of 'hybrid', 'nearest', got 'best'"):
        ChatBot.from_file(table, method="best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no index and no reranking"):
        ChatBot.from_file(table, method="nearest", model=model, index=tmp_path / "i.munjang")
    with pytest.raises(InputError, match="pooling is set when a model is opened"):
        ChatBot.from_file(table, method="nearest", model=model, pooling="cls")
    place = tmp_path / "plain.munjang"
    Index.open(place, model=model).close()
    with pytest.raises(InputError, match="has no field 'question'; it has text"):
        ChatBot.from_index(place)


def test_values_that_json_lacks_are_null() -> None:
    turn = Turn(
        question="q",
        searched="q",
        answer="a",
        known=False,
        confidence=-math.inf,
        threshold=0.1,
        neighbours=[Neighbour("x", ("y",), 1.0, math.nan)],
        at="2026-01-01T00:00:00+00:00",
    )
    content = json.loads(json.dumps(turn.as_json(), allow_nan=False))
    assert content["confidence"] is None
    assert content["neighbours"] == [{"question": "x", "answers": ["y"], "score": 1.0, "similarity": None}]
