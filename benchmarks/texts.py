"""The texts to encode: real sentences if the data sets exist, otherwise parts of the example questions."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "Sources",
    "english_sentences",
    "find_data",
    "korean_questions",
    "long_texts",
    "mixed_texts",
    "windows",
]

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "everyday_questions.csv"
SEED = 20240601
# Words per text, as mean and spread of the logarithm. The first is the STS benchmark's own distribution,
# a mean of 15 tokens; the second gives a mean of 76 tokens with a long tail, as documents have.
SHORT_WORDS = (2.22, 0.47)
MIXED_WORDS = (3.78, 0.75)
LONGEST_MIXED = 190  # words, about 240 tokens
LONG_WORDS = 300  # more than 256 tokens


@dataclass(frozen=True)
class Sources:
    """The sources of the texts: ``sentences`` in English, ``questions`` in Korean, and a name for each."""

    sentences: list[str]
    questions: list[str]
    english_from: str
    korean_from: str


def find_data() -> Sources:
    """Read the data sets in `MUNJANG_DATA` or ``../shared/data``, and the examples for the rest."""
    data = Path(os.environ.get("MUNJANG_DATA") or ROOT.parent / "shared" / "data")
    examples = _columns(EXAMPLES)
    sentences = [row["question"] for row in examples if row["lang"] == "en"]
    sentences += [row["answer"] for row in examples if row["lang"] == "en"]
    questions = [row["question"] for row in examples if row["lang"] == "ko"]
    english_from = korean_from = "windows over examples/everyday_questions.csv"
    if (data / "stsb-en" / "train.csv").is_file():
        sentences, english_from = _sts_sentences(data / "stsb-en"), "stsb-en"
    if (data / "chatbot" / "ChatbotData.csv").is_file():
        questions = [row["Q"] for row in _columns(data / "chatbot" / "ChatbotData.csv")]
        korean_from = "chatbot"
    return Sources(_distinct(sentences), _distinct(questions), english_from, korean_from)


def english_sentences(sources: Sources, count: int) -> list[str]:
    """Return ``count`` different short sentences, about 15 tokens on average."""
    rng = np.random.default_rng(SEED)
    found: list[str] = []
    if sources.english_from == "stsb-en":
        order = rng.permutation(len(sources.sentences))[:count]
        found = [sources.sentences[i] for i in order]
    missing = count - len(found)
    lengths = _word_counts(rng, missing, SHORT_WORDS, 60)
    return found + windows(sources.sentences, lengths, rng, avoid=found)


def mixed_texts(sources: Sources, count: int) -> list[str]:
    """Return ``count`` texts from a few words to about 240 tokens, about 76 tokens on average."""
    rng = np.random.default_rng(SEED + 1)
    return windows(sources.sentences, _word_counts(rng, count, MIXED_WORDS, LONGEST_MIXED), rng)


def long_texts(sources: Sources, count: int) -> list[str]:
    """Return ``count`` texts of more than 256 tokens."""
    return windows(sources.sentences, [LONG_WORDS] * count, np.random.default_rng(SEED + 3))


def korean_questions(sources: Sources, count: int) -> list[str]:
    """Return ``count`` different short questions in Korean."""
    rng = np.random.default_rng(SEED + 2)
    found = [sources.questions[i] for i in rng.permutation(len(sources.questions))[:count]]
    lengths = _word_counts(rng, count - len(found), (1.4, 0.4), 12)
    return found + windows(sources.questions, lengths, rng, avoid=found)


def windows(
    sentences: Sequence[str],
    lengths: Sequence[int],
    rng: np.random.Generator,
    *,
    avoid: Sequence[str] = (),
) -> list[str]:
    """Return different texts of ``lengths`` words, cut from the sentences in a cycle."""
    words = " ".join(sentences).split()
    seen = set(avoid)
    found = []
    for length in lengths:
        text = ""
        while not text or text in seen:
            start = int(rng.integers(len(words)))
            text = " ".join(words[(start + i) % len(words)] for i in range(length))
        seen.add(text)
        found.append(text)
    return found


def _word_counts(
    rng: np.random.Generator, count: int, log_mean_and_spread: tuple[float, float], most: int
) -> list[int]:
    mean, spread = log_mean_and_spread
    drawn = np.exp(rng.normal(mean, spread, count))
    return [int(n) for n in np.clip(np.round(drawn), 3, most)]


def _columns(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _sts_sentences(folder: Path) -> list[str]:
    found = []
    for name in ("train.csv", "dev.csv", "test.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            found += [sentence for row in csv.reader(file) for sentence in row[:2]]
    return found


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))
