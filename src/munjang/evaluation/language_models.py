"""How well a language model foresees texts: perplexity, and pseudo-perplexity for masked models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, quantity, require_examples
from munjang.evaluation.measures.resampling import Statistic, Weights, estimates
from munjang.progress import Advance
from munjang.runtime.notices import warn_truncated
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.fill_mask.search import Query, log_probabilities
from munjang.tasks.generation.text_generation import TextGeneration
from munjang.tasks.scores import check_text
from munjang.tokenization import TokenIds

__all__ = ["evaluate_language_model", "perplexity", "pseudo_losses"]

Losses = NDArray[np.float64]


def evaluate_language_model(
    model: TextGeneration | FillMask,
    texts: Sequence[str],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how well a model foresees texts: ``perplexity``, of a masked model ``pseudo_perplexity``.

    The perplexity of GPT-2's kind is that of each token given those before it; a text longer than the model
    is read in parts. The pseudo-perplexity is that of each token given all others (arXiv:1910.14659), which
    takes as many runs as a text has tokens; what is longer than the model is cut off. Neither can be compared
    between models with different tokens. ``intervals=False`` leaves the bootstrap over texts out, ``advance``
    is called with the number of texts done. Raises `InputError` for data without texts, an empty text, texts
    without a token to foresee, and scores that are no numbers; `InputTypeError` for anything but texts and
    these models.
    """
    require_examples(texts)
    for place, text in enumerate(texts):
        check_text(text, f"Text {place}")
    if isinstance(model, FillMask):
        name, losses = "pseudo_perplexity", pseudo_losses(model, texts, advance)
    elif isinstance(model, TextGeneration):
        name, losses = "perplexity", in_steps(model.losses, texts, advance, bounded=True)
    else:
        raise InputTypeError(f"The model must be a TextGeneration or FillMask, got a {type(model).__name__}.")
    check_finite([float(one.sum()) for one in losses])
    metrics = estimates({name: _perplexity_of(losses)}, len(texts), intervals=intervals)
    tokens = quantity(sum(len(one) for one in losses), "token", "tokens")
    return Evaluation("language-model", "", len(texts), metrics, f"{tokens} foreseen")


def perplexity(losses: Sequence[Losses]) -> float:
    """Return the exponential of the mean of tokens' negative log-likelihoods, of all texts together.

    Raises `InputError` if there is no token.
    """
    return float(_perplexity_of(losses)(np.ones((1, len(losses))))[0])


def pseudo_losses(model: FillMask, texts: Sequence[str], advance: Advance | None = None) -> list[Losses]:
    """Give, for each text, each token's negative log-likelihood given all others: the token is masked.

    Special tokens have none. Warns with `TruncationWarning` of texts that were cut.
    """
    encoded = model.tokenizer.encode_ids(texts, max_length=model.max_length)
    warn_truncated((text.truncated for text in encoded), model.max_length)
    found: list[Losses] = []
    for text in encoded:
        found.append(_losses_of(model, text))
        if advance is not None:
            advance(1)
    return found


def _losses_of(model: FillMask, text: TokenIds) -> Losses:
    mask = model.tokenizer.mask_token_id
    assert mask is not None  # FillMask has looked
    special = set(model.tokenizer.all_special_ids) - {model.tokenizer.unk_token_id}
    own = [place for place, token in enumerate(text.input_ids) if token not in special]
    ids = tuple(text.input_ids)
    types = None if text.token_type_ids is None else tuple(text.token_type_ids)
    queries = [Query((*ids[:place], mask, *ids[place + 1 :]), types, place) for place in own]
    losses = np.empty(len(own))
    for number, scores in log_probabilities(model.model, queries):
        losses[number] = -scores[ids[own[number]]]
    return losses


def _perplexity_of(losses: Sequence[Losses]) -> Statistic:
    sums = np.array([one.sum() for one in losses])
    tokens = np.array([len(one) for one in losses], dtype=np.float64)
    if not tokens.sum():
        raise InputError("Perplexity needs a text of at least two tokens.")

    def statistic(weights: Weights) -> NDArray[np.float64]:
        drawn = weights @ tokens
        means = np.full(len(weights), np.nan)
        np.divide(weights @ sums, drawn, out=means, where=drawn > 0)
        found: Losses = np.exp(means)
        return found

    return statistic
