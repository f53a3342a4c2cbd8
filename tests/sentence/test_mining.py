"""Search, pairs and communities: the results of sentence-transformers, bounded memory, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import util as reference

from munjang import util
from munjang.errors import InputError, InputTypeError
from munjang.sentence import mining

if TYPE_CHECKING:
    from collections.abc import Callable

    from munjang.sentence.mining import Hit
    from munjang.sentence.similarity import FloatArray

FUNCTIONS = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"]


def vectors(*shape: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def clustered(count: int, width: int = 16, centres: int = 12, seed: int = 0) -> FloatArray:
    """Vectors around a few centres, shuffled: pairs and communities worth finding."""
    random = np.random.default_rng(seed)
    around = random.standard_normal((centres, width))[random.integers(centres, size=count)]
    return (around + 0.4 * random.standard_normal((count, width))).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the block sizes, so that small inputs need many blocks."""
    monkeypatch.setattr(mining, "_QUERY_BLOCK", 7)
    monkeypatch.setattr(mining, "_CORPUS_BLOCK", 11)


# Search


def assert_same_hits(ours: list[list[Hit]], theirs: list[list[dict[str, Any]]]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert [hit["corpus_id"] for hit in mine] == [hit["corpus_id"] for hit in other]
        scores = [hit["score"] for hit in mine]
        np.testing.assert_allclose(scores, [hit["score"] for hit in other], rtol=1e-6, atol=1e-6)
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("queries", "corpus"), [(100, 500000), (3, 7), (1, 1), (5, 50), (4, 49)])
@pytest.mark.parametrize("top_k", [1, 10, 200])
def test_search_agrees_for_every_chunk_size(name: str, queries: int, corpus: int, top_k: int) -> None:
    a, b = vectors(9, 16), vectors(50, 16, seed=1)
    ours = util.semantic_search(a, b, queries, corpus, top_k, getattr(util, name))
    theirs = reference.semantic_search(
        torch.tensor(a), torch.tensor(b), queries, corpus, top_k, getattr(reference, name)
    )
    assert_same_hits(ours, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_search_agrees_over_several_blocks(name: str) -> None:
    a, b = vectors(600, 8), vectors(9000, 8, seed=1)
    function = getattr(util, name)
    found = util.semantic_search(a, b, 10_000, top_k=5, score_function=function)
    order = np.argsort(-function(a, b), axis=1, kind="stable")[:, :5]
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == order.tolist()


def test_hits_are_plain_python() -> None:
    ((hit,),) = util.semantic_search([1.0, 0.0], [[0.0, 1.0], [2.0, 0.0]], top_k=1)
    assert hit == {"corpus_id": 1, "score": 1.0}
    assert type(hit["corpus_id"]) is int
    assert type(hit["score"]) is float


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=60),
    st.integers(1, 70),
    st.integers(1, 70),
)
def test_equal_scores_come_in_order_of_the_corpus(corpus: list[int], top_k: int, chunk: int) -> None:
    (hits,) = util.semantic_search(
        [1.0],
        [[float(number)] for number in corpus],
        corpus_chunk_size=chunk,
        top_k=top_k,
        score_function=util.dot_score,
    )
    expected = sorted(range(len(corpus)), key=lambda index: (-corpus[index], index))[:top_k]
    assert [hit["corpus_id"] for hit in hits] == expected


def test_a_corpus_of_equal_texts_returns_the_first() -> None:
    (hits,) = util.semantic_search([0.0, 0.0], np.zeros((20_000, 2)), top_k=3)
    assert hits == [{"corpus_id": index, "score": 0.0} for index in range(3)]


def test_search_without_queries_or_documents_is_empty() -> None:
    assert util.semantic_search([], vectors(3, 8)) == []
    assert util.semantic_search(vectors(0, 8), vectors(3, 8)) == []
    assert util.semantic_search(vectors(2, 8), []) == [[], []]
    assert util.semantic_search(vectors(2, 8), vectors(0, 8)) == [[], []]


def test_search_takes_a_function_of_another_library_and_infinite_scores() -> None:
    a, b = vectors(3, 8), vectors(20, 8, seed=1)
    assert_same_hits(
        util.semantic_search(a, b, score_function=reference.dot_score),
        util.semantic_search(a, b, score_function=util.dot_score),  # type: ignore[arg-type]
    )

    def only_first(queries: FloatArray, corpus: FloatArray) -> FloatArray:
        return np.where(np.arange(len(corpus)) == 0, 1, -np.inf)[None].repeat(len(queries), axis=0)

    (hits,) = util.semantic_search(a[0], b[:3], score_function=only_first, corpus_chunk_size=2)
    assert [(hit["corpus_id"], hit["score"]) for hit in hits] == [(0, 1), (2, 1), (1, -np.inf)]


# Pairs


def assert_same_pairs(ours: list[list[float | int]], theirs: list[list[float | int]]) -> None:
    """Compare as sentence-transformers orders them, except that scores within rounding may change places."""
    assert {(i, j) for _, i, j in ours} == {(i, j) for _, i, j in theirs}
    np.testing.assert_allclose([pair[0] for pair in ours], [pair[0] for pair in theirs], atol=1e-6, rtol=1e-6)
    scores = {(i, j): score for score, i, j in theirs}
    assert len(ours) == len(theirs) == len(scores)
    for score, i, j in ours:
        assert score == pytest.approx(scores[i, j], abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("queries", "corpus"), [(5000, 100000), (7, 11), (1, 1), (60, 59)])
@pytest.mark.parametrize(("top_k", "max_pairs"), [(100, 500000), (3, 500000), (3, 20), (1, 1), (100, 50)])
def test_pairs_agree(name: str, queries: int, corpus: int, top_k: int, max_pairs: int) -> None:
    embeddings = clustered(60) / np.float32(5)  # lengths near 1, as of sentences
    ours = util.paraphrase_mining_embeddings(
        embeddings, queries, corpus, max_pairs, top_k, getattr(util, name)
    )
    # In float64, since torch's float32 distances are off by more than the tolerance.
    theirs = reference.paraphrase_mining_embeddings(
        torch.tensor(embeddings).double(), queries, corpus, max_pairs, top_k, getattr(reference, name)
    )
    assert_same_pairs(ours, theirs)


def test_pairs_agree_over_several_blocks() -> None:
    embeddings = vectors(9000, 8)
    ours = util.paraphrase_mining_embeddings(embeddings, max_pairs=2000, top_k=3)
    theirs = reference.paraphrase_mining_embeddings(torch.tensor(embeddings), max_pairs=2000, top_k=3)
    assert_same_pairs(ours, theirs)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-3, 3), max_size=40),
    st.integers(1, 45),
    st.integers(1, 45),
    st.integers(1, 45),
)
def test_all_pairs_are_found_if_all_neighbours_are_considered(
    numbers: list[int], queries: int, corpus: int, max_pairs: int
) -> None:
    embeddings = np.array([[float(number)] for number in numbers]).reshape(-1, 1)
    ours = util.paraphrase_mining_embeddings(embeddings, queries, corpus, max_pairs, 40, util.dot_score)
    pairs = [
        (float(numbers[i] * numbers[j]), i, j)
        for i in range(len(numbers))
        for j in range(i + 1, len(numbers))
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    assert ours == [list(pair) for pair in pairs[:max_pairs]]


def test_duplicates_pair_with_each_other_and_never_with_themselves() -> None:
    embeddings = np.repeat(clustered(5), 6, axis=0)
    ours = util.paraphrase_mining_embeddings(embeddings, top_k=2)
    assert all(i < j for _, i, j in ours)
    assert all(score == pytest.approx(1, abs=1e-6) and i // 6 == j // 6 for score, i, j in ours)
    assert len({(i, j) for _, i, j in ours}) == len(ours)
    assert {i for pair in ours for i in pair[1:]} == set(range(30))


def test_no_pairs_in_nothing_or_one() -> None:
    assert util.paraphrase_mining_embeddings([]) == []
    assert util.paraphrase_mining_embeddings(vectors(0, 8)) == []
    assert util.paraphrase_mining_embeddings(vectors(1, 8)) == []
    assert util.paraphrase_mining_embeddings(vectors(8)) == []


class LetterCounter:
    """A simple model: its vectors are the counts of each letter."""

    def encode(
        self,
        sentences: list[str],
        /,
        *,
        prompt_name: str | None,
        prompt: str | None,
        batch_size: int,
        show_progress_bar: bool,
        truncate_dim: int | None,
    ) -> FloatArray:
        texts = [(prompt or prompt_name or "") + sentence for sentence in sentences]
        counts = [[float(text.count(chr(97 + letter))) for letter in range(26)] for text in texts]
        return np.asarray(counts, np.float32).reshape(-1, 26)[:, :truncate_dim]


def test_sentences_are_encoded_with_the_callers_options() -> None:
    sentences = ("a cab", "a cab", "zzz", "bac")
    pairs = util.paraphrase_mining(LetterCounter(), sentences, top_k=2)
    assert [pair[1:] for pair in pairs[:1]] == [[0, 1]]
    assert pairs[0][0] == pytest.approx(1)
    cut = util.paraphrase_mining(LetterCounter(), sentences, truncate_dim=25, prompt="q", max_pairs=2)
    assert [pair[1:] for pair in cut] == [[0, 1], [0, 3]]
    assert cut[1][0] == pytest.approx(5 / np.sqrt(7 * 4))  # a, a, b, c, q and a, b, c, q
    assert util.paraphrase_mining(LetterCounter(), []) == []


# Communities


@pytest.mark.parametrize(("threshold", "smallest"), [(0.75, 10), (0.6, 3), (0.9, 1), (0.5, 25), (0.99, 2)])
@pytest.mark.parametrize("batch_size", [1024, 13, 1])
def test_communities_agree(threshold: float, smallest: int, batch_size: int) -> None:
    embeddings = clustered(300)
    ours = util.community_detection(embeddings, threshold, smallest, batch_size)
    assert ours == reference.community_detection(torch.tensor(embeddings), threshold, smallest, batch_size)


@pytest.mark.parametrize("build", [lambda: clustered(2000, 8, 40), lambda: clustered(9000, 32, 60)])
def test_larger_communities_agree(build: Callable[[], FloatArray]) -> None:
    embeddings = build()
    ours = util.community_detection(embeddings, 0.8, 5)
    theirs = reference.community_detection(embeddings, 0.8, 5)
    assert [len(community) for community in ours] == [len(community) for community in theirs]
    assert ours == theirs


def test_communities_of_duplicates_agree_as_sets() -> None:
    embeddings = np.repeat(clustered(6, centres=6), [9, 8, 7, 6, 5, 4], axis=0)
    ours = util.community_detection(embeddings, 0.95, 5)
    theirs = reference.community_detection(embeddings, 0.95, 5)
    assert [set(community) for community in ours] == [set(community) for community in theirs]


def test_no_communities_among_too_few() -> None:
    assert util.community_detection([]) == []
    assert util.community_detection(vectors(9, 8)) == []
    assert util.community_detection(np.zeros((20, 8)), min_community_size=2) == []
    assert util.community_detection(vectors(8), min_community_size=1) == [[0]]


# Bad input


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named(bad: float) -> None:
    embeddings = vectors(12, 8)
    embeddings[7, 3] = bad
    message = f"row 7 of {{}} holds {bad}"
    with pytest.raises(InputError, match=message.format("corpus_embeddings")):
        util.semantic_search(vectors(2, 8), embeddings)
    with pytest.raises(InputError, match=message.format("query_embeddings")):
        util.semantic_search(embeddings, vectors(2, 8))
    with pytest.raises(InputError, match=message.format("embeddings")):
        util.paraphrase_mining_embeddings(embeddings)
    with pytest.raises(InputError, match=message.format("embeddings")):
        util.community_detection(embeddings)


def test_finite_rows_whose_sum_overflows_are_accepted() -> None:
    embeddings = np.full((3, 8), 3e38, np.float32)
    assert len(util.paraphrase_mining_embeddings(embeddings)) == 3


@pytest.mark.parametrize("number", [0, -1])
def test_sizes_below_one_are_refused(number: int) -> None:
    a = vectors(3, 8)
    for option in ("top_k", "query_chunk_size", "corpus_chunk_size"):
        options: dict[str, Any] = {option: number}
        with pytest.raises(InputError, match=f"{option} must be at least 1, got {number}"):
            util.semantic_search(a, a, **options)
        with pytest.raises(InputError, match=f"{option} must be at least 1"):
            util.paraphrase_mining_embeddings(a, **options)
    with pytest.raises(InputError, match="max_pairs must be at least 1"):
        util.paraphrase_mining_embeddings(a, max_pairs=number)
    with pytest.raises(InputError, match="min_community_size must be at least 1"):
        util.community_detection(a, min_community_size=number)
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        util.community_detection(a, batch_size=number)


def test_options_of_the_wrong_type_are_refused() -> None:
    a = vectors(3, 8)
    with pytest.raises(InputTypeError, match="top_k must be a whole number"):
        util.semantic_search(a, a, top_k=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="number for threshold, got 'high'"):
        util.community_detection(a, threshold="high")  # type: ignore[arg-type]
    for wrong in (True, None, [0.5], "0.5"):
        with pytest.raises(InputTypeError, match="number for threshold"):
            util.community_detection(a, threshold=wrong)  # type: ignore[arg-type]
    for number in (np.nan, np.inf, 1.01, -2):
        with pytest.raises(InputError, match="threshold between -1 and 1"):
            util.community_detection(a, threshold=number)
    assert util.community_detection(a, np.float32(-1.0), 1)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="score_function must be a function, got 'cosine'"):
        util.semantic_search(a, a, score_function="cosine")  # type: ignore[arg-type]
    for sentences in ("one text", b"bytes", {"a": 1}, 5):
        with pytest.raises(InputTypeError, match=f"list of sentences, got one {type(sentences).__name__}"):
            util.paraphrase_mining(LetterCounter(), sentences)  # type: ignore[arg-type]
    for call in (
        lambda: util.paraphrase_mining(LetterCounter(), ["a"], show_progress_bar="no"),  # type: ignore[arg-type]
        lambda: util.paraphrase_mining_embeddings(a, show_progress_bar="no"),  # type: ignore[arg-type]
        lambda: util.community_detection(a, show_progress_bar="no"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputTypeError, match="show_progress_bar must be True or False, got 'no'"):
            call()
    with pytest.raises(InputTypeError, match="encode texts first"):
        util.semantic_search(["a text"], a)


def test_wrong_widths_are_named() -> None:
    with pytest.raises(InputError, match="semantic_search needs vectors of equal width, got 384 and 768"):
        util.semantic_search(vectors(2, 384), vectors(2, 768))


def test_scores_that_cannot_be_ordered_are_refused() -> None:
    a = vectors(3, 8)
    with pytest.raises(InputError, match="score_function returned NaN"):
        util.semantic_search(a, a, score_function=lambda x, y: util.dot_score(x, y) * np.nan)
    with pytest.raises(InputError, match=r"scores of shape \(3, 3\), got \(1, 3\)"):
        util.paraphrase_mining_embeddings(a, score_function=util.pairwise_dot_score)


# Progress and memory


def test_progress_is_shown_on_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    a = clustered(40)
    assert util.paraphrase_mining_embeddings(a, show_progress_bar=True)
    util.community_detection(a, 0.5, 2, show_progress_bar=True)
    shown = capsys.readouterr()
    assert "Comparing sentences" in shown.err
    assert "Finding communities" in shown.err
    assert shown.out == ""
    util.community_detection(a)
    assert capsys.readouterr().err == ""


MEASURE = """
import sys
import numpy as np
from munjang import util
random = np.random.default_rng(0)
vectors = random.standard_normal((20_000, 32), dtype=np.float32)
{call}
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory as Linux reports it")
@pytest.mark.parametrize(
    "call",
    [
        "assert len(util.paraphrase_mining_embeddings(vectors, top_k=10, max_pairs=1000)) == 1000",
        "assert len(util.semantic_search(vectors, vectors, 20_000, top_k=1)) == 20_000",
        # Every vector is like every other: 20,000 communities of 20,000 if they were all kept.
        "assert len(util.community_detection(1 + vectors / 100)[0]) == 20_000",
    ],
)
def test_memory_stays_far_below_the_full_matrix(call: str) -> None:
    """All scores together would take 1.5 GiB; the peak is the process's own, not what it was forked from."""
    done = subprocess.run([sys.executable, "-c", MEASURE.format(call=call)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 300
