"""The tokens and ids that published lessons print for texts.

Each case runs on a vocabulary of its own pieces at their true ids, and the English ones also on the real one,
which all-MiniLM-L6-v2 shares with bert-base-uncased.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from munjang.tokenization import Tokenizer

CASES = json.loads(Path(__file__).with_name("lesson_vocab_cases.json").read_text(encoding="utf-8"))
ENGLISH = [case for case in CASES if case["text"].isascii()]


def check(tokenizer: Tokenizer, case: dict[str, Any]) -> None:
    padding: dict[str, Any] = (
        {"padding": "max_length", "max_length": case["pad_to"]} if "pad_to" in case else {}
    )
    batch = tokenizer(case["text"], **padding)
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        assert batch[name] == case.get(name, batch[name]), name
    if "tokens" in case:
        assert tokenizer.tokenize(case["text"]) == case["tokens"]
    if "decoded" in case:
        assert tokenizer.decode(case["input_ids"]) == case["decoded"]
    for token, index in case.get("special_ids", {}).items():
        assert tokenizer.convert_tokens_to_ids(token) == index
        assert index in tokenizer.all_special_ids


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_with_the_pieces_of_the_case(tmp_path: Path, case: dict[str, Any]) -> None:
    lines = [f"[unused{index}]" for index in range(max(case["pieces"].values()) + 1)]
    for piece, index in case["pieces"].items():
        lines[index] = piece
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": case["model_type"]}))
    config = {"do_lower_case": case["do_lower_case"], "model_max_length": 512}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    check(Tokenizer.from_pretrained(tmp_path), case)


@pytest.mark.models
@pytest.mark.parametrize("case", ENGLISH, ids=lambda case: case["id"])
def test_with_the_real_vocabulary(minilm: Tokenizer, case: dict[str, Any]) -> None:
    check(minilm, case)


@pytest.mark.models
def test_the_real_vocabulary_equals_the_reference(minilm: Tokenizer, minilm_folder: Path) -> None:
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(minilm_folder)
    texts = [case["text"] for case in CASES]
    texts += [
        "Naïve café, ÀÉ! 中文 don't 123",
        "\x00 [MASK] 👩\u200d👧",
        "",
    ]
    others = texts[::-1]
    options: dict[str, Any] = {
        "return_offsets_mapping": True,
        "return_special_tokens_mask": True,
        "padding": True,
    }
    extras: list[dict[str, Any]] = [{}, {"truncation": True, "max_length": 8}]
    for extra in extras:
        ours_rows, rows = minilm(texts, others, **options, **extra), theirs(texts, others, **options, **extra)
        assert {name: ours_rows[name] for name in rows} == dict(rows)
    assert minilm.model_max_length == theirs.model_max_length
    assert minilm.get_vocab() == theirs.get_vocab()
    ids = theirs(texts)["input_ids"]
    assert minilm.batch_decode(ids) == theirs.batch_decode(ids)
