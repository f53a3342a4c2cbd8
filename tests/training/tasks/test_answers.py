"""Training of answers: the same windows as the pipeline, the same loss and gradients as `transformers`.

What can be wrong: no questions, no answer at all, empty texts, answers that are not at their offsets,
questions that are too long, and numbers out of range.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch

import munjang
from munjang import Tokenizer
from munjang.data.examples import AnswerSpan, QuestionExample
from munjang.errors import InputError, InputTypeError
from munjang.tasks.question_answering import QuestionAnswering
from munjang.tasks.spans import windows_of
from munjang.training.options import AnswersTask
from munjang.training.tasks.answers import AnswerWindows, QuestionAnsweringObjective, train_question_answering
from support.answers import LENGTH, LONG, QUESTION, SHORT, make_answerer
from support.learning import with_task
from support.sentences import modify_json
from support.task_training import (
    LEARNING,
    assert_cutting_changes_nothing,
    assert_learned,
    assert_same_gradients,
    assert_same_logits,
    padded,
    saved,
)


def question(answer: str | None, context: str = SHORT, text: str = QUESTION) -> QuestionExample:
    answers = () if answer is None else (AnswerSpan(answer, context.index(answer)),)
    return QuestionExample("q", text, context, answers)


EXAMPLES = [
    question("서울"),
    question("by the sea", text="Where is 부산?"),
    question("21 km", LONG, "3번째 문장은?"),
    question("70 km", LONG, "10번째 문장은?"),
]
GOOD = EXAMPLES[0]


def answerer(folder: Path, architecture: str = "bert") -> Path:
    make_answerer(architecture, folder)
    modify_json(folder / "config.json", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answerer(tmp_path_factory.mktemp("model"))


def objective(model: Path, **settings: Any) -> QuestionAnsweringObjective:
    given: dict[str, Any] = {"examples": EXAMPLES, "held_out": (), "options": LEARNING, **settings}
    return QuestionAnsweringObjective(model, **with_task(AnswersTask, given))


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_gradients(architecture: str, tmp_path: Path) -> None:
    made = objective(answerer(tmp_path, architecture))
    peer = saved(made, tmp_path / "saved", "AutoModelForQuestionAnswering")
    assert len({len(one.texts[0].input_ids) for one in made.examples}) > 1
    assert len({one.has_answer for one in made.examples}) == 2

    def loss() -> torch.Tensor:
        total = torch.zeros(())
        for one in made.examples:  # one by one: the peer's softmax is over padding too
            places = {"start_positions": torch.tensor([one.start]), "end_positions": torch.tensor([one.end])}
            total = total + peer(**padded(made, [one]), **places).loss
        return total / len(made.examples)

    assert_same_gradients(made, peer, loss)


def test_parts_of_a_batch(model: Path) -> None:
    assert_cutting_changes_nothing(objective(model))


def test_learns_and_serves(model: Path, tmp_path: Path) -> None:
    result = train_question_answering(
        EXAMPLES, model=str(model), output=tmp_path / "run", held_out=EXAMPLES, options=LEARNING
    )
    assert_learned(result.folder)
    assert result.metrics["f1"] > 0.8
    made = objective(result.folder)
    assert_same_logits(made, result.folder, "question-answering", "AutoModelForQuestionAnswering")
    answer = munjang.pipeline("question-answering", result.folder)
    found = answer(question=GOOD.question, context=GOOD.context)
    assert found["answer"] == "서울"


@pytest.mark.parametrize("settings", [{}, {"max_length": 40}, {"max_length": 40, "doc_stride": 3}])
def test_targets_are_the_answers(model: Path, settings: dict[str, Any]) -> None:
    tokenizer = Tokenizer.from_pretrained(model)
    made = objective(model, **settings)
    windows = iter(made.examples)
    for one in EXAMPLES:
        (encoding,) = tokenizer.encode_batch([(one.question, one.context)])
        cut = windows_of(
            encoding,
            null_id=tokenizer.cls_token_id,
            max_length=settings.get("max_length", LENGTH),
            stride=settings.get("doc_stride"),
        )
        held = 0
        for window in cut:
            found = next(windows)
            assert found.texts[0].input_ids == window.encoding.input_ids
            offsets = window.encoding.offsets
            if found.has_answer:
                held += 1
                part = one.context[offsets[found.start][0] : offsets[found.end][1]]
                assert part == one.answers[0].text
            else:
                assert (found.start, found.end) == (0, 0)
                inside = one.context[window.offsets[0][0] : window.offsets[-1][1]]
                whole = one.answers[0].start >= window.offsets[0][0] and one.answers[0].text in inside
                assert not whole or one.answers[0].start + len(one.answers[0].text) > window.offsets[-1][1]
        assert held >= 1
    assert next(windows, None) is None


def test_windows_are_those_of_the_pipeline(model: Path) -> None:
    made = objective(model)
    pipe = QuestionAnswering(made.loaded)
    pairs = [(one.question, one.context) for one in EXAMPLES]
    read: list[Any] = []
    run = made.loaded.model.runner.run

    def recorded(program: Any, texts: Any, **settings: Any) -> Any:
        read.extend(texts)
        return run(program, texts, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made.loaded.model.runner, "run", recorded)
        pipe([q for q, _ in pairs], [c for _, c in pairs])
    assert [text.input_ids for text in read] == [one.texts[0].input_ids for one in made.examples]


def test_answers_without_a_token(model: Path) -> None:
    """A question whose answer the tokenizer drops is left out."""
    context = f"{SHORT} \u200b\u200b 끝"
    dropped = QuestionExample("q", QUESTION, context, (AnswerSpan("\u200b\u200b", context.index("\u200b")),))
    made = objective(model, examples=[GOOD, dropped])
    assert len(made.examples) == 1
    assert made.describe()["questions left out, as no token holds the answer"] == 1


def test_the_first_of_several_answers(model: Path) -> None:
    several = QuestionExample(
        "q",
        QUESTION,
        SHORT,
        (AnswerSpan("Seoul", SHORT.index("Seoul")), AnswerSpan("서울", SHORT.index("서울"))),
    )
    (only,) = objective(model, examples=[several]).examples
    (same,) = objective(model, examples=[question("Seoul")]).examples
    assert only == same


def test_answers_inside_tokens_are_counted(model: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(model)
    (encoding,) = tokenizer.encode_batch([(QUESTION, SHORT)])
    at = next(
        at for at, (start, end) in enumerate(encoding.offsets) if encoding.sequence_ids[at] == 1 < end - start
    )
    start, end = encoding.offsets[at]
    cutter = AnswerWindows(tokenizer, LENGTH, None)
    inside = QuestionExample("q", QUESTION, SHORT, (AnswerSpan(SHORT[start : end - 1], start),))
    (window,) = cutter.of([inside])
    assert (window.start, window.end, window.has_answer) == (at, at, True)
    assert cutter.counts()["answers with an edge inside a token"] == 1


def test_decomposed_text(model: Path) -> None:
    context, answer = (unicodedata.normalize("NFD", text) for text in (SHORT, "서울"))
    (one,) = objective(model, examples=[question(answer, context)]).examples
    (same,) = objective(model, examples=[question("서울")]).examples
    assert one == same


def test_questions_without_an_answer(model: Path) -> None:
    made = objective(model, examples=[GOOD, question(None)])
    assert [one.has_answer for one in made.examples] == [True, False]
    assert (made.examples[1].start, made.examples[1].end) == (0, 0)
    assert made.describe()["questions without an answer"] == 1


def test_answers_longer_than_a_window(model: Path) -> None:
    long = question(LONG[20:400], LONG)
    described = objective(model, examples=[GOOD, long]).describe()
    assert described["questions whose answer no window holds whole"] == 1
    assert described["windows with an answer"] == 1


def test_part_of_the_negatives(model: Path) -> None:
    every, half, none = (objective(model, negative_windows=part).examples for part in (1.0, 0.5, 0.0))
    negative = sum(not one.has_answer for one in every)
    assert negative > 3
    assert sum(not one.has_answer for one in half) == round(negative / 2)
    assert [one for one in every if one.has_answer] == none
    assert [one for one in half if one.has_answer] == none
    assert objective(model, negative_windows=0.5).examples == half  # the same draw again
    described = objective(model, negative_windows=0.0).describe()
    assert described["windows without an answer, left out"] == negative


def wrong(start: int, text: str = "서울") -> QuestionExample:
    return QuestionExample("q7", QUESTION, SHORT, (AnswerSpan(text, start),))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": []}, "no examples"),
        ({"examples": [question(None)] * 2}, "None of the 2 examples has an answer"),
        ({"examples": [GOOD, wrong(3)]}, "Example 1: Question 'q7': the answer '서울' is not at offset 3"),
        ({"examples": [GOOD, wrong(-5)]}, "Example 1: The answer '서울' begins at -5"),
        ({"examples": [GOOD, wrong(900)]}, "Example 1: .* is not at offset 900"),
        ({"examples": [GOOD, wrong(3, "")]}, "Example 1: An answer is empty"),
        ({"examples": [GOOD, QuestionExample("q", " ", SHORT, ())]}, "Example 1: The question is empty"),
        ({"examples": [GOOD, QuestionExample("q", "?", "", ())]}, "Example 1: The context is empty"),
        ({"held_out": [GOOD, wrong(3)]}, "Held-out example 1: .* is not at offset"),
        ({"examples": [GOOD, question("서울", text="왜? " * 40)]}, "Example 1: .* leaves no room"),
        (
            {"held_out": [question("서울", text="왜? " * 40)]},
            "Held-out example 0: the question has .* tokens",
        ),
        ({"negative_windows": 1.5}, "negative_windows must be a number from 0 to 1, got 1.5"),
        ({"negative_windows": float("nan")}, "negative_windows must be a number, got nan"),
        ({"max_length": 500}, "the model takes 64 tokens"),
        ({"normalization": "plain"}, "normalization must be one of 'korquad', 'squad', got 'plain'"),
        ({"doc_stride": 60}, "Example 0: doc_stride=60"),
    ],
)
def test_bad_input(model: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(model, **settings)


def test_wrong_types(model: Path) -> None:
    with pytest.raises(InputTypeError, match="negative_windows must be a number"):
        objective(model, negative_windows="half")
