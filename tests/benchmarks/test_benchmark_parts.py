"""The parts of the benchmarks that do not measure: texts, statistics, operations, tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # the benchmarks are no part of the package

from benchmarks.machine import cores, describe
from benchmarks.peak import encoder_flops, product
from benchmarks.peers import mean_of_tokens
from benchmarks.quiet import Patience, Timing
from benchmarks.report import Check, Section, result_path, show, show_checks, write
from benchmarks.rounds import Quartiles, best_setting, quartiles, ratios, take_turns
from benchmarks.texts import english_sentences, find_data, korean_questions, mixed_texts, windows


def test_quartiles_and_ratios() -> None:
    assert quartiles([3.0]) == Quartiles(3.0, 3.0, 3.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == Quartiles(2.0, 3.0, 4.0)
    assert ratios([2.0, 6.0, 4.0], [1.0, 2.0, 1.0]) == Quartiles(2.5, 3.0, 3.5)
    assert quartiles([1.0, 2.0, 3.0]).text() == "2.00 (1.50 to 2.50)"


def test_settings_have_equally_many_turns_in_rotated_order() -> None:
    turns: list[str] = []

    def run(name: str) -> int:
        turns.append(name)
        return len(turns)

    found = take_turns(["a", "b", "c"], 3, run)
    assert "".join(turns) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_the_fastest_setting_wins_despite_a_disturbance() -> None:
    times = {0: [5.0], 1: [3.0, 3.1], 2: [4.0, 2.0]}
    assert best_setting(3, lambda number: times[number].pop(0)) == (2, {0: 5.0, 1: 3.0, 2: 2.0})


def test_disturbed_measurements_are_repeated() -> None:
    runs = [Timing(1.0, 1.0, others=0.9 * cores()), Timing(2.0, 1.0, others=0.0)]
    assert Patience(10).measure(lambda: runs.pop(0)).seconds == 2.0
    disturbed = Timing(1.0, 1.0, others=0.9 * cores())
    assert Patience(0).measure(lambda: disturbed) is disturbed


def test_operations_are_those_of_the_matrix_products() -> None:
    rng = np.random.default_rng(0)
    hidden, intermediate, layers, lengths = 8, 32, 2, [3, 5]
    counted = 0
    for length in lengths:
        x, wide = rng.random((length, hidden)), rng.random((length, intermediate))
        for left, right in [
            *[(x, np.empty((hidden, hidden)))] * 4,
            (x, np.empty((hidden, intermediate))),
            (wide, np.empty((intermediate, hidden))),
            (x, x.T),
            (np.empty((length, length)), x),
        ]:
            assert left.shape[1] == right.shape[0]
            counted += 2 * layers * left.shape[0] * left.shape[1] * right.shape[1]
    assert encoder_flops(lengths, hidden=hidden, intermediate=intermediate, layers=layers) == counted


def test_a_product_counts_its_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peak.SIZE", 16)
    assert product()() == 2 * 16**3


def test_mean_of_tokens_leaves_padding_out() -> None:
    hidden = np.array([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]], dtype=np.float32)
    assert mean_of_tokens(hidden, [2]) == pytest.approx(np.array([[0.6, 0.8]]))


def test_texts_are_unique_and_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUNJANG_DATA", "/nonexistent")
    sources = find_data()
    for make, count in ((english_sentences, 2000), (mixed_texts, 400), (korean_questions, 1000)):
        texts = make(sources, count)
        assert len(set(texts)) == count
        assert texts == make(sources, count)
    words = [len(text.split()) for text in mixed_texts(sources, 400)]
    assert 50 < np.mean(words) < 70
    assert min(words) < 15
    assert max(words) > 150


def test_windows_have_the_requested_lengths() -> None:
    texts = windows(["a b c", "d e"], [2, 2, 4], np.random.default_rng(0), avoid=["a b"])
    assert [len(text.split()) for text in texts] == [2, 2, 4]
    assert "a b" not in texts


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = describe()
    check = Check("start", "< 1.3 s", "1.00 s", 1.0, passed=True)
    data = {"seconds": [1.0, -2.5e-05], "said": ["a", "[1,2]"]}
    section = Section("Start", ("process", "seconds"), [("munjang", "1.00")], data, checks=[check])
    show(section)
    show_checks([check])
    assert "| munjang | 1.00    |" in capsys.readouterr().out
    path = result_path(tmp_path / "results", {"date": "2025-01-31T10:00", "cpu": "Some CPU @ 2 (avx2)"})
    assert path.name == "2025-01-31-some-cpu-2.json"
    write(path, machine, {"start": section})
    text = path.read_text(encoding="utf-8")
    assert '"seconds": [1.0, -2.5e-05]' in text
    content = json.loads(text)
    assert content["checks"][0]["passed"]
    assert content["measurements"]["start"] == {"title": "Start", **data}
    assert content["machine"]["cores"] >= 1
