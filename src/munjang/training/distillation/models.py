"""Opening of teachers, and creation of students from a teacher's layers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints import OpenOptions, open_checkpoint
from munjang.errors import CheckpointError, InputError, InputTypeError, UnsupportedModelError
from munjang.models.initialization import with_head
from munjang.models.params import Params
from munjang.models.registry import ARCHITECTURES, CAUSAL_LM, SEQUENCE_CLASSIFICATION, architecture_of
from munjang.runtime.model import Model
from munjang.sentence.transformer import SentenceTransformer
from munjang.tasks.loading import Loaded, load
from munjang.tokenization import Tokenizer
from munjang.training.models import checksum, describe_run, open_for_training, open_model
from munjang.training.options import Name
from munjang.training.output import check_empty
from munjang.training.sentences.train import open_encoder


def spread(count: int, of: int) -> tuple[int, ...]:
    """Return ``count`` of ``of`` layer indices, evenly spaced, including the first and the last layer.

    For 6 of 12 layers: ``(0, 2, 4, 7, 9, 11)``. A single layer is the first.
    """
    if count == 1:
        return (0,)
    return tuple((2 * i * (of - 1) + count - 1) // (2 * (count - 1)) for i in range(count))


def choose_layers(layers: int | Sequence[int], of: int) -> tuple[int, ...]:
    """Check a choice of a teacher's layers. Return the indices, from 0; those of `spread` for a number.

    Raises `InputError` for no layers, for more than the teacher's ``of`` layers, for indices out of range and
    for indices not in ascending order; `InputTypeError` for values that are not integers.
    """
    if not isinstance(layers, int | list | tuple | range) or isinstance(layers, bool):
        raise InputTypeError(f"layers must be a number of layers or a list of them, got {layers!r}.")
    if isinstance(layers, int):
        if not 1 <= layers <= of:
            raise InputError(f"A student can have 1 to {of} of the teacher's {of} layers, got {layers}.")
        return spread(layers, of)
    for layer in layers:
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise InputTypeError(f"layers must be whole numbers, got {layer!r}.")
        if not 0 <= layer < of:
            raise InputError(f"The teacher has layers 0 to {of - 1}, got {layer}.")
    if not layers or any(a >= b for a, b in pairwise(layers)):
        raise InputError(f"layers must be in the teacher's order, each once, got {list(layers)}.")
    return tuple(layers)


def student_tensors(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], layers: Sequence[int]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the config and the tensors of a model that has only these layers, renumbered from 0.

    Everything else is kept from the teacher: embeddings, pooler, head, modules (arXiv:1910.01108, section 3).
    Raises `UnsupportedModelError` for a model that is not an encoder.
    """
    architecture = architecture_of(raw_config)
    if CAUSAL_LM in architecture.heads:
        kinds = [kind for kind, other in ARCHITECTURES.items() if CAUSAL_LM not in other.heads]
        raise UnsupportedModelError(
            f"Students are made of {', '.join(kinds)}, not of a model of type '{architecture.model_type}'."
        )
    prefix = f"{architecture.base(Params(weights)).prefix}{architecture.layers}."
    new = {str(old): str(number) for number, old in enumerate(layers)}
    tensors: dict[str, NDArray[Any]] = {}
    for name in weights:
        number, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix):
            tensors[name] = weights[name]
        elif number in new:
            tensors[f"{prefix}{new[number]}.{rest}"] = weights[name]
    return {**raw_config, architecture.layer_count_key: len(layers)}, tensors


def make_student(
    teacher: str | os.PathLike[str], output: str | os.PathLike[str], *, layers: int | Sequence[int]
) -> tuple[int, ...]:
    """Write a student with copies of some of a teacher's layers (arXiv:1910.01108). Return their indices.

    Args:
        teacher: a folder, a catalogue name, or a hub repository.
        output: the student's folder, new or empty.
        layers: the number of layers, evenly spaced with the first and the last, or their indices from 0.

    Everything else is unchanged: embeddings, pooler, head, tokenizer, and a sentence encoder's modules and
    prompts. Raises what `choose_layers` raises, `InputError` for a folder that is not empty,
    `UnsupportedModelError` for a model that is not an encoder, and what opening and saving a model raises.
    """
    folder = Path(output)
    check_empty(folder)
    opened = open_model(teacher)
    chosen = choose_layers(layers, opened.model.config.num_hidden_layers)
    raw, tensors = student_tensors(opened.model.raw_config, opened.model.weights, chosen)
    opened.model = Model(raw, tensors, backend="numpy")
    opened.save(folder)
    return chosen


Layers = int | Sequence[int] | None
_COMPARED = 200  # texts
_IN_MEMORY = 1 << 30  # bytes of vectors; larger arrays are stored in a file


def open_teacher_classifier(teacher: Name) -> Loaded:
    """Open a teacher with its trained classification head. Raises `CheckpointError` if it has none."""
    return load(teacher, SEQUENCE_CLASSIFICATION)


def open_student_classifier(
    teacher: Name, student: Name | None, layers: Layers, *, labels: Mapping[int, str], seed: int
) -> Loaded:
    """Open a student for training, with a classification head for the teacher's labels.

    It is the model ``student``, or has the ``layers`` of the teacher (half of them if neither is given).
    Raises `InputError` if both are given, and what `choose_layers` and opening a model raise.
    """
    if (own := _one_of(student, layers)) is not None:
        return open_for_training(own, SEQUENCE_CLASSIFICATION, labels=labels, seed=seed)
    checkpoint = open_checkpoint(teacher)
    whole = Model.from_checkpoint(checkpoint, SEQUENCE_CLASSIFICATION, OpenOptions(backend="numpy"))
    chosen = choose_layers(_half(layers, whole), whole.config.num_hidden_layers)
    raw, tensors = with_head(
        *student_tensors(whole.raw_config, whole.weights, chosen), SEQUENCE_CLASSIFICATION, seed=seed
    )
    model = Model(raw, tensors, head=SEQUENCE_CLASSIFICATION, backend="torch")
    return Loaded(model, Tokenizer.from_checkpoint(checkpoint))


def open_student_encoder(teacher: Name, student: Name | None, layers: Layers) -> SentenceTransformer:
    """Open a sentence encoder for training: ``student``, or an encoder with the ``layers`` of the teacher.

    Raises what `open_student_classifier` raises.
    """
    if (own := _one_of(student, layers)) is not None:
        return open_encoder(own)
    encoder = SentenceTransformer(teacher, backend="numpy", on_truncation="ignore")
    chosen = choose_layers(_half(layers, encoder.model), encoder.model.config.num_hidden_layers)
    raw, tensors = student_tensors(encoder.model.raw_config, encoder.model.weights, chosen)
    encoder.model = Model(raw, tensors, backend="torch")
    return encoder


def _one_of(student: Name | None, layers: Layers) -> Name | None:
    if student is not None and layers is not None:
        raise InputError(f"Pass student or layers, not both: got {os.fspath(student)!r} and {layers!r}.")
    return student


def _half(layers: Layers, teacher: Model) -> int | Sequence[int]:
    return max(1, teacher.config.num_hidden_layers // 2) if layers is None else layers


def check_same_tokens(student: Tokenizer, teacher: Tokenizer, texts: Sequence[str]) -> None:
    """Raise `InputError` unless two tokenizers return the same ids, as layer matching requires."""
    texts = texts[:_COMPARED]
    same = student.get_vocab() == teacher.get_vocab()
    if same and [t.input_ids for t in student.encode_ids(texts)] == [
        t.input_ids for t in teacher.encode_ids(texts)
    ]:
        return
    raise InputError(
        f"The student ({len(student)} tokens) and the teacher ({len(teacher)}) cut texts into different "
        "tokens, so their layers can't be compared; leave matching out."
    )


def describe_distillation(
    student: tuple[object, Model],
    teacher: tuple[object, Model],
    examples: Sequence[object],
    held_out: Sequence[object],
) -> dict[str, str | int | float]:
    """Return the identity of both models, each with its name, and of the data."""
    return {
        **describe_run(*student, examples, held_out),
        "layers": student[1].config.num_hidden_layers,
        "teacher": str(teacher[0]),
        "teacher checksum": checksum(teacher[1].weights),
    }


def table(rows: int, width: int) -> NDArray[np.float32]:
    """Return an array ``[rows, width]`` to fill: in memory, or if it is large in a temporary file.

    The space of the file is freed together with the array. Raises `CheckpointError` if the temporary folder
    is full.
    """
    if rows * width * 4 <= _IN_MEMORY:
        return np.empty((rows, width), dtype=np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # or a full disk is noticed only when pages are written
                os.posix_fallocate(file.fileno(), 0, rows * width * 4)
            file.truncate(rows * width * 4)
            return np.memmap(file, dtype=np.float32, mode="r+", shape=(rows, width))
    except OSError as error:
        raise CheckpointError(
            f"{rows:,} vectors of {width} numbers found no room in '{tempfile.gettempdir()}': "
            f"{error.strerror}."
        ) from error
