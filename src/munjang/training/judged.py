"""What a cross-encoder learns from, whatever it looked like: lists of pairs, each with a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from munjang.errors import InputError, InputTypeError
from munjang.evaluation.counts import check_paired
from munjang.evaluation.examples import LabelledText, RankedList, ScoredPair
from munjang.evaluation.pairing import is_label
from munjang.training.objective import require_examples
from munjang.training.task_objective import naming

__all__ = ["Judged", "RankingExamples", "judged", "kind_of"]

RankingExamples: TypeAlias = Sequence[LabelledText] | Sequence[ScoredPair] | Sequence[RankedList]
_KINDS = (LabelledText, ScoredPair, RankedList)


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs of a query and a document, and what each should be: from 0 to 1, or a grade."""

    pairs: tuple[tuple[str, str], ...]
    targets: tuple[float, ...]

    @property
    def differs(self) -> bool:
        """Whether there are two documents of unequal worth."""
        return len(set(self.targets)) > 1


def kind_of(examples: RankingExamples) -> type[LabelledText | ScoredPair | RankedList]:
    """Say what the examples are; `InputTypeError`, with the number, if they are not all of one kind."""
    kind = type(examples[0])
    names = ", ".join(known.__name__ for known in _KINDS)
    for place, one in enumerate(examples):
        if not isinstance(one, _KINDS):
            raise InputTypeError(f"Example {place} is a {type(one).__name__}; there must be {names}.")
        if type(one) is not kind:
            raise InputTypeError(
                f"Example {place} is a {type(one).__name__}, the first is a {kind.__name__}; "
                "give examples of one kind."
            )
    return kind


def judged(
    examples: RankingExamples,
    *,
    what: str = "Example",
    positive: str | None = None,
    highest: float | None = None,
    scaled: bool = True,
) -> list[Judged]:
    """Give the pairs and numbers of examples.

    Args:
        examples: all of one kind.
        what: how messages call an example.
        positive: the label that means that two texts belong together, where labels are not 0 and 1.
        highest: the best score or grade that there is; by default the best that occurs.
        scaled: divide scores and grades by the best.

    Raises `InputError`, with the number of the example, for a label that is neither 0 nor 1, a score or grade
    that is no number, negative or above the highest, a text without a second one, and a list without
    documents or with other than one grade each; and if all examples have the same number.
    """
    require_examples(examples)
    if highest is not None and not 0 < highest < math.inf:
        raise InputError(f"highest must be a number above 0, got {highest}.")
    kind = kind_of(examples)
    if positive is not None and kind is not LabelledText:
        raise InputError(f"positive={positive!r} has no effect on examples without labels; leave it out.")
    if highest is not None and kind is LabelledText:
        raise InputError(f"highest={highest} has no effect on examples with labels; leave it out.")
    found: list[Judged] = []
    listed: Sequence[LabelledText | ScoredPair | RankedList] = examples
    for place, one in enumerate(listed):
        with naming(what, place):
            found.append(_read(one, positive))
    _require_two(what, found)
    if isinstance(examples[0], LabelledText):
        return found
    best = max(max(each.targets) for each in found) if highest is None else highest
    for place, each in enumerate(found):
        if max(each.targets) > best:
            raise InputError(f"{what} {place} has the score {max(each.targets):g}; the highest is {best:g}.")
    if not scaled:
        return found
    return [Judged(each.pairs, tuple(target / best for target in each.targets)) for each in found]


def _read(one: LabelledText | ScoredPair | RankedList, positive: str | None) -> Judged:
    if isinstance(one, LabelledText):
        if one.text_pair is None:
            raise InputError("A cross-encoder reads two texts, and there is one.")
        return Judged(((one.text, one.text_pair),), (_truth(one.label, positive),))
    if isinstance(one, ScoredPair):
        return Judged(((one.sentence1, one.sentence2),), (_checked(one.score, "score"),))
    check_paired("documents", one.documents, "grades of relevance", one.relevance)
    pairs = tuple((one.query, document) for document in one.documents)
    return Judged(pairs, tuple(_checked(grade, "relevance") for grade in one.relevance))


def _truth(label: str | float, positive: str | None) -> float:
    if positive is not None:
        return float(is_label(label, positive))
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if number not in (0, 1):
        raise InputError(
            f"The label {label!r} is neither 0 nor 1; positive=... names the label of texts that "
            "belong together."
        )
    return number


def _checked(number: float, what: str) -> float:
    if not math.isfinite(number) or number < 0:
        raise InputError(f"The {what} is {number}; it must be a number of at least 0.")
    return float(number)


def _require_two(what: str, found: Sequence[Judged]) -> None:
    numbers = {target for one in found for target in one.targets}
    if len(numbers) < 2:
        raise InputError(
            f"All of the {len(found)} {what.lower()}s have the number {numbers.pop():g}; there must be two "
            "different ones at least."
        )
