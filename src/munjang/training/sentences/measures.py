"""Evaluation of a sentence encoder on held-out examples during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from munjang.data.examples import Contrast, LabelledText, ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.evaluation.sentences import evaluate_similarity
from munjang.sentence.mining import semantic_search
from munjang.sentence.transformer import SentenceTransformer
from munjang.training.examples import kind_of
from munjang.training.losses.base import SentenceLoss, SoftmaxLoss
from munjang.training.models import numbered
from munjang.training.sentences.data import KINDS, SentenceSource, check_texts
from munjang.training.sentences.objective import Measure

_DEPTH = 10


def measure_for(
    held_out: Sequence[SentenceSource],
    loss: SentenceLoss,
    labels: Mapping[int, str],
    prompts: tuple[str, str],
) -> tuple[Measure, str]:
    """Return the function that evaluates a model on held-out examples, and the name of the deciding metric.

    Pairs with scores: ``spearman`` of the cosines (and ``pearson``). Contrasts: ``MRR@10`` of the positive
    among all held-out positives and negatives. Pairs with labels: ``accuracy`` of the softmax classifier.
    Raises `InputTypeError` for other examples, `InputError` for texts and labels that can't be evaluated.
    """
    kind = kind_of(held_out, *KINDS)
    if kind is ScoredPair:
        scored = [e for e in held_out if isinstance(e, ScoredPair)]
        check_texts([(e.sentence1, e.sentence2) for e in scored])
        return _similarity(scored, prompts), "spearman"
    if kind is Contrast:
        contrasts = [e for e in held_out if isinstance(e, Contrast)]
        check_texts([(e.anchor, e.positive, *e.negatives) for e in contrasts])
        return _retrieval(contrasts, prompts), f"MRR@{_DEPTH}"
    if kind is LabelledText:
        return _accuracy([e for e in held_out if isinstance(e, LabelledText)], loss, labels, prompts)
    raise InputTypeError("Held-out examples must be ScoredPair, LabelledText or Contrast.")


def _similarity(pairs: Sequence[ScoredPair], prompts: tuple[str, str]) -> Measure:
    def measure(model: SentenceTransformer, _: Mapping[str, Tensor]) -> dict[str, float]:
        return evaluate_similarity(model, pairs, prompt=prompts[0], intervals=False).values

    return measure


def _retrieval(contrasts: Sequence[Contrast], prompts: tuple[str, str]) -> Measure:
    def measure(model: SentenceTransformer, _: Mapping[str, Tensor]) -> dict[str, float]:
        return {f"MRR@{_DEPTH}": reciprocal_rank(model, contrasts, prompts)}

    return measure


def reciprocal_rank(
    model: SentenceTransformer, contrasts: Sequence[Contrast], prompts: tuple[str, str]
) -> float:
    """Return the mean reciprocal rank (MRR@10) of the anchors.

    The reciprocal rank of an anchor is 1 / the rank of its first positive among all positives and negatives,
    or 0 for ranks beyond 10. Equal anchors share their positives.
    """
    positives: dict[str, set[int]] = {}
    corpus: dict[str, int] = {}
    for contrast in contrasts:
        index = corpus.setdefault(contrast.positive, len(corpus))
        positives.setdefault(contrast.anchor, set()).add(index)
        for negative in contrast.negatives:
            corpus.setdefault(negative, len(corpus))
    queries = model.encode(list(positives), prompt=prompts[0])
    documents = model.encode(list(corpus), prompt=prompts[1])
    rankings = semantic_search(queries, documents, top_k=_DEPTH)
    ranks = [
        next((1 / rank for rank, hit in enumerate(hits, start=1) if hit["corpus_id"] in wanted), 0.0)
        for hits, wanted in zip(rankings, positives.values(), strict=True)
    ]
    return float(np.mean(ranks))


def _accuracy(
    pairs: Sequence[LabelledText],
    loss: SentenceLoss,
    labels: Mapping[int, str],
    prompts: tuple[str, str],
) -> tuple[Measure, str]:
    if not isinstance(loss, SoftmaxLoss) or not labels:
        raise InputError(
            f"{loss.describe()} classifies nothing, so held-out pairs with labels can't be measured; give "
            "ScoredPair or Contrast."
        )
    classifier = loss
    numbered((str(pair.label) for pair in pairs), list(labels.values()))  # raises for unknown labels
    numbers = {name: number for number, name in labels.items()}
    wanted = np.array([numbers[str(pair.label)] for pair in pairs])
    columns = [[pair.text for pair in pairs], [pair.text_pair or "" for pair in pairs]]
    check_texts(list(zip(*columns, strict=True)))

    def measure(model: SentenceTransformer, own: Mapping[str, Tensor]) -> dict[str, float]:
        u, v = (
            torch.from_numpy(np.array(model.encode(texts, prompt=prompt)))
            for texts, prompt in zip(columns, prompts, strict=True)
        )
        with torch.no_grad():
            logits = classifier.logits(u, v, {name: value.cpu() for name, value in own.items()})
        return {"accuracy": float(np.mean(logits.argmax(dim=1).numpy() == wanted))}

    return measure, "accuracy"
