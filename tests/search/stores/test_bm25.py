"""The scores of words are those of the two formulas of docs/search.md."""

from __future__ import annotations

import math
import random
from contextlib import closing
from pathlib import Path

import pytest

from munjang.search.stores.base import Changes
from support.stores import SETTINGS, STORES, StoreKind, document, entry

WORDS = [f"w{number}" for number in range(60)]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name, marks=kind.marks) for kind in STORES])
def test_scores(kind: StoreKind, tmp_path: Path) -> None:
    draw = random.Random(1)
    frequencies = [1 / (number + 1) for number in range(60)]
    texts = [" ".join(draw.choices(WORDS, frequencies, k=draw.randint(3, 12))) for _ in range(200)]
    query = ["w30", "w5"]
    with closing(kind.place(tmp_path).open()) as store:
        store.create(SETTINGS)
        store.write(Changes(put=[entry(document(i, text), size=20) for i, text in enumerate(texts)]))
        with store.snapshot() as reader:
            matches = reader.lexical(query, 200)
            locations = reader.find([match.passage for match in matches])
    scores = {locations[match.passage].document: match.score for match in matches}
    split = [text.split() for text in texts]
    mean = sum(map(len, split)) / len(split)
    holding = {word: sum(word in words for words in split) for word in query}

    def score(words: list[str], word: str) -> float:
        times, n = words.count(word), holding[word]
        odds = (len(split) - n + 0.5) / (n + 0.5)
        length = 1.2 * (0.25 + 0.75 * len(words) / mean)
        if kind.name == "sqlite":
            return max(math.log(odds), 1e-6) * times * 2.2 / (times + length)
        return math.log(1 + odds) * sum(1 / k**2 for k in range(1, times + 1)) * 2.2 / (1 + length)

    expected = [sum(score(words, word) for word in query) for words in split]
    assert scores == {i: pytest.approx(value, rel=1e-5) for i, value in enumerate(expected) if value}
