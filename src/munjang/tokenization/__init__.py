"""Text to tokens and back: the library `tokenizers`, with offsets into the caller's own string.

``Tokenizer`` reads a checkpoint's tokenizer files and gives ``Encoding`` (everything about one text),
``BatchEncoding`` (rows to feed a model) or ``TokenIds`` (ids alone, for the engine).
"""

from munjang.tokenization.encoding import BatchEncoding, Encoding, TokenIds
from munjang.tokenization.korean import compose, nfc
from munjang.tokenization.tokenizer import Tokenizer

__all__ = ["BatchEncoding", "Encoding", "TokenIds", "Tokenizer", "compose", "nfc"]
