"""The files of a tokeniser, errors of broken files, and saving for both libraries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers

from munjang.errors import CheckpointError
from munjang.tokenization import Tokenizer

FolderMaker = Callable[..., Path]
TEXTS = ["The cat sat on 서울의 mats, ÀÉ 中文!", "a [MASK] <mask> new munjang 문장토큰", ""]
PAIR = ("서울은 the cat", "정말 mat?")


def update(folder: Path, filename: str, **changes: Any) -> None:
    path = folder / filename
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**content, **changes}, ensure_ascii=False), encoding="utf-8")


def assert_equal(ours: Tokenizer, theirs: Any) -> None:
    options: dict[str, Any] = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    for texts in (*([text] for text in TEXTS), *(([text], [other]) for text, other in [PAIR])):
        batch, expected = ours(*_call(texts), **options), theirs(*_call(texts), **options)
        assert {name: _plain(row) for name, row in batch.items()} == {
            name: _plain(row) for name, row in expected.items()
        }
    assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert ours.model_max_length == theirs.model_max_length
    assert ours.padding_side == theirs.padding_side
    ids = ours.encode(TEXTS[1])
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)


def _call(texts: Any) -> Any:
    return texts if isinstance(texts, tuple) else (texts,)


def _plain(rows: Any) -> Any:
    return [list(map(list, row)) if row and isinstance(row[0], (tuple, list)) else row for row in rows]


def test_both_libraries_read_what_munjang_saves(ours: Tokenizer, tmp_path: Path) -> None:
    ours.add_tokens(["munjang", "문장토큰"])
    ours.add_special_tokens({"additional_special_tokens": ["<e1>", "<e2>"]})
    saved = tmp_path / "saved" / "deeper"
    ours.save_pretrained(saved)
    assert sorted(path.name for path in saved.iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    again = Tokenizer.from_pretrained(saved)
    assert_equal(again, ours)
    assert again.model_input_names == ours.model_input_names
    assert again.additional_special_tokens == ["<e1>", "<e2>"]
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(saved))
    (saved / "config.json").write_text('{"model_type": "bert"}')
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(saved))


def test_munjang_reads_what_the_reference_saves(theirs: Any, tmp_path: Path) -> None:
    theirs.add_tokens(["munjang", "문장토큰"])
    theirs.add_special_tokens({"additional_special_tokens": ["<e1>"]})
    theirs.save_pretrained(tmp_path / "saved")
    shutil.copy(tmp_path / "config.json", tmp_path / "saved")
    assert_equal(Tokenizer.from_pretrained(tmp_path / "saved"), theirs)


def test_saved_padding_and_truncation_are_ignored(small: Tokenizer, tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer.from_str(small.backend_tokenizer.to_str())
    backend.enable_truncation(4)
    backend.enable_padding(length=16)
    backend.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_pretrained(tmp_path)
    assert again("the cat sat on the mat")["input_ids"] == small("the cat sat on the mat")["input_ids"]
    assert len(again("cat")["input_ids"]) == 3


@pytest.mark.parametrize("named", [{}, {"truncation_side": "right", "padding_side": "right"}])
def test_sides_of_saved_padding_and_truncation_are_the_defaults(
    small: Tokenizer, tmp_path: Path, named: dict[str, str]
) -> None:
    small.save_pretrained(tmp_path)
    backend = tokenizers.Tokenizer.from_str(small.backend_tokenizer.to_str())
    backend.enable_truncation(4, direction="left")
    backend.enable_padding(length=16, direction="left")
    backend.save(str(tmp_path / "tokenizer.json"))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    sides = {"truncation_side": "left", "padding_side": "left", **named}
    config = {key: value for key, value in config.items() if key not in sides} | named
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours = Tokenizer.from_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert {name: getattr(ours, name) for name in sides} == sides
    assert {name: getattr(theirs, name) for name in sides} == sides
    options: dict[str, Any] = {"truncation": True, "padding": "max_length", "max_length": 5}
    for text in ("the cat sat on the mat", "cat"):
        assert ours(text, **options)["input_ids"] == theirs(text, **options)["input_ids"]


@pytest.mark.parametrize("lower", [False, True])
def test_the_config_overrides_the_tokenizer_json(small: Tokenizer, tmp_path: Path, lower: bool) -> None:
    small.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    update(tmp_path, "tokenizer_config.json", do_lower_case=lower, tokenizer_class="BertTokenizer")
    ours = Tokenizer.from_pretrained(tmp_path)
    assert ours.tokenize("CAT") == (["cat"] if lower else ["C", "##A", "##T"])
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(tmp_path))


def test_a_roberta_with_a_bert_vocabulary(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder(model_type="roberta", tokenizer_class="BertTokenizer", do_lower_case=False)
    ours = Tokenizer.from_pretrained(folder)
    assert ours.tokenize("서울은", add_special_tokens=True) == ["[CLS]", "서울", "##은", "[SEP]"]
    assert ours.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(folder))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    update(folder, "config.json", tokenizer_class="BertTokenizer")
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(folder))
    assert Tokenizer.from_pretrained(folder).encode("서울") == ours.encode("서울")


def test_a_tokenizer_json_determines_its_family(small: Tokenizer, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    small.save_pretrained(alone)
    (alone / "tokenizer_config.json").unlink()
    (alone / "special_tokens_map.json").unlink()
    again = Tokenizer.from_pretrained(alone)
    assert again.special_tokens_map == small.special_tokens_map
    assert again.model_input_names == small.model_input_names
    assert again.encode(*PAIR) == small.encode(*PAIR)


def test_a_byte_level_vocabulary_determines_its_family(bpe_folder: FolderMaker) -> None:
    for model_type, special in (("roberta", 4), ("gpt2", 0)):
        folder = bpe_folder(model_type=model_type)
        named = Tokenizer.from_pretrained(folder)
        (folder / "config.json").unlink()
        (folder / "tokenizer_config.json").unlink()
        again = Tokenizer.from_pretrained(folder)
        assert again.num_special_tokens_to_add(pair=True) == special
        assert again.encode(*PAIR) == named.encode(*PAIR)


def test_special_tokens_map(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder(model_type="bert", tokenizer_class="BertTokenizer", extra=["<pad>", "<go>"])
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
    update(
        folder,
        "special_tokens_map.json",
        pad_token="<pad>",
        mask_token=mask,
        cls_token={**mask, "content": "<go>", "lstrip": False},
        additional_special_tokens=["<new>"],
    )
    ours = Tokenizer.from_pretrained(folder)
    assert (ours.pad_token, ours.cls_token) == ("<pad>", "<go>")
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(folder))


def test_added_tokens_json(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder(tokenizer_class="BertTokenizer")
    size = len(Tokenizer.from_pretrained(folder))
    update(folder, "added_tokens.json", 문장토큰=size + 1, munjang=size)
    ours = Tokenizer.from_pretrained(folder)
    assert ours.get_added_vocab()["munjang"] == size
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(folder))
    update(folder, "added_tokens.json", munjang=size + 7)
    with pytest.raises(CheckpointError, match=f"'문장토큰' of .* should have id {size + 1} but gets {size}"):
        Tokenizer.from_pretrained(folder)


def test_added_tokens_decoder(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder(tokenizer_class="BertTokenizer")
    size = len(Tokenizer.from_pretrained(folder))
    token = {"lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": True}
    update(
        folder,
        "tokenizer_config.json",
        added_tokens_decoder={
            "0": {**token, "content": "[PAD]", "rstrip": False},
            str(size): {**token, "content": "munjang", "special": False},
            str(size + 1): {**token, "content": "<e1>"},
        },
        additional_special_tokens=["<e1>"],
    )
    assert_equal(Tokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder))


def test_robertas_mask_takes_the_space_before_it(bpe_folder: FolderMaker) -> None:
    (encoding,) = Tokenizer.from_pretrained(bpe_folder()).encode_batch(["the <mask> cat"])
    assert " <mask>" in encoding.tokens
    assert "Ġ" not in encoding.tokens


def test_windows_line_ends(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder()
    expected = Tokenizer.from_pretrained(folder).get_vocab()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_bytes(vocabulary.read_bytes().replace(b"\n", b"\r\n"))
    assert Tokenizer.from_pretrained(folder).get_vocab() == expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": "{}"}, "no tokenizer.json, no vocab.txt"),
        ({"tokenizer.json": "{"}, "tokenizer.json.* can't be read"),
        ({"tokenizer.json": "{}"}, "tokenizer.json.* can't be read"),
        ({"vocab.txt": b"\xff\xfe"}, "vocab.txt.* can't be read"),
        ({"vocab.txt": "a\nb\n"}, r"lacks the unknown token '\[UNK\]'"),
        ({"vocab.txt": "[UNK]\na\n"}, "has no cls_token"),
        ({"vocab.json": "[]", "merges.txt": ""}, "vocab.json.* can't be read"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b\n"}, "vocab.json.* can't be read"),
        ({"vocab.json": '{"a": 0}'}, "no vocab.json with merges.txt"),
        ({"tokenizer_config.json": "{]"}, "tokenizer_config.json' is not valid JSON"),
        ({"tokenizer_config.json": '{"padding_side": "up"}'}, "padding_side 'up'"),
        ({"tokenizer_config.json": '{"model_max_length": "long"}'}, "model_max_length 'long'"),
    ],
)
def test_broken_files(
    tmp_path: Path, wordpiece_folder: FolderMaker, files: dict[str, str | bytes], message: str
) -> None:
    folder = tmp_path / "broken"
    if "tokenizer_config.json" in files:
        shutil.copytree(wordpiece_folder(), folder)
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=message) as caught:
        Tokenizer.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(small: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="Can't save the tokeniser in"):
        small.save_pretrained(tmp_path / "file")
