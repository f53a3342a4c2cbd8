"""The head for relations between two marked entities (arXiv:1906.03158, "entity markers, entity start").

The vectors of the two start markers are concatenated, and one linear projection computes the logits:
``W [h_subject; h_object] + b``. Its tensors are ``relation.weight`` ``[num_labels, 2 H]`` and
``relation.bias``; the config's ``relation_markers`` defines how the entities are marked.
"""

from __future__ import annotations

from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.ops import A, Ops
from munjang.models.params import Params

__all__ = ["RELATION_MARKERS", "relate", "start_markers"]

RELATION_MARKERS = "relation_markers"  # the config's key


def start_markers(ops: Ops[A], x: A, batch: TokenBatch[A]) -> A:
    """Return the concatenated vectors of the two start markers: ``[T, H]`` -> ``[B, 2 H]``.

    ``pool_weights`` ``[B, 2, L]`` has the value 1 at the subject's marker and at the object's marker.
    """
    return ops.concat([ops.pool(x, batch, "sum", 0), ops.pool(x, batch, "sum", 1)])


def relate(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001
    """Compute a score for each relation: ``[B, 2 H]`` -> ``[B, num_labels]``."""
    return ops.linear(ops.dropout(x, config.classifier_dropout), root / "relation")
