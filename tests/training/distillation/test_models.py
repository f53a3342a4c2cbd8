"""Students made of some of a teacher's layers, compared with the reference's model cut by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder as PeerCrossEncoder
from sentence_transformers import SentenceTransformer as PeerTransformer

import munjang
from munjang.errors import InputError, InputTypeError, UnsupportedModelError
from munjang.training.distillation.models import choose_layers, make_student, spread
from support.gpt2 import make_gpt2
from support.sentences import (
    TEXTS,
    make_checkpoint,
    make_pair_checkpoint,
    make_sentence_folder,
    modify_json,
)

KEPT = (0, 2)


def cut_by_hand(model: Any, layers: Sequence[int]) -> Any:
    """Remove layers from the reference's encoder."""
    base = model.base_model
    holder = base.transformer if hasattr(base, "transformer") else base.encoder
    holder.layer = torch.nn.ModuleList(holder.layer[i] for i in layers)
    model.config.num_hidden_layers = len(layers)
    return model.eval()


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta", "electra", "distilbert"])
def test_a_student_classifier_equals_the_one_made_by_hand(architecture: str, tmp_path: Path) -> None:
    """The head, the pooler and the embeddings are kept."""
    peer = cut_by_hand(make_checkpoint(architecture, tmp_path / "teacher", head=True), KEPT)
    assert make_student(tmp_path / "teacher", tmp_path / "student", layers=2) == KEPT
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student").eval()
    assert loaded.config.num_hidden_layers == 2
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "student")
    inputs = tokenizer([t for t in TEXTS if t], padding=True, return_tensors="pt")
    with torch.no_grad():
        wanted, found = peer(**inputs).logits, loaded(**inputs).logits
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    model = munjang.Model.from_pretrained(tmp_path / "student", "sequence-classification")
    ours = model(**{name: value.numpy() for name, value in inputs.items()}).logits
    assert ours is not None
    np.testing.assert_allclose(ours, wanted.numpy(), atol=1e-5)


def test_a_student_encoder_keeps_pooling_modules_prompts_and_tokenizer(tmp_path: Path) -> None:
    """It gives the vectors of the teacher cut by hand, in both libraries."""
    peer = make_sentence_folder(
        "bert", tmp_path / "teacher", pooling="cls", prompts={"query": "ask: "}, default_prompt_name="query"
    )
    cut_by_hand(peer[0].model, (1, 2))
    assert make_student(tmp_path / "teacher", tmp_path / "student", layers=[1, 2]) == (1, 2)
    wanted = peer.encode(TEXTS)
    loaded = PeerTransformer(str(tmp_path / "student"), device="cpu")
    ours = munjang.SentenceTransformer(tmp_path / "student")
    assert loaded.prompts["query"] == ours.prompts["query"] == "ask: "
    assert ours.pooling.modes == ("cls",)
    assert ours.max_seq_length == munjang.SentenceTransformer(tmp_path / "teacher").max_seq_length
    np.testing.assert_allclose(loaded.encode(TEXTS), wanted, atol=1e-6)
    np.testing.assert_allclose(ours.encode(TEXTS), wanted, atol=1e-5)


def test_a_student_cross_encoder_keeps_what_makes_scores_of_logits(tmp_path: Path) -> None:
    """The teacher's files name it beside a list of modules, the student's in the config."""
    teacher = make_pair_checkpoint("roberta", tmp_path / "teacher")
    teacher.save(str(tmp_path / "teacher"), create_model_card=False)
    modify_json(
        tmp_path / "teacher" / "config_sentence_transformers.json",
        activation_fn="torch.nn.modules.linear.Identity",
    )
    make_student(tmp_path / "teacher", tmp_path / "student", layers=1)
    pairs = [("a man", "is eating"), ("서울", "한국의 수도")]
    ours = munjang.CrossEncoder(tmp_path / "student").predict(pairs)
    peer = PeerCrossEncoder(str(tmp_path / "student"), device="cpu").predict(pairs)
    np.testing.assert_allclose(ours, peer, atol=1e-5)
    assert ours.min() < 0 or ours.max() > 1  # no sigmoid


def test_a_student_with_all_layers_equals_the_teacher(tmp_path: Path) -> None:
    """Tensors and config are the same."""
    make_sentence_folder("electra", tmp_path / "teacher")
    make_student(tmp_path / "teacher", tmp_path / "student", layers=3)
    teacher = munjang.SentenceTransformer(tmp_path / "teacher").encode(TEXTS)
    np.testing.assert_array_equal(munjang.SentenceTransformer(tmp_path / "student").encode(TEXTS), teacher)
    config = json.loads((tmp_path / "student" / "config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == 3


@pytest.mark.parametrize("of", range(1, 26))
def test_layers_are_spread_evenly(of: int) -> None:
    """They ascend, begin with the first, end with the last, and no gap is larger than another by two."""
    for count in range(1, of + 1):
        chosen = spread(count, of)
        assert len(chosen) == count
        assert chosen[0] == 0
        assert count == 1 or chosen[-1] == of - 1
        gaps = np.diff(chosen)
        assert (gaps > 0).all()
        assert count == 1 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (0, "1 to 3 of the teacher's 3 layers, got 0"),
        (4, "1 to 3 of the teacher's 3 layers, got 4"),
        ([0, 3], "layers 0 to 2, got 3"),
        ([-1], "layers 0 to 2, got -1"),
        ([], r"each once, got \[\]"),
        ([1, 1], r"each once, got \[1, 1\]"),
        ([2, 0], r"each once, got \[2, 0\]"),
    ],
)
def test_layers_that_the_teacher_does_not_have(layers: int | list[int], says: str) -> None:
    """The message lists the valid values."""
    with pytest.raises(InputError, match=says):
        choose_layers(layers, 3)


@pytest.mark.parametrize("layers", [True, "2", [0, 1.5], 2.0, [True]])
def test_layers_that_are_no_numbers(layers: Any) -> None:
    """A bool is none either."""
    with pytest.raises(InputTypeError, match="layers must be"):
        choose_layers(layers, 3)


def test_a_folder_with_files_is_not_changed(tmp_path: Path) -> None:
    """Also the teacher's own."""
    make_checkpoint("bert", tmp_path / "teacher")
    before = sorted(path.name for path in (tmp_path / "teacher").iterdir())
    with pytest.raises(InputError, match="is not empty"):
        make_student(tmp_path / "teacher", tmp_path / "teacher", layers=1)
    assert sorted(path.name for path in (tmp_path / "teacher").iterdir()) == before


def test_a_model_that_is_not_an_encoder(tmp_path: Path) -> None:
    """GPT-2 has layers, but it can't be trained."""
    with pytest.raises(UnsupportedModelError, match="not of a model of type 'gpt2'"):
        make_student(make_gpt2(tmp_path / "teacher").folder, tmp_path / "student", layers=1)
