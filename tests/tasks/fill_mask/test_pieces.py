"""The text of the pieces of a Unigram vocabulary, as in XLM-RoBERTa, with ▁ for a space."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from munjang.tasks.fill_mask.pieces import Piece, Pieces
from munjang.tokenization import Tokenizer

TOKENS = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁경기",
    "경기",
    "▁재미",
    "있는",
    "다",
    "▁sport",
    "s",
    "<mask>",
]


@pytest.fixture
def pieces(tmp_path: Path) -> Pieces:
    backend = tokenizers.Tokenizer(models.Unigram([(token, -1.0) for token in TOKENS], unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([*TOKENS[:4], tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    backend.save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "XLMRobertaTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return Pieces(Tokenizer.from_pretrained(tmp_path), len(TOKENS) + 2)


def test_text_of_pieces(pieces: Pieces) -> None:
    assert pieces[TOKENS.index("▁경기")] == Piece("경기", spaced=True)
    assert pieces[TOKENS.index("경기")] == Piece("경기", spaced=False)
    offered = [token for token, is_offered in zip(TOKENS, pieces.offered, strict=False) if is_offered]
    assert offered == TOKENS[5:-1]
    assert not pieces.offered[len(TOKENS) :].any()


@pytest.mark.parametrize(
    ("word", "before", "expected"),
    [
        ("경기", "재미있는 ", ["▁경기"]),
        ("경기", "", ["▁경기"]),
        ("경기", "축구", ["경기"]),
        ("▁경기", "축구", ["▁경기"]),
        ("재미있는", "", ["▁재미", "있는"]),
        ("sports", "a ", ["▁sport", "s"]),
        ("축구", "", None),
    ],
)
def test_words(pieces: Pieces, word: str, before: str, expected: list[str] | None) -> None:
    assert pieces.of_word(word, before) == (None if expected is None else [TOKENS.index(t) for t in expected])
