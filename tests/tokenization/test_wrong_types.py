"""Files of a tokeniser with values of the wrong type, and many random mutations: only our own errors."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from munjang.errors import CheckpointError, MunjangError
from munjang.tokenization import Tokenizer

FolderMaker = Callable[..., Path]
HUGE = 10**400
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    HUGE,
    "x",
    "",
    "\ud800",
    [],
    ["x"],
    [None],
    [[1]],
    {},
    {"x": {}},
]
ODD += [{"0": {"content": "x"}}, {"content": None}, {"content": "x", "lstrip": 3}, float("inf"), float("nan")]

WRONG: list[tuple[str, Any, str]] = [
    ("do_lower_case", "x", "true or false"),
    ("strip_accents", 1, "true or false"),
    ("tokenize_chinese_chars", [], "true or false"),
    ("add_prefix_space", "no", "true or false"),
    ("split_special_tokens", {}, "true or false"),
    ("clean_up_tokenization_spaces", 0, "true or false"),
    ("model_max_length", "long", "a number"),
    ("model_max_length", -1, "a number of at least 1"),
    ("model_max_length", float("nan"), "a number of at least 1"),
    ("max_len", True, "a number"),
    ("padding_side", ["left"], "'left' or 'right'"),
    ("truncation_side", "up", "'left' or 'right'"),
    ("model_input_names", "input_ids", "a list of strings"),
    ("tokenizer_class", 5, "a string"),
    ("cls_token", 5, "a token"),
    ("cls_token", {"text": "x"}, "a token"),
    ("mask_token", {"content": "[MASK]", "lstrip": "x"}, "a token"),
    ("additional_special_tokens", "x", "a list or an object of tokens"),
    ("additional_special_tokens", [1], "a list or an object of tokens"),
    ("extra_special_tokens", {"a": []}, "a list or an object of tokens"),
    ("added_tokens_decoder", {"x": {}}, "an object with ids as keys"),
    ("added_tokens_decoder", {"5": "x"}, "an object with ids as keys"),
    ("added_tokens_decoder", {str(HUGE): {"content": "x"}}, "an object with ids as keys"),
    ("added_tokens_decoder", [], "an object with ids as keys"),
]


@pytest.mark.parametrize(("key", "value", "wanted"), WRONG, ids=repr)
def test_the_file_and_the_key_are_named(
    wordpiece_folder: FolderMaker, key: str, value: Any, wanted: str
) -> None:
    folder = wordpiece_folder(**{key: value})
    with pytest.raises(CheckpointError, match=rf"tokenizer_config.json' has {key} .*, which is not {wanted}"):
        Tokenizer.from_pretrained(folder)


def test_lone_surrogates(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder()
    (folder / "tokenizer_config.json").write_text('{"pad_token": "\\ud800"}')
    with pytest.raises(CheckpointError, match=r"has pad_token '.ud800', which is not a token"):
        Tokenizer.from_pretrained(folder)


def test_other_files_of_the_folder(wordpiece_folder: FolderMaker) -> None:
    folder = wordpiece_folder()
    (folder / "special_tokens_map.json").write_text('{"sep_token": [1]}')
    with pytest.raises(
        CheckpointError, match=r"special_tokens_map.json' has sep_token \[1\], which is not a tok"
    ):
        Tokenizer.from_pretrained(folder)
    (folder / "special_tokens_map.json").unlink()
    for index in (str(HUGE), '"5"', "-1", "1.5", "true", "null"):
        (folder / "added_tokens.json").write_text(f'{{"munjang": {index}}}')
        with pytest.raises(CheckpointError, match=r"added_tokens.json' has munjang .*, which is not an id"):
            Tokenizer.from_pretrained(folder)
    (folder / "added_tokens.json").write_text('{"\\ud800": 5}')
    with pytest.raises(CheckpointError, match="lone surrogate"):
        Tokenizer.from_pretrained(folder)


@pytest.mark.parametrize("length", ["1e400", "1e30", str(HUGE), "Infinity"])
def test_a_length_beyond_every_text_is_no_limit(wordpiece_folder: FolderMaker, length: str) -> None:
    folder = wordpiece_folder()
    (folder / "tokenizer_config.json").write_text(f'{{"model_max_length": {length}}}')
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == int(1e30)
    assert len(tokenizer.encode("cat " * 1000, truncation=True)) == 1002


def test_null_is_absent(wordpiece_folder: FolderMaker) -> None:
    keys = ["do_lower_case", "model_max_length", "padding_side", "model_input_names", "tokenizer_class"]
    keys += ["additional_special_tokens", "extra_special_tokens", "added_tokens_decoder"]
    expected = Tokenizer.from_pretrained(wordpiece_folder()).encode("The 서울 [MASK]")
    assert (
        Tokenizer.from_pretrained(wordpiece_folder(**dict.fromkeys(keys))).encode("The 서울 [MASK]")
        == expected
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no fifos")
@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer_config.json", "tokenizer.json"])
def test_a_fifo_is_never_waited_for(wordpiece_folder: FolderMaker, name: str) -> None:
    folder = wordpiece_folder()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    try:
        Tokenizer.from_pretrained(folder)
    except CheckpointError:
        return
    assert name != "vocab.txt"


@pytest.mark.parametrize(
    "name", ["vocab.txt", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"]
)
def test_gigabytes_are_not_read(bpe_folder: FolderMaker, name: str) -> None:
    folder = bpe_folder()
    if name == "vocab.txt":
        (folder / "vocab.json").unlink()
    with (folder / name).open("wb") as file:
        file.truncate(2**33)  # sparse: takes no room
    with pytest.raises(CheckpointError, match=r"has 8,589,934,592 bytes"):
        Tokenizer.from_pretrained(folder)


FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
    "config.json",
)
TEXTS = ["The cat 서울은 [MASK] é", "", "a" * 200]


def mutated(value: Any, draw: random.Random) -> Any:
    """Return the value with one part somewhere inside replaced, removed or added."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        changed = dict(value)
        match draw.randrange(8):
            case 0:
                del changed[key]
            case 1:
                changed[draw.choice(["x", "-1", "99999999999", "type", "content"])] = draw.choice(ODD)
            case _:
                changed[key] = mutated(value[key], draw)
        return changed
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        return [*value[:at], mutated(value[at], draw), *value[at + 1 + draw.randrange(2) :]]
    return draw.choice(ODD)


@pytest.mark.parametrize("seed", range(12))
def test_random_mutations(folder: Path, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    Tokenizer.from_pretrained(folder).save_pretrained(tmp_path / "whole")
    for name in ("vocab.txt", "vocab.json", "merges.txt", "config.json"):
        if (folder / name).is_file():
            shutil.copy(folder / name, tmp_path / "whole")
    (tmp_path / "whole" / "added_tokens.json").write_text('{"munjang": 400, "x": 401}')
    for number in range(5):
        broken = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", broken)
        if draw.random() < 0.5:
            (broken / "tokenizer.json").unlink()
        for name in draw.sample(FILES, 2):
            path = broken / name
            if path.is_file():
                content = mutated(json.loads(path.read_text(encoding="utf-8")), draw)
                path.write_text(json.dumps(content), encoding="utf-8")
        for name in ("vocab.txt", "vocab.json", "merges.txt"):
            path = broken / name
            if path.is_file() and draw.random() < 0.3:
                raw = bytearray(path.read_bytes())
                for _ in range(draw.randrange(1, 4)):
                    raw[draw.randrange(len(raw))] = draw.randrange(256)
                path.write_bytes(raw)
        try:
            use(Tokenizer.from_pretrained(broken), tmp_path / f"again-{number}")
        except MunjangError:
            continue


def use(tokenizer: Tokenizer, folder: Path) -> None:
    ids = tokenizer.encode_ids(TEXTS)
    tokenizer.encode_batch([*TEXTS, ("cat", "mat")], truncation=True, max_length=8)
    for text in ids:
        tokenizer.decode(text.input_ids)
    assert isinstance(tokenizer.all_special_ids, list)
    tokenizer.save_pretrained(folder)
    Tokenizer.from_pretrained(folder)
