"""A model with its tokeniser, opened to change its vocabulary: a sentence encoder or any other checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from munjang.checkpoints import Checkpoint, open_checkpoint
from munjang.errors import CheckpointError
from munjang.runtime.model import Model
from munjang.sentence.files import read_entries
from munjang.sentence.saving import staged
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization import Tokenizer

__all__ = ["Opened", "open_model"]

_CROSS_ENCODER_FILE = "config_sentence_transformers.json"


@dataclass
class Opened:
    """A model and its tokeniser; ``encoder`` is the sentence encoder around them, if it is one.

    ``model`` and ``tokenizer`` may be replaced before `save`.
    """

    model: Model
    tokenizer: Tokenizer
    encoder: SentenceTransformer | None

    def save(self, folder: Path) -> None:
        """Write everything that is needed to load the model again; raises `CheckpointError`."""
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
        model = Model.from_checkpoint(checkpoint, backend="numpy")
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
    """Let the config name what makes scores of logits, if a file that is not saved again names it."""
    if checkpoint.has(_CROSS_ENCODER_FILE):
        name = checkpoint.read_json(_CROSS_ENCODER_FILE).get("activation_fn")
        if name is not None:
            model.raw_config["sentence_transformers"] = {"activation_fn": name}
