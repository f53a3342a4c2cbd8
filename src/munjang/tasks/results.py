"""The JSON forms of the results of tasks, for the command line and for servers; scores have six digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from munjang.rounding import rounded_items, significant

if TYPE_CHECKING:
    from munjang.tasks.aggregation import EntityGroup
    from munjang.tasks.fill_mask.fill_mask import Fill
    from munjang.tasks.next_sentence import NextSentence
    from munjang.tasks.question_answering import Answer


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """Return an answer without ``null_score``, which belongs to the question."""
    return rounded_items(answer, "answer", "start", "end", "score")


def entity_to_dict(entity: EntityGroup) -> dict[str, Any]:
    """Return an entity."""
    return rounded_items(entity, "entity_group", "word", "start", "end", "score")


def fill_to_dict(fill: Fill) -> dict[str, Any]:
    """Return a fill without ``withheld``, which is the same in all fills of a text."""
    result: dict[str, Any] = {**fill, "score": significant(fill["score"])}
    if "scores" in fill:
        result["scores"] = [significant(score) for score in fill["scores"]]
    del result["withheld"]
    return result


def next_sentence_to_dict(judgement: NextSentence) -> dict[str, Any]:
    """Return the label and both probabilities."""
    return {
        **judgement,
        "follows": significant(judgement["follows"]),
        "unrelated": significant(judgement["unrelated"]),
    }
