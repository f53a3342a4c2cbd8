"""Which definition belongs to which ``model_type``: exact names, no guessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from munjang.errors import CheckpointError, UnsupportedModelError
from munjang.models import bert, distilbert, electra, roberta
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.ops import A, Ops
from munjang.models.params import Params

__all__ = ["ARCHITECTURES", "Architecture", "Encode", "Head", "Pool", "architecture_of"]


class Encode(Protocol):
    """Token ids to the last hidden state."""

    def __call__(
        self,
        ops: Ops[A],
        p: Params[A],
        config: EncoderConfig,
        batch: TokenBatch[A],
        *,
        only_rows: bool = False,
    ) -> A:
        """Give ``[T, H]``, or ``[R, H]`` for ``batch.rows`` only."""
        ...


class Pool(Protocol):
    """The pooler: first-token vectors ``[B, H]`` to the pooler output ``[B, H]``."""

    def __call__(self, ops: Ops[A], p: Params[A], first: A) -> A:
        """Give the pooler output."""
        ...


class Head(Protocol):
    """A task head on the first token's vectors."""

    def __call__(self, ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, first: A) -> A:
        """Give logits ``[B, num_labels]``."""
        ...


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture: how to read its config, how to compute it, where its tensors stand.

    ``base_prefix`` is what published checkpoints with a head put before the encoder's names; a bare encoder
    has none. ``head_tensors`` names, per head, a tensor that says whether a checkpoint has that head.
    """

    model_type: str
    base_prefix: str
    read_config: Callable[[Mapping[str, Any]], EncoderConfig]
    encode: Encode
    pool: Pool | None = None
    heads: Mapping[str, Head] = field(default_factory=dict)
    head_tensors: Mapping[str, str] = field(default_factory=dict)

    def base(self, root: Params[A]) -> Params[A]:
        """Find the encoder's tensors, with or without the base prefix."""
        prefixed = root / self.base_prefix
        return prefixed if prefixed.has_prefix() else root


_OUT_PROJ = {"sequence-classification": "classifier.out_proj.weight"}
_CLASSIFIER = {"sequence-classification": "classifier.weight"}

ARCHITECTURES: Mapping[str, Architecture] = {
    a.model_type: a
    for a in (
        Architecture(
            model_type="bert",
            base_prefix="bert",
            read_config=bert.read_config,
            encode=bert.encode,
            pool=bert.pool,
            heads={"sequence-classification": bert.classify},
            head_tensors=_CLASSIFIER,
        ),
        *(
            Architecture(
                model_type=model_type,
                base_prefix="roberta",
                read_config=roberta.read_config,
                encode=bert.encode,
                pool=bert.pool,
                heads={"sequence-classification": roberta.classify},
                head_tensors=_OUT_PROJ,
            )
            for model_type in ("roberta", "xlm-roberta")
        ),
        Architecture(
            model_type="electra",
            base_prefix="electra",
            read_config=electra.read_config,
            encode=electra.encode,
            heads={"sequence-classification": electra.classify},
            head_tensors=_OUT_PROJ,
        ),
        Architecture(
            model_type="distilbert",
            base_prefix="distilbert",
            read_config=distilbert.read_config,
            encode=distilbert.encode,
            heads={"sequence-classification": distilbert.classify},
            head_tensors=_CLASSIFIER,
        ),
    )
}


def architecture_of(raw_config: Mapping[str, Any]) -> Architecture:
    """Find the architecture of a ``config.json``.

    Raises `CheckpointError` if it names none, `UnsupportedModelError` if it is not one of ours.
    """
    model_type = raw_config.get("model_type")
    if not isinstance(model_type, str):
        raise CheckpointError("config.json has no 'model_type', so the architecture is unknown.")
    if model_type not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"The model type '{model_type}' is not supported; supported are {', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[model_type]
