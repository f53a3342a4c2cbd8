"""Tokenization and decoding with the library `tokenizers`, with offsets into the caller's string.

``Tokenizer`` reads a checkpoint's tokenizer files and returns ``Encoding`` (all data of one text),
``BatchEncoding`` (model inputs) or ``TokenIds`` (ids only, for the engine).
"""

from munjang.tokenization.encoding import BatchEncoding, Encoding, TokenIds
from munjang.tokenization.korean import compose, nfc
from munjang.tokenization.tokenizer import Tokenizer

__all__ = ["BatchEncoding", "Encoding", "TokenIds", "Tokenizer", "compose", "nfc"]
