"""Evaluation of classifiers of texts, pairs and relations, and of regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from munjang.data.examples import LabelledText, RelationExample
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, listed, require_examples
from munjang.evaluation.measures.counts import LabelPairs
from munjang.evaluation.measures.numbers import NumberPairs
from munjang.progress import Advance

if TYPE_CHECKING:
    from munjang.models.config import LabelConfig
    from munjang.tasks.relation_extraction import RelationExtraction
    from munjang.tasks.scores import LabelScore
    from munjang.tasks.text_classification import TextClassification

NO_RELATION = "no_relation"


def evaluate_classification(
    classifier: TextClassification,
    examples: Sequence[LabelledText],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure a classifier: ``accuracy``, ``macro_f1`` and ``matthews``.

    A model with one output returns numbers; its measures are ``pearson``, ``spearman`` and
    ``mean_squared_error``. ``intervals=False`` omits the bootstrap; ``advance`` is called with the number of
    examples done. Raises `InputError` for data without examples, labels that the model does not have, and
    scores that are NaN; and whatever the classifier raises.
    """
    require_examples(examples)
    texts = [each.text if each.text_pair is None else (each.text, each.text_pair) for each in examples]
    config = classifier.model.config.labels
    if not is_regression(config):
        gold = labels_of_model([each.label for each in examples], config.id2label)
        pairs = LabelPairs(gold, _best(in_steps(classifier, texts, advance)))
        statistics = {"accuracy": pairs.accuracy, "macro_f1": pairs.macro_f1, "matthews": pairs.matthews}
        return Evaluation.of("classification", statistics, len(texts), intervals=intervals)
    numbers = [_number(each.label, index) for index, each in enumerate(examples)]
    outputs = in_steps(lambda chunk: classifier(chunk, function_to_apply="none"), texts, advance)
    predicted = [output[0]["score"] for output in outputs]
    check_finite(predicted)
    sides = NumberPairs(numbers, predicted)
    statistics = {
        "pearson": sides.pearson,
        "spearman": sides.spearman,
        "mean_squared_error": sides.mean_squared_error,
    }
    return Evaluation.of("classification", statistics, len(texts), intervals=intervals, notes=sides.notes)


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
    from munjang.tasks.relation_extraction import RelationInput

    require_examples(examples)
    inputs = [RelationInput(text=each.text, subject=each.subject, object=each.object) for each in examples]
    gold = labels_of_model([each.label for each in examples], extractor.model.config.labels.id2label)
    pairs = LabelPairs(gold, _best(in_steps(extractor, inputs, advance)), ignored=[NO_RELATION])
    statistics = {"micro_f1": pairs.micro_f1, "accuracy": pairs.accuracy, "macro_f1": pairs.macro_f1}
    return Evaluation.of("relations", statistics, len(gold), intervals=intervals)


def is_regression(labels: LabelConfig) -> bool:
    """Return whether a head has one output, a number, and no choice of labels."""
    return labels.num_labels == 1


def labels_of_model(labels: Sequence[object], id2label: Mapping[int, str]) -> list[str]:
    """Return the data's labels under the names that the model has for them.

    A head without names has ``LABEL_0``, ``LABEL_1``, ...; then the numbers ``"0"``, ``"1"``, ... are labels
    too. Raises `InputError`, with both lists, if the data has labels that the model does not have.
    """
    names = {name: name for name in id2label.values()}
    if all(name == f"LABEL_{number}" for number, name in id2label.items()):
        names |= {str(number): name for number, name in id2label.items()}
    given = sorted({str(label) for label in labels})
    unknown = [label for label in given if label not in names]
    if unknown:
        raise InputError(
            f"The model does not have the data's {listed(unknown)}: its labels are "
            f"{listed(list(id2label.values()))}, the data's {listed(given)}. Choose another column or model."
        )
    return [names[str(label)] for label in labels]


def _best(outputs: Sequence[Sequence[LabelScore]]) -> list[str]:
    check_finite([output[0]["score"] for output in outputs])
    return [output[0]["label"] for output in outputs]


def _number(label: str | float, index: int) -> float:
    try:
        return float(label)
    except ValueError:
        raise InputError(
            f"The label of example {index} is {label!r}, and the model gives numbers; choose a column of "
            "numbers, or a model with labels."
        ) from None
