"""Opening teachers and the students that are to learn from them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints import open_checkpoint
from munjang.errors import CheckpointError, InputError
from munjang.models.registry import SEQUENCE_CLASSIFICATION
from munjang.runtime.model import Model
from munjang.sentence.transformer import SentenceTransformer
from munjang.tasks.loading import Loaded, load
from munjang.tokenization import Tokenizer
from munjang.training.new_heads import with_head
from munjang.training.sentence_training import open_encoder
from munjang.training.starting import open_for_training
from munjang.training.students import choose_layers, student_tensors

__all__ = [
    "Layers",
    "Name",
    "check_same_tokens",
    "open_student_classifier",
    "open_student_encoder",
    "open_teacher_classifier",
    "table",
]

Name = str | os.PathLike[str]
Layers = int | Sequence[int] | None
_COMPARED = 200  # texts
_IN_MEMORY = 1 << 30  # bytes of vectors; more of them stand in a file


def open_teacher_classifier(teacher: Name) -> Loaded:
    """Open a teacher with its trained classification head; `CheckpointError` if it has none."""
    return load(teacher, SEQUENCE_CLASSIFICATION)


def open_student_classifier(
    teacher: Name, student: Name | None, layers: Layers, *, labels: Mapping[int, str], seed: int
) -> Loaded:
    """Open a student with a classification head of the teacher's labels, to be trained.

    It is the model ``student``, or has the ``layers`` of the teacher (half of them if neither is given).
    Raises `InputError` if both are given, and what `choose_layers` and opening a model raise.
    """
    if (own := _one_of(student, layers)) is not None:
        return open_for_training(own, SEQUENCE_CLASSIFICATION, labels=labels, seed=seed)
    checkpoint = open_checkpoint(teacher)
    whole = Model.from_checkpoint(checkpoint, SEQUENCE_CLASSIFICATION, backend="numpy")
    chosen = choose_layers(_half(layers, whole), whole.config.num_hidden_layers)
    raw, tensors = with_head(
        *student_tensors(whole.raw_config, whole.weights, chosen), SEQUENCE_CLASSIFICATION, seed=seed
    )
    model = Model(raw, tensors, head=SEQUENCE_CLASSIFICATION, backend="torch")
    return Loaded(model, Tokenizer.from_checkpoint(checkpoint))


def open_student_encoder(teacher: Name, student: Name | None, layers: Layers) -> SentenceTransformer:
    """Open a sentence encoder to be trained: ``student``, or one with the ``layers`` of the teacher.

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
        raise InputError(f"Give student or layers, not both: got {os.fspath(student)!r} and {layers!r}.")
    return student


def _half(layers: Layers, teacher: Model) -> int | Sequence[int]:
    return max(1, teacher.config.num_hidden_layers // 2) if layers is None else layers


def check_same_tokens(student: Tokenizer, teacher: Tokenizer, texts: Sequence[str]) -> None:
    """Raise `InputError` unless two tokenizers give the same ids, for their models to be compared inside."""
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


def table(rows: int, width: int) -> NDArray[np.float32]:
    """An array ``[rows, width]`` to fill: in memory, or if it is large in a file that goes with it.

    Raises `CheckpointError` if the temporary folder has no room for it.
    """
    if rows * width * 4 <= _IN_MEMORY:
        return np.empty((rows, width), dtype=np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would show only when the pages are written
                os.posix_fallocate(file.fileno(), 0, rows * width * 4)
            file.truncate(rows * width * 4)
            return np.memmap(file, dtype=np.float32, mode="r+", shape=(rows, width))
    except OSError as error:
        raise CheckpointError(
            f"{rows:,} vectors of {width} numbers found no room in '{tempfile.gettempdir()}': "
            f"{error.strerror}."
        ) from error
