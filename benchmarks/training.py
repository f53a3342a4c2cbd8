"""Training compared with other trainers, on the same examples and from the same model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from benchmarks.peers import ST_TRAINING, TRAINING_LABELS, TRAINING_PAIRS, TRANSFORMERS_TRAINING
from benchmarks.plan import Plan
from benchmarks.race import race
from benchmarks.report import Section
from benchmarks.sections import folder_of, race_section, ratio_check
from benchmarks.texts import english_sentences, long_texts, mixed_texts

__all__ = ["TRAINING"]

MODEL = "all-MiniLM-L6-v2"
PAIRS, LABELS, LONG = 640, 1_280, 128


def training_pairs(plan: Plan) -> Section:
    """Measure an epoch over pairs of short sentences, with the cosine regressed on a score."""
    sentences = english_sentences(plan.sources, 2 * plan.count(PAIRS))
    pairs = zip(sentences[::2], sentences[1::2], strict=True)
    texts = [json.dumps([*pair, (i % 11) / 10]) for i, pair in enumerate(pairs)]
    return _race(plan, texts, "pairs of short sentences", TRAINING_PAIRS, ST_TRAINING, 1.3)


def training_mixed(plan: Plan) -> Section:
    """Measure an epoch of classification over texts of mixed length."""
    texts = mixed_texts(plan.sources, plan.count(LABELS))
    return _race(plan, texts, "texts of mixed length", TRAINING_LABELS, TRANSFORMERS_TRAINING, 1.5)


def training_long(plan: Plan) -> Section:
    """Measure the same over texts truncated to one length, where packing saves no padding."""
    texts = long_texts(plan.sources, plan.count(LONG))
    return _race(plan, texts, "long texts", TRAINING_LABELS, TRANSFORMERS_TRAINING, 1.0)


def _race(plan: Plan, texts: list[str], kind: str, ours: str, peer: str, least: float) -> Section:
    found = race(plan, (ours, peer), texts, folder_of(MODEL))
    section = race_section(f"Training {MODEL} on {len(texts)} {kind}, one epoch", found, ours)
    if peer in found.entrants:
        section.checks.append(ratio_check(f"training on {kind}, against {peer}", found, ours, peer, least))
    return section


TRAINING: Mapping[str, Callable[[Plan], Section]] = {
    "training-pairs": training_pairs,
    "training-mixed": training_mixed,
    "training-long": training_long,
}
