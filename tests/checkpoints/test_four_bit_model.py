from __future__ import annotations

import json
import struct
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers
from transformers import AutoModel, AutoTokenizer

from checkpoints.small_models import FourBitModel
from munjang.checkpoints import open_checkpoint
from munjang.checkpoints.e5.conversion import convert_quantized
from munjang.checkpoints.e5.quantized import read_quantized
from munjang.checkpoints.e5.unigram import build_charsmap
from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = {"query": "query: ", "document": "passage: "}


def write(folder: Path, model: FourBitModel) -> Path:
    path = folder / "model.bin"
    path.write_bytes(model.to_bytes())
    return path


def convert(folder: Path, model: FourBitModel) -> Path:
    target = folder / "converted"
    target.mkdir()
    convert_quantized(write(folder, model), target, PROMPTS)
    return target


def test_every_weight_is_read_exactly(tmp_path: Path) -> None:
    model = FourBitModel(layers=2)
    read = read_quantized(write(tmp_path, model))
    assert set(read.tensors) == set(model.tensors())
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(np.concatenate(list(read.tensors[name].blocks())), tensor.reshape(-1))
    assert read.sizes.epsilon == 1e-12
    assert read.vocabulary.pieces == model.pieces
    expected = {chr(code): "".join(map(chr, out)) for code, out in model.normalization.items()}
    assert read.vocabulary.normalization == expected


def test_converted_weights_bear_the_published_names(tmp_path: Path) -> None:
    model = FourBitModel(layers=2)
    tensors = model.tensors()
    weights = open_checkpoint(convert(tmp_path, model)).weights()
    np.testing.assert_array_equal(weights["embeddings.word_embeddings.weight"], tensors["emb.word"])
    np.testing.assert_array_equal(weights["encoder.layer.1.attention.self.query.weight"], tensors["l1.q.w"])
    np.testing.assert_array_equal(weights["encoder.layer.0.output.dense.bias"], tensors["l0.fo.b"])
    assert weights["encoder.layer.0.intermediate.dense.weight"].shape == (64, 32)
    assert len(weights) == len(tensors)


@pytest.mark.filterwarnings("ignore")
def test_transformers_opens_the_converted_folder(tmp_path: Path) -> None:
    folder = convert(tmp_path, FourBitModel())
    model, loading = AutoModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(["학교에 the"], return_tensors="pt")
    assert encoded.input_ids.tolist() == [[0, 5, 6, 7, 2]]
    assert tokenizer.mask_token_id == 9
    with torch.no_grad():
        assert torch.isfinite(model(**encoded).last_hidden_state).all()


def test_the_converted_folder_has_pooling_and_prompts(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(convert(tmp_path, FourBitModel()))
    assert [module["path"] for module in checkpoint.read_json_list("modules.json")] == [
        "",
        "1_Pooling",
        "2_Normalize",
    ]
    assert checkpoint.sub("1_Pooling").config()["pooling_mode_mean_tokens"] is True
    assert checkpoint.read_json("config_sentence_transformers.json")["prompts"] == PROMPTS
    assert checkpoint.read_json("sentence_bert_config.json")["max_seq_length"] == 8
    assert checkpoint.config()["layer_norm_eps"] == 1e-12
    assert checkpoint.config()["vocab_size"] == 12


def tokenizer_of(folder: Path) -> Any:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_text_is_normalised_as_the_table_says(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(convert(tmp_path, FourBitModel()))
    assert tokenizer.normalizer.normalize_str("①\x01ﬁx\n끝") == "1fix 끝"
    assert tokenizer.normalizer.normalize_str(unicodedata.normalize("NFD", "학교")) == "학교"
    assert tokenizer.encode("  학교에   the ").tokens == ["<s>", "▁학교", "에", "▁the", "</s>"]
    assert tokenizer.encode("학교", "the").ids == [0, 5, 2, 2, 7, 2]


def test_offsets_survive_a_deleted_first_character(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(convert(tmp_path, FourBitModel()))
    encoding = tokenizer.encode("\x01\x01학교에\n the")
    assert encoding.tokens == ["<s>", "▁학교", "에", "▁the", "</s>"]
    assert encoding.offsets[1:-1] == [(2, 4), (4, 5), (7, 10)]


characters = st.characters(min_codepoint=1, exclude_categories=["Cs"])
keys = characters.filter(lambda c: unicodedata.normalize("NFC", c) == c)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(keys, st.text(characters, min_size=1, max_size=4), min_size=1, max_size=60))
def test_a_charsmap_replaces_each_of_its_characters(table: dict[str, str]) -> None:
    normalizer = normalizers.Precompiled(build_charsmap(table))
    for key, value in table.items():
        assert normalizer.normalize_str(key) == value
    for other in ("a", "가", "\u3131", "😀", "\U0010ffff"):
        assert normalizer.normalize_str(other) == table.get(other, other)


def test_a_large_charsmap(tmp_path: Path) -> None:
    table = {}
    for code in range(0xA0, 0x30000):
        text = unicodedata.normalize("NFKC", chr(code)) if not 0xD800 <= code <= 0xDFFF else ""
        if text and text != chr(code):
            table[chr(code)] = text
    normalizer = normalizers.Precompiled(build_charsmap(table))
    assert len(table) > 4000
    assert all(normalizer.normalize_str(key) == value for key, value in table.items())


@pytest.mark.parametrize("kept", [0, 3, 20, 44, 60, 100, 150, 220, 300, 420, 600, 900, 2000, -1])
def test_a_cut_off_file_is_an_error(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path, FourBitModel())
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[:kept])
    with pytest.raises(CheckpointError, match=r"model\.bin"):
        convert_quantized(path, tmp_path, PROMPTS)
    assert [file.name for file in tmp_path.iterdir()] == ["model.bin"]


def test_any_truncation_is_detected(tmp_path: Path) -> None:
    path = write(tmp_path, FourBitModel())
    whole = path.read_bytes().rstrip(b"\0")
    for kept in range(0, len(whole), 61):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError):
            read_quantized(path)


HEADER = {
    "version": 4,
    "hidden": 8,
    "heads": 16,
    "epsilon": 36,
    "block": 40,
    "pieces": 44,
    "unk": 60,
    "text": 64,
}


@pytest.mark.parametrize("field", list(HEADER))
@pytest.mark.parametrize("value", [-1, 0, 7, 0x7FFFFFFF])
def test_impossible_headers_are_errors(tmp_path: Path, field: str, value: int) -> None:
    path = write(tmp_path, FourBitModel())
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, HEADER[field], value)
    path.write_bytes(data)
    if (field, value) in {("unk", 0), ("unk", 7), ("epsilon", 7)}:
        read_quantized(path)  # odd, but possible
    else:
        with pytest.raises(CheckpointError, match=r"not a whole 4-bit model file|tensor '"):
            convert_quantized(path, tmp_path, PROMPTS)


@pytest.mark.parametrize("content", [b"GGUF" * 30, b"E5S1" + b"\xff" * 99, b"PK\x03\x04"])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not a whole 4-bit model file.*Fetch it again"):
        read_quantized(tmp_path / "model.bin")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, FourBitModel())
    path.write_bytes(path.read_bytes().replace(b"l0.oln.b", b"l9.oln.b"))
    with pytest.raises(CheckpointError, match=r"'l0\.oln\.b' is missing"):
        convert_quantized(path, tmp_path, PROMPTS)


def test_the_files_are_plain_json(tmp_path: Path) -> None:
    for file in convert(tmp_path, FourBitModel()).rglob("*.json"):
        assert json.loads(file.read_bytes()) is not None
