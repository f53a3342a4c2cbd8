"""Labelled examples from files: every function that reads one, and the one that parts what was read."""

from munjang.evaluation.answer_files import read_questions
from munjang.evaluation.contrast_files import read_contrasts
from munjang.evaluation.labelled_files import read_labelled_texts, read_scored_pairs
from munjang.evaluation.ranked_files import read_ranked_lists
from munjang.evaluation.relation_files import read_relations
from munjang.evaluation.splitting import split
from munjang.evaluation.tagged_files import read_tagged_texts
from munjang.evaluation.text_files import read_texts

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
