"""Training of sentence encoders (Sentence-BERT) on scored pairs, labelled pairs or contrasts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace

from munjang.errors import InputError
from munjang.runtime.notices import AssumptionWarning
from munjang.sentence.program import POOLER
from munjang.sentence.transformer import SentenceTransformer
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.losses.base import SentenceLoss
from munjang.training.models import fingerprint_of_texts, longest_of
from munjang.training.options import SentencesTask, TrainingOptions
from munjang.training.sentences.data import KINDS, SentenceSource, prepare
from munjang.training.sentences.measures import measure_for
from munjang.training.sentences.objective import SentenceObjective


def train_sentence_transformer(
    examples: Sequence[SentenceSource],
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    loss: SentenceLoss | None = None,
    held_out: Sequence[SentenceSource] = (),
    task: SentencesTask = SentencesTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a sentence encoder, starting from another sentence encoder or from a plain BERT.

    Args:
        examples: all of the same class. `ScoredPair`: the cosine is trained to equal the score.
            `LabelledText` with two texts: the label is classified from ``[u; v; |u - v|]``. `Contrast`: the
            positive is trained to be nearer than all other texts of the batch. `InputExample`: as ``loss``
            requires.
        model: a folder, a catalogue name or a hub repository. The output folder of another run continues
            training from its model.
        output: the folder of the run, which `munjang.SentenceTransformer` and `sentence-transformers` load.
        loss: replaces the default loss for the class of examples; see `munjang.training.losses`.
        held_out: the evaluation examples, of any class but `InputExample`; see `measure_for`.
        task: the options of the task.
        options: the options of the run.
        watchers: observers of the run.

    Raises what `SentenceTransformer`, `prepare`, `SentenceObjective`, `measure_for` and `train` raise.
    """
    examples, held_out = checked_examples(
        examples, held_out, *KINDS, task=(task, SentencesTask), options=options
    )
    data = prepare(examples, loss, labels=task.labels, score_scale=task.score_scale)
    encoder = open_encoder(model, pooling=task.pooling, max_seq_length=task.max_seq_length)
    prompts = _prompts(task.prompt, encoder)
    measure, metric = measure_for(held_out, data.loss, data.labels, prompts) if held_out else (None, None)
    if prompts[0] != prompts[1]:
        names = {"query": prompts[0], "document": prompts[1]}
        encoder.settings = replace(encoder.settings, prompts={**encoder.prompts, **names})
    objective = SentenceObjective(
        encoder,
        data.examples,
        data.loss,
        options,
        measure=measure,
        metric=metric,
        prompts=prompts,
        description={
            "model": str(model),
            "held out": len(held_out),
            "held-out checksum": fingerprint_of_texts(held_out),
            **data.notes,
        },
    )
    return train(objective, output, options, watchers=watchers)


def open_encoder(
    model: str | os.PathLike[str],
    *,
    pooling: str | Sequence[str] | None = None,
    max_seq_length: int | None = None,
) -> SentenceTransformer:
    """Open a sentence encoder for training. Mean pooling is used if no other pooling is given.

    Raises what `SentenceTransformer` raises, and `InputError` for pooler output, which can't be saved.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)  # the report states the pooling
        encoder = SentenceTransformer(model, pooling=pooling, backend="torch", on_truncation="ignore")
    if encoder.pooling.modes == (POOLER,):
        raise InputError("A model that pools by the pooler output can't be saved; choose another pooling.")
    if max_seq_length is not None:
        most = encoder.model.config.max_length
        encoder.max_seq_length = longest_of(most, max_seq_length, name="max_seq_length")
    return encoder


def _prompts(prompt: str | tuple[str, str] | None, encoder: SentenceTransformer) -> tuple[str, str]:
    if prompt is None:
        prompt = encoder.settings.prompt_text()
    if isinstance(prompt, str):
        return prompt, prompt
    return prompt
