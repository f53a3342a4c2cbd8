"""Values of ids, metadata and filters: plain values are stored, others are refused by name."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import Index, SentenceTransformer
from munjang.errors import InputError, InputTypeError
from munjang.search.documents import checked_document, checked_id
from munjang.search.filters import parse_filter


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042 -- its str() is "OldColour.RED"
    RED = "red"


class Price(float):
    def __str__(self) -> str:
        return "cheap"


PLAIN = [
    (HTTPStatus.OK, 200),
    (np.int64(7), 7),
    (np.uint8(7), 7),
    (Colour.RED, "red"),
    (OldColour.RED, "red"),
    (np.str_("red"), "red"),
]
HUGE = [10**400, -(10**400), 2**63, -(2**63) - 1, 10**5000]


@pytest.fixture
def index(tmp_path: Path, model: SentenceTransformer) -> Iterator[Index]:
    with Index.open(tmp_path / "a.munjang", model=model) as opened:
        yield opened


@pytest.mark.parametrize(("value", "plain"), PLAIN)
def test_subclasses_and_numpy_scalars_are_stored_as_plain_values(
    index: Index, value: Any, plain: Any
) -> None:
    index.add([{"id": value, "text": "a", "metadata": {"kind": value, "list": [value]}}])
    (document,) = index.documents()
    assert document.id == plain
    assert type(document.id) is type(plain)
    assert document.metadata == {"kind": plain, "list": [plain]}
    assert value in index
    assert index.get(value) == document
    for wanted in ({"kind": value}, {"list": [value]}, {"kind": {"gte": value}}):
        assert index.count(wanted) == 1
    assert index.delete(value) == 1


@pytest.mark.parametrize(
    ("value", "plain"), [(np.float32(0.5), 0.5), (Price(0.5), 0.5), (np.bool_(True), True)]
)
def test_metadata_may_be_numbers_of_other_types(index: Index, value: Any, plain: Any) -> None:
    index.add([{"id": 1, "text": "a", "metadata": {"kind": value}}])
    (document,) = index.documents()
    assert type(document.metadata["kind"]) is type(plain)
    assert document.metadata == {"kind": plain}
    assert index.count({"kind": value}) == 1


@pytest.mark.parametrize("value", HUGE, ids=["large", "negative", "just", "just-negative", "unwritable"])
def test_whole_numbers_beyond_64_bits_are_refused(index: Index, value: int) -> None:
    with pytest.raises(InputError, match="beyond 64 bits"):
        checked_id(value)
    with pytest.raises(InputError, match=r"metadata\.n holds .* beyond 64 bits"):
        checked_document({"id": 1, "text": "a", "metadata": {"n": value}}, ["text"])
    assert value not in index
    assert index.count({"n": value}) == 0
    assert index.count({"n": {"gt": value}}) == 0


@pytest.mark.parametrize("value", [True, 1.5, Decimal(1), Fraction(1, 2), b"1", None, np.float64(1), (1,)])
def test_other_values_are_no_ids(index: Index, value: Any) -> None:
    with pytest.raises(InputTypeError, match="An id is a whole number or a text"):
        checked_id(value)
    assert value not in index


@pytest.mark.parametrize(
    "value", [Decimal(1), Fraction(1, 2), b"1", {1}, date(2026, 1, 1), float("nan"), np.datetime64("2026")]
)
def test_metadata_that_json_lacks_is_refused(value: Any) -> None:
    with pytest.raises(InputTypeError, match=r"Document 1: metadata\.n holds .*, which JSON can't hold"):
        checked_document({"id": 1, "text": "a", "metadata": {"n": value}}, ["text"])


@pytest.mark.parametrize("value", [Decimal(1), b"1", {1}, object(), [[1]], float("nan")])
def test_filters_refuse_what_metadata_never_is(value: Any) -> None:
    with pytest.raises(InputTypeError, match="filter"):
        parse_filter({"n": value})


@pytest.mark.parametrize(
    "call",
    [
        lambda index, folder: index.build(None),
        lambda index, folder: index.build(b"x"),
        lambda index, folder: index.build(folder, prune=np.array([1, 2])),
        lambda index, folder: index.add([{"id": 9, "text": "x", "metadata": np.array([1, 2])}]),
        lambda index, folder: index.add(np.array("x")),
        lambda index, folder: index.delete(np.array(1)),
        lambda index, folder: index.delete(np.array([[1]])),
    ],
)
def test_arguments_of_other_types_are_named(index: Index, tmp_path: Path, call: Any) -> None:
    with pytest.raises(InputTypeError):
        call(index, tmp_path)
    assert len(index) == 0
