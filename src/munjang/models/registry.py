"""The definition for each ``model_type``: exact names only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from munjang.errors import CheckpointError, InputError, UnsupportedModelError
from munjang.models import bert, distilbert, electra, gpt2, heads, roberta
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig, shown
from munjang.models.ops import A, Ops
from munjang.models.params import Params


class Encode(Protocol):
    """The function that computes the last hidden state from token ids."""

    def __call__(
        self,
        ops: Ops[A],
        p: Params[A],
        config: EncoderConfig,
        batch: TokenBatch[A],
        *,
        only_rows: bool = False,
    ) -> A:
        """Return ``[T, H]``, or ``[R, H]`` for ``batch.rows`` only."""
        ...


class Pool(Protocol):
    """The pooler: first-token vectors ``[B, H]`` -> pooler output ``[B, H]``."""

    def __call__(self, ops: Ops[A], p: Params[A], first: A) -> A:
        """Return the pooler output."""
        ...


class HeadFunction(Protocol):
    """A task head."""

    def __call__(self, ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
        """Return logits ``[R, n]`` for the rows ``[R, H]`` that the head works on."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A task head: its computation, and the rows of the last layer that it uses.

    Attributes:
        function: the computation.
        on: ``"first"`` for each text's first token, ``"chosen"`` for the tokens that the caller lists in
            ``TokenBatch.rows``, ``"tokens"`` for all, ``"markers"`` for the vectors ``[B, 2 H]`` of the two
            tokens that ``TokenBatch.pool_weights`` selects.
        tensor: a tensor that a checkpoint has only if it has this head.
        published: the suffix of the class name of this head in a config's ``architectures``.
        width: ``"labels"``, ``"vocabulary"``, or the number of outputs.
        vocabulary: the head's tensors with a row per token of the vocabulary, if a checkpoint has them; the
            first is its own matrix, in place of the word embeddings.
    """

    function: HeadFunction
    on: Literal["first", "chosen", "tokens", "markers"]
    tensor: str
    published: str
    width: Literal["labels", "vocabulary"] | int = "labels"
    vocabulary: tuple[str, ...] = ()

    def outputs(self, config: EncoderConfig) -> int:
        """Return the number of logits for each row."""
        if self.width == "labels":
            return config.labels.num_labels
        return config.vocab_size if self.width == "vocabulary" else self.width


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture: how to read its config, how to compute it, and its tensors' prefix.

    Attributes:
        model_type: the value of the config's key of this name.
        class_prefix: how the published classes begin, as ``Bert`` of ``BertForMaskedLM``.
        base_prefix: what published checkpoints with a head put before the encoder's names; a bare encoder
            has none.
        encode_cached: remembers earlier calls of a session, for causal models.
        layers: where the layers' tensors stand under the encoder's prefix, before their numbers.
        layer_count_key: the config's key for the number of layers.
        embeddings: where the tensors below the first layer stand.
        words: the matrix of word embeddings.
    """

    model_type: str
    class_prefix: str
    base_prefix: str
    read_config: Callable[[Mapping[str, Any]], EncoderConfig]
    encode: Encode
    encode_cached: Encode | None = None
    pool: Pool | None = None
    heads: Mapping[str, Head] = field(default_factory=dict)
    layers: str = "encoder.layer"
    layer_count_key: str = "num_hidden_layers"
    embeddings: tuple[str, ...] = ("embeddings", "embeddings_project")
    words: str = "embeddings.word_embeddings.weight"

    def head(self, name: str) -> Head:
        """Return a head; raise `InputError` if the architecture has none of this name."""
        if name not in self.heads:
            raise InputError(
                f"A model of type '{self.model_type}' has no {name} head; "
                f"it can have {', '.join(self.heads)}."
            )
        return self.heads[name]

    def published_class(self, head: str | None) -> str:
        """Return the name of the class that publishes such a model, for the config's ``architectures``."""
        return self.class_prefix + ("Model" if head is None else self.heads[head].published)

    def depth_of(self, name: str) -> int | None:
        """Return the depth of a tensor: 0 for embeddings, 1 for the first layer; None above the layers."""
        match = re.search(rf"(?:^|\.){re.escape(self.layers)}\.(\d+)\.", name)
        if match:
            return int(match[1]) + 1
        below = "|".join(map(re.escape, self.embeddings))
        return 0 if re.search(rf"(?:^|\.)(?:{below})\.", name) else None

    def vocabulary_tensors(self, root: Params[Any]) -> list[str]:
        """Return the tensors of a checkpoint that have a row for every token of the vocabulary."""
        names = [self.base(root).prefix + self.words]
        names += [name for head in self.heads.values() for name in head.vocabulary]
        return [name for name in dict.fromkeys(names) if name in root]

    def base(self, root: Params[A]) -> Params[A]:
        """Return the view of the encoder's tensors, with or without the base prefix."""
        prefixed = root / self.base_prefix
        return prefixed if prefixed.has_prefix() else root


SEQUENCE_CLASSIFICATION = "sequence-classification"
TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105 - not a password
QUESTION_ANSWERING = "question-answering"
MASKED_LM = "masked-lm"
NEXT_SENTENCE = "next-sentence-prediction"
CAUSAL_LM = "causal-lm"
RELATION_EXTRACTION = "relation-extraction"

_EVERY_ENCODER = {
    TOKEN_CLASSIFICATION: Head(
        heads.token_classification, "tokens", "classifier.weight", "ForTokenClassification"
    ),
    QUESTION_ANSWERING: Head(
        heads.question_answering, "tokens", "qa_outputs.weight", "ForQuestionAnswering", 2
    ),
    RELATION_EXTRACTION: Head(heads.relate, "markers", "relation.weight", "ForRelationExtraction"),
}


def _masked_lm(function: HeadFunction, tensor: str, *vocabulary: str) -> dict[str, Head]:
    return {MASKED_LM: Head(function, "chosen", tensor, "ForMaskedLM", "vocabulary", vocabulary)}


def _sequence_classification(function: HeadFunction, tensor: str) -> dict[str, Head]:
    return {SEQUENCE_CLASSIFICATION: Head(function, "first", tensor, "ForSequenceClassification")}


_BERT = Architecture(
    model_type="bert",
    class_prefix="Bert",
    base_prefix="bert",
    read_config=bert.read_config,
    encode=bert.encode,
    pool=bert.pool,
    heads={
        **_EVERY_ENCODER,
        **_sequence_classification(bert.classify, "classifier.weight"),
        **_masked_lm(
            heads.bert_masked_lm,
            "cls.predictions.transform.dense.weight",
            "cls.predictions.decoder.weight",
            "cls.predictions.decoder.bias",
            "cls.predictions.bias",
        ),
        NEXT_SENTENCE: Head(
            heads.next_sentence, "first", "cls.seq_relationship.weight", "ForNextSentencePrediction", 2
        ),
    },
)
_ROBERTA = Architecture(
    model_type="roberta",
    class_prefix="Roberta",
    base_prefix="roberta",
    read_config=roberta.read_config,
    encode=bert.encode,
    pool=bert.pool,
    heads={
        **_EVERY_ENCODER,
        **_sequence_classification(roberta.classify, "classifier.out_proj.weight"),
        **_masked_lm(
            heads.roberta_masked_lm,
            "lm_head.dense.weight",
            "lm_head.decoder.weight",
            "lm_head.decoder.bias",
            "lm_head.bias",
        ),
    },
)
_XLM_ROBERTA = replace(_ROBERTA, model_type="xlm-roberta", class_prefix="XLMRoberta")
_ELECTRA = Architecture(
    model_type="electra",
    class_prefix="Electra",
    base_prefix="electra",
    read_config=electra.read_config,
    encode=electra.encode,
    heads={
        **_EVERY_ENCODER,
        **_sequence_classification(electra.classify, "classifier.out_proj.weight"),
        **_masked_lm(
            heads.electra_masked_lm,
            "generator_predictions.dense.weight",
            "generator_lm_head.weight",
            "generator_lm_head.bias",
        ),
    },
)
_DISTILBERT = Architecture(
    model_type="distilbert",
    class_prefix="DistilBert",
    layers="transformer.layer",
    layer_count_key="n_layers",
    base_prefix="distilbert",
    read_config=distilbert.read_config,
    encode=distilbert.encode,
    heads={
        **_EVERY_ENCODER,
        **_sequence_classification(distilbert.classify, "pre_classifier.weight"),
        **_masked_lm(
            heads.distilbert_masked_lm,
            "vocab_transform.weight",
            "vocab_projector.weight",
            "vocab_projector.bias",
        ),
    },
)
_GPT2 = Architecture(
    model_type="gpt2",
    class_prefix="GPT2",
    layers="h",
    layer_count_key="n_layer",
    embeddings=("wte", "wpe"),
    words="wte.weight",
    base_prefix="transformer",
    read_config=gpt2.read_config,
    encode=gpt2.encode,
    encode_cached=gpt2.encode_cached,
    # The matrix of the head is tied to the word embeddings, so every checkpoint has it.
    heads={
        CAUSAL_LM: Head(
            gpt2.language_model, "chosen", "wte.weight", "LMHeadModel", "vocabulary", ("lm_head.weight",)
        )
    },
)

ARCHITECTURES: Mapping[str, Architecture] = {
    a.model_type: a
    for a in (
        _BERT,
        _ROBERTA,
        _XLM_ROBERTA,
        _ELECTRA,
        _DISTILBERT,
        _GPT2,
    )
}


def architecture_of(raw_config: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a ``config.json``.

    Raises `CheckpointError` if the config names none, `UnsupportedModelError` if it is not implemented here.
    """
    model_type = raw_config.get("model_type")
    if not isinstance(model_type, str):
        raise CheckpointError("config.json has no 'model_type', so the architecture is unknown.")
    if model_type not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"The model type {shown(model_type)} is not supported; supported are {', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[model_type]
