"""Features: the vectors of a text's tokens in any layer, per token, word or text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args, overload

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Level
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.models.program import LAST_HIDDEN_STATE, POOLER_OUTPUT
from munjang.runtime.notices import warn_truncated
from munjang.runtime.runner import Done
from munjang.tasks.loading import Task, text_list
from munjang.tokenization import Encoding
from munjang.validation import optional_count

Array: TypeAlias = NDArray[np.float32]
Layers: TypeAlias = Literal["last", "all"] | int | list[int] | tuple[int, ...] | range
Combine: TypeAlias = (
    Literal["last", "second_to_last", "sum_last_four", "concat_last_four", "mean_all"]
    | list[float]
    | tuple[float, ...]
    | NDArray[np.floating[Any]]
)
_Join: TypeAlias = Literal["only", "stack", "concat", "sum"]

_NAMES = ("last", "second_to_last", "sum_last_four", "concat_last_four", "mean_all")


@dataclass(frozen=True, slots=True)
class Plan:
    """The requested layers, by the names of their taps or outputs, and how they are combined."""

    names: tuple[str, ...]
    join: _Join
    weights: tuple[float, ...] = ()

    def joined(self, layers: Sequence[Array]) -> Array:
        """Combine the arrays of the layers, ``[l, H]`` each."""
        if self.join == "only":
            return layers[0]
        if self.join == "stack":
            return np.stack(layers)
        if self.join == "concat":
            return np.concatenate(layers, axis=-1)
        return np.tensordot(np.array(self.weights, dtype=np.float32), np.stack(layers), axes=1)


def plan_layers(count: int, layers: Layers | None, combine: Combine | None) -> Plan:
    """Return the plan for a choice of the outputs of the embeddings and ``count`` layers.

    Raises `InputError` or `InputTypeError` for an invalid choice.
    """
    if layers is not None and combine is not None:
        raise InputError("Pass layers, for separate layers, or combine, for a combination of them; not both.")
    if combine is not None:
        return _combined(count, combine)
    if layers is None or layers == "last":
        return Plan(_names(count, [-1]), "only")
    if layers == "all":
        return Plan(_names(count, range(count + 1)), "stack")
    if isinstance(layers, int) and not isinstance(layers, bool):
        return Plan(_names(count, [layers]), "only")
    if not isinstance(layers, list | tuple | range):
        raise InputError(f"layers is {layers!r}; it must be 'last', 'all', a number, or a list of numbers.")
    if not layers:
        raise InputError("layers is empty; name at least one.")
    return Plan(_names(count, layers), "stack")


def _combined(count: int, combine: Combine) -> Plan:
    if isinstance(combine, str):
        return _named(count, combine)
    if not isinstance(combine, list | tuple | np.ndarray):
        raise InputError(f"combine is {combine!r}; use {', '.join(_NAMES)}, or a weight per layer.")
    if len(combine) != count + 1:
        raise InputError(
            f"combine has {len(combine)} weights; the embedding output and {count} layers need {count + 1}."
        )
    try:
        weights = tuple(float(weight) for weight in combine)
    except (TypeError, ValueError):
        raise InputTypeError(f"The weights of combine must be numbers, got {list(combine)!r:.80}.") from None
    if not all(map(math.isfinite, weights)):
        raise InputError(f"The weights of combine must be finite, got {list(combine)!r:.80}.")
    used = [layer for layer, weight in enumerate(weights) if weight]
    if not used:
        raise InputError("All weights of combine are zero.")
    return Plan(_names(count, used), "sum", tuple(weights[layer] for layer in used))


def _named(count: int, combine: str) -> Plan:
    if combine == "last":
        return Plan(_names(count, [-1]), "only")
    if combine == "second_to_last":
        return Plan(_names(count, [-2]), "only")
    if combine == "mean_all":
        return Plan(_names(count, range(count + 1)), "sum", (1 / (count + 1),) * (count + 1))
    if combine not in _NAMES:
        raise InputError(f"Unknown combine {combine!r}; there are {', '.join(_NAMES)}, or weights.")
    if count < 4:
        raise InputError(f"{combine} needs a model of at least 4 layers; this one has {count}.")
    four = _names(count, range(count - 3, count + 1))
    return Plan(four, "concat") if combine == "concat_last_four" else Plan(four, "sum", (1.0,) * 4)


def _names(count: int, layers: Sequence[int]) -> tuple[str, ...]:
    """Name layers by number: 0 for the embedding output, 1 for the first layer, -1 for the last."""
    return tuple(_name(count, layer) for layer in layers)


def _name(count: int, layer: int) -> str:
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise InputTypeError(f"A layer is a number, not {layer!r}.")
    number = layer + count + 1 if layer < 0 else layer
    if not 0 <= number <= count:
        raise InputError(
            f"There is no layer {layer}; the model has 0 (the embedding output) to {count}, or -1 to "
            f"{-count - 1} from the end."
        )
    if number == count:
        return LAST_HIDDEN_STATE
    return "embeddings" if number == 0 else f"layer.{number - 1}"


Texts: TypeAlias = list[str] | tuple[str, ...]

_LEVELS = get_args(Level)


@dataclass(frozen=True, slots=True)
class Features:
    """The vectors of one text.

    Attributes:
        values: ``[1, L, H]`` for tokens (zero at padding), ``[1, W, H]`` for words, ``[1, H]`` for a whole
            text; with several separate layers, one such array per layer: ``[layers, 1, L, H]``.
        tokens: the L tokens or W words of the rows; empty for a whole text.
        offsets: the characters of each row in the caller's text, ``(0, 0)`` for special tokens and padding.
        attention_mask: ``[1, L]``, zero at padding; all ones for words.
        attentions: ``[layers, 1, heads, L, L]``, zero at padding, if requested.
    """

    values: Array
    tokens: list[str]
    offsets: list[tuple[int, int]]
    attention_mask: NDArray[np.int64]
    attentions: Array | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the tokens, their offsets, the shape of the values and the values as lists, for JSON."""
        return {
            "tokens": self.tokens,
            "offsets": self.offsets,
            "shape": list(self.values.shape),
            "values": self.values.tolist(),
        }


class FeatureExtraction(Task):
    """Returns the vectors of texts.

    Example::

        extract = munjang.pipeline("feature-extraction", "multilingual-e5-small")
        extract("축구는 재미있다.").shape  # (1, L, 384)
        extract("축구는 재미있다.", layers="all").shape  # (13, 1, L, 384)
        extract.features("축구는 재미있다.", level="word").tokens  # the words of the vectors

    Raises what `Model.from_pretrained` raises.
    """

    @overload
    def __call__(
        self,
        text: str,
        layers: Layers | None = None,
        combine: Combine | None = None,
        level: Level = "token",
        pad_to: int | None = None,
    ) -> Array: ...
    @overload
    def __call__(
        self,
        text: Texts,
        layers: Layers | None = None,
        combine: Combine | None = None,
        level: Level = "token",
        pad_to: int | None = None,
    ) -> list[Array]: ...
    def __call__(
        self,
        text: str | Texts,
        layers: Layers | None = None,
        combine: Combine | None = None,
        level: Level = "token",
        pad_to: int | None = None,
    ) -> Array | list[Array]:
        """Return the vectors of a text, ``[1, L, H]``, or such an array for each text of a list.

        The arguments are those of `features`; this returns its ``values``.
        """
        if isinstance(text, str):
            return self.features(text, layers, combine, level, pad_to).values
        return [features.values for features in self.features(text, layers, combine, level, pad_to)]

    @overload
    def features(
        self,
        text: str,
        layers: Layers | None = None,
        combine: Combine | None = None,
        level: Level = "token",
        pad_to: int | None = None,
        attentions: bool = False,
    ) -> Features: ...
    @overload
    def features(
        self,
        text: Texts,
        layers: Layers | None = None,
        combine: Combine | None = None,
        level: Level = "token",
        pad_to: int | None = None,
        attentions: bool = False,
    ) -> list[Features]: ...
    def features(
        self,
        text: str | Texts,
        layers: Layers | None = None,
        combine: Combine | None = None,
        level: Level = "token",
        pad_to: int | None = None,
        attentions: bool = False,
    ) -> Features | list[Features]:
        """Return the vectors of a text, with their tokens or words.

        Args:
            text: one text, or a list.
            layers: separate layers: ``"last"`` (the default), ``"all"``, a number (0 is the embedding output,
                n the last of n layers, negative numbers count from the end) or a list of numbers; a single
                layer adds no axis.
            combine: instead, combine layers: ``"last"``, ``"second_to_last"``, ``"sum_last_four"``,
                ``"concat_last_four"``, ``"mean_all"`` (embedding output included), or n + 1 weights of a
                weighted sum (not normalised).
            level: ``"token"``; ``"word"``, the mean of a word's pieces, without special tokens; or one vector
                for the text: ``"cls"`` the first token's, ``"mean"`` of all tokens, special tokens included,
                or ``"pooler"``, the model's pooler output.
            pad_to: for tokens, the exact number of rows; added rows are zero.
            attentions: return each layer's attention too.

        Issues a `TruncationWarning` for texts that were truncated to the model's length or ``pad_to``. Raises
        `InputError` for invalid or contradictory values, `InputTypeError` for values other than texts,
        `CheckpointError` for ``"pooler"`` without a trained pooler.
        """
        listed = text_list("text", [text] if isinstance(text, str) else text)
        if level not in _LEVELS:
            raise InputError(f"Unknown level {level!r}; there are {', '.join(_LEVELS)}.")
        plan = plan_layers(self.model.config.num_hidden_layers, layers, combine)
        self._check(level, layers is None and combine is None, pad_to)
        encodings = self._encode(listed, pad_to)
        results: list[Features | None] = [None] * len(listed)
        for done in self._run(encodings, plan, level, attentions):
            made = self._made(done, plan, level)
            for k, (index, values) in enumerate(zip(done.indices, made, strict=True)):
                attention = self._attention(done, k) if attentions else None
                results[index] = _arranged(listed[index], encodings[index], values, attention, level, pad_to)
        finished = [features for features in results if features is not None]
        return finished[0] if isinstance(text, str) else finished

    def _check(self, level: Level, plain: bool, pad_to: int | None) -> None:
        if level == "pooler":
            if not plain:
                raise InputError("The pooler reads the last layer; pass no layers or combine with it.")
            if not self.model.has_pooler:
                raise CheckpointError(
                    "The checkpoint has no trained pooler; use level='cls' or level='mean' instead."
                )
        if optional_count("pad_to", pad_to) is not None and level != "token":
            raise InputError(f"pad_to adds tokens, so it needs level='token', not {level!r}.")

    def _encode(self, texts: Sequence[str], pad_to: int | None) -> list[Encoding]:
        limit = self.max_length if pad_to is None else min(pad_to, self.max_length)
        encodings = self.tokenizer.encode_batch(texts, truncation=True, max_length=limit)
        warn_truncated((encoding.truncated for encoding in encodings), limit)
        return encodings

    def _run(
        self, encodings: Sequence[Encoding], plan: Plan, level: Level, attentions: bool
    ) -> Iterator[Done]:
        taps = {name for name in plan.names if name != LAST_HIDDEN_STATE}
        outputs = {POOLER_OUTPUT} if level == "pooler" else set(plan.names) - taps
        if level == "pooler":
            taps = set()
        if attentions:
            taps |= set(self._attention_names())
        program = self.model.program(frozenset(outputs), frozenset(taps))
        return self.model.runner.run(program, encodings)

    def _made(self, done: Done, plan: Plan, level: Level) -> list[Array]:
        """Return each text's vectors: ``[l, H]`` or ``[layers, l, H]``, or its pooler output ``[H]``."""
        if level == "pooler":
            return list(done.outputs[POOLER_OUTPUT])
        by_layer = [done.split(name) for name in plan.names]
        return [plan.joined([layer[k] for layer in by_layer]) for k in range(len(done.indices))]

    def _attention(self, done: Done, k: int) -> Array:
        length = done.lengths[k]
        layers = [done.outputs[name][k, :, :length, :length] for name in self._attention_names()]
        return np.stack(layers)[:, None]

    def _attention_names(self) -> list[str]:
        return [f"layer.{i}.attention.probabilities" for i in range(self.model.config.num_hidden_layers)]


def _arranged(
    text: str, encoding: Encoding, values: Array, attentions: Array | None, level: Level, pad_to: int | None
) -> Features:
    length = len(encoding)
    mask = np.ones((1, length), dtype=np.int64)
    if level == "token":
        missing = 0 if pad_to is None else pad_to - length
        return Features(
            _filled(values, missing, axes=(-2,))[..., None, :, :],
            [*encoding.tokens, *[""] * missing],
            [*encoding.offsets, *[(0, 0)] * missing],
            np.pad(mask, ((0, 0), (0, missing))),
            None if attentions is None else _filled(attentions, missing, axes=(-2, -1)),
        )
    if level == "word":
        words = _words(encoding)
        offsets = [(encoding.offsets[word[0]][0], encoding.offsets[word[-1]][1]) for word in words]
        values = _means(values, words)[..., None, :, :]
        names = [text[start:end] for start, end in offsets]
        return Features(values, names, offsets, np.ones((1, len(words)), dtype=np.int64), attentions)
    if level == "cls":
        values = values[..., 0, :]
    elif level == "mean":
        values = values.mean(axis=-2)
    return Features(values[..., None, :], [], [], mask, attentions)


def _filled(values: Array, missing: int, *, axes: tuple[int, ...]) -> Array:
    """Return the array with zeros appended along these axes."""
    widths = [(0, 0)] * values.ndim
    for axis in axes:
        widths[axis] = (0, missing)
    return np.pad(values, widths)


def _words(encoding: Encoding) -> list[list[int]]:
    """Return the indices of each word's pieces."""
    words: dict[int, list[int]] = {}
    for index, word in enumerate(encoding.word_ids):
        if word is not None and not encoding.special_tokens_mask[index]:
            words.setdefault(word, []).append(index)
    return list(words.values())


def _means(values: Array, words: Sequence[Sequence[int]]) -> Array:
    """Merge the rows ``[..., l, H]`` of each word's pieces: ``[..., W, H]``."""
    merged = np.empty((*values.shape[:-2], len(words), values.shape[-1]), dtype=np.float32)
    for number, pieces in enumerate(words):
        merged[..., number, :] = values[..., pieces, :].mean(axis=-2)
    return merged
