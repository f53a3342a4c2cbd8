"""All losses on sentence vectors, by the names that they have in `sentence-transformers`.

There a loss is made with the model, here without: ``losses.CosineSimilarityLoss()``.
"""

from __future__ import annotations

from munjang.training.contrastive_losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
    TripletLoss,
)
from munjang.training.matryoshka import MatryoshkaLoss
from munjang.training.score_losses import AnglELoss, ContrastiveLoss, CoSENTLoss, OnlineContrastiveLoss
from munjang.training.sentence_losses import CosineSimilarityLoss, SentenceLoss, SoftmaxLoss
from munjang.training.teacher_losses import MarginMSELoss, MSELoss

__all__ = [
    "AnglELoss",
    "CachedMultipleNegativesRankingLoss",
    "CoSENTLoss",
    "ContrastiveLoss",
    "CosineSimilarityLoss",
    "MSELoss",
    "MarginMSELoss",
    "MatryoshkaLoss",
    "MultipleNegativesRankingLoss",
    "OnlineContrastiveLoss",
    "SentenceLoss",
    "SoftmaxLoss",
    "TripletLoss",
]
