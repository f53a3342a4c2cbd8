"""Training by this package and by its peers: the same examples, the same model, one epoch in float32.

What comes back in place of vectors are the first and the last loss, which say that something was learned.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MunjangLabels", "MunjangPairs", "SentenceTransformersPairs", "TransformersLabels"]

Losses = NDArray[np.float32]
Settings = Sequence[Mapping[str, Any]]
BATCH_SIZE = 32
LEARNING_RATE = 2e-5
MAX_TOKENS = 256


class MunjangPairs:
    """Pairs with a score as the target of their cosine."""

    settings: Settings = ({},)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Losses:  # noqa: ARG002
        from munjang.evaluation import ScoredPair
        from munjang.training.options import SentencesTask
        from munjang.training.sentences.train import train_sentence_transformer

        examples = [ScoredPair(*json.loads(text)) for text in texts]
        with tempfile.TemporaryDirectory() as output:
            train_sentence_transformer(
                examples,
                model=self._folder,
                output=Path(output) / "run",
                task=SentencesTask(score_scale=1.0, max_seq_length=MAX_TOKENS),
                options=_options(),
            )
            return _losses(Path(output) / "run")


class MunjangLabels:
    """Texts with one of two labels."""

    settings: Settings = ({},)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Losses:  # noqa: ARG002
        from munjang.evaluation import LabelledText
        from munjang.training.options import ClassificationTask
        from munjang.training.tasks.classification import train_text_classification

        examples = [LabelledText(text, None, str(i % 2)) for i, text in enumerate(texts)]
        with tempfile.TemporaryDirectory() as output:
            train_text_classification(
                examples,
                model=str(self._folder),
                output=Path(output) / "run",
                task=ClassificationTask(max_length=MAX_TOKENS),
                options=_options(),
            )
            return _losses(Path(output) / "run")


def _options() -> Any:
    from munjang.training.options import TrainingOptions

    return TrainingOptions(epochs=1, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, device="cpu")


def _losses(run: Path) -> Losses:
    from munjang.training.loop.watchers import read_log

    found = [line["loss"] for line in read_log(run / "log.jsonl") if "loss" in line]
    return np.array([found[0], found[-1]], dtype=np.float32)


class SentenceTransformersPairs:
    """The trainer of `sentence-transformers`."""

    settings: Settings = ({},)

    def __init__(self, folder: Path) -> None:
        import datasets  # noqa: F401 - so that a peer that is not installed is skipped at once
        from sentence_transformers import SentenceTransformer

        self._folder = str(folder)
        SentenceTransformer(self._folder, device="cpu")

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Losses:  # noqa: ARG002
        from datasets import Dataset
        from sentence_transformers import (
            SentenceTransformer,
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
            losses,
        )

        model = SentenceTransformer(self._folder, device="cpu")
        rows = [json.loads(text) for text in texts]
        columns = {
            "sentence1": [row[0] for row in rows],
            "sentence2": [row[1] for row in rows],
            "score": [row[2] for row in rows],
        }
        with tempfile.TemporaryDirectory() as output:
            trainer = SentenceTransformerTrainer(
                model=model,
                args=SentenceTransformerTrainingArguments(**_arguments(output)),
                train_dataset=Dataset.from_dict(columns),
                loss=losses.CosineSimilarityLoss(model),
            )
            trainer.train()
            return _logged(trainer)


class TransformersLabels:
    """The trainer of `transformers`, with random batches or batches of texts of similar length."""

    settings: Settings = ({"group_by_length": False}, {"group_by_length": True})

    def __init__(self, folder: Path) -> None:
        import datasets  # noqa: F401
        from transformers import AutoTokenizer

        self._folder = str(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(self._folder)

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Losses:
        from datasets import Dataset
        from transformers import (
            AutoModelForSequenceClassification,
            DataCollatorWithPadding,
            Trainer,
            TrainingArguments,
        )

        model = AutoModelForSequenceClassification.from_pretrained(self._folder, num_labels=2)
        rows = self._tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)
        rows["label"] = [i % 2 for i in range(len(texts))]
        with tempfile.TemporaryDirectory() as output:
            trainer = Trainer(
                model=model,
                args=TrainingArguments(**_arguments(output), **setting),
                train_dataset=Dataset.from_dict(dict(rows)),
                data_collator=DataCollatorWithPadding(self._tokenizer),
            )
            trainer.train()
            return _logged(trainer)


def _arguments(output: str) -> dict[str, Any]:
    return {
        "output_dir": output,
        "num_train_epochs": 1,
        "per_device_train_batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "weight_decay": 0.01,
        "warmup_ratio": 0.1,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 1,
    }


def _logged(trainer: Any) -> Losses:
    found = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return np.array([found[0], found[-1]], dtype=np.float32)
