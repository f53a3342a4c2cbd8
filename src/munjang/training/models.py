"""Loading of models for training: with the head of a task, on the torch executor, and with the tokenizer."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints import Checkpoint, OpenOptions, open_checkpoint
from munjang.checkpoints.saving import staged
from munjang.errors import CheckpointError, InputError
from munjang.models.initialization import with_head
from munjang.runtime.model import Model
from munjang.sentence.encoding import chunks
from munjang.sentence.settings import read_entries
from munjang.sentence.transformer import SentenceTransformer
from munjang.tasks.loading import Loaded
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import TokenIds
from munjang.validation import checked_count

T = TypeVar("T")
_CROSS_ENCODER_FILE = "config_sentence_transformers.json"


@dataclass
class Opened:
    """A model and its tokeniser; ``encoder`` is the sentence encoder that contains them, if there is one.

    ``model`` and ``tokenizer`` may be replaced before `save`.
    """

    model: Model
    tokenizer: Tokenizer
    encoder: SentenceTransformer | None

    def save(self, folder: Path) -> None:
        """Write all files that are needed to load the model. Raises `CheckpointError`."""
        if self.encoder is not None:
            self.encoder.model, self.encoder.tokenizer = self.model, self.tokenizer
            self.encoder.save_pretrained(folder)
            return
        with staged(folder) as temporary:
            self.model.save_pretrained(temporary)
            self.tokenizer.save_pretrained(temporary)


def open_model(name: str | os.PathLike[str]) -> Opened:
    """Open a model by its folder, catalogue name or hub repository, without compiling it.

    Raises `UnknownModelError`, `FetchError`, `CheckpointError` (also if the tokeniser has more tokens than
    the model), `UnsupportedModelError`.
    """
    checkpoint = open_checkpoint(name)
    if checkpoint.has("modules.json") and not _is_cross_encoder(checkpoint):
        encoder = SentenceTransformer(name, backend="numpy")
        opened = Opened(encoder.model, encoder.tokenizer, encoder)
    else:
        model = Model.from_checkpoint(checkpoint, options=OpenOptions(backend="numpy"))
        _keep_activation(checkpoint, model)
        opened = Opened(model, Tokenizer.from_checkpoint(checkpoint), None)
    tokens, rows = len(opened.tokenizer), opened.model.config.vocab_size
    if tokens > rows:
        raise CheckpointError(
            f"The tokeniser of '{checkpoint.name}' has {tokens} tokens, but the model has rows for {rows}."
        )
    return opened


def _is_cross_encoder(checkpoint: Checkpoint) -> bool:
    return [(entry.kind, entry.path) for entry in read_entries(checkpoint)] == [("Transformer", "")]


def _keep_activation(checkpoint: Checkpoint, model: Model) -> None:
    """Copy the activation into the config if it is named only in a file that is not saved again."""
    if checkpoint.has(_CROSS_ENCODER_FILE):
        name = checkpoint.read_json(_CROSS_ENCODER_FILE).get("activation_fn")
        if name is not None:
            model.raw_config["sentence_transformers"] = {"activation_fn": name}


def open_for_training(
    model: str | os.PathLike[str],
    head: str,
    *,
    labels: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    seed: int = 1,
) -> Loaded:
    """Open a model with a head for a task. A missing head is initialised at random.

    Raises what `Model.from_pretrained` raises, and `InputError` if the architecture has no such head.
    """
    checkpoint = open_checkpoint(model)
    raw, weights = with_head(
        checkpoint.config(), checkpoint.weights(), head, labels=labels, problem_type=problem_type, seed=seed
    )
    return Loaded(Model(raw, weights, head=head, backend="torch"), Tokenizer.from_checkpoint(checkpoint))


def numbered(labels: Iterable[str], order: Sequence[str] | None = None) -> dict[int, str]:
    """Return the labels by their numbers, in the given ``order``, or else sorted.

    Labels that are numbers are sorted by size, names alphabetically. Raises `InputError` for fewer than two
    labels, for a label that is not in ``order``, and for an ``order`` that has a label twice.
    """
    different = set(labels)
    if order is not None:
        if len(set(order)) < len(order):
            raise InputError(f"The labels {', '.join(map(repr, order))} must be different.")
        unknown = sorted(different - set(order))
        if unknown:
            raise InputError(f"The label {unknown[0]!r} is not one of {', '.join(map(repr, order))}.")
        return dict(enumerate(order))
    if len(different) < 2:
        raise InputError(
            f"Every example has the label {next(iter(different), None)!r}; there must be two labels at least."
        )
    return dict(enumerate(sorted(different, key=_label_order)))


def _label_order(label: str) -> tuple[bool, float, str]:
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label


def longest_of(most: int, max_length: int | None, *, least: int = 1, name: str = "max_length") -> int:
    """Return the maximum length in tokens: ``max_length`` if given, otherwise ``most``, the model's maximum.

    Raises `InputError` if ``max_length`` is not from ``least`` to ``most``.
    """
    if max_length is None:
        return most
    if checked_count(name, max_length, least) > most:
        raise InputError(f"{name}={max_length}, but the model takes {most} tokens at most.")
    return max_length


_CHUNK = 256  # examples that are tokenised at once: with offsets, a token takes far more memory than its id


def in_chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists (chunks) that are tokenised at once."""
    return chunks(items, most=_CHUNK)


def used_ids(texts: Iterable[TokenIds]) -> NDArray[np.int64]:
    """Return the distinct ids that occur in the texts, in ascending order."""
    seen: set[int] = set()
    for text in texts:
        seen.update(text.input_ids)
    return np.array(sorted(seen), dtype=np.int64)


def fingerprint_of_texts(texts: Iterable[object]) -> str:
    """Return a short checksum (CRC-32) of the data."""
    value = 0
    for text in texts:
        value = zlib.crc32(repr(text).encode("utf-8", "surrogatepass"), value)
    return f"{value:08x}"


def describe_run(
    name: object, model: Model, examples: Sequence[object], held_out: Sequence[object]
) -> dict[str, str | int | float]:
    """Return the identity of the model and the data, so that a run is not resumed with different ones."""
    return {
        "model": str(name),
        "model checksum": checksum(model.weights),
        "examples": len(examples),
        "held out": len(held_out),
        "data checksum": fingerprint_of_texts([*examples, *held_out]),
    }


def checksum(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return a short checksum (CRC-32) of a model's tensors."""
    value = 0
    for name in sorted(weights):
        value = zlib.crc32(name.encode(), value)
        value = zlib.crc32(np.ascontiguousarray(weights[name]).data.cast("B"), value)
    return f"{value:08x}"
