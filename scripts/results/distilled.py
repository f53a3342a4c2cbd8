"""Distillation of a sentence encoder to half of its layers."""

from __future__ import annotations

from dataclasses import replace

from scripts.results.measuring import has_bfloat16, times_as_fast
from scripts.results.outcome import Outcome, Place

import munjang
from munjang.data import read_labelled_texts, read_scored_pairs
from munjang.evaluation import evaluate_similarity
from munjang.training.distillation.encoder import distill_sentence_encoder
from munjang.training.distillation.options import ENCODER_OPTIONS, EncoderDistillationTask

__all__ = ["distilled"]

PROMPT = "query: "


def distilled(place: Place) -> Outcome:
    """Distil the model of the recipe ``korsts``, which must exist."""
    teacher = place.run("korsts")
    parts = {
        part: read_scored_pairs(place.data / "korsts" / f"{part}.tsv") for part in ("train", "dev", "test")
    }
    texts = [
        text
        for pair in read_labelled_texts(place.data / "kornli" / "xnli.test.ko.tsv")
        for text in (pair.text, pair.text_pair)
        if text
    ]
    result = distill_sentence_encoder(
        str(teacher),
        [*parts["train"], *dict.fromkeys(texts)],
        output=place.run("distilled"),
        layers=[1, 3, 5, 7, 9, 11],
        held_out=parts["dev"],
        task=EncoderDistillationTask(prompt=PROMPT),
        options=replace(ENCODER_OPTIONS, epochs=3, bfloat16=has_bfloat16()),
        watchers=place.watchers,
    )
    student, whole = munjang.SentenceTransformer(result.folder), munjang.SentenceTransformer(teacher)
    evaluations = [evaluate_similarity(model, parts["test"], prompt=PROMPT) for model in (student, whole)]
    kept = evaluations[0].metrics["spearman"].value / evaluations[1].metrics["spearman"].value
    encoded = [pair.sentence1 for pair in parts["test"]]
    median, least, most = times_as_fast(student, whole, encoded)
    return Outcome(
        "Distillation of the KorSTS model to half of its layers",
        "97% of the teacher's Spearman correlation at 1.7 times its speed",
        result,
        evaluations,
        [
            (
                "The first table is the student, the second the teacher: "
                f"{kept:.1%} of the correlation is kept. The student encodes {median:.2f} times as fast "
                f"(median of seven rounds, {least:.2f} to {most:.2f}; {len(encoded):,} sentences)."
            )
        ],
    )
