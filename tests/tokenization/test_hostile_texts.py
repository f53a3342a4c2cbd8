"""Texts that could take long: time is linear in their length, and only `MunjangError` is raised."""

from __future__ import annotations

import time
import unicodedata

import pytest

from munjang.errors import InputError
from munjang.tokenization import Tokenizer

LENGTH = 100_000
SECONDS = 20.0
"""Processor time for two passes over a text: linear ones take 0.2 to 4, quadratic ones minutes."""

UNITS = {
    "a word": "a",
    "a word of syllables": "가",
    "jamo": unicodedata.normalize("NFD", "각"),
    "leading jamo": "\u1100",
    "marks": "\u0301",
    "marks out of order": "\u0301\u0323",
    "letters with marks": "a\u0301\u0323",
    "spaces with marks": " \u0301",
    "NUL": "\0",
    "bidirectional marks": "\u202e\u2066",
    "variation selectors": "\ufe0f",
    "joined emoji": "👩\u200d",
    "spaces": " ",
    "punctuation": ".",
    "ideographs": "中",
    "ligatures": "ﷺaaaaaaaaa",
    "masks": "<mask>[MASK] ",
    "masks far apart": f"{' ' * 1000}<mask>",
}


@pytest.mark.parametrize("unit", UNITS.values(), ids=list(UNITS))
@pytest.mark.parametrize("folder", ["bert-uncased", "roberta", "unigram"], indirect=True)
def test_time_is_linear_in_the_length(ours: Tokenizer, unit: str) -> None:
    text = f"cat {unit * (LENGTH // len(unit))}x"
    started = time.process_time()
    (ids,) = ours.encode_ids([text], max_length=16)
    (encoding,) = ours.encode_batch([text], max_length=16)
    assert time.process_time() - started < SECONDS, "it took quadratic time"
    assert ids.input_ids == encoding.input_ids
    assert len(ids.input_ids) <= 16
    assert all(0 <= start <= end <= len(text) for start, end in encoding.offsets)


def test_many_surrogates(small: Tokenizer) -> None:
    for text in ("\ud800" * LENGTH, "a" * LENGTH + "\udfff", "e\u0301" * LENGTH + "\ud800"):
        for call in (small.encode_ids, small.encode_batch):
            with pytest.raises(InputError, match="lone surrogate"):
                call(["cat", text])
