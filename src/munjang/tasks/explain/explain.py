"""`munjang.explain`: the computation of a model for a text, from its tokens to its answer, step by step.

The values are the taps of the numpy executor, which runs the same definition as every executor.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.backends.numpy import NumpyExecutor, NumpyOps
from munjang.checkpoints import open_checkpoint
from munjang.checkpoints.catalogue import DEFAULT_MODEL
from munjang.errors import InputError, InputTypeError, TruncationError
from munjang.models.batch import TokenBatch
from munjang.models.params import Params
from munjang.models.program import LAST_HIDDEN_STATE, LOGITS, POOLER_OUTPUT
from munjang.models.registry import CAUSAL_LM, MASKED_LM, NEXT_SENTENCE, SEQUENCE_CLASSIFICATION
from munjang.runtime.model import Model
from munjang.runtime.runner import pack
from munjang.sentence.program import SENTENCE_EMBEDDING
from munjang.sentence.transformer import SentenceTransformer
from munjang.tasks.explain.drawing.document import document
from munjang.tasks.explain.drawing.page import fragment, page
from munjang.tasks.explain.drawing.text import as_text
from munjang.tasks.explain.steps import (
    Choice,
    Decision,
    Embeddings,
    Explained,
    Layer,
    Rows,
    SentenceVector,
    Step,
)
from munjang.tasks.fill_mask.pieces import Pieces
from munjang.tasks.loading import Loaded, ModelOptions, load
from munjang.tasks.scores import Function, choose_function, scores_of
from munjang.tokenization import Encoding, Tokenizer
from munjang.validation import checked_count, shown_value

Array = NDArray[Any]
Batch = TokenBatch[Array]

# task -> the head that answers it
EXPLAINED_TASKS: Mapping[str, str | None] = {
    "tokenize": None,
    "features": None,
    "fill-mask": MASKED_LM,
    "next-sentence": NEXT_SENTENCE,
    "classify": SEQUENCE_CLASSIFICATION,
    "next-token": CAUSAL_LM,
}
_ON_THE_WAY = (POOLER_OUTPUT, "classifier.dense")
_NEXT_SENTENCE = {0: "follows", 1: "unrelated"}
_OTHER_NAMES = {
    "feature-extraction": "features",
    "next-sentence-prediction": "next-sentence",
    "text-classification": "classify",
    "text-generation": "next-token",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Explanation(Explained):
    """Every step from a text to an answer; made by `munjang.explain`.

    A notebook shows it as HTML; elsewhere use `to_text`, `to_html` and `to_dict`.
    """

    def __repr__(self) -> str:
        return (
            f"<Explanation of {self.text!r}: task {self.task}, model {self.model!r}, "
            f"{len(self.rows)} tokens, {len(self.layers)} layers>"
        )

    def check(self, layer: int | None, head: int | None) -> None:
        """Raise `InputError` for a layer or head that the model does not have."""
        heads = len(self.layers[0].attention) if self.layers else 0
        for name, value, count in (("layer", layer, len(self.layers)), ("head", head, heads)):
            if value is not None and not 0 <= value < count:
                numbers = f"they are numbered 0 to {count - 1}" if count else "the model was not run"
                raise InputError(f"There is no {name} {value}; {numbers}.")

    def to_dict(self, *, layer: int | None = None, head: int | None = None) -> dict[str, Any]:
        """Return the explanation as plain numbers and texts, for JSON; only one layer or head, if given.

        The keys are described in `munjang.tasks.explain.drawing.document`. Raises `InputError` if there is no
        such layer or head.
        """
        self.check(layer, head)
        return document(self, layer=layer, head=head)

    def to_html(self, *, layer: int | None = None, head: int | None = None) -> str:
        """Return a self-contained HTML page, without script, font or connection; opened at a layer and head.

        Raises `InputError` if there is no such layer or head.
        """
        self.check(layer, head)
        return page(self, layer=layer, head=head)

    def to_text(self, *, layer: int | None = None, head: int | None = None, width: int = 80) -> str:
        """Return tables for a terminal of ``width`` columns, without colour; attention of one layer and head.

        Raises `InputError` if there is no such layer or head.
        """
        self.check(layer, head)
        return as_text(self, layer=layer, head=head, width=width)

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return fragment(self)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A model to look into; with ``sentence``, also how it makes sentence vectors."""

    name: str
    model: Model
    tokenizer: Tokenizer
    max_length: int
    sentence: SentenceTransformer | None = None


def explain(
    text: str,
    pair: str | None = None,
    model: str | os.PathLike[str] | Loaded | SentenceTransformer = DEFAULT_MODEL,
    task: str | None = None,
    *,
    top: int = 5,
    options: ModelOptions | None = None,
) -> Explanation:
    """Show every step that a model takes with a text or a pair.

    Args:
        text: the text to explain.
        pair: a second text, for a model of pairs.
        model: a model's name, or an opened model.
        task: ``"tokenize"`` (no model is run), ``"features"``, ``"fill-mask"``, ``"next-sentence"``,
            ``"classify"`` or ``"next-token"``; by default the task of the checkpoint's head.
        top: the number of answers to show.
        options: how to open the model; its backend does not matter here.

    For a model of sentence vectors, the pooling of one text is explained; of a pair only the tokens.
    Raises `InputError` for an unknown task, a missing mask or pair, and a text without tokens;
    `TruncationError` for a text that is longer than the model; `CheckpointError` or `InputError` if the
    checkpoint lacks the task's head; and what `Model.from_pretrained` raises.
    """
    _check(text, pair, top)
    chosen = None if task is None else _task(task)
    if chosen == "tokenize":
        return _only_tokens(text, pair, model, options)
    opened = _open(model, chosen, options or ModelOptions())
    chosen = chosen or _fitting_task(opened, text, pair)
    if chosen == "next-sentence" and pair is None:
        raise InputError("Next-sentence prediction needs two texts; pass the second as pair.")
    if opened.sentence is not None:
        text = opened.sentence.settings.prompt_text() + text
    encoding = _encode(opened, text, pair)
    return _Run(opened, chosen, text, pair, encoding, top).explanation()


def _check(text: str, pair: str | None, top: int) -> None:
    for name, value in (("text", text), ("pair", pair)):
        if not isinstance(value, str) and not (name == "pair" and value is None):
            raise InputTypeError(f"{name} must be a text, got {shown_value(value)}.")
    checked_count("top", top)


def _task(name: str) -> str:
    known = _OTHER_NAMES.get(name, name)
    if known not in EXPLAINED_TASKS:
        raise InputError(f"Unknown task '{name}'; there are {', '.join(EXPLAINED_TASKS)}.")
    return known


def _fitting_task(opened: _Opened, text: str, pair: str | None) -> str:
    """Return the first task that the checkpoint has a head for and that fits the text."""
    heads = [] if opened.sentence is not None else opened.model.heads
    mask = opened.tokenizer.mask_token
    fits = {
        "fill-mask": mask is not None and (mask in text or mask in (pair or "")),
        "classify": True,
        "next-sentence": pair is not None,
        "next-token": True,
    }
    return next((task for task, fit in fits.items() if fit and EXPLAINED_TASKS[task] in heads), "features")


def _open(
    model: str | os.PathLike[str] | Loaded | SentenceTransformer, task: str | None, options: ModelOptions
) -> _Opened:
    options = replace(options, backend="numpy")
    if isinstance(model, str | os.PathLike) and task in (None, "features"):
        model = _sentence_model(model, options) or model
    if isinstance(model, SentenceTransformer):
        if task not in (None, "features"):
            model = Loaded(model.model, model.tokenizer)
        else:
            return _Opened(
                model.tokenizer.name_or_path, model.model, model.tokenizer, model.max_seq_length, model
            )
    loaded = load(model, None, options)
    return _Opened(loaded.tokenizer.name_or_path, loaded.model, loaded.tokenizer, loaded.max_length)


def _sentence_model(name: str | os.PathLike[str], options: ModelOptions) -> SentenceTransformer | None:
    """Open a checkpoint as a model of sentence vectors, or return None if its files do not define one."""
    if not open_checkpoint(name, options).has("modules.json"):
        return None
    return SentenceTransformer(
        name,
        revision=options.revision,
        token=options.token,
        cache_folder=options.cache_dir,
        local_files_only=options.offline,
        allow_pickle=options.allow_pickle,
        backend="numpy",
    )


def _encode(opened: _Opened, text: str, pair: str | None) -> Encoding:
    [encoding] = opened.tokenizer.encode_batch([text if pair is None else (text, pair)], truncation=False)
    limit = opened.max_length
    if len(encoding) > limit:
        raise TruncationError(
            f"The text has {len(encoding)} tokens, special ones included; '{opened.name}' takes {limit} "
            "at most. Shorten it: a truncated text can't be explained."
        )
    return encoding


def _only_tokens(
    text: str,
    pair: str | None,
    model: str | os.PathLike[str] | Loaded | SentenceTransformer,
    options: ModelOptions | None,
) -> Explanation:
    if isinstance(model, Loaded | SentenceTransformer):
        tokenizer = model.tokenizer
    else:
        tokenizer = Tokenizer.from_pretrained(model, options)
    [encoding] = tokenizer.encode_batch([text if pair is None else (text, pair)], truncation=False)
    segments = encoding.token_type_ids if "token_type_ids" in tokenizer.model_input_names else None
    return Explanation(
        text=text,
        pair=pair,
        model=tokenizer.name_or_path,
        model_type="",
        task="tokenize",
        rows=_rows(encoding, (text, pair or ""), segments=segments),
    )


def _rows(
    encoding: Encoding,
    texts: tuple[str, str],
    *,
    segments: list[int] | None,
    positions: list[int] | None = None,
) -> Rows:
    covered = [
        "" if sequence is None else texts[sequence][start:end]
        for sequence, (start, end) in zip(encoding.sequence_ids, encoding.offsets, strict=True)
    ]
    return Rows(
        tokens=encoding.tokens,
        input_ids=encoding.input_ids,
        attention_mask=encoding.attention_mask,
        special_tokens_mask=encoding.special_tokens_mask,
        offsets=encoding.offsets,
        sequence_ids=encoding.sequence_ids,
        characters=covered,
        token_type_ids=segments,
        position_ids=positions,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One explanation: a run of the model whose values are collected."""

    opened: _Opened
    task: str
    text: str
    pair: str | None
    encoding: Encoding
    top: int

    def explanation(self) -> Explanation:
        """Run the model and collect every step."""
        model, head = self.opened.model, EXPLAINED_TASKS[self.task]
        if head != model.head:  # checks that the checkpoint has the head, too
            model = Model(model.raw_config, model.weights, head=head, backend="numpy")
        batch = pack([self.encoding], model.runner.layout)
        tokens = self._places()
        if tokens is not None:
            batch = replace(batch, rows=np.array(tokens, dtype=np.int32))
        values = self._values(model, batch)
        sentence = self._sentence(model, batch)
        return Explanation(
            text=self.text,
            pair=self.pair,
            model=self.opened.name,
            model_type=model.config.model_type,
            task=self.task,
            rows=self._all_rows(model, batch),
            embeddings=_embeddings(values),
            layers=_layers(values, model.config.num_hidden_layers),
            last_hidden_state=values[LAST_HIDDEN_STATE],
            sentence=sentence,
            steps=head_steps(values, tokens),
            decisions=decide(self.task, values, model, self.opened.tokenizer, tokens, self.top),
        )

    def _places(self) -> list[int] | None:
        """Return the indices of the tokens that the head predicts for, or ``None`` for the whole text."""
        if self.task == "next-token":
            return [len(self.encoding) - 1]
        if self.task != "fill-mask":
            return None
        tokenizer = self.opened.tokenizer
        ids = self.encoding.input_ids
        masks = [index for index, token in enumerate(ids) if token == tokenizer.mask_token_id]
        if tokenizer.mask_token is None or not masks:
            mask = tokenizer.mask_token or "which this model's tokenizer does not have"
            raise InputError(f"There is no mask in the text; put one where the gap is: {mask}.")
        return masks

    def _values(self, model: Model, batch: Batch) -> dict[str, Array]:
        # With the last hidden state, every token goes through the last layer too.
        outputs = {LAST_HIDDEN_STATE}
        if model.head is not None:
            outputs.add(LOGITS)
        elif model.has_pooler and self.opened.sentence is None:
            outputs.add(POOLER_OUTPUT)
        return NumpyExecutor(model.weights).every_value(model.program(frozenset(outputs)), batch)

    def _all_rows(self, model: Model, batch: Batch) -> Rows:
        segments = batch.token_type_ids.tolist() if model.config.type_vocab_size else None
        positions: list[int] = batch.position_ids.tolist()
        texts = (self.text, self.pair or "")
        return _rows(self.encoding, texts, segments=segments, positions=positions)

    def _sentence(self, model: Model, batch: Batch) -> SentenceVector | None:
        encoder = self.opened.sentence
        if encoder is None or self.pair is not None:
            return None
        program = encoder.program(tokens=True)
        prompt = encoder.settings.prompt_text()
        skipped = encoder.prompt_length(prompt) if prompt else 0
        values = NumpyExecutor(model.weights).every_value(
            replace(program, modules=()), program.pooling.prepare(batch, skipped)
        )
        steps = [Step("pooled", values[SENTENCE_EMBEDDING])]
        ops, root = NumpyOps(frozenset()), Params(model.weights)
        for module in program.modules:
            steps.append(Step(module.kind, module(ops, root, steps[-1].vector)))
        truncated = tuple(Step(name, vector[0][: encoder.truncate_dim]) for name, vector in steps)
        return SentenceVector(program.pooling.modes, truncated)


def _embeddings(values: Mapping[str, Array]) -> Embeddings:
    parts = {
        part: values[f"embeddings.{part}"]
        for part in ("word", "position", "token_type")
        if f"embeddings.{part}" in values
    }
    return Embeddings(parts, values["embeddings"])


def _layers(values: Mapping[str, Array], count: int) -> tuple[Layer, ...]:
    names = ["embeddings", *(f"layer.{i}" for i in range(count))]
    return tuple(
        Layer(i, values[names[i]], values[names[i + 1]], values[f"layer.{i}.attention.probabilities"][0])
        for i in range(count)
    )


def head_steps(values: Mapping[str, Array], tokens: Sequence[int] | None) -> tuple[Step, ...]:
    """Return the vectors between the last layer and the logits, for each of the tokens or for the text."""
    last = values["last_hidden_state"]
    if tokens is not None:
        return tuple(Step(f"last_hidden_state[{token}]", last[token]) for token in tokens)
    steps = tuple(Step(name, values[name][0]) for name in _ON_THE_WAY if name in values)
    return (Step("last_hidden_state[0]", last[0]), *steps) if steps or LOGITS in values else ()


def decide(
    task: str,
    values: Mapping[str, Array],
    model: Model,
    tokenizer: Tokenizer,
    tokens: Sequence[int] | None,
    top: int,
) -> tuple[Decision, ...]:
    """Return the decisions from a head's logits; none for a task without a head."""
    if LOGITS not in values:
        return ()
    logits = values[LOGITS]
    if tokens is not None:
        pieces = logits.shape[-1]
        mask = task == "fill-mask"
        offered = Pieces(tokenizer, pieces).offered if mask else _ordinary(tokenizer, pieces)
        return tuple(
            _piece(row, token, tokenizer, offered, top) for row, token in zip(logits, tokens, strict=True)
        )
    labels = _NEXT_SENTENCE if task == "next-sentence" else model.config.labels.id2label
    function = "softmax" if task == "next-sentence" else choose_function(model.config.labels, None)
    return (_label(logits[0], labels, function),)


def _label(logits: Array, labels: Mapping[int, str], function: Function) -> Decision:
    [scores] = scores_of(function, logits[None, :])
    order = np.argsort(-scores, kind="stable").tolist()
    choices = tuple(Choice(i, labels[i], float(logits[i]), float(scores[i])) for i in order)
    return Decision(None, logits, scores, function, choices)


def _ordinary(tokenizer: Tokenizer, pieces: int) -> NDArray[np.bool_]:
    """Mark the pieces that can be generated, parts of characters included, but not special or unused rows."""
    offered = np.arange(pieces) < len(tokenizer)
    special = [i for i in tokenizer.all_special_ids if i < pieces]
    offered[special] = False
    return offered


def _piece(logits: Array, token: int, tokenizer: Tokenizer, offered: NDArray[np.bool_], top: int) -> Decision:
    [scores] = scores_of("softmax", logits[None, :])
    order = np.argsort(-np.where(offered, scores, -1), kind="stable")[: min(top, int(offered.sum()))]
    choices = tuple(
        Choice(i, tokenizer.decode([i]), float(logits[i]), float(scores[i])) for i in order.tolist()
    )
    return Decision(token, logits, scores, "softmax", choices, float(scores[~offered].sum()))
