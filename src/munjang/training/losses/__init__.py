"""All losses on sentence vectors, with their names from `sentence-transformers`.

In `sentence-transformers` the constructor takes the model. Here it does not:
``losses.CosineSimilarityLoss()``.
"""

from __future__ import annotations

from munjang.training.losses.base import CosineSimilarityLoss, SentenceLoss, SoftmaxLoss
from munjang.training.losses.contrastive import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
    TripletLoss,
)
from munjang.training.losses.matryoshka import MatryoshkaLoss
from munjang.training.losses.scores import AnglELoss, ContrastiveLoss, CoSENTLoss, OnlineContrastiveLoss
from munjang.training.losses.teacher import MarginMSELoss, MSELoss

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
