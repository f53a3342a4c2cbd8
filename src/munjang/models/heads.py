"""The heads of published checkpoints, each with its published tensor names.

A head's input is the rows that it needs, ``[R, H]``: the first token of each text, the masked tokens, or
every token; `munjang.models.registry` defines which.
"""

from __future__ import annotations

from munjang.models import bert
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.ops import A, Ops
from munjang.models.params import Params


def bert_masked_lm(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    """Compute BERT's masked-LM head: ``[R, H]`` -> ``[R, vocab_size]``."""
    p = root / "cls.predictions"
    x = ops.activation(config.hidden_act, ops.linear(x, p / "transform.dense"))
    x = ops.layer_norm(x, p / "transform.LayerNorm", config.layer_norm_eps)
    return _vocabulary(ops, base, config, x, decoder=p / "decoder", bias=p)


def roberta_masked_lm(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    """Compute RoBERTa's masked-LM head: ``[R, H]`` -> ``[R, vocab_size]``."""
    p = root / "lm_head"
    x = ops.activation("gelu", ops.linear(x, p / "dense"))
    x = ops.layer_norm(x, p / "layer_norm", config.layer_norm_eps)
    return _vocabulary(ops, base, config, x, decoder=p / "decoder", bias=p)


def electra_masked_lm(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    """Compute ELECTRA's generator head: ``[R, H]`` -> ``[R, vocab_size]``."""
    p = root / "generator_predictions"
    x = ops.activation("gelu", ops.linear(x, p / "dense"))
    x = ops.layer_norm(x, p / "LayerNorm", config.layer_norm_eps)
    decoder = root / "generator_lm_head"
    return _vocabulary(ops, base, config, x, decoder=decoder, bias=decoder)


def distilbert_masked_lm(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    """Compute DistilBERT's masked-LM head: ``[R, H]`` -> ``[R, vocab_size]``."""
    x = ops.activation(config.hidden_act, ops.linear(x, root / "vocab_transform"))
    x = ops.layer_norm(x, root / "vocab_layer_norm", config.layer_norm_eps)
    decoder = root / "vocab_projector"
    return _vocabulary(ops, base, config, x, decoder=decoder, bias=decoder)


def _vocabulary(
    ops: Ops[A], base: Params[A], config: EncoderConfig, x: A, *, decoder: Params[A], bias: Params[A]
) -> A:
    """Compute a score for every piece; the matrix is the word embeddings' or a separate one.

    Files of a model without tied weights have two biases; the decoder's bias is added.
    """
    weight = decoder.get("weight") if config.tie_word_embeddings else decoder["weight"]
    if weight is None:
        weight = base["embeddings.word_embeddings.weight"]
    offset = decoder.get("bias")
    return ops.affine(x, weight, bias["bias"] if offset is None else offset)


def next_sentence(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001
    """Compute BERT's next-sentence head: ``[B, H]`` -> ``[B, 2]``; class 0 is "follows"."""
    return ops.linear(bert.pool(ops, base, x), root / "cls.seq_relationship")


def token_classification(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001
    """Compute label scores for each token: ``[T, H]`` -> ``[T, num_labels]``."""
    return ops.linear(ops.dropout(x, config.classifier_dropout), root / "classifier")


def question_answering(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001
    """Compute the answer's start and end scores for each token: ``[T, H]`` -> ``[T, 2]``."""
    return ops.linear(x, root / "qa_outputs")


RELATION_MARKERS = "relation_markers"  # the config's key


def start_markers(ops: Ops[A], x: A, batch: TokenBatch[A]) -> A:
    """Put the vectors of the two start markers side by side: ``[T, H]`` -> ``[B, 2 H]``.

    ``pool_weights`` ``[B, 2, L]`` has a one at the subject's marker and another at the object's.
    """
    return ops.concat([ops.pool(x, batch, "sum", 0), ops.pool(x, batch, "sum", 1)])


def relate(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001
    """Score each relation: ``[B, 2 H]`` -> ``[B, num_labels]``."""
    return ops.linear(ops.dropout(x, config.classifier_dropout), root / "relation")
