"""Training of named entity recognition with a BIO tag for every token."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from munjang.data.tags import OUTSIDE, TaggedText, align, character_tags, entities_of_tokens
from munjang.errors import InputError
from munjang.evaluation.entities import evaluate_entities
from munjang.models.registry import TOKEN_CLASSIFICATION
from munjang.tasks.scores import check_text
from munjang.tasks.token_classification import TokenClassification
from munjang.tasks.windows import Window, context_of, windows
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import Encoding, TokenIds
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import describe_run, in_chunks, longest_of, open_for_training
from munjang.training.options import EntitiesTask, TrainingOptions
from munjang.training.tasks.base import (
    TaskObjective,
    ids_of,
    naming,
)

NO_TAG = -100


class TaggedWindows:
    """Splits texts into windows, assigns tags to their tokens, and counts unrepresentable entities.

    Args:
        tokenizer: the tokenizer of the model.
        tags: the model's labels in order.
        longest: the maximum length of a window in tokens.
    """

    def __init__(self, tokenizer: Tokenizer, tags: Sequence[str], longest: int) -> None:
        self._tokenizer = tokenizer
        self._numbers = {tag: number for number, tag in enumerate(tags)}
        self._longest = longest
        self._entities = self._inexact = self._cut = self._empty = 0

    def of(self, texts: Sequence[TaggedText]) -> Iterator[tuple[TokenIds, list[int]]]:
        """Yield the ids and the tag numbers of each window; `NO_TAG` for a token without loss."""
        encodings = self._tokenizer.encode_batch([example["text"] for example in texts], truncation=False)
        for example, encoding in zip(texts, encodings, strict=True):
            tags = align(example["entities"], encoding)
            represented = set(entities_of_tokens(tags, encoding, example["text"]))
            self._entities += len(example["entities"])
            self._inexact += sum(entity not in represented for entity in example["entities"])
            numbers = [NO_TAG if tag is None else self._numbers[tag] for tag in tags]
            yield from self._windows(encoding, numbers)

    def counts(self) -> dict[str, int]:
        """Return the counts so far, with names for the report."""
        return {
            "longest window in tokens": self._longest,
            "texts cut into windows": self._cut,
            "texts without a token": self._empty,
            "entities": self._entities,
            "entities with an edge inside a token": self._inexact,
        }

    def _windows(self, encoding: Encoding, numbers: list[int]) -> Iterator[tuple[TokenIds, list[int]]]:
        if all(number == NO_TAG for number in numbers):
            self._empty += 1
            return
        parts = windows(encoding, self._longest)
        self._cut += len(parts) > 1
        best = _best_windows(encoding, parts)
        for window, part in enumerate(parts):
            yield (
                ids_of(part.encoding),
                [numbers[position] if best[position] == window else NO_TAG for position in part.positions],
            )


def _best_windows(encoding: Encoding, parts: Sequence[Window]) -> NDArray[np.intp]:
    """Return for each token the index of the first window in which it has most context, ``[L]``."""
    text_tokens = np.array([i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 0])
    best = np.zeros(len(encoding), dtype=np.intp)
    most = np.full(len(encoding), -1, dtype=np.intp)
    for window, part in enumerate(parts):
        indices = text_tokens[part.start : part.end]
        context = np.fromiter(context_of(part, len(text_tokens)), dtype=np.intp, count=len(indices))
        better = context > most[indices]
        best[indices[better]] = window
        most[indices[better]] = context[better]
    return best


_FEWEST = 2  # minimum number of text tokens in a window: windows overlap by half


@dataclass(frozen=True, slots=True)
class _Example:
    """A window of a text with the tag number, or `NO_TAG`, of each token."""

    texts: tuple[TokenIds]
    tags: list[int]


class TokenClassificationObjective(TaskObjective[_Example]):
    """Cross-entropy over the tags of all tokens except special tokens.

    A text longer than ``max_length`` is split into overlapping windows. Each token counts once in the loss,
    in the window from which the pipeline takes its tag. An entity that begins or ends inside a token can't be
    represented by tags of tokens; the description states the number of entities that even a perfect tagger
    gets wrong for this reason.

    Args:
        model: the initial model.
        examples: texts with entities.
        held_out: the evaluation examples.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError`, with the number of the example, for an empty text and for entities that are empty,
    overlap, lie outside their text or have an unknown type; and for data without any entity.
    """

    name = "token-classification"
    snippet = 'import munjang\n\ntag = munjang.pipeline("token-classification", "{folder}")\ntag("...")'

    def __init__(
        self,
        model: str | os.PathLike[str],
        examples: Sequence[TaggedText],
        held_out: Sequence[TaggedText],
        task: EntitiesTask,
        options: TrainingOptions,
    ) -> None:
        examples, held_out = checked_examples(
            examples, held_out, TaggedText, task=(task, EntitiesTask), options=options
        )
        known = _checked(examples, held_out, task.types)
        tags = [OUTSIDE, *chain.from_iterable((f"B-{kind}", f"I-{kind}") for kind in known)]
        loaded = open_for_training(
            model, TOKEN_CLASSIFICATION, labels=dict(enumerate(tags)), seed=options.seed
        )
        least = loaded.tokenizer.num_special_tokens_to_add() + _FEWEST
        longest = longest_of(loaded.max_length, task.max_length, least=least)
        description = describe_run(model, loaded.model, examples, held_out)
        windows = TaggedWindows(loaded.tokenizer, tags, longest)
        prepared = [
            _Example((ids,), numbers) for chunk in in_chunks(examples) for ids, numbers in windows.of(chunk)
        ]
        description |= {"types": ", ".join(known), **windows.counts()}
        super().__init__(loaded, prepared, options, description)
        self._held_out = held_out
        self.metric = "entity_f1" if held_out else None
        self._tagger = TokenClassification(loaded)

    def loss(self, examples: Sequence[_Example], rng: object) -> Loss:  # noqa: ARG002
        """Return the cross-entropy, summed over the tokens that have a tag."""
        logits = self.logits(examples)
        tags = torch.tensor(
            list(chain.from_iterable(example.tags for example in examples)), device=logits.device
        )
        total = functional.cross_entropy(logits, tags, ignore_index=NO_TAG, reduction="sum")
        return Loss(total, int((tags != NO_TAG).sum()))

    def evaluate(self) -> Mapping[str, float]:
        """Return the entity F1 and the other metrics of `evaluate_entities`."""
        return evaluate_entities(self._tagger, self._held_out, intervals=False).values


def train_token_classification(
    examples: Sequence[TaggedText],
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    held_out: Sequence[TaggedText] = (),
    task: EntitiesTask = EntitiesTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a model to find the entities of texts.

    ``output`` is the folder of the run; the other arguments are those of `TokenClassificationObjective`.
    Raises what the objective and `train` raise.
    """
    return train(
        TokenClassificationObjective(model, examples, held_out, task, options),
        output,
        options,
        watchers=watchers,
    )


def _checked(
    examples: Sequence[TaggedText], held_out: Sequence[TaggedText], types: Sequence[str] | None
) -> list[str]:
    """Check every text before training. Return the entity types."""
    for index, example in enumerate(examples):
        _check("Example", index, example)
    known = _types_of(examples) if types is None else list(dict.fromkeys(types))
    for index, example in enumerate(held_out):
        _check("Held-out example", index, example)
    for what, texts in (("Example", examples), ("Held-out example", held_out)):
        if texts and not any(example["entities"] for example in texts):
            raise InputError(f"None of the {len(texts)} {what.lower()}s has an entity; there must be some.")
        _check_types(what, texts, known)
    return known


def _check(what: str, index: int, example: TaggedText) -> None:
    with naming(what, index):
        check_text(example["text"], "The text")
        character_tags(example)  # raises for entities that are empty, overlap or lie outside the text


def _check_types(what: str, texts: Sequence[TaggedText], known: Sequence[str]) -> None:
    for index, kind in _kinds(texts):
        if kind not in known:
            raise InputError(
                f"{what} {index} has an entity of type {kind!r}; the types are {', '.join(map(repr, known))}."
            )


def _types_of(texts: Sequence[TaggedText]) -> list[str]:
    return sorted({kind for _, kind in _kinds(texts)})


def _kinds(texts: Sequence[TaggedText]) -> Iterator[tuple[int, str]]:
    for index, example in enumerate(texts):
        for _, _, kind in example["entities"]:
            yield index, kind
