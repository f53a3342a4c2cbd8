"""Tasks compared with other libraries, with random weights of published sizes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.checkpoints import CROSS_ENCODERS, bert_base, cross_encoder, gpt2_small
from benchmarks.peers import (
    FILL_BATCH,
    FILL_ONE,
    PAIRS,
    ST_PAIRS,
    TRANSFORMERS_BATCH,
    TRANSFORMERS_ONE,
    TRANSFORMERS_WRITING,
    WRITING,
    WRITING_8_BIT,
)
from benchmarks.plan import Plan
from benchmarks.race import Race, race
from benchmarks.report import Check, Section
from benchmarks.sections import folder_of, race_section, ratio_check
from benchmarks.task_peers import Scores
from benchmarks.texts import english_sentences, mixed_texts

__all__ = ["TASKS"]

WORDS = "all-MiniLM-L6-v2"  # whose vocabulary is BERT's own


def fill_mask_single(plan: Plan) -> Section:
    """Measure fill-mask of short sentences, one sentence after another."""
    texts = _masked(english_sentences(plan.sources, plan.count(60)))
    return _fill(plan, texts, "short sentences, one at a time", (FILL_ONE, TRANSFORMERS_ONE), 3.0)


def fill_mask_batch(plan: Plan) -> Section:
    """Measure fill-mask of many texts of different lengths, in one call."""
    texts = _masked(mixed_texts(plan.sources, plan.count(100)))
    return _fill(plan, texts, "texts of mixed length, in one call", (FILL_BATCH, TRANSFORMERS_BATCH), 2.5)


def _fill(plan: Plan, texts: list[str], kind: str, names: tuple[str, str], must: float) -> Section:
    folder = bert_base(plan.place / f"bert-base-{len(texts)}", folder_of(WORDS))
    found = race(plan, names, texts, folder)
    section = race_section(f"Fill-mask, bert-base, {len(texts)} {kind}", found, names[0])
    _compare(section, found, names, f"fill-mask, {kind}", must, _of_the_same_words)
    return section


def _of_the_same_words(ours: Scores, theirs: Scores) -> float:
    """Compare the probabilities of words that both return; only the peer returns special tokens."""
    mine = {(text, int(token)): score for text, row in enumerate(ours) for token, score in row}
    others = {(text, int(token)): score for text, row in enumerate(theirs) for token, score in row}
    same = mine.keys() & others.keys()
    if len(same) < 0.9 * len(mine):
        return math.inf
    return max(abs(mine[key] - others[key]) for key in same)


def cross_encoders(plan: Plan) -> Section:
    """Measure one question with a hundred answers, for each published size."""
    sections = [_pairs(plan, name) for name in CROSS_ENCODERS]
    first = sections[0]
    first.title = "100 pairs, cross-encoders"
    for section in sections[1:]:
        first.rows = [*first.rows, *section.rows]
        first.notes += section.notes
        first.checks += section.checks
        first.data = {**first.data, **section.data}
    return first


def _pairs(plan: Plan, name: str) -> Section:
    texts = english_sentences(plan.sources, 101)
    answers = mixed_texts(plan.sources, 100)
    pairs = [json.dumps([texts[0], answer]) for answer in answers]
    folder = cross_encoder(plan.place / name, folder_of(WORDS), name)
    found = race(plan, (PAIRS, ST_PAIRS), pairs, folder)
    section = race_section(name, found, PAIRS)
    section.rows = [(f"{row[0]}, {name}", *row[1:]) for row in section.rows]
    section.data = {name: section.data}
    _compare(section, found, (PAIRS, ST_PAIRS), name, 2.0)
    return section


def writing(plan: Plan) -> Section:
    """Measure sampling from GPT-2."""
    prompts = english_sentences(plan.sources, 4)
    folder = gpt2_small(plan.place / "gpt2", english_sentences(plan.sources, 2000))
    names = (WRITING, WRITING_8_BIT, TRANSFORMERS_WRITING)
    found = race(plan, names, prompts, folder)
    section = race_section("GPT-2 small, 64 tokens for each of 4 prompts, sampling", found, WRITING)
    if TRANSFORMERS_WRITING in found.entrants:
        for ours, must in ((WRITING, 1.5), (WRITING_8_BIT, 3.0)):
            section.checks.append(ratio_check(ours, found, ours, TRANSFORMERS_WRITING, must))
    return section


def _masked(texts: Sequence[str]) -> list[str]:
    """Replace a word with a mask."""
    chance = random.Random(5)
    found = []
    for text in texts:
        words = text.split()
        words[chance.randrange(len(words))] = "[MASK]"
        found.append(" ".join(words))
    return found


def _largest(ours: Scores, theirs: Scores) -> float:
    return float(np.abs(ours - theirs).max())


def _compare(
    section: Section,
    found: Race,
    names: tuple[str, str],
    what: str,
    must: float,
    difference_of: Callable[[Scores, Scores], float] = _largest,
) -> None:
    ours, peer = names
    if peer not in found.entrants:
        return
    section.checks.append(ratio_check(f"{what}, against {peer}", found, ours, peer, must))
    difference = float(difference_of(found.vectors[ours], found.vectors[peer]))
    section.checks.append(
        Check(f"{what}, largest difference", "< 1e-5", f"{difference:.1e}", difference, difference < 1e-5)
    )


TASKS: Mapping[str, Callable[[Plan], Section]] = {
    "fill-mask": fill_mask_single,
    "fill-mask-batch": fill_mask_batch,
    "pairs": cross_encoders,
    "writing": writing,
}
