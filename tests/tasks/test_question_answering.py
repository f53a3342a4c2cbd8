"""Answers are the best spans of a brute-force search over the reference implementation's logits."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from munjang import Tokenizer, pipeline
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.tasks.loading import ModelOptions
from munjang.tasks.question_answering import Answer, QuestionAnswering
from munjang.tokenization.josa import has_batchim, length_without_josa
from support.answers import ANSWERERS, LENGTH, LONG, QUESTION, SHORT, make_answerer, wordpiece
from support.peers import random_peer

CONTEXTS = [SHORT, LONG, "서울", unicodedata.normalize("NFD", SHORT)]


@pytest.fixture(scope="module", params=list(ANSWERERS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    peer = make_answerer(request.param, folder)
    return QuestionAnswering(folder), peer


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> QuestionAnswering:
    folder = tmp_path_factory.mktemp("answerer")
    make_answerer("bert", folder)
    return QuestionAnswering(folder)


def cut(encoding: Any, stride: int) -> Iterator[list[int]]:
    """The windows by their definition: as many tokens as fit, then the next, to the end of the context."""
    context = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
    room = LENGTH - (len(encoding.input_ids) - len(context))
    start = 0
    while True:
        kept = set(context[start : start + room])
        yield [i for i in range(len(encoding.input_ids)) if encoding.sequence_ids[i] != 1 or i in kept]
        if start + room >= len(context):
            return
        start += room - stride


def brute_force(
    tokenizer: Tokenizer, peer: Any, context: str, stride: int, longest: int
) -> tuple[dict[tuple[int, int], float], float]:
    """Every span's score from the reference model's logits, and the score of no answer."""
    [encoding] = tokenizer.encode_batch([(QUESTION, context)])
    found: dict[tuple[int, int], float] = {}
    none = []
    for places in cut(encoding, stride):
        inputs = {"input_ids": torch.tensor([[encoding.input_ids[i] for i in places]])}
        if peer.config.model_type != "roberta":
            inputs["token_type_ids"] = torch.tensor([[encoding.token_type_ids[i] for i in places]])
        with torch.no_grad():
            out = peer(**inputs)
        allowed = [k for k, i in enumerate(places) if k == 0 or encoding.sequence_ids[i] == 1]
        starts = torch.softmax(out.start_logits[0, allowed].double(), 0).numpy()
        ends = torch.softmax(out.end_logits[0, allowed].double(), 0).numpy()
        none.append(starts[0] * ends[0])
        offsets = [encoding.offsets[places[k]] for k in allowed]
        for i in range(1, len(allowed)):
            for j in range(i, min(i + longest, len(allowed))):
                span = (offsets[i][0], offsets[j][1])
                text = context[slice(*span)]
                span = (span[0] + len(text) - len(text.lstrip()), span[0] + len(text.rstrip()))
                if span[0] < span[1]:
                    found[span] = max(found.get(span, 0.0), starts[i] * ends[j])
    return found, min(none)


@pytest.mark.parametrize("longest", [1, 4, 30])
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_best_spans_of_all_windows(pair: Any, context: str, longest: int) -> None:
    task, peer = pair
    scores, none = brute_force(task.tokenizer, peer, context, stride=10, longest=longest)
    answers = task(QUESTION, context, top_k=8, max_answer_len=longest, doc_stride=10)
    best = sorted(scores.values(), reverse=True)[:8]
    assert [answer["score"] for answer in answers] == pytest.approx(best, rel=1e-3, abs=1e-7)
    for answer in answers:
        place = (answer["start"], answer["end"])
        assert answer["score"] == pytest.approx(scores[place], rel=1e-3, abs=1e-7)
        assert answer["answer"] == context[slice(*place)] != ""
        assert answer["null_score"] == pytest.approx(none, rel=1e-3)
    assert len({(answer["start"], answer["end"]) for answer in answers}) == len(answers)
    assert len(answers) == min(8, len(scores))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_other_executors(task: QuestionAnswering, tmp_path: Path, backend: str) -> None:
    make_answerer("bert", tmp_path)
    other = QuestionAnswering(tmp_path, options=ModelOptions(backend=backend))
    ours, theirs = one(task(QUESTION, LONG)), one(other(QUESTION, LONG))
    assert (ours["start"], ours["end"]) == (theirs["start"], theirs["end"])
    assert ours["score"] == pytest.approx(theirs["score"], rel=1e-3)


def one(found: Any) -> Answer:
    assert isinstance(found, dict)
    return cast(Answer, found)


def test_batches(task: QuestionAnswering) -> None:
    alone: list[Any] = [task(QUESTION, context, top_k=2) for context in CONTEXTS]
    for question in (QUESTION, [QUESTION] * len(CONTEXTS)):
        together: Any = task(question, CONTEXTS, top_k=2)
        assert isinstance(together, list)
        for single, batched in zip(alone, together, strict=True):
            for ours, theirs in zip(batched, single, strict=True):
                assert ours["score"] == pytest.approx(theirs["score"], abs=1e-6)
                assert (ours["start"], ours["end"]) == (theirs["start"], theirs["end"])
    several: Any = task([QUESTION, "Where?"], SHORT)
    assert [set(answer) for answer in several] == [{"score", "start", "end", "answer", "null_score"}] * 2
    assert isinstance(task([QUESTION], [SHORT]), list)
    assert task([], []) == []
    assert task([], SHORT) == []


def test_no_answer_competes_if_requested(task: QuestionAnswering) -> None:
    everything: Any = task(QUESTION, "서울", top_k=50, handle_impossible_answer=True)
    scores = [answer["score"] for answer in everything]
    assert scores == sorted(scores, reverse=True)
    [none] = [answer for answer in everything if not answer["answer"]]
    assert none == {
        "score": none["null_score"], "start": 0, "end": 0, "answer": "", "null_score": none["null_score"]
    }  # fmt: skip
    without: Any = task(QUESTION, "서울", top_k=50)
    assert all(answer["answer"] for answer in without)


def test_offsets_are_of_the_callers_own_text(task: QuestionAnswering) -> None:
    decomposed = unicodedata.normalize("NFD", SHORT)
    composed_answers: Any = task(QUESTION, SHORT, top_k=5)
    answers: Any = task(unicodedata.normalize("NFD", QUESTION), decomposed, top_k=5)
    for ours, theirs in zip(answers, composed_answers, strict=True):
        assert decomposed[ours["start"] : ours["end"]] == ours["answer"]
        assert unicodedata.normalize("NFC", ours["answer"]) == theirs["answer"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("서울은", "서울"), ("부산은", "부산"), ("서울는", "서울는"), ("제주는", "제주"),
        ("제주은", "제주은"), ("철수가", "철수"), ("민준이", "민준"), ("민준가", "민준가"),
        ("사과를", "사과"), ("책을", "책"), ("책를", "책를"), ("학교에", "학교"),
        ("학교에서", "학교"), ("집에서는", "집"), ("친구에게", "친구"), ("친구에게서도", "친구"),
        ("바나나", "바나나"), ("부산으로", "부산"), ("서울로", "서울"), ("서울으로", "서울으로"),
        ("학교로", "학교"), ("부산로", "부산로"), ("한국의", "한국"), ("서울까지", "서울"),
        ("서울부터", "서울"), ("빵과", "빵"), ("우유와", "우유"), ("1988년에", "1988년"),
        ("오늘부터는", "오늘"), ("물", "물"), ("은", "은"), ("에서", "에서"),
        ("NASA는", "NASA는"), ("100%의", "100%의"), ("고양이는", "고양이"), ("아이", "아이"),
        ("도로는", "도로"), ("서울이다", "서울이다"), ("", ""), ("Seoul", "Seoul"),
        ("세종대왕께서", "세종대왕"),
    ],
)  # fmt: skip
def test_particles(text: str, kept: str) -> None:
    assert text[: length_without_josa(text)] == kept
    decomposed = unicodedata.normalize("NFD", text)
    assert unicodedata.normalize("NFC", decomposed[: length_without_josa(decomposed)]) == kept


def test_batchim() -> None:
    assert [has_batchim(syllable) for syllable in "가각힣히"] == [False, True, True, False]


def test_particles_of_answers(task: QuestionAnswering) -> None:
    context = "서울에서 부산까지 기차가 간다. 제주도에는 배가 간다."
    plain: Any = task(QUESTION, context, top_k=400)
    trimmed: Any = task(QUESTION, context, top_k=400, trim_particles=True)
    texts = {answer["answer"] for answer in trimmed}
    assert "서울에서" in {answer["answer"] for answer in plain}
    assert "서울에서" not in texts
    assert {"서울", "서울에서 부산", "제주도"} <= texts  # 도 is followed by 에는, so it is no particle
    assert len({(answer["start"], answer["end"]) for answer in trimmed}) == len(trimmed)
    for answer in trimmed:
        assert context[answer["start"] : answer["end"]] == answer["answer"] != ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"question": "", "context": SHORT}, "question is empty"),
        ({"question": QUESTION, "context": " \n"}, "context is empty"),
        ({"question": [QUESTION, ""], "context": SHORT}, "Question 1 is empty"),
        ({"question": QUESTION, "context": "\u200b\x00"}, "The context has no tokens"),
        ({"question": "어디 " * 200, "context": SHORT}, r"Question 0 has \d+ tokens, and max_question_len"),
        ({"question": QUESTION, "context": LONG, "max_seq_len": 5}, "no room for the context"),
        ({"question": QUESTION, "context": LONG, "max_seq_len": 500}, "takes 64 tokens at most"),
        ({"question": QUESTION, "context": LONG, "doc_stride": 60}, "doc_stride=60"),
        ({"question": QUESTION, "context": LONG, "doc_stride": -1}, "doc_stride must be at least 0"),
        ({"question": QUESTION, "context": LONG, "top_k": 0}, "top_k must be at least 1"),
        ({"question": QUESTION, "context": LONG, "max_answer_len": 0}, "max_answer_len must be"),
        ({"question": [QUESTION], "context": [SHORT, LONG]}, "1 questions and 2 contexts"),
        ({"question": QUESTION, "context": "\ud800"}, "surrogate"),
    ],
)
def test_questions_that_cannot_be_answered(
    task: QuestionAnswering, call: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        task(**call)


def test_values_that_are_not_texts(task: QuestionAnswering) -> None:
    for question, context in ((3, SHORT), (QUESTION, None), ([QUESTION, 3], SHORT), (QUESTION, {"a": 1})):
        with pytest.raises(InputTypeError):
            task(question, context)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="top_k"):
        task(QUESTION, SHORT, top_k=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword"):
        task(QUESTION, SHORT, topk=2)  # type: ignore[call-arg]


def test_a_model_without_the_head(tmp_path: Path) -> None:
    random_peer("bert", tmp_path, head=True)
    wordpiece().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"no trained question-answering head; it has .*classification"):
        QuestionAnswering(tmp_path)


def test_pipeline(task: QuestionAnswering, tmp_path: Path) -> None:
    make_answerer("bert", tmp_path)
    answer = pipeline("question-answering", tmp_path)
    assert answer(question=QUESTION, context=SHORT) == task(question=QUESTION, context=SHORT)
