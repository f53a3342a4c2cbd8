"""Small random sentence encoders with a real tokenizer, saved by sentence-transformers itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from munjang import SentenceTransformer
from support.peers import random_peer
from support.pieces import learn_wordpieces

__all__ = ["TEXTS", "Trio", "make_checkpoint", "make_pair_checkpoint", "make_sentence_folder", "modify_json"]

MAX_TOKENS = 48

TEXTS = [
    "A man is eating food.",
    "오늘 하루 어떻게 보냈나요?",
    "The girl is carrying a baby, and two men pushed carts through the woods!",
    "a",
    "한국의 수도는 서울이다. 축구는 정말 재미있는 일이다.",
    "",
    "A man is eating food.",
    "Unknown ✂ pieces, 123 of them, and some more words to make this the longest of all the texts here.",
]

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@cache
def _wordpiece() -> Tokenizer:
    """Return a WordPiece tokenizer as BERT's; cased, so that lowercasing is visible."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learn_wordpieces(backend, TEXTS, _SPECIAL, 260)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    backend.decoder = decoders.WordPiece()
    return backend


@cache
def _byte_level() -> Tokenizer:
    """Return a byte-level BPE tokenizer as RoBERTa's."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=380,
            special_tokens=_ROBERTA_SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    backend.decoder = decoders.ByteLevel()
    return backend


def _tokenizer(architecture: str) -> tuple[Tokenizer, dict[str, Any]]:
    if "roberta" in architecture:
        names = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
        special = dict(zip(names, _ROBERTA_SPECIAL, strict=True))
        return _byte_level(), {**special, "model_input_names": ["input_ids", "attention_mask"]}
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = dict(zip(names, _SPECIAL, strict=True))
    wanted = ["input_ids", "token_type_ids", "attention_mask"]
    if architecture == "distilbert":
        wanted.remove("token_type_ids")
    return _wordpiece(), {**special, "model_input_names": wanted}


@dataclass(frozen=True, slots=True)
class Trio:
    """A sentence encoder: its folder, opened by munjang, and by sentence-transformers."""

    folder: Path
    ours: SentenceTransformer
    peer: Any

    @classmethod
    def make(cls, folder: Path, architecture: str = "bert", **options: Any) -> Trio:
        """Create a random encoder; the options are those of `make_sentence_folder`."""
        peer = make_sentence_folder(architecture, folder, **options)
        return cls(folder, SentenceTransformer(folder), peer)


def make_checkpoint(
    architecture: str,
    folder: Path,
    *,
    head: bool = False,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """Write a plain random checkpoint with its tokenizer; return the reference model."""
    backend, options = _tokenizer(architecture)
    positions = MAX_TOKENS + 2 if "roberta" in architecture else MAX_TOKENS
    sizes = {"vocab_size": backend.get_vocab_size(), "max_position_embeddings": positions}
    model = random_peer(architecture, folder, head=head, seed=seed, settings={**sizes, **(settings or {})})
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend.to_str()), model_max_length=MAX_TOKENS, **options
    )
    tokenizer.save_pretrained(folder)
    return model


def make_sentence_folder(
    architecture: str,
    folder: Path,
    *,
    pooling: str | Sequence[str] = "mean",
    include_prompt: bool = True,
    modules: Sequence[Any] = (),
    seed: int = 0,
    **options: Any,
) -> Any:
    """Save a random sentence encoder with sentence-transformers; return it as loaded by that library."""
    from sentence_transformers import SentenceTransformer as Peer
    from sentence_transformers.sentence_transformer import modules as parts

    plain = folder.with_name(f"{folder.name}-plain")
    make_checkpoint(architecture, plain, seed=seed)
    transformer = parts.Transformer(str(plain))
    width = transformer.get_embedding_dimension()
    mode = pooling if isinstance(pooling, str) else tuple(pooling)
    steps = [transformer, parts.Pooling(width, mode, include_prompt=include_prompt), *modules]
    torch.manual_seed(seed)
    Peer(modules=steps, device="cpu", **options).save(str(folder), create_model_card=False)
    shutil.rmtree(plain)
    return Peer(str(folder), device="cpu")


def make_pair_checkpoint(architecture: str, folder: Path, *, labels: int = 1, seed: int = 0) -> Any:
    """Write a random cross-encoder in the layout of the hub; return it as loaded by sentence-transformers."""
    from sentence_transformers import CrossEncoder

    make_checkpoint(architecture, folder, head=True, seed=seed, settings={"num_labels": labels})
    return CrossEncoder(str(folder), device="cpu")


def modify_json(path: Path, **changes: Any) -> None:
    """Set some keys of a JSON file; a value of ``None`` removes one."""
    content = {**(json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}), **changes}
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")
