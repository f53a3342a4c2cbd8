"""How good a model is at labels: of texts and pairs, of relations, and numbers instead of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from munjang.data.examples import LabelledText, RelationExample
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, listed, require_examples
from munjang.evaluation.measures.counts import LabelPairs
from munjang.evaluation.measures.numbers import NumberPairs
from munjang.evaluation.measures.resampling import estimates
from munjang.models.config import LabelConfig
from munjang.progress import Advance
from munjang.tasks.relation_extraction import RelationExtraction, RelationInput
from munjang.tasks.scores import LabelScore
from munjang.tasks.text_classification import TextClassification

__all__ = [
    "NO_RELATION",
    "evaluate_classification",
    "evaluate_relations",
    "is_regression",
    "labels_of_model",
]

NO_RELATION = "no_relation"


def evaluate_classification(
    classifier: TextClassification,
    examples: Sequence[LabelledText],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure a classifier: ``accuracy``, ``macro_f1`` and ``matthews``.

    A model with one output gives numbers; its measures are ``pearson``, ``spearman`` and
    ``mean_squared_error``. ``intervals=False`` leaves the bootstrap out, ``advance`` is called with the
    number of examples done. Raises `InputError` for data without examples, labels that the model does not
    know, and scores that are no numbers; and what the classifier raises.
    """
    require_examples(examples)
    texts = [one.text if one.text_pair is None else (one.text, one.text_pair) for one in examples]
    if is_regression(classifier.model.config.labels):
        gold = [_number(one.label, place) for place, one in enumerate(examples)]
        found = in_steps(lambda some: classifier(some, function_to_apply="none"), texts, advance)
        return _regression(gold, [best[0]["score"] for best in found], intervals)
    labels = labels_of_model([one.label for one in examples], classifier.model.config.labels.id2label)
    pairs = LabelPairs(labels, _best(in_steps(classifier, texts, advance)))
    statistics = {"accuracy": pairs.accuracy, "macro_f1": pairs.macro_f1, "matthews": pairs.matthews}
    return Evaluation(
        "classification", "", len(labels), estimates(statistics, len(labels), intervals=intervals)
    )


def evaluate_relations(
    extractor: RelationExtraction,
    examples: Sequence[RelationExample],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure an extractor of relations: ``micro_f1`` as in KLUE-RE, ``accuracy`` and ``macro_f1``.

    Both F1 leave ``no_relation`` out (arXiv:2105.09680, section 3.5). Arguments and errors are those of
    `evaluate_classification`.
    """
    require_examples(examples)
    inputs = [RelationInput(text=one.text, subject=one.subject, object=one.object) for one in examples]
    labels = labels_of_model([one.label for one in examples], extractor.model.config.labels.id2label)
    pairs = LabelPairs(labels, _best(in_steps(extractor, inputs, advance)), ignored=[NO_RELATION])
    statistics = {"micro_f1": pairs.micro_f1, "accuracy": pairs.accuracy, "macro_f1": pairs.macro_f1}
    return Evaluation("relations", "", len(labels), estimates(statistics, len(labels), intervals=intervals))


def is_regression(labels: LabelConfig) -> bool:
    """Return whether a head gives one number, not a choice of labels."""
    return labels.num_labels == 1


def labels_of_model(labels: Sequence[object], id2label: Mapping[int, str]) -> list[str]:
    """Return the data's labels under the names that the model has for them.

    A head without names has ``LABEL_0``, ``LABEL_1``, ...; then the numbers ``"0"``, ``"1"``, ... are labels
    too. Raises `InputError`, with both lists, if the data has others than the model.
    """
    names = {name: name for name in id2label.values()}
    if all(name == f"LABEL_{place}" for place, name in id2label.items()):
        names |= {str(place): name for place, name in id2label.items()}
    given = sorted({str(label) for label in labels})
    unknown = [label for label in given if label not in names]
    if unknown:
        raise InputError(
            f"The model does not know the data's {listed(unknown)}: its labels are "
            f"{listed(list(id2label.values()))}, the data's {listed(given)}. Choose another column or model."
        )
    return [names[str(label)] for label in labels]


def _best(found: Sequence[Sequence[LabelScore]]) -> list[str]:
    check_finite([labels[0]["score"] for labels in found])
    return [labels[0]["label"] for labels in found]


def _regression(gold: Sequence[float], predicted: Sequence[float], intervals: bool) -> Evaluation:
    check_finite(predicted)
    pairs = NumberPairs(gold, predicted)
    statistics = {
        "pearson": pairs.pearson,
        "spearman": pairs.spearman,
        "mean_squared_error": pairs.mean_squared_error,
    }
    found = estimates(statistics, pairs.count, intervals=intervals)
    return Evaluation("classification", "", pairs.count, found, pairs.notes)


def _number(label: str | float, place: int) -> float:
    try:
        return float(label)
    except ValueError:
        raise InputError(
            f"The label of example {place} is {label!r}, and the model gives numbers; choose a column of "
            "numbers, or a model with labels."
        ) from None
