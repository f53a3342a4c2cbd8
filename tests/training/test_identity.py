"""A run is resumed only with equal settings: its identity has every option that changes the result."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from munjang import training
from munjang.data.examples import (
    AnswerSpan,
    LabelledText,
    QuestionExample,
    RelationExample,
    ScoredPair,
)
from munjang.data.tags import TaggedText
from munjang.training import losses
from munjang.training.options import WITHOUT_EFFECT, TrainingOptions
from munjang.training.tasks.classification import TextClassificationObjective
from munjang.training.vocabulary.add import add_domain_tokens
from support.learning import tiny_model
from support.pretraining import make_tokenizer, write_documents
from support.sentences import make_sentence_folder
from support.tiny import tiny_cross_encoder

# Fields that do not change the result of a run.
NO_EFFECT = {("PretrainingTask", "corpus_folder")}
# Fields with a single valid value for given widths of the vectors.
SINGLE_VALUE = {("EncoderDistillationTask", "reduce")}
# Options of functions that are no runs.
NO_RUNS = {"MiningTask", "VocabularyTask"}

LABELLED = [LabelledText("a man", "men", "yes"), LabelledText("a girl", "서울", "no")]
NUMBERS = [LabelledText("a man", None, "1"), LabelledText("a girl", None, "0")]
SCORED = [ScoredPair("a man", "two men", 4.0), ScoredPair("a girl", "서울은 수도", 0.0)]
TAGGED: list[TaggedText] = [{"text": "a man in 서울", "entities": [(2, 5, "PS"), (9, 11, "LC")]}]
RELATED = [
    RelationExample("한국의 수도는 서울", (0, 2, "LC"), (8, 10, "LC"), "capital"),
    RelationExample("a man and a girl", (2, 5, "PS"), (12, 16, "PS"), "none"),
]
CONTEXT = "the capital of 한국 is 서울 " + "and two men pushed carts " * 3
ASKED = [QuestionExample("q", "where", CONTEXT, (AnswerSpan("서울", CONTEXT.index("서울")),))]
ONE = TrainingOptions(epochs=1, device="cpu")


@dataclass(frozen=True)
class Case:
    """Two values of an option of a function; ``more`` are further options of the task."""

    function: str
    task: str
    option: str
    values: tuple[Any, Any]
    examples: Sequence[Any] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    model: str = "plain"

    def __str__(self) -> str:
        return f"{self.task}.{self.option}"


def _cases() -> Iterator[Case]:
    name, task = "train_text_classification", "ClassificationTask"
    yield Case(name, task, "labels", (["yes", "no"], ["no", "yes"]), LABELLED)
    yield Case(name, task, "regression", (False, True), NUMBERS)
    yield Case(name, task, "max_length", (12, 13), LABELLED)
    name, task = "train_token_classification", "EntitiesTask"
    yield Case(name, task, "types", (["PS", "LC"], ["LC", "PS"]), TAGGED)
    yield Case(name, task, "max_length", (12, 13), TAGGED)
    name, task = "train_relation_extraction", "RelationsTask"
    yield Case(name, task, "markers", ("plain", "klue"), RELATED)
    yield Case(name, task, "head", ("relation-extraction", "sequence-classification"), RELATED)
    yield Case(name, task, "labels", (["capital", "none"], ["none", "capital"]), RELATED)
    yield Case(name, task, "max_length", (39, 40), RELATED)
    name, task = "train_question_answering", "AnswersTask"
    yield Case(name, task, "doc_stride", (None, 0), ASKED)
    yield Case(name, task, "negative_windows", (1.0, 0.0), ASKED, {"max_length": 20})
    yield Case(name, task, "normalization", ("korquad", "squad"), ASKED)
    yield Case(name, task, "max_length", (39, 40), ASKED)
    name, task = "train_cross_encoder", "RerankingTask"
    yield Case(name, task, "loss", ("binary-cross-entropy", "mean-squared-error"), SCORED)
    yield Case(name, task, "positive", ("yes", "no"), LABELLED)
    yield Case(name, task, "highest", (5.0, 6.0), SCORED)
    yield Case(name, task, "max_length", (12, 13), SCORED)
    name, task = "train_sentence_transformer", "SentencesTask"
    yield Case(name, task, "pooling", ("mean", "cls"), SCORED)
    yield Case(name, task, "prompt", ("a", ("a", "b")), SCORED)
    yield Case(name, task, "max_seq_length", (12, 13), SCORED)
    yield Case(name, task, "labels", (["yes", "no"], ["no", "yes"]), LABELLED)
    yield Case(name, task, "score_scale", (5.0, 6.0), SCORED)
    name, task = "distill_classifier", "ClassifierDistillationTask"
    layers = training.LayerMatching()
    yield Case(name, task, "temperature", (2.0, 2.0000001), ["a man"], model="classifier")
    yield Case(name, task, "alpha", (0.5, 0.50000001), ["a man"], model="classifier")
    yield Case(name, task, "matching", (None, layers), ["a man"], model="classifier")
    yield Case(name, task, "max_length", (12, 13), ["a man"], model="classifier")
    name, task = "distill_sentence_encoder", "EncoderDistillationTask"
    goals = training.Goals(), training.Goals(gold=0.50000001)
    yield Case(name, task, "goals", goals, ["a man"], model="sentences")
    yield Case(name, task, "matching", (None, layers), ["a man"], model="sentences")
    yield Case(name, task, "prompt", ("a", "b"), ["a man"], model="sentences")
    yield Case(name, task, "dropout", (False, True), ["a man"], model="sentences")
    pairs = [("a man", "men")]
    yield Case(
        "distill_cross_encoder", "CrossEncoderDistillationTask", "max_length", (12, 13), pairs, model="pairs"
    )
    name, task = "distill_scores", "ScoreDistillationTask"
    yield Case(name, task, "prompts", (("", ""), ("", "a")), pairs, model="pairs")
    yield Case(name, task, "divisor", (2.0, 3.0), pairs, model="pairs")
    name, task = "train_masked_language_model", "PretrainingTask"
    electra = {"objective": "electra"}
    yield Case(name, task, "objective", ("masked", "electra"), model="words")
    yield Case(name, task, "next_sentences", (False, True), model="words")
    yield Case(name, task, "added_tokens_only", (False, True), model="more words")
    yield Case(name, task, "whole_words", (False, True), model="words")
    yield Case(name, task, "probability", (0.15, 0.15000001), model="words")
    yield Case(name, task, "max_length", (12, 13), model="words")
    yield Case(name, task, "generator_size", (None, 0.5), more=electra, model="words")
    yield Case(name, task, "generator", (None, "electra"), more=electra, model="words")
    yield Case(name, task, "encoding", ("utf-8", "utf-8-sig"), model="words")
    for option, values in {
        "model_type": ("bert", "roberta"),
        "layers": (1, 2),
        "width": (32, 64),
        "heads": (1, 2),
        "intermediate": (32, 64),
        "dropout": (0.1, 0.2),
    }.items():
        yield Case(name, "NewModel", option, values, model="words")


CASES = list(_cases())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    make_sentence_folder("bert", folder / "sentences")
    objective = TextClassificationObjective(
        tiny_model(folder / "plain"), LABELLED, (), training.ClassificationTask(), ONE
    )
    objective.save(folder / "classifier")
    tokenizer = make_tokenizer(folder / "words")
    texts = write_documents(folder / "texts.txt")
    small = training.NewModel(layers=1, width=32, heads=4)
    for name, task in {"bert": "masked", "electra": "electra"}.items():
        training.train_masked_language_model(
            texts,
            tokenizer=tokenizer,
            output=folder / name,
            new_model=small,
            task=training.PretrainingTask(objective=task),  # type: ignore[arg-type]
            options=replace(ONE, max_steps=1),
        )
    add_domain_tokens(folder / "bert", ["기차역"], folder / "more words")
    return {
        "texts": texts,
        "small": small,
        "tokenizer": tokenizer,
        "pairs": tiny_cross_encoder(folder / "pairs"),
        **{name: folder / name for name in ("sentences", "plain", "classifier", "more words", "electra")},
    }


def identity(
    case: Case, value: Any, models: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, output: Path
) -> Any:
    """Return the identity of the run that a function would start."""
    function = getattr(training, case.function)
    seen: list[Any] = []
    module = inspect.getmodule(function)
    monkeypatch.setattr(module, "train", lambda objective, *_, **__: seen.append(objective))
    if case.option == "generator" and value is not None:
        value = models[value] / "generator"
    task = getattr(training, case.task)(**{**case.more, case.option: value})
    given: dict[str, Any] = {"task": task, "output": output, "options": ONE}
    if case.function.startswith("distill"):
        given |= {"teacher": models[case.model], "examples": case.examples}
        if case.function == "distill_scores":
            given["model"] = models["sentences"]
    elif case.function == "train_masked_language_model":
        given |= {"files": models["texts"]}
        if case.model == "words":
            given |= {"tokenizer": models["tokenizer"], "new_model": models["small"]}
        else:
            given |= {"model": models[case.model]}
        if case.task == "NewModel":
            plain = {"layers": 1, "width": 32, "heads": 4, case.option: value}
            given |= {"new_model": training.NewModel(**plain), "task": training.PretrainingTask()}
    else:
        given |= {"model": models[case.model], "examples": case.examples}
    function(**given)
    return {"task": seen[0].name, **seen[0].describe()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_option_is_in_the_identity(
    case: Case, models: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second, again = (
        identity(case, value, models, monkeypatch, tmp_path / "run")
        for value in (*case.values, case.values[0])
    )
    assert first == again
    assert first != second


def test_no_option_is_forgotten() -> None:
    """A new field of any task fails here until it has a case or is listed as without effect."""
    public: list[Any] = [getattr(training, name) for name in training.__all__]
    classes = [each for each in public if isinstance(each, type) and is_dataclass(each)]
    tasks = [each for each in classes if each.__name__.endswith("Task")]
    known = {(case.task, case.option) for case in CASES} | NO_EFFECT | SINGLE_VALUE
    every = {(t.__name__, f.name) for t in (*tasks, training.NewModel) for f in fields(t)}
    assert {(task, option) for task, option in every if task not in NO_RUNS} == known


def test_the_options_of_the_run_are_in_the_identity() -> None:
    assert {each.name for each in fields(TrainingOptions)} == {*ONE.deciding(), *WITHOUT_EFFECT}


@pytest.mark.parametrize("settings", [training.Goals(), training.LayerMatching(embeddings=1.0)])
def test_the_terms_of_distillation_are_described(settings: Any) -> None:
    """Each field changes the text that is part of the identity."""
    others = {"distance": "mse", "layers": (1, 0), "attention_values": "scores"}
    for each in fields(settings):
        value = others.get(each.name, 0.12345678)
        assert replace(settings, **{each.name: value}).describe() != settings.describe(), each.name


@pytest.mark.parametrize("name", losses.__all__)
def test_the_settings_of_losses_are_described(name: str) -> None:
    """Each argument of a loss changes the text that is part of the identity."""
    kind = getattr(losses, name)
    inner = losses.CosineSimilarityLoss()
    needed: Mapping[str, dict[str, Any]] = {
        "SoftmaxLoss": {"num_labels": 2},
        "MatryoshkaLoss": {"loss": inner, "matryoshka_dims": [8, 4]},
    }
    others: dict[str, Any] = {
        "num_labels": 3, "distance": "manhattan", "similarity": "dot", "skip_false_negatives": False,
        "loss": losses.CoSENTLoss(), "matryoshka_dims": [8, 2], "matryoshka_weights": [1.0, 0.12345678],
    }  # fmt: skip
    plain = needed.get(name, {})
    for option in inspect.signature(kind).parameters:
        changed = kind(**{**plain, option: others.get(option, 0.12345678)})
        assert changed.describe() != kind(**plain).describe(), option
