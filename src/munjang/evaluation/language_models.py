"""Evaluation of language models: perplexity, and pseudo-perplexity for masked models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, quantity, require_examples
from munjang.evaluation.measures.resampling import Statistic, Values, Weights, point
from munjang.progress import Advance

if TYPE_CHECKING:
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration
    from munjang.tokenization import TokenIds

Losses: TypeAlias = NDArray[np.float64]


def evaluate_language_model(
    model: TextGeneration | FillMask,
    texts: Sequence[str],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how well a model predicts texts: ``perplexity``, or ``pseudo_perplexity`` of a masked model.

    The perplexity of models such as GPT-2 is that of each token given the tokens before it; a text longer
    than the model's maximum is read in parts. The pseudo-perplexity is that of each token given all others
    (arXiv:1910.14659), which takes a run for each token; longer texts are truncated. Neither can be compared
    between models with different tokens. ``intervals=False`` omits the bootstrap over texts; ``advance``
    is called with the number of texts done. Raises `InputError` for data without texts, an empty text, texts
    without a token to predict, and scores that are NaN; `InputTypeError` for anything but texts and these
    models.
    """
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration
    from munjang.tasks.scores import check_text

    require_examples(texts)
    for index, text in enumerate(texts):
        check_text(text, f"Text {index}")
    if isinstance(model, FillMask):
        name, losses = "pseudo_perplexity", pseudo_losses(model, texts, advance)
    elif isinstance(model, TextGeneration):
        name, losses = "perplexity", in_steps(model.losses, texts, advance, bounded=True)
    else:
        raise InputTypeError(f"The model must be a TextGeneration or FillMask, got a {type(model).__name__}.")
    check_finite([float(each.sum()) for each in losses])
    notes = f"{quantity(sum(map(len, losses)), 'token', 'tokens')} foreseen"
    statistics = {name: _perplexity_of(losses)}
    return Evaluation.of("language-model", statistics, len(texts), intervals=intervals, notes=notes)


def perplexity(losses: Sequence[Losses]) -> float:
    """Return the exponential of the mean negative log-likelihood of the tokens of all texts.

    Raises `InputError` if there is no token.
    """
    return point(_perplexity_of(losses), len(losses))


def pseudo_losses(model: FillMask, texts: Sequence[str], advance: Advance | None = None) -> list[Losses]:
    """Return each text's negative log-likelihoods: of each token given all others, with the token masked.

    Special tokens have none. Warns with `TruncationWarning` of truncated texts.
    """
    from munjang.runtime.notices import warn_truncated

    encoded = model.tokenizer.encode_ids(texts, max_length=model.max_length)
    warn_truncated((text.truncated for text in encoded), model.max_length)
    losses: list[Losses] = []
    for text in encoded:
        losses.append(_losses_of(model, text))
        if advance is not None:
            advance(1)
    return losses


def _losses_of(model: FillMask, text: TokenIds) -> Losses:
    from munjang.tasks.fill_mask.search import Query, log_probabilities

    mask = model.tokenizer.mask_token_id
    assert mask is not None  # FillMask requires it
    special = set(model.tokenizer.all_special_ids) - {model.tokenizer.unk_token_id}
    positions = [position for position, token in enumerate(text.input_ids) if token not in special]
    ids = tuple(text.input_ids)
    types = None if text.token_type_ids is None else tuple(text.token_type_ids)
    queries = [Query((*ids[:masked], mask, *ids[masked + 1 :]), types, masked) for masked in positions]
    losses = np.empty(len(positions))
    for number, scores in log_probabilities(model.model, queries):
        losses[number] = -scores[ids[positions[number]]]
    return losses


def _perplexity_of(losses: Sequence[Losses]) -> Statistic:
    sums = np.array([each.sum() for each in losses])
    tokens = np.array([len(each) for each in losses], dtype=np.float64)
    if not tokens.sum():
        raise InputError("Perplexity needs a text of at least two tokens.")

    def statistic(weights: Weights) -> Values:
        drawn = weights @ tokens
        means = np.full(len(weights), np.nan)
        np.divide(weights @ sums, drawn, out=means, where=drawn > 0)
        perplexities: Values = np.exp(means)
        return perplexities

    return statistic
