"""Pre-training from text files: from scratch, or continued from a checkpoint (domain adaptation)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from munjang.checkpoints import open_checkpoint
from munjang.data.readers.texts import Files
from munjang.errors import InputError
from munjang.tokenization import Tokenizer
from munjang.training.loop.loop import train
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.options import (
    CONTINUED_OPTIONS,
    NEW_MODEL_OPTIONS,
    Name,
    NewModel,
    PretrainingTask,
    TrainingOptions,
)
from munjang.training.pretraining.corpus import Part, TokenCorpus
from munjang.training.pretraining.masked import (
    LONGEST_TEXT,
    InitialModel,
    MaskedLanguageObjective,
    Pretraining,
)
from munjang.training.pretraining.masking import Hider
from munjang.training.pretraining.next_sentence import NextSentenceObjective
from munjang.training.pretraining.replaced import ReplacedTokenObjective
from munjang.validation import check_instance

_NEW_MODEL_TYPES = ("bert", "electra", "roberta")


def train_masked_language_model(
    files: Files,
    *,
    output: str | Path,
    tokenizer: Name | Tokenizer | None = None,
    model: Name | None = None,
    new_model: NewModel = NewModel(),
    held_out: float | Files | None = None,
    task: PretrainingTask = PretrainingTask(),
    options: TrainingOptions | None = None,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Pre-train a model on text files, which may be larger than memory.

    The texts are tokenised once, into the ``corpus_folder`` of the task. Each line is a text; with
    ``next_sentences`` it is a sentence, and blank lines separate documents.

    Args:
        files: a path or several paths, ``.gz`` too.
        output: the folder of the run.
        tokenizer: the tokenizer of a new model: a folder, a name or a `Tokenizer`. Give this or ``model``.
        model: the checkpoint from which training continues, with its own vocabulary.
        new_model: the config of a new model.
        held_out: files for the evaluation, or the share of the documents that is held out for it.
        task: the options of the task.
        options: the options of the run; by default a learning rate of 5e-4 for a new model, otherwise 5e-5,
            and about 4,096 tokens per batch.
        watchers: observers of the run.

    Raises `InputError` for settings that can't be combined, what `TokenCorpus.build` raises for the files,
    and what the objective and `train` raise.
    """
    check_instance("task", task, PretrainingTask)
    check_instance("new_model", new_model, NewModel)
    if options is not None:
        check_instance("options", options, TrainingOptions)
    task.check()
    start = _new(tokenizer, new_model, task) if model is None else _opened(model, tokenizer, new_model)
    if task.next_sentences and start.kind != "bert":
        raise InputError(f"Next sentences are learned by a model of type 'bert', not '{start.kind}'.")
    # Check the rest before the texts are tokenised.
    Hider(start.tokenizer, probability=task.probability, whole_words=task.whole_words)
    only_rows = _added(start.tokenizer) if task.added_tokens_only else None
    generator = _generator(model, task) if task.objective == "electra" else None
    chosen = options or (NEW_MODEL_OPTIONS if start.weights is None else CONTINUED_OPTIONS)
    folder = Path(f"{Path(output)}.corpus" if task.corpus_folder is None else task.corpus_folder)
    corpora = _corpora(files, held_out, start.tokenizer, folder, task, chosen.seed)
    objective: Pretraining[Any]
    if task.objective == "electra":
        objective = ReplacedTokenObjective(start, *corpora, task, chosen, generator=generator)
    elif task.next_sentences:
        objective = NextSentenceObjective(start, *corpora, task, chosen)
    else:
        objective = MaskedLanguageObjective(start, *corpora, task, chosen, only_rows=only_rows)
    return train(objective, output, chosen, watchers=watchers)


def _given(new_model: NewModel) -> dict[str, Any]:
    return {name: value for name, value in asdict(new_model).items() if value is not None}


def _opened(model: Name, tokenizer: Name | Tokenizer | None, new_model: NewModel) -> InitialModel:
    """Open a checkpoint as the initial model."""
    if tokenizer is not None:
        raise InputError("A model brings its own vocabulary: give a tokenizer or a model, not both.")
    if given := _given(new_model):
        raise InputError(f"{next(iter(given))} is for a new model; '{os.fspath(model)}' has its own.")
    checkpoint = open_checkpoint(model)
    tokenizer = Tokenizer.from_checkpoint(checkpoint)
    return InitialModel(checkpoint.config(), checkpoint.weights(), tokenizer, os.fspath(model))


def _new(tokenizer: Name | Tokenizer | None, new_model: NewModel, task: PretrainingTask) -> InitialModel:
    """Return the config of a new model as the initial model."""
    if tokenizer is None:
        raise InputError("Pass the tokenizer of a new model, or a model to continue from.")
    opened = deepcopy(tokenizer) if isinstance(tokenizer, Tokenizer) else Tokenizer.from_pretrained(tokenizer)
    kind = {"model_type": "electra" if task.objective == "electra" else "bert"}
    longest = LONGEST_TEXT if task.max_length is None else task.max_length
    raw = new_config(opened, max_length=longest, **{**kind, **_given(new_model)})
    # The tokenizer is saved with the model and must state the model's maximum length.
    opened.model_max_length = min(opened.model_max_length, longest)
    return InitialModel(raw, None, opened)


def _added(tokenizer: Tokenizer) -> list[int]:
    """Return the ids of the words that were added to a vocabulary."""
    special = set(tokenizer.all_special_ids)
    added = sorted(i for i in tokenizer.get_added_vocab().values() if i not in special)
    if not added:
        raise InputError(f"No token was added to the vocabulary of {tokenizer.name_or_path!r}.")
    return added


def _generator(
    model: Name | None, task: PretrainingTask
) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]] | None:
    """Return the config and weights of the existing generator, or ``None`` for a new generator."""
    checkpoint = None if task.generator is None else open_checkpoint(task.generator)
    if checkpoint is None and task.generator_size is None and model is not None:
        checkpoint = open_checkpoint(model)
        checkpoint = checkpoint.sub("generator") if checkpoint.has("generator/config.json") else None
    return None if checkpoint is None else (checkpoint.config(), checkpoint.weights())


def _corpora(
    files: Files,
    held_out: float | Files | None,
    tokenizer: Tokenizer,
    folder: Path,
    task: PretrainingTask,
    seed: int,
) -> tuple[TokenCorpus, TokenCorpus | None]:
    """Build the corpora of the training texts and of the held-out texts."""

    def built(texts: Files, name: str, part: Part | None = None) -> TokenCorpus:
        sentences, encoding = task.next_sentences, task.encoding
        return TokenCorpus.build(
            texts, tokenizer, folder / name, sentences=sentences, encoding=encoding, part=part
        )

    if held_out is None:
        return built(files, "train"), None
    if not isinstance(held_out, (int, float)):
        return built(files, "train"), built(held_out, "held-out")
    learned, measured = (Part(held_out, held, seed) for held in (False, True))
    return built(files, "train", learned), built(files, "held-out", measured)


def new_config(
    tokenizer: Tokenizer,
    *,
    model_type: str = "bert",
    layers: int = 12,
    width: int = 768,
    heads: int | None = None,
    intermediate: int | None = None,
    max_length: int = 512,
    dropout: float = 0.1,
) -> dict[str, Any]:
    """Return the content of ``config.json`` of a new model for a tokenizer's vocabulary.

    ``heads`` is by default ``width // 64``, ``intermediate`` four times the width. Raises `InputError` for an
    unsupported model type.
    """
    if model_type not in _NEW_MODEL_TYPES:
        raise InputError(
            f"A new model can't be of type {model_type!r}; there are {', '.join(_NEW_MODEL_TYPES)}."
        )
    first = (tokenizer.pad_token_id or 0) + 1 if model_type == "roberta" else 0
    raw: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads or max(1, width // 64),
        "intermediate_size": intermediate or 4 * width,
        "hidden_act": "gelu",
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "max_position_embeddings": max_length + first,
        "type_vocab_size": 1 if model_type == "roberta" else 2,
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.02,
        "pad_token_id": tokenizer.pad_token_id or 0,
    }
    return raw | ({"embedding_size": min(width, 128)} if model_type == "electra" else {})
