"""Small random checkpoints that answer questions, with the tokenizers of such models."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from support.peers import ARCHITECTURES
from support.pieces import learn_wordpieces

__all__ = ["ANSWERERS", "LENGTH", "LONG", "QUESTION", "SHORT", "make_answerer", "wordpiece"]

LENGTH = 64  # maximum tokens of the models
QUESTION = "한국의 수도는 어디인가?"
SHORT = "한국의 수도는 서울이다. Seoul is the capital, and 부산 is by the sea."
LONG = " ".join(
    f"{number}번째 문장은 서울에서 {number * 7} km 떨어진 곳이다. The city number {number} is far."
    for number in range(12)
)
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


@cache
def wordpiece() -> Any:
    """Return a WordPiece tokenizer that joins pairs as BERT does; cased."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learn_wordpieces(backend, [QUESTION, SHORT, LONG], _SPECIAL, 124)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=LENGTH, **dict(zip(_NAMES, _SPECIAL, strict=True))
    )


@cache
def byte_pairs() -> Any:
    """Return a byte-level tokenizer that joins pairs as RoBERTa does."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=_ROBERTA_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([QUESTION, SHORT, LONG], trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    backend.decoder = decoders.ByteLevel()
    special = dict(zip(_NAMES, ("<pad>", "<unk>", "<s>", "</s>", "<mask>"), strict=True))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=LENGTH, model_input_names=["input_ids"], **special
    )


ANSWERERS = {
    "bert": (wordpiece, "Bert"),
    "electra": (wordpiece, "Electra"),
    "roberta": (byte_pairs, "Roberta"),
}


def make_answerer(architecture: str, folder: Path) -> Any:
    """Write a random checkpoint; return the reference model."""
    make, name = ANSWERERS[architecture]
    tokenizer = make()
    config_class, settings, _, _ = ARCHITECTURES[architecture]
    positions = LENGTH + 2 if architecture == "roberta" else LENGTH
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": positions}
    config = getattr(transformers, config_class)(**{**settings, **sizes})
    torch.manual_seed(3)
    model = getattr(transformers, f"{name}ForQuestionAnswering")(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
