"""The lead of hits over other documents that are similar to the query, and queries without a good hit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from munjang import Index
from munjang.search.query import FITTING, relative_leads, surroundings

EXAMPLES = Path(__file__).parents[2] / "examples" / "everyday_questions.csv"
UNRELATED = [
    "What is the capital of Mongolia?",
    "how do black holes evaporate",
    "recursive descent parser in rust",
    "photosynthesis equation",
    "titanium melting point",
    "who wrote Don Quixote",
    "causes of the French revolution",
    "asdf qwer zxcv",
]


def test_surroundings_are_ranks_six_to_twenty_five() -> None:
    similarities = [0.9, 0.8, 0.8, 0.8, 0.8, *[0.5] * 20, *[0.1] * 30]
    assert surroundings(similarities) == pytest.approx(0.5)
    leads = relative_leads(similarities)
    assert leads is not None
    assert leads[0] == pytest.approx(0.4 / 0.5)
    assert leads[5] == pytest.approx(0)


@pytest.mark.parametrize("similarities", [[], [0.9], [0.9] * 10, [1.0] * 20])
def test_few_or_equal_scores_have_no_leads(similarities: list[float]) -> None:
    assert relative_leads(similarities) is None


@pytest.mark.models
@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", "multilingual-e5-small"])
def test_no_hit_is_good_for_an_unrelated_query(tmp_path: Path, model: str) -> None:
    with EXAMPLES.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["lang"] == "en"][:80]
    documents = [{"id": row["id"], "question": row["question"], "answer": row["answer"]} for row in rows]
    with Index.open(tmp_path / "faq.munjang", model=model, fields=["question", "answer"]) as index:
        index.add(documents)
        known = [row["question"].lower().rstrip("?.") for row in rows[::8]]
        found = [hits[0] for hits in index.search_batch([*known, *UNRELATED], limit=1)]
    leads = np.array([np.nan if hit.lead is None else hit.lead for hit in found])
    assert (leads[: len(known)] > FITTING).all()
    assert (leads[len(known) :] < FITTING).mean() >= 0.6
    assert all(hit.similarity == hit.scores["semantic"] for hit in found if "semantic" in hit.scores)
