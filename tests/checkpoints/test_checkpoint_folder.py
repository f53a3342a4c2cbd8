from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from munjang.checkpoints import Checkpoint, open_checkpoint, save_weights
from munjang.errors import CheckpointError, InputTypeError, UnknownModelError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "이름": "문장"}))
    save_weights(folder / "model.safetensors", {"a": np.ones(2, np.float32)})
    return folder


def test_a_folder_is_opened_by_string_or_path(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    for name in (str(model), model, f"{model}/", "./my model", "my model", Path("my model")):
        checkpoint = open_checkpoint(name)
        assert checkpoint.config() == {"model_type": "bert", "이름": "문장"}
        assert checkpoint.weights()["a"].tolist() == [1, 1]
        assert checkpoint.name == str(name)


def test_a_home_folder_is_expanded(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(model.parent))
    assert open_checkpoint("~/my model").path == model


@pytest.mark.parametrize("name", ["./nothing", "/no/such/folder", "~/nothing", "nothing/", "a/b/c", "../x"])
def test_a_missing_path_makes_no_hub_request(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(UnknownModelError, match=r"there is no such folder") as error:
        open_checkpoint(name)
    assert name in str(error.value)


def test_a_path_object_is_never_a_repository() -> None:
    with pytest.raises(UnknownModelError, match="there is no such folder"):
        open_checkpoint(Path("klue/bert-base"))


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "klue/bert base", "x\0y", "a" * 5000 + "/b c", "모델", "\ud800", "a--b", "a..b"]
)
def test_invalid_names(name: str) -> None:
    with pytest.raises(UnknownModelError, match="no repository can have this name"):
        open_checkpoint(name)


@pytest.mark.parametrize("name", [None, 3, b"bytes", ["klue/bert-base"]])
def test_wrong_types(name: object) -> None:
    with pytest.raises(InputTypeError, match="name of a model must be a string or a path"):
        open_checkpoint(name)  # type: ignore[arg-type]


def test_a_file_is_not_a_folder(model: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a file; a model is opened by naming its folder"):
        open_checkpoint(model / "model.safetensors")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither config\.json nor modules\.json"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "not a list"),
        (b"[" * 99999, "JSON"),
    ],
)
def test_a_broken_config_is_named(model: Path, content: bytes, message: str) -> None:
    (model / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        open_checkpoint(model).config()
    assert "config.json" in str(error.value)


def test_a_missing_file_is_named(model: Path) -> None:
    checkpoint = open_checkpoint(model)
    assert checkpoint.has("config.json")
    assert not checkpoint.has("tokenizer.json")
    with pytest.raises(CheckpointError, match=r"has no file 'tokenizer\.json'"):
        checkpoint.read_json("tokenizer.json")


def test_modules_in_subfolders(model: Path) -> None:
    (model / "modules.json").write_text(json.dumps([{"idx": 0, "path": "0_Transformer"}]))
    (model / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).rename(model / "0_Transformer" / name)
    checkpoint = open_checkpoint(model)
    (module,) = checkpoint.read_json_list("modules.json")
    assert checkpoint.sub(module["path"]).config()["model_type"] == "bert"
    assert checkpoint.sub(module["path"]).weights()["a"].tolist() == [1, 1]
    assert checkpoint.sub("") is checkpoint
    assert not checkpoint.sub("2_Normalize").has("config.json")
    with pytest.raises(CheckpointError, match="should hold a JSON list, not a dict"):
        checkpoint.sub(module["path"]).read_json_list("config.json")


@pytest.mark.parametrize("path", ["../other", "/etc", "a/../../b", "a\0b"])
def test_a_module_outside_the_folder_is_refused(model: Path, path: str) -> None:
    with pytest.raises(CheckpointError, match="is outside the checkpoint"):
        Checkpoint(model, "m").sub(path)


def test_a_folder_named_like_a_catalogue_model_wins_only_if_it_holds_one(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model.rename(tmp_path / "all-MiniLM-L6-v2")
    assert open_checkpoint("all-MiniLM-L6-v2").config()["이름"] == "문장"
