"""Pre-training from text files: from scratch, or continued from a checkpoint (domain adaptation)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from munjang.checkpoints import Checkpoint, open_checkpoint
from munjang.data.readers.texts import Files
from munjang.errors import InputError
from munjang.tokenization import Tokenizer
from munjang.training.loop.loop import TrainingResult, train
from munjang.training.loop.watchers import Watcher
from munjang.training.options import TrainingOptions
from munjang.training.pretraining.corpus import Part, TokenCorpus
from munjang.training.pretraining.masked import MaskedLanguageObjective, Pretraining
from munjang.training.pretraining.masking import Hider
from munjang.training.pretraining.new_models import new_config
from munjang.training.pretraining.next_sentence import NextSentenceObjective
from munjang.training.pretraining.replaced import ReplacedTokenObjective

__all__ = ["PretrainingObjective", "train_masked_language_model"]

PretrainingObjective = Literal["masked", "electra"]
Name = str | os.PathLike[str]

_NEW = TrainingOptions(
    learning_rate=5e-4, batch_tokens=4096, warmup_ratio=0.05, adam_beta2=0.98, adam_epsilon=1e-6
)
_GOING_ON = TrainingOptions(learning_rate=5e-5, batch_tokens=4096)


def train_masked_language_model(
    files: Files,
    *,
    output: str | Path,
    tokenizer: Name | Tokenizer | None = None,
    model: Name | None = None,
    held_out: float | Files | None = None,
    next_sentences: bool = False,
    whole_words: bool = False,
    objective: PretrainingObjective = "masked",
    model_type: str | None = None,
    layers: int | None = None,
    width: int | None = None,
    heads: int | None = None,
    intermediate: int | None = None,
    dropout: float | None = None,
    generator: Name | None = None,
    generator_size: float | None = None,
    max_length: int = 128,
    probability: float = 0.15,
    added_tokens_only: bool = False,
    corpus_folder: str | Path | None = None,
    encoding: str = "utf-8",
    options: TrainingOptions | None = None,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Pre-train a model on text files, which may be larger than memory.

    The texts are tokenised once, into ``corpus_folder``. Each line is a text; with ``next_sentences`` it is a
    sentence, and blank lines separate documents.

    Args:
        files: a path or several paths, ``.gz`` too.
        output: the folder of the run.
        tokenizer: the tokenizer of a new model: a folder, a name or a `Tokenizer`. Give this or ``model``.
        model: the checkpoint from which training continues, with its own vocabulary.
        held_out: files for the evaluation, or the share of the documents that is held out for it.
        next_sentences: add next-sentence prediction (arXiv:1810.04805).
        whole_words: mask all pieces of a word together (arXiv:1906.08101).
        objective: ``masked`` for masked language modelling, or ``electra`` for replaced-token detection
            (arXiv:2003.10555).
        model_type: the type of a new model: ``bert`` (the default), ``roberta`` or ``electra``.
        layers: the number of layers of a new model, by default 12.
        width: the hidden size of a new model, by default 768.
        heads: the number of attention heads of a new model, by default ``width // 64``.
        intermediate: the width inside a new model's layers, by default four times the width.
        dropout: the dropout of a new model, by default 0.1.
        generator: an existing ELECTRA generator; by default that in the model's folder ``generator``, or else
            a new generator.
        generator_size: the width of a new generator relative to the model; by default 0.25.
        max_length: the maximum length in tokens; a longer text is split, a longer pair is truncated. It is
            also the maximum length of a new model.
        probability: the fraction of the tokens that is masked.
        added_tokens_only: train only the embeddings of the tokens that were added to a checkpoint's
            vocabulary, for example by `add_domain_tokens`.
        corpus_folder: the folder for the tokenised texts, by default next to the output: ``OUTPUT.corpus``.
        encoding: the encoding of the files.
        options: the options of the run; by default a learning rate of 5e-4 for a new model, otherwise 5e-5,
            and about 4,096 tokens per batch.
        watchers: observers of the run.

    Raises `InputError` for settings that can't be combined, what `TokenCorpus.build` raises for the files,
    and what the objective and `train` raise.
    """
    _check(objective, next_sentences, generator, generator_size)
    sizes = {
        "model_type": model_type,
        "layers": layers,
        "width": width,
        "heads": heads,
        "intermediate": intermediate,
        "dropout": dropout,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    start = (
        _begun(tokenizer, given, objective, max_length) if model is None else _opened(model, tokenizer, given)
    )
    if next_sentences and start.kind != "bert":
        raise InputError(f"Next sentences are learned by a model of type 'bert', not '{start.kind}'.")
    Hider(start.tokenizer, probability=probability, whole_words=whole_words)  # check before tokenising
    chosen = options or (_NEW if start.weights is None else _GOING_ON)
    settings: dict[str, Any] = {
        "max_length": max_length,
        "whole_words": whole_words,
        "probability": probability,
        "description": {"model": start.name},
    }
    if added_tokens_only:
        if next_sentences or objective != "masked":
            raise InputError("The embeddings of added tokens alone are trained by masked words alone.")
        settings["only_rows"] = _added(start.tokenizer)
    made: type[Pretraining[Any]] = NextSentenceObjective if next_sentences else MaskedLanguageObjective
    if objective == "electra":
        made = ReplacedTokenObjective
        settings["generator"] = _generator(start.checkpoint, generator, generator_size)
        settings["generator_size"] = 0.25 if generator_size is None else generator_size
    folder = Path(f"{Path(output)}.corpus" if corpus_folder is None else corpus_folder)
    learned, measured = _corpora(
        files,
        held_out,
        start.tokenizer,
        folder,
        sentences=next_sentences,
        encoding=encoding,
        seed=chosen.seed,
    )
    build: Callable[..., Pretraining[Any]] = made
    pretraining = build(start.raw, start.weights, learned, start.tokenizer, measured, chosen, **settings)
    return train(pretraining, Path(output), chosen, watchers=watchers)


@dataclass(frozen=True, slots=True)
class _Start:
    """The initial state: the config, the weights (``None`` for a new model) and the tokenizer."""

    raw: Mapping[str, Any]
    weights: Mapping[str, NDArray[Any]] | None
    tokenizer: Tokenizer
    name: str
    checkpoint: Checkpoint | None = None

    @property
    def kind(self) -> str:
        """Return the model type in the config."""
        return str(self.raw.get("model_type"))


def _check(
    objective: str, next_sentences: bool, generator: Name | None, generator_size: float | None
) -> None:
    if objective not in get_args(PretrainingObjective):
        raise InputError(f"Unknown objective {objective!r}; there are masked and electra.")
    if next_sentences and objective == "electra":
        raise InputError("Next sentences are learned beside masked words, not with objective='electra'.")
    if objective != "electra" and (generator is not None or generator_size is not None):
        raise InputError("A generator is part of objective='electra' only.")
    if generator is not None and generator_size is not None:
        raise InputError("generator_size is that of a new generator; the one named has its own.")


def _opened(model: Name, tokenizer: Name | Tokenizer | None, sizes: Mapping[str, Any]) -> _Start:
    """Open a checkpoint as the initial state."""
    if tokenizer is not None:
        raise InputError("A model brings its own vocabulary: give a tokenizer or a model, not both.")
    if sizes:
        raise InputError(f"{next(iter(sizes))} is for a new model; '{os.fspath(model)}' has its own.")
    checkpoint = open_checkpoint(model)
    return _Start(
        checkpoint.config(),
        checkpoint.weights(),
        Tokenizer.from_checkpoint(checkpoint),
        os.fspath(model),
        checkpoint,
    )


def _begun(
    tokenizer: Name | Tokenizer | None, sizes: Mapping[str, Any], objective: str, max_length: int
) -> _Start:
    """Return the initial state of a new model."""
    if tokenizer is None:
        raise InputError("Give the tokenizer of a new model, or a model to go on with.")
    opened = deepcopy(tokenizer) if isinstance(tokenizer, Tokenizer) else Tokenizer.from_pretrained(tokenizer)
    kind = {"model_type": "electra" if objective == "electra" else "bert"}
    raw = new_config(opened, max_length=max_length, **{**kind, **sizes})
    # The tokenizer is saved with the model and must state the model's maximum length.
    opened.model_max_length = min(opened.model_max_length, max_length)
    return _Start(raw, None, opened, "new")


def _added(tokenizer: Tokenizer) -> list[int]:
    """Return the ids of the words that were added to a vocabulary."""
    special = set(tokenizer.all_special_ids)
    found = sorted(i for i in tokenizer.get_added_vocab().values() if i not in special)
    if not found:
        raise InputError(f"No token was added to the vocabulary of {tokenizer.name_or_path!r}.")
    return found


def _generator(
    checkpoint: Checkpoint | None, generator: Name | None, size: float | None
) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]] | None:
    """Return the config and weights of the existing generator, or ``None`` for a new generator."""
    found = None if generator is None else open_checkpoint(generator)
    if found is None and size is None and checkpoint is not None and checkpoint.has("generator/config.json"):
        found = checkpoint.sub("generator")
    return None if found is None else (found.config(), found.weights())


def _corpora(
    files: Files,
    held_out: float | Files | None,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    sentences: bool,
    encoding: str,
    seed: int,
) -> tuple[TokenCorpus, TokenCorpus | None]:
    """Build the corpora of the training texts and of the held-out texts."""

    def built(texts: Files, name: str, part: Part | None = None) -> TokenCorpus:
        return TokenCorpus.build(
            texts, tokenizer, folder / name, sentences=sentences, encoding=encoding, part=part
        )

    if held_out is None:
        return built(files, "train"), None
    if not isinstance(held_out, (int, float)):
        return built(files, "train"), built(held_out, "held-out")
    learned, measured = (Part(held_out, held, seed) for held in (False, True))
    return built(files, "train", learned), built(files, "held-out", measured)
