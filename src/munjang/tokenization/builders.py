"""Builders of a tokeniser of the `tokenizers` library from a checkpoint's files.

``tokenizer.json`` is complete. Older checkpoints have only a vocabulary, and the family defines the rest:
BERT's WordPiece (https://arxiv.org/abs/1810.04805) or the byte-level pair encoding of GPT-2 and
RoBERTa (https://arxiv.org/abs/1907.11692).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from munjang.checkpoints.files import VOCABULARY_LIMIT, read_limited
from munjang.errors import CheckpointError
from munjang.tokenization.limits import library_errors

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tokenizers import Tokenizer as LibraryTokenizer

    from munjang.tokenization.special_tokens import Family


def read_tokenizer_json(path: Path, config: dict[str, Any], *, general: bool) -> LibraryTokenizer:
    """Return the tokeniser of a ``tokenizer.json``, with the file's padding and truncation, if any.

    Values of ``tokenizer_config.json`` for casing, accents, a leading space and offsets override it; casing
    and accents do not for a ``general`` class, which does not have these options in `transformers` either.
    """
    from tokenizers import Tokenizer

    content = read_limited(path, VOCABULARY_LIMIT)
    with _reading(path):
        backend = Tokenizer.from_buffer(content)
    ignored = _ATTRIBUTES["BertNormalizer"] if general else {}
    _override(backend, {key: value for key, value in config.items() if key not in ignored})
    return backend


def _override(backend: LibraryTokenizer, config: dict[str, Any]) -> None:
    parts = (backend.normalizer, backend.pre_tokenizer, backend.post_processor, backend.decoder)
    # The library returns its parts without a copy, so setting an attribute changes the tokeniser.
    for step in (step for part in parts for step in _steps(part)):
        for key, attribute in _ATTRIBUTES.get(type(step).__name__, {}).items():
            if key in config:
                setattr(step, attribute, config[key])
        space = config.get("add_prefix_space")
        if type(step).__name__ == "Metaspace" and space not in (None, step.prepend_scheme != "never"):
            step.prepend_scheme = "always" if space else "never"


def _steps(part: Any) -> list[Any]:
    return list(part) if type(part).__name__ == "Sequence" else [part]


_ATTRIBUTES = {
    "BertNormalizer": {
        "do_lower_case": "lowercase",
        "strip_accents": "strip_accents",
        "tokenize_chinese_chars": "handle_chinese_chars",
    },
    "ByteLevel": {"add_prefix_space": "add_prefix_space", "trim_offsets": "trim_offsets"},
    "RobertaProcessing": {"add_prefix_space": "add_prefix_space", "trim_offsets": "trim_offsets"},
}
"""For each kind of step: the key of ``tokenizer_config.json`` -> the library's name for it."""


def wordpiece(path: Path, unk_token: str, config: dict[str, Any]) -> LibraryTokenizer:
    """Return BERT's tokeniser for a ``vocab.txt`` with one piece per line, without its post-processor.

    Raises:
        CheckpointError: the file is not UTF-8 or lacks the unknown token, which replaces unknown words.

    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    content = read_limited(path, VOCABULARY_LIMIT)
    with _reading(path):
        pieces = content.decode("utf-8").split("\n")
    if pieces[-1] == "":
        pieces.pop()
    vocabulary = {piece.removesuffix("\r"): index for index, piece in enumerate(pieces)}
    if unk_token not in vocabulary:
        raise CheckpointError(
            f"'{path}' lacks the unknown token {unk_token!r}; is it a WordPiece vocabulary?"
        )
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token=unk_token))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def byte_level_bpe(vocabulary: Path, merges: Path, config: dict[str, Any]) -> LibraryTokenizer:
    """Return GPT-2's tokeniser for a ``vocab.json`` and a ``merges.txt``, without its post-processor."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    for path in (vocabulary, merges):
        read_limited(path, VOCABULARY_LIMIT)  # the library would block on a FIFO, and read any size
    with _reading(vocabulary):
        backend = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=config.get("add_prefix_space", False))
    backend.decoder = decoders.ByteLevel()
    return backend


def add_post_processor(
    backend: LibraryTokenizer, family: Family, named: dict[str, str], config: dict[str, Any]
) -> None:
    """Add the family's special tokens around texts: ``[CLS] A [SEP] B [SEP]`` or ``<s> A </s></s> B </s>``.

    Raises:
        CheckpointError: a special token is not in the vocabulary.

    """
    from tokenizers import processors

    if family.name == "gpt2":
        bos = [_with_id(backend, named, "bos_token")] if config.get("add_bos_token") else []
        eos = [_with_id(backend, named, "eos_token")] if config.get("add_eos_token") else []
        first, second = (
            [*(f"{token}:{kind}" for token, _ in bos), text, *(f"{token}:{kind}" for token, _ in eos)]
            for kind, text in ((0, "$A:0"), (1, "$B:1"))
        )
        backend.post_processor = processors.TemplateProcessing(
            single=first, pair=first + second, special_tokens=list({*bos, *eos})
        )
        return
    cls, sep = (_with_id(backend, named, name) for name in ("cls_token", "sep_token"))
    if family.name == "roberta":
        space = config.get("add_prefix_space", False)
        trim = config.get("trim_offsets", True)
        backend.post_processor = processors.RobertaProcessing(sep, cls, trim, space)
        return
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )


def _with_id(backend: LibraryTokenizer, named: dict[str, str], name: str) -> tuple[str, int]:
    token = named.get(name, "")
    index = backend.token_to_id(token)
    if index is None:
        raise CheckpointError(
            f"The vocabulary has no {name} {token!r}, which each text needs; name it in the files."
        )
    return token, index


def _reading(path: Path) -> AbstractContextManager[None]:
    return library_errors(f"'{path}' can't be read as a tokeniser file", CheckpointError)
