"""Small WordPiece vocabularies that are the same in every process.

The library's own trainer is not deterministic: of equally frequent pieces it chooses any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordPiece

__all__ = ["learn_wordpieces"]


def learn_wordpieces(backend: Tokenizer, texts: Sequence[str], special: Sequence[str], size: int) -> None:
    """Return a tokenizer with special tokens, all characters, frequent words and parts of words.

    Its normaliser and pre-tokeniser must be set before.
    """
    words: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text)
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    characters = sorted({character for word in words for character in word})
    parts: Counter[str] = Counter()
    for word, count in words.items():
        for cut in range(2, len(word)):
            parts[word[:cut]] += count
            parts[f"##{word[cut - 1 :]}"] += count
    pieces = [*special, *characters, *(f"##{character}" for character in characters)]
    for found in (words, parts):
        pieces += sorted(found.keys() - set(pieces), key=lambda piece: (-found[piece], piece))
    pieces = pieces[:size]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend.model = WordPiece(vocabulary, unk_token="[UNK]")
    backend.add_special_tokens(list(special))
