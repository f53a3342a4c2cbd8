"""Labelled examples from files: every function that reads one, and the one that parts what was read."""

from munjang.data.readers.contrasts import read_contrasts
from munjang.data.readers.labelled import read_labelled_texts, read_scored_pairs
from munjang.data.readers.questions import read_questions
from munjang.data.readers.ranked import read_ranked_lists
from munjang.data.readers.relations import read_relations
from munjang.data.readers.tagged import read_tagged_texts
from munjang.data.readers.texts import read_texts
from munjang.data.splitting import split

__all__ = [
    "read_contrasts",
    "read_labelled_texts",
    "read_questions",
    "read_ranked_lists",
    "read_relations",
    "read_scored_pairs",
    "read_tagged_texts",
    "read_texts",
    "split",
]
