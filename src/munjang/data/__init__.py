"""Users' files: labelled examples, tags of entities, held-out parts, and functions that read them.

The names are imported lazily at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from munjang.lazy import lazy_names

if TYPE_CHECKING:
    from munjang.data.examples import (
        AnswerSpan as AnswerSpan,
    )
    from munjang.data.examples import (
        Contrast as Contrast,
    )
    from munjang.data.examples import (
        LabelledText as LabelledText,
    )
    from munjang.data.examples import (
        QuestionExample as QuestionExample,
    )
    from munjang.data.examples import (
        RankedList as RankedList,
    )
    from munjang.data.examples import (
        RelationExample as RelationExample,
    )
    from munjang.data.examples import (
        ScoredPair as ScoredPair,
    )
    from munjang.data.files import DataFile as DataFile
    from munjang.data.readers.labelled import (
        read_labelled_texts as read_labelled_texts,
    )
    from munjang.data.readers.labelled import (
        read_scored_pairs as read_scored_pairs,
    )
    from munjang.data.readers.questions import read_question_answers as read_question_answers
    from munjang.data.readers.questions import read_questions as read_questions
    from munjang.data.readers.relations import read_relations as read_relations
    from munjang.data.readers.retrieval import read_contrasts as read_contrasts
    from munjang.data.readers.retrieval import read_ranked_lists as read_ranked_lists
    from munjang.data.readers.tagged import read_tagged_texts as read_tagged_texts
    from munjang.data.readers.texts import read_texts as read_texts
    from munjang.data.splitting import split as split
    from munjang.data.tags import Entity as Entity
    from munjang.data.tags import TaggedText as TaggedText

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "munjang.data.examples": (
            "AnswerSpan",
            "Contrast",
            "LabelledText",
            "QuestionExample",
            "RankedList",
            "RelationExample",
            "ScoredPair",
        ),
        "munjang.data.files": ("DataFile",),
        "munjang.data.readers.labelled": ("read_labelled_texts", "read_scored_pairs"),
        "munjang.data.readers.questions": ("read_question_answers", "read_questions"),
        "munjang.data.readers.relations": ("read_relations",),
        "munjang.data.readers.retrieval": ("read_contrasts", "read_ranked_lists"),
        "munjang.data.readers.tagged": ("read_tagged_texts",),
        "munjang.data.readers.texts": ("read_texts",),
        "munjang.data.splitting": ("split",),
        "munjang.data.tags": ("Entity", "TaggedText"),
    },
)
__all__ = [*__dir__()]
