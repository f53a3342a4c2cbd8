"""The arguments of all training functions: wrong examples, held-out examples, tasks and options are refused.

What can be wrong: one text in place of a list, a number, examples of another class or of two classes, a task
of another function, and a class in place of an instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from munjang import training
from munjang.data.examples import Contrast, LabelledText, QuestionExample, RelationExample, ScoredPair
from munjang.data.tags import TaggedText
from munjang.errors import InputError, InputTypeError
from munjang.training import losses
from munjang.training.examples import checked_examples, kind_of
from munjang.training.options import TrainingOptions

LABELLED = [LabelledText("a", "b", "yes"), LabelledText("c", "d", "no")]
SCORED = [ScoredPair("a", "b", 1.0), ScoredPair("c", "d", 0.0)]
TAGGED: list[TaggedText] = [{"text": "a man", "entities": [(2, 5, "PS")]}]
RELATED = [RelationExample("a man", (0, 1), (2, 5), "is")]
ASKED = [QuestionExample("q", "who", "a man", ())]

# function -> examples, held-out examples, the class of its task, its other models
FUNCTIONS: Mapping[str, tuple[list[Any], list[Any], str, tuple[str, ...]]] = {
    "train_text_classification": (LABELLED, LABELLED, "ClassificationTask", ("model",)),
    "train_token_classification": (TAGGED, TAGGED, "EntitiesTask", ("model",)),
    "train_relation_extraction": (RELATED, RELATED, "RelationsTask", ("model",)),
    "train_question_answering": (ASKED, ASKED, "AnswersTask", ("model",)),
    "train_cross_encoder": (SCORED, SCORED, "RerankingTask", ("model",)),
    "train_sentence_transformer": (SCORED, SCORED, "SentencesTask", ("model",)),
    "distill_classifier": (LABELLED, LABELLED, "ClassifierDistillationTask", ("teacher",)),
    "distill_sentence_encoder": (SCORED, SCORED, "EncoderDistillationTask", ("teacher",)),
    "distill_cross_encoder": ([("a", "b")], SCORED, "CrossEncoderDistillationTask", ("teacher",)),
    "distill_scores": ([("a", "b")], SCORED, "ScoreDistillationTask", ("teacher", "model")),
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def call(name: str, **changes: Any) -> None:
    """Call a function with a model that does not exist: arguments are checked before it is opened."""
    examples, _, _, models = FUNCTIONS[name]
    given = {"examples": examples, "output": "unused", **dict.fromkeys(models, "no-such-model")}
    getattr(training, name)(**{**given, **changes})


@every_function
def test_one_value_in_place_of_a_list(name: str) -> None:
    for wrong in (0.1, 3, "train.tsv", Path("train.tsv")):
        with pytest.raises(InputTypeError, match="examples must be a list of "):
            call(name, examples=wrong)
        with pytest.raises(InputTypeError, match="held_out must be a list of "):
            call(name, held_out=wrong)
    with pytest.raises(InputTypeError, match=r"munjang.data.split holds out a share"):
        call(name, held_out=0.1)
    with pytest.raises(InputError, match="no examples"):
        call(name, examples=iter(()))


@every_function
def test_examples_of_another_class(name: str) -> None:
    examples, held_out, _, _ = FUNCTIONS[name]
    with pytest.raises(InputTypeError, match=r"Example 1 must be a .*, got 3"):
        call(name, examples=[examples[0], 3])
    with pytest.raises(InputTypeError, match=r"Held-out example 1 must be a .*, got None"):
        call(name, held_out=[held_out[0], None])


@every_function
def test_tasks_and_options_of_another_class(name: str) -> None:
    task = FUNCTIONS[name][2]
    for wrong in (training.MiningTask(), getattr(training, task), {"max_length": 3}):
        with pytest.raises(InputTypeError, match=f"task must be a {task}, got "):
            call(name, task=wrong)
    with pytest.raises(InputTypeError, match="options must be a TrainingOptions, got the class"):
        call(name, options=TrainingOptions)


def test_arguments_of_pre_training_mining_and_vocabularies(tmp_path: Path) -> None:
    """Of functions whose examples are files or texts."""
    wrong: Any = training.ClassificationTask()
    pretrain = training.train_masked_language_model
    for name in ("task", "new_model", "options"):
        with pytest.raises(InputTypeError, match=f"{name} must be a "):
            pretrain("no.txt", output=tmp_path / "run", tokenizer="none", **{name: wrong})
    with pytest.raises(InputTypeError, match="task must be a MiningTask"):
        training.mine_hard_negatives(wrong, [("a", "b")], task=wrong)
    with pytest.raises(InputTypeError, match="task must be a VocabularyTask"):
        training.train_wordpiece(None, tmp_path / "words", texts=["a"], task=wrong)


@pytest.mark.parametrize("loss", ["CosineSimilarityLoss", losses.CosineSimilarityLoss, 3])
def test_a_loss_that_is_none(loss: Any) -> None:
    with pytest.raises(InputTypeError, match="loss must be a SentenceLoss, got "):
        call("train_sentence_transformer", loss=loss)
    with pytest.raises(InputTypeError, match="loss must be a SentenceLoss, got "):
        losses.MatryoshkaLoss(loss, [8])


def test_a_loss_for_other_examples() -> None:
    message = "learns from contrasts .an anchor, a positive and negatives., but these are pairs with scores"
    with pytest.raises(InputError, match=message):
        call("train_sentence_transformer", loss=losses.TripletLoss())


def test_iterators_become_lists() -> None:
    assert checked_examples(iter(SCORED), (each for each in LABELLED), ScoredPair, LabelledText) == (
        SCORED,
        LABELLED,
    )


def test_a_text_with_entities_needs_both_keys() -> None:
    with pytest.raises(InputTypeError, match="Example 0 must be a TaggedText"):
        checked_examples([{"text": "a"}], (), TaggedText)


def test_examples_of_two_classes() -> None:
    assert kind_of(SCORED, ScoredPair, Contrast) is ScoredPair
    with pytest.raises(InputTypeError, match="Example 0 is a ScoredPair, example 2 a Contrast"):
        kind_of([*SCORED, Contrast("a", "b")], ScoredPair, Contrast)
