"""A sentence encoder as one computation: encoder, pooling and what follows, in a single graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from munjang.models.batch import TokenBatch
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import LAST_HIDDEN_STATE, POOLER_OUTPUT, ModelProgram
from munjang.sentence.modules import Module
from munjang.sentence.pooling import POOLER, Pooling

__all__ = ["SENTENCE_EMBEDDING", "TOKEN_EMBEDDINGS", "SentenceProgram", "model_outputs"]

SENTENCE_EMBEDDING: Final = "sentence_embedding"  # [B, d]
TOKEN_EMBEDDINGS: Final = "token_embeddings"  # [T, H]  # noqa: S105 - not a password


@dataclass(frozen=True)
class SentenceProgram:
    """Token ids to sentence vectors, and to token vectors if ``tokens`` is set."""

    model: ModelProgram
    pooling: Pooling
    modules: tuple[Module, ...]
    tokens: bool = False

    def __hash__(self) -> int:
        return hash((self.model, self.pooling, self.modules, self.tokens))

    @property
    def taps(self) -> frozenset[str]:
        """Nothing beside the outputs."""
        return frozenset()

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute ``sentence_embedding`` and, if asked for, ``token_embeddings``."""
        model = self.model
        base = model.architecture.base(root)
        only_rows = self.pooling.only_rows and not self.tokens
        x = model.architecture.encode(ops, base, model.config, batch, only_rows=only_rows)
        found = {TOKEN_EMBEDDINGS: x} if self.tokens else {}
        if self.pooling.only_rows and self.tokens:
            x = ops.rows(x, batch.rows)  # every row was wanted, pooling needs few of them
        pooled = self._pool(ops, base, x, batch)
        for module in self.modules:
            pooled = module(ops, root, pooled)
        return {**found, SENTENCE_EMBEDDING: pooled}

    def _pool(self, ops: Ops[A], base: Params[A], x: A, batch: TokenBatch[A]) -> A:
        if self.pooling.modes == (POOLER,) and self.model.architecture.pool is not None:
            return self.model.architecture.pool(ops, base, x)
        return self.pooling(ops, x, batch)


def model_outputs(pooling: Pooling) -> frozenset[str]:
    """What the encoder must be able to give for a pooling, for the check when it is opened."""
    return frozenset({POOLER_OUTPUT if pooling.modes == (POOLER,) else LAST_HIDDEN_STATE})
