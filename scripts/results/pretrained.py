"""Pre-training of a small BERT on film reviews."""

from __future__ import annotations

from scripts.results.measuring import has_bfloat16
from scripts.results.outcome import Outcome, Place

import munjang
from munjang.training.options import NewModel, TrainingOptions, VocabularyTask
from munjang.training.pretraining.train import train_masked_language_model
from munjang.training.vocabulary.train import train_wordpiece

__all__ = ["pretrained"]

SENTENCES = ("이 영화 정말 [MASK]", "배우들의 [MASK]가 훌륭하다.", "시간이 [MASK] 영화")


def pretrained(place: Place) -> Outcome:
    """Train a vocabulary, then a masked language model."""
    reviews = place.data / "nsmc" / "reviews.txt.gz"
    vocabulary = place.run("pretrained-vocabulary")
    if not (vocabulary / "tokenizer.json").exists():
        train_wordpiece([reviews], vocabulary, task=VocabularyTask(vocab_size=16_000))
    result = train_masked_language_model(
        [reviews],
        output=place.run("pretrained"),
        tokenizer=str(vocabulary),
        held_out=0.003,
        # No text is seen more than a few times, so there is no dropout.
        new_model=NewModel(layers=4, width=256, heads=4, dropout=0.0),
        options=TrainingOptions(
            epochs=2,
            batch_tokens=4096,
            learning_rate=1e-3,
            warmup_ratio=0.05,
            adam_beta2=0.98,
            adam_epsilon=1e-6,
            evaluation_steps=500,
            bfloat16=has_bfloat16(),
        ),
        watchers=place.watchers,
    )
    return Outcome(
        "Pre-training a new model on film reviews: 4 layers, width 256, 16,000 new pieces",
        "a held-out loss of masked words under 4.5, and a plausible word for the mask",
        result,
        [],
        _filled(str(result.folder)),
    )


def _filled(folder: str) -> list[str]:
    fill = munjang.pipeline("fill-mask", folder)
    rows = ["| sentence | the five most likely words |", "| --- | --- |"]
    for sentence in SENTENCES:
        found = ", ".join(f"{one['token_str']} ({one['score']:.3f})" for one in fill(sentence))
        rows.append(f"| {sentence} | {found} |")
    return ["\n".join(rows)]
