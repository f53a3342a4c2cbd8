"""Text padded on the left, by the tokeniser or by hand, gives the values that the reference has there.

BERT, ELECTRA, DistilBERT and GPT-2 number positions by column, so padding on the left moves the positions of
a text; RoBERTa counts the tokens that are no padding. (`generate` of the reference counts positions by the
mask, and so do our tasks, which take texts.) The reference pools the first column, which is padding then;
Munjang pools the first token that the mask leaves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from munjang.runtime.model import Model
from munjang.tokenization import Tokenizer
from support.gpt2 import make_gpt2
from support.peers import ARCHITECTURES, random_inputs, random_peer, reference

TEXTS = ["the cat", "the cat sat on the mat", "cat"]


def left(inputs: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Move the padding of each row to its left."""
    shifts = inputs["input_ids"].shape[1] - inputs["attention_mask"].sum(axis=1)
    return {
        name: np.stack([np.roll(row, shift) for row, shift in zip(rows, shifts, strict=True)])
        for name, rows in inputs.items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("backend", ["numpy", "openvino"])
def test_left_padded_arrays(architecture: str, backend: str, tmp_path: Path) -> None:
    peer = random_peer(architecture, tmp_path)
    inputs: dict[str, Any] = left(random_inputs(np.random.default_rng(1)))
    assert inputs["attention_mask"][1:, 0].min() == 0
    expected = reference(peer, inputs)["last_hidden_state"].numpy()
    output: Any = Model.from_pretrained(tmp_path, backend=backend)(**inputs)
    kept = inputs["attention_mask"] == 1
    np.testing.assert_allclose(output.last_hidden_state[kept], expected[kept], atol=2e-5)


def test_the_first_token_with_a_mask_is_pooled(tmp_path: Path) -> None:
    peer = random_peer("bert", tmp_path)
    inputs: dict[str, Any] = left(random_inputs(np.random.default_rng(2)))
    hidden = reference(peer, inputs)["last_hidden_state"]
    first = torch.from_numpy(inputs["attention_mask"]).argmax(dim=1)
    with torch.no_grad():
        expected = peer.pooler(hidden[torch.arange(len(first)), first][:, None]).numpy()
    pooled: Any = Model.from_pretrained(tmp_path)(**inputs).pooler_output
    np.testing.assert_allclose(pooled, expected, atol=2e-5)


def test_left_padded_gpt2(tmp_path: Path) -> None:
    peer = make_gpt2(tmp_path)
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    batch = tokenizer(TEXTS, padding=True, return_tensors="np")
    assert batch["attention_mask"][0, 0] == 0
    ids, mask = (torch.from_numpy(batch[name]) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        expected = peer.model(input_ids=ids, attention_mask=mask).logits.numpy()
    output: Any = Model.from_pretrained(tmp_path, head="causal-lm")(**batch)
    kept = batch["attention_mask"] == 1
    np.testing.assert_allclose(output.logits[kept], expected[kept], atol=2e-4)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_the_tokenizer_pads_on_the_left(architecture: str, tmp_path: Path) -> None:
    """RoBERTa's values do not depend on the side; the others' do, since positions are column numbers."""
    peer = random_peer(architecture, tmp_path)
    pad, unknown = ("[x]", "[PAD]") if architecture == "roberta" else ("[PAD]", "[x]")
    pieces = [pad, unknown, "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "padding_side": "left"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer, model = Tokenizer.from_pretrained(tmp_path), Model.from_pretrained(tmp_path)
    batch = tokenizer(TEXTS, padding=True, return_tensors="np")
    assert batch["input_ids"][2].tolist() == [tokenizer.pad_token_id] * 5 + [3, 7, 4]
    output: Any = model(**batch).last_hidden_state
    kept = batch["attention_mask"] == 1
    expected = reference(peer, batch)["last_hidden_state"].numpy()
    np.testing.assert_allclose(output[kept], expected[kept], atol=2e-5)
    right: Any = model(
        **tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="np")
    ).last_hidden_state
    same = np.allclose(output[2, -3:], right[2, :3], atol=2e-5)
    assert same == (architecture == "roberta")
