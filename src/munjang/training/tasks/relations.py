"""Training of relation extraction: the relation between two entities of a text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch.nn import functional

from munjang.choices import MarkerKind
from munjang.data.examples import RelationExample
from munjang.errors import InputError
from munjang.evaluation.classification import evaluate_relations
from munjang.models.registry import RELATION_EXTRACTION
from munjang.tasks.loading import Loaded
from munjang.tasks.markers import Marked, Markers, add_markers, mark, markers_of
from munjang.tasks.relation_extraction import RelationExtraction, point_at_markers, with_markers
from munjang.tasks.scores import check_text
from munjang.tokenization.encoding import Encoding, TokenIds
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import describe_run, in_chunks, longest_of, numbered, open_for_training
from munjang.training.options import RelationsTask, TrainingOptions
from munjang.training.tasks.base import (
    TaskObjective,
    ids_of,
    naming,
)


@dataclass(frozen=True, slots=True)
class _Example:
    """A marked text, the positions of its two start markers, and the number of its relation."""

    texts: tuple[TokenIds]
    starts: tuple[int, int]
    target: int


class RelationObjective(TaskObjective[_Example]):
    """Cross-entropy over relations, with markers around the two entities (arXiv:1906.03158).

    A text that is too long is truncated to the part around its entities, as in the pipeline. The description
    states the number of truncated texts. Missing markers are added to the model's tokenizer; see
    `munjang.tasks.markers`.

    Args:
        model: the initial model.
        examples: texts with two entities and their relation.
        held_out: the evaluation examples.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError`, with the number of the example, for an empty text, entities outside the text,
    overlapping or too far apart, types that are missing or unknown and labels outside ``labels``; and for
    data with a single label.
    """

    name = "relation-extraction"
    snippet = (
        "import munjang\n\n"
        'relate = munjang.pipeline("relation-extraction", "{folder}")\n'
        'relate("...", subject=(0, 3), object=(5, 7))  # offsets in characters'
    )

    def __init__(
        self,
        model: str | os.PathLike[str],
        examples: Sequence[RelationExample],
        held_out: Sequence[RelationExample],
        task: RelationsTask,
        options: TrainingOptions,
    ) -> None:
        examples, held_out = checked_examples(
            examples, held_out, RelationExample, task=(task, RelationsTask), options=options
        )
        numbers = _numbered(examples, held_out, task.labels)
        loaded = open_for_training(
            model, task.head, labels=numbers, problem_type="single_label_classification", seed=options.seed
        )
        description = describe_run(model, loaded.model, examples, held_out)
        self._points = task.head == RELATION_EXTRACTION
        longest = longest_of(loaded.max_length, task.max_length)
        _add_markers(loaded, task.markers, examples)
        targets = {label: number for number, label in numbers.items()}
        read = _read("Example", examples, loaded, longest)
        prepared = [
            _Example((ids_of(text),), starts, targets[str(example.label)])
            for example, (text, starts) in zip(examples, read, strict=True)
        ]
        for _ in _read("Held-out example", held_out, loaded, loaded.max_length):
            pass  # check now, not after the first epoch, that all of them can be read
        description |= {
            "markers": task.markers,
            "head": task.head,
            "labels": ", ".join(numbers.values()),
            "longest text in tokens": longest,
            "texts cut around their entities": sum(example.texts[0].truncated > 0 for example in prepared),
        }
        super().__init__(loaded, prepared, options, description)
        self._held_out = held_out
        self.metric = "micro_f1" if held_out else None
        self._extractor = RelationExtraction(loaded, markers=task.markers)

    def loss(self, examples: Sequence[_Example], rng: object) -> Loss:  # noqa: ARG002
        """Return the cross-entropy, summed over the texts."""
        edit = (
            partial(point_at_markers, starts=[example.starts for example in examples])
            if self._points
            else None
        )
        logits = self.logits(examples, edit)
        targets = torch.tensor([example.target for example in examples], device=logits.device)
        return Loss(functional.cross_entropy(logits, targets, reduction="sum"), len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """Return micro F1 without ``no_relation``, and the other metrics of `evaluate_relations`."""
        return evaluate_relations(self._extractor, self._held_out, intervals=False).values


def train_relation_extraction(
    examples: Sequence[RelationExample],
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    held_out: Sequence[RelationExample] = (),
    task: RelationsTask = RelationsTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a model that predicts the relation between two entities of a text.

    ``output`` is the folder of the run; the other arguments are those of `RelationObjective`.
    Raises what the objective and `train` raise.
    """
    return train(
        RelationObjective(model, examples, held_out, task, options), output, options, watchers=watchers
    )


def _numbered(
    examples: Sequence[RelationExample], held_out: Sequence[RelationExample], labels: Sequence[str] | None
) -> dict[int, str]:
    # Labels that are not in the list are found below, with the number of the example.
    numbers = numbered([] if labels is not None else [str(example.label) for example in examples], labels)
    known = set(numbers.values())
    for what, given in (("Example", examples), ("Held-out example", held_out)):
        for index, example in enumerate(given):
            if str(example.label) not in known:
                raise InputError(
                    f"{what} {index} has the label {str(example.label)!r}, which is not one of "
                    f"{', '.join(map(repr, numbers.values()))}."
                )
    return numbers


def _add_markers(loaded: Loaded, kind: MarkerKind, examples: Sequence[RelationExample]) -> None:
    if kind != "typed":
        add_markers(loaded, kind)
        return
    subjects, objects = set(_types(examples, "subject")), set(_types(examples, "object"))
    add_markers(loaded, kind, subject_types=sorted(subjects), object_types=sorted(objects))


def _types(examples: Sequence[RelationExample], role: Literal["subject", "object"]) -> Iterator[str]:
    for index, example in enumerate(examples):
        span = example.subject if role == "subject" else example.object
        if len(span) < 3 or not str(span[2:][0]).strip():
            raise InputError(
                f"Example {index}: typed markers need the type of the {role}, as in (0, 3, 'PER')."
            )
        yield str(span[2:][0])


def _read(
    what: str, examples: Sequence[RelationExample], loaded: Loaded, longest: int
) -> Iterator[tuple[Encoding, tuple[int, int]]]:
    """Yield the encoding of each text with its markers, and the positions of its two start markers."""
    known = markers_of(loaded)
    for chunk in in_chunks(enumerate(examples)):
        marked = [_marked(what, index, example, known) for index, example in chunk]
        encodings = loaded.tokenizer.encode_batch([example.text for example in marked], truncation=False)
        for (index, _), example, encoding in zip(chunk, marked, encodings, strict=True):
            with naming(what, index):
                yield with_markers(encoding, example, loaded.tokenizer, longest)


def _marked(what: str, index: int, example: RelationExample, known: Markers) -> Marked:
    with naming(what, index):
        return mark(check_text(example.text, "The text"), example.subject, example.object, known)
