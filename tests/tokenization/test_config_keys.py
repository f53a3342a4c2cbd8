"""Every key that transformers writes into ``tokenizer_config.json`` is obeyed as there, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from munjang.errors import CheckpointError
from munjang.tokenization import Tokenizer

FolderMaker = Callable[..., Path]
TEXTS = [
    "The Cat sat on 서울의 mats, ÀÉ 中文! naïve",
    " a [MASK] <mask> new <new> <image> cat<own>",
    "do n't . ok",
    "",
    "<|endoftext|> [SEP] </s>",
]
PAIR = ("서울은 the Cat", " 정말 mat?")
MASK = {
    "__type": "AddedToken",
    "content": "[MASK]",
    "lstrip": True,
    "rstrip": True,
    "single_word": False,
    "normalized": False,
}
END = {**MASK, "content": "<|endoftext|>", "rstrip": False}
ROBERTA_MASK = {**MASK, "content": "<mask>", "rstrip": False}  # the reference does not apply its own default

COMMON: list[dict[str, Any]] = [
    {},
    {"model_max_length": 9},
    {"max_len": 7},
    {"padding_side": "left"},
    {"truncation_side": "left", "model_max_length": 6},
    {"clean_up_tokenization_spaces": True},
    {
        "clean_up_tokenization_spaces": True,
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True,
    },
    {"split_special_tokens": True},
    {"model_input_names": ["input_ids", "attention_mask"]},
    {"additional_special_tokens": ["<new>", "<own>"]},
    {"extra_special_tokens": ["<own>", "<new>"]},
    {"extra_special_tokens": {"image_token": "<image>", "own_token": "<own>"}},
    {"image_token": "<image>", "own_token": "<own>"},
    {"bos_token": "<new>", "image_token": "<image>", "additional_special_tokens": ["<own>"]},
    {"pad_token": None},
    {"pad_token": "<new>", "eos_token": "<own>"},
    {"add_bos_token": True, "bos_token": "<new>"},
    {"add_bos_token": True, "add_eos_token": True, "bos_token": "<new>", "eos_token": "<own>"},
    # without an effect on tokens
    {
        "errors": "strict",
        "use_fast": False,
        "backend": "tokenizers",
        "chat_template": "{{ x }}",
        "verbose": True,
    },
    {"max_length": 4, "stride": 1, "truncation_strategy": "longest_first", "pad_to_multiple_of": 8},
    {
        "pad_token_type_id": 3,
        "legacy": False,
        "sp_model_kwargs": {},
        "keep_accents": True,
        "remove_space": True,
    },
    {
        "processor_class": "X",
        "is_local": True,
        "files_loaded": [],
        "name_or_path": "x",
        "local_files_only": True,
    },
]
WORDPIECE: list[dict[str, Any]] = [
    {"do_lower_case": False},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "strip_accents": True},
    {"strip_accents": None},
    {"tokenize_chinese_chars": False},
    {"do_basic_tokenize": True, "never_split": None},
    {"mask_token": MASK},
    {"unk_token": "[MASK]"},
    {"cls_token": "<new>", "sep_token": "<own>"},
]
PAIRS: list[dict[str, Any]] = [
    {"add_prefix_space": True},
    {"add_prefix_space": False, "trim_offsets": False},
    {"add_prefix_space": True, "trim_offsets": False},
    {"unk_token": END},
]
ROBERTA: list[dict[str, Any]] = [
    {"cls_token": "<new>", "sep_token": "<own>"},
    {"mask_token": {**MASK, "content": "<new>"}},
]
GPT2: list[dict[str, Any]] = [{"add_bos_token": True}, {"add_eos_token": True, "pad_token": "<|endoftext|>"}]

CASES = [
    *(("bert", "BertTokenizer", change) for change in [*COMMON, *WORDPIECE]),
    *(("electra", "ElectraTokenizer", change) for change in WORDPIECE),
    *(("distilbert", "DistilBertTokenizerFast", change) for change in [*COMMON, *WORDPIECE]),
    *(("roberta", "RobertaTokenizer", change) for change in [*COMMON, *PAIRS, *ROBERTA]),
    *(("gpt2", "GPT2Tokenizer", change) for change in [*COMMON, *PAIRS, *GPT2]),
]


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """Open a folder with the reference."""
    transformers.logging.set_verbosity_error()
    return lambda folder: transformers.AutoTokenizer.from_pretrained(folder)


def facts(tokenizer: Any) -> dict[str, Any]:
    """Everything that a key can change, from either implementation."""
    options: dict[str, Any] = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    calls: list[tuple[Any, dict[str, Any]]] = [((text,), {}) for text in TEXTS] + [
        (PAIR, {}),
        (PAIR, {"truncation": True}),
    ]
    found: dict[str, Any] = {
        f"{texts} {more}": {
            name: list(map(plain, row)) for name, row in tokenizer(*texts, **options, **more).items()
        }
        for texts, more in calls
    }
    found["decoded"] = [
        tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=skip)
        for text in TEXTS
        for skip in (False, True)
    ]
    found["plain"] = [tokenizer.tokenize(text) for text in TEXTS]
    found["ids"] = tokenizer.get_vocab()
    found["special"] = sorted(tokenizer.all_special_tokens)
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        found[name] = (getattr(tokenizer, f"{name}_token"), getattr(tokenizer, f"{name}_token_id"))
    for name in ("model_max_length", "padding_side", "truncation_side", "model_input_names"):
        found[name] = getattr(tokenizer, name)
    return found


def plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (tuple, list)) else value


def assert_same(ours: Any, theirs: Any) -> None:
    expected = facts(theirs)
    for what, value in facts(ours).items():
        assert value == expected[what], what


def folder_of(model_type: str, makers: tuple[FolderMaker, FolderMaker], **config: Any) -> Path:
    mask = {"mask_token": ROBERTA_MASK} if model_type == "roberta" else {}
    return makers[model_type in ("roberta", "gpt2")](model_type=model_type, **{**mask, **config})


@pytest.mark.parametrize(("model_type", "name", "change"), CASES, ids=str)
def test_a_vocabulary_with_each_key(
    wordpiece_folder: FolderMaker,
    bpe_folder: FolderMaker,
    reference: Callable[[Path], Any],
    model_type: str,
    name: str,
    change: dict[str, Any],
) -> None:
    folder = folder_of(model_type, (wordpiece_folder, bpe_folder), tokenizer_class=name, **change)
    assert_same(Tokenizer.from_pretrained(folder), reference(folder))


@pytest.mark.parametrize(("model_type", "name", "change"), CASES, ids=str)
def test_a_folder_that_the_reference_saved(
    wordpiece_folder: FolderMaker,
    bpe_folder: FolderMaker,
    reference: Callable[[Path], Any],
    model_type: str,
    name: str,
    change: dict[str, Any],
    tmp_path: Path,
) -> None:
    folder = folder_of(model_type, (wordpiece_folder, bpe_folder), tokenizer_class=name, **change)
    theirs = reference(folder)
    theirs.save_pretrained(tmp_path / "saved")
    assert_same(Tokenizer.from_pretrained(tmp_path / "saved"), reference(tmp_path / "saved"))


@pytest.mark.parametrize("change", WORDPIECE, ids=str)
@pytest.mark.parametrize("general", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_general_class_follows_its_tokenizer_json(
    wordpiece_folder: FolderMaker,
    reference: Callable[[Path], Any],
    change: dict[str, Any],
    general: str,
    tmp_path: Path,
) -> None:
    reference(wordpiece_folder(tokenizer_class="BertTokenizer")).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    names = ["input_ids", "token_type_ids", "attention_mask"]  # the reference's general class has no types
    config |= {**change, "tokenizer_class": general, "model_input_names": names}
    path.write_text(json.dumps(config))
    assert_same(Tokenizer.from_pretrained(tmp_path), reference(tmp_path))


@pytest.mark.parametrize(
    "change", [*COMMON, {"add_prefix_space": False}, {"add_prefix_space": True}], ids=str
)
def test_xlm_roberta(
    unigram_folder: FolderMaker, reference: Callable[[Path], Any], change: dict[str, Any]
) -> None:
    folder = unigram_folder()
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **change}), encoding="utf-8")
    ours = Tokenizer.from_pretrained(folder)
    if "add_prefix_space" not in change:  # the general class of the reference takes no notice of it
        assert_same(ours, reference(folder))
    own = {"tokenizer_class": "XLMRobertaTokenizer"}
    path.write_text(json.dumps({**config, **change, **own}), encoding="utf-8")
    # That class keeps no normaliser but a table of sentencepiece; take texts that it does not change.
    text = "The cat sat on mats"
    if {"bos_token", "eos_token"} & set(change):  # nor does it keep the template, and ours does
        return
    for texts in ((text,), (text, text)):
        assert dict(Tokenizer.from_pretrained(folder)(*texts)) == dict(reference(folder)(*texts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"never_split": ["서울"]}, r"asks for never_split=\['서울'\]"),
        ({"do_basic_tokenize": False}, "asks for do_basic_tokenize=False"),
        ({"clean_text": False}, "asks for clean_text=False"),
        ({"wordpieces_prefix": "@@"}, "asks for wordpieces_prefix='@@'"),
        ({"init_inputs": ["x"]}, "asks for init_inputs"),
        ({"vocab": {"a": 0}}, "asks for vocab"),
        (
            {"tokenizer_class": "BertJapaneseTokenizer"},
            "class BertJapaneseTokenizer, of which only a tokenizer.j",
        ),
        ({"tokenizer_class": "KoBertTokenizer"}, "class KoBertTokenizer, of which only a tokenizer.json"),
    ],
    ids=str,
)
def test_settings_that_change_the_tokens_are_refused(
    wordpiece_folder: FolderMaker, change: dict[str, Any], message: str, small: Tokenizer
) -> None:
    folder = wordpiece_folder(**change)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_pretrained(folder)
    # A tokenizer.json holds all of it, so there the keys are a note only.
    (folder / "tokenizer.json").write_text(small.backend_tokenizer.to_str(), encoding="utf-8")
    assert Tokenizer.from_pretrained(folder).encode("서울 cat") == small.encode("서울 cat")


def test_offsets_of_a_saved_roberta_follow_the_config(bpe_folder: FolderMaker, tmp_path: Path) -> None:
    Tokenizer.from_pretrained(bpe_folder()).save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "tokenizer_config.json"
    for trim, start in ((True, 4), (False, 3)):
        path.write_text(json.dumps({"trim_offsets": trim}), encoding="utf-8")
        (encoding,) = Tokenizer.from_pretrained(tmp_path / "saved").encode_batch(["the cat"])
        second = next(at for at, token in enumerate(encoding.tokens) if token.startswith("Ġ"))
        assert encoding.offsets[second][0] == start


def test_casing_inside_a_sequence_follows_the_config(small: Tokenizer, tmp_path: Path) -> None:
    content = json.loads(small.backend_tokenizer.to_str())
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, content["normalizer"]]}
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    path = tmp_path / "own" / "tokenizer_config.json"
    for lower, tokens in ((True, ["cat"]), (False, ["C", "##A", "##T"])):
        path.write_text(json.dumps({"do_lower_case": lower}), encoding="utf-8")
        assert Tokenizer.from_pretrained(tmp_path / "own").tokenize("CAT") == tokens


def test_tokens_under_names_of_the_model_are_saved(wordpiece_folder: FolderMaker, tmp_path: Path) -> None:
    ours = Tokenizer.from_pretrained(wordpiece_folder(image_token="<image>", extra_special_tokens=["<own>"]))
    assert ours.additional_special_tokens == ["<image>", "<own>"]
    ours.add_special_tokens({"additional_special_tokens": ["<new>"]})
    ours.save_pretrained(tmp_path / "saved")
    assert Tokenizer.from_pretrained(tmp_path / "saved").additional_special_tokens == ["<new>"]
