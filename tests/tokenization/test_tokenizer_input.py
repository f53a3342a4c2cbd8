"""Unusual and wrong input: it is accepted, or the error of one line has the reason and the index."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.tokenization import Tokenizer


def test_blank_texts(ours: Tokenizer) -> None:
    for text in ("", "   ", "\u3000", "\u200b"):
        assert ours.encode(text) == ours.encode_ids([text])[0].input_ids
        assert ours.decode(ours.encode(text), skip_special_tokens=True).strip() in ("", "\u200b", "\u3000")


def test_nul_is_a_character(ours: Tokenizer) -> None:
    assert ours.encode("a\x00cat")[-3:] == ours.encode_ids(["a\x00cat"])[0].input_ids[-3:]


@pytest.mark.parametrize(
    "texts", [["fine", "a\ud800b"], ["fine", ("ok", "한\udfff")], ["fine", ("\udc00", "ok")]]
)
def test_lone_surrogates(ours: Tokenizer, texts: list[Any]) -> None:
    for encode in (ours.encode_batch, ours.encode_ids, ours):
        with pytest.raises(InputError, match=r"^Text (1|[01] of pair 1) has a lone .* at position [01],"):
            encode(texts)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["ok", None], "Text 1 has type NoneType"),
        (["ok", 3], "Text 1 has type int"),
        (["ok", b"bytes"], "Text 1 has type bytes"),
        (["ok", "ok", ("a", None)], "A text of pair 2 has type NoneType"),
        ("ok", "of type str; put"),
        (b"ok", "of type bytes"),
        ({"a": 1}, "of type dict"),
        (None, "of type NoneType"),
        (7, "of type int"),
    ],
)
def test_wrong_types(small: Tokenizer, texts: Any, message: str) -> None:
    for encode in (small.encode_batch, small.encode_ids):
        with pytest.raises(InputTypeError, match=message):
            encode(texts)


def test_wrong_types_of_single_texts(small: Tokenizer) -> None:
    for wrong in (None, 3, b"x", ["a"]):
        with pytest.raises(InputTypeError, match=f"of type {type(wrong).__name__}"):
            small.encode(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="has type NoneType"):
        small(None)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="has type str and int"):
        small("a", 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("pair", [("a",), ("a", "b", "c"), []])
def test_a_pair_has_two_texts(small: Tokenizer, pair: Any) -> None:
    with pytest.raises(InputError, match=f"Text 1 is a {type(pair).__name__} of {len(pair)}"):
        small.encode_batch(["ok", pair])


def test_pairs_may_be_lists_and_texts_any_iterable(small: Tokenizer) -> None:
    assert small.encode_ids([["cat", "mat"]]) == small.encode_ids([("cat", "mat")])  # type: ignore[list-item]
    assert small.encode_ids(text for text in ["cat"]) == small.encode_ids(["cat"])
    assert small.encode_ids(np.array(["cat", "mat"])) == small.encode_ids(("cat", "mat"))


def test_wrong_ids(small: Tokenizer) -> None:
    with pytest.raises(InputError, match="-1 is no token id"):
        small.decode([5, -1])
    with pytest.raises(InputTypeError, match="of type str"):
        small.decode(["cat"])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="of type list"):
        small.decode([[5]])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="of type float"):
        small.convert_ids_to_tokens(1.5)  # type: ignore[call-overload]
    assert small.decode([10**7, 3]) == "[SEP]"
    assert small.decode(3) == "[SEP]"


def test_unknown_rows_are_named(small: Tokenizer) -> None:
    with pytest.raises(AttributeError, match="no 'inputs'; it has input_ids, token_type_ids"):
        _ = small("cat").inputs


def test_many_threads_share_one_tokenizer(small: Tokenizer) -> None:
    texts = [f"the cat {number} 서울 은" for number in range(200)]
    alone = {length: small.encode_ids(texts, max_length=length) for length in (4, 6, 50)}
    results: list[bool] = []

    def work(length: int) -> None:
        for _ in range(10):
            results.append(small.encode_ids(texts, max_length=length) == alone[length])  # noqa: PERF401

    threads = [threading.Thread(target=work, args=(length,)) for length in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 30


FORK = """
import os, sys
from munjang.tokenization import Tokenizer

tokenizer = Tokenizer.from_pretrained(sys.argv[1])
texts = ["the cat sat on the mat"] * 500
expected = tokenizer.encode_ids(texts)
child = os.fork()
if child == 0:
    os._exit(0 if tokenizer.encode_ids(texts) == expected else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert "TOKENIZERS_PARALLELISM" not in os.environ
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
def test_a_fork_is_silent_and_can_run_the_model(small: Tokenizer) -> None:
    run = [sys.executable, "-W", "ignore", "-c", FORK, small.name_or_path]
    # A pipeline of transformers, in an earlier test of this process, sets the variable.
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_loads_no_engine() -> None:
    code = (
        "import sys, munjang.tokenization; assert not {'tokenizers', 'torch', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_name_is_shown(small: Tokenizer) -> None:
    assert Path(small.name_or_path).is_dir()
    assert "vocab_size=" in repr(small)
    assert bool(small)


def test_copies_are_whole(small: Tokenizer) -> None:
    small.add_tokens(["munjang"])
    for again in (copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        assert again.encode("munjang cat", "서울") == small.encode("munjang cat", "서울")
        assert again.special_tokens_map == small.special_tokens_map
        assert again.added_pieces == small.added_pieces


def test_the_sides_can_be_changed(small: Tokenizer) -> None:
    small.padding_side = small.truncation_side = "left"
    assert small(["cat", "the cat"], padding=True)["input_ids"][0][0] == small.pad_token_id
    assert small.encode_batch(["the cat sat"], truncation=True, max_length=3)[0].tokens[1] == "sat"
    with pytest.raises(InputError, match="Unknown padding_side 'up'"):
        small.padding_side = "up"


def test_a_vocabulary_without_the_unknown_token(small: Tokenizer, tmp_path: Path) -> None:
    content = json.loads(small.backend_tokenizer.to_str())
    del content["model"]["vocab"]["[UNK]"]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[UNK]"]
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path / "lacking")
    with pytest.raises(CheckpointError, match=r"fails: .*UNK"):
        tokenizer.encode_ids(["Ωж"])
