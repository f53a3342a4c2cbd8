from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import huggingface_hub
import numpy as np
import pytest

from checkpoints.hub_on_loopback import (
    MAIN_COMMIT,
    LoopbackHub,
    Repository,
    close_connections,
    point_hub_library_at,
)
from checkpoints.small_models import model_files
from munjang.checkpoints import (
    cache_root,
    get_model,
    list_models,
    open_checkpoint,
    remove_model,
    save_weights,
)
from munjang.checkpoints.hub.hub import fetch_snapshot
from munjang.checkpoints.hub.records import HubModel
from munjang.errors import CheckpointError, FetchError, OfflineError, UnknownModelError, UnsafeCheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "klue/bert-small"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(model_files(tmp_path / "source"))


@pytest.fixture
def hub(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub({NAME: repository}) as hub:
        point_hub_library_at(monkeypatch, hub.endpoint, tmp_path / "home")
        yield hub
        close_connections()


def test_a_repository_is_fetched(hub: LoopbackHub, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = open_checkpoint(NAME)
    assert checkpoint.config()["hidden_size"] == 2
    assert checkpoint.weights()["embeddings.weight"][-1].tolist() == [1998, 1999]
    assert checkpoint.path.name == MAIN_COMMIT
    assert capfd.readouterr().err == f"Fetching {NAME} (8 kB) from {hub.endpoint}.\n"


def test_only_needed_files_are_fetched_and_weights_last(hub: LoopbackHub) -> None:
    open_checkpoint(NAME)
    files = [path.rpartition("/")[2] for path in hub.paths("GET") if "/resolve/" in path]
    assert files == ["config.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"]
    assert all(path.startswith(("/api/models/", f"/{NAME}/resolve/")) for path in hub.paths())


def test_a_second_start_makes_no_request(hub: LoopbackHub, capfd: pytest.CaptureFixture[str]) -> None:
    first = open_checkpoint(NAME)
    seen = len(hub.requests)
    capfd.readouterr()
    assert open_checkpoint(NAME).path == first.path
    assert open_checkpoint(NAME, offline=True).path == first.path
    assert len(hub.requests) == seen
    assert capfd.readouterr().err == ""


def test_a_lost_file_is_fetched_again(hub: LoopbackHub) -> None:
    checkpoint = open_checkpoint(NAME)
    (checkpoint.path / "vocab.txt").unlink()
    assert open_checkpoint(NAME).has("vocab.txt")


def test_revisions(hub: LoopbackHub, repository: Repository) -> None:
    repository.commits["v2"] = "b" * 40
    assert open_checkpoint(NAME, revision="v2").path.name == "b" * 40
    assert open_checkpoint(NAME, revision="b" * 40).path.name == "b" * 40
    assert open_checkpoint(NAME).path.name == MAIN_COMMIT
    with pytest.raises(UnknownModelError, match="has no revision 'v3'"):
        open_checkpoint(NAME, revision="v3")


def test_get_looks_for_a_newer_commit(hub: LoopbackHub, repository: Repository) -> None:
    assert open_checkpoint(NAME).path.name == MAIN_COMMIT
    repository.commits["main"] = "c" * 40
    assert open_checkpoint(NAME).path.name == MAIN_COMMIT
    info = get_model(NAME)
    assert info.path == open_checkpoint(NAME).path
    assert open_checkpoint(NAME).path.name == "c" * 40


def test_the_token_is_sent(hub: LoopbackHub, repository: Repository) -> None:
    repository.token = "secret"
    with pytest.raises(UnknownModelError, match="a private one needs a token"):
        open_checkpoint(NAME)
    hub.requests.clear()
    open_checkpoint(NAME, token="secret")
    assert {request.token for request in hub.requests} == {"secret"}


def test_a_cache_dir_holds_everything(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    checkpoint = open_checkpoint(NAME, cache_dir=folder)
    assert folder in checkpoint.path.parents
    assert not cache_root().exists()
    assert open_checkpoint(NAME, cache_dir=str(folder), offline=True).path == checkpoint.path
    with pytest.raises(OfflineError):
        open_checkpoint(NAME, offline=True)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "MUNJANG_OFFLINE", "TRANSFORMERS_OFFLINE", None])
def test_offline_makes_no_request(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(OfflineError, match=rf"'{NAME}' is not in the cache.*: `munjang models get {NAME}`\."):
        open_checkpoint(NAME, offline=True if variable is None else None)
    assert hub.requests == []


def test_models_fetched_by_another_program_open_offline(hub: LoopbackHub) -> None:
    for file in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download(NAME, file)
    hub.requests.clear()
    assert open_checkpoint(NAME, offline=True).path.name == MAIN_COMMIT
    assert hub.requests == []


def test_an_incomplete_model_does_not_open_offline(hub: LoopbackHub) -> None:
    huggingface_hub.hf_hub_download(NAME, "config.json")
    with pytest.raises(OfflineError):
        open_checkpoint(NAME, offline=True)


def test_a_hub_that_is_down_leaves_the_copy(
    hub: LoopbackHub, repository: Repository, capfd: pytest.CaptureFixture[str]
) -> None:
    for file in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download(NAME, file)
    repository.status = 503
    assert open_checkpoint(NAME).path.name == MAIN_COMMIT
    assert (
        "answered with error 503. Try again later. Using the copy in the hub's cache."
        in capfd.readouterr().err
    )


def test_a_mistyped_name_gets_a_suggestion(hub: LoopbackHub) -> None:
    with pytest.raises(UnknownModelError) as error:
        open_checkpoint("klue/bert-bse")
    assert str(error.value) == (
        "Model 'klue/bert-bse' was not found: not a folder, not in the catalogue, not on the hub (a private "
        "one needs a token). Did you mean 'klue/bert-base'? `munjang models` lists what is here."
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("multilingual-e5-smal", "multilingual-e5-small"),
        ("All-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("sentence-transformers/all-MiniLM-L6v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("zzz/qqq", None),
        ("gpt2", None),
    ],
)
def test_suggestions(hub: LoopbackHub, name: str, meant: str | None) -> None:
    with pytest.raises(UnknownModelError) as error:
        open_checkpoint(name)
    assert (f"Did you mean '{meant}'?" in str(error.value)) is (meant is not None)
    assert ("Did you mean" in str(error.value)) is (meant is not None)


def test_bare_names_are_repositories_too(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repositories["bert-tiny"] = Repository(model_files(tmp_path / "tiny"))
    hub.repositories["sentence-transformers/tiny-sentences"] = Repository(model_files(tmp_path / "tiny"))
    assert open_checkpoint("bert-tiny").config()["model_type"] == "bert"
    assert open_checkpoint("tiny-sentences").config()["model_type"] == "bert"
    seen = len(hub.requests)
    open_checkpoint("tiny-sentences")
    assert len(hub.requests) == seen


def test_a_gated_repository(hub: LoopbackHub, repository: Repository) -> None:
    repository.gated = True
    with pytest.raises(FetchError, match=rf"Access to '{NAME}' is restricted: accept its terms.*HF_TOKEN"):
        open_checkpoint(NAME)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_hub_that_answers_with_an_error(hub: LoopbackHub, repository: Repository, status: int) -> None:
    repository.status = status
    with pytest.raises((FetchError, UnknownModelError)) as error:
        open_checkpoint(NAME)
    assert NAME in str(error.value)
    assert "\n" not in str(error.value)
    assert status < 403 or f"error {status}" in str(error.value)


def test_a_proxy_that_requires_a_login(hub: LoopbackHub, repository: Repository) -> None:
    repository.html = True
    with pytest.raises(FetchError, match="incomplete response from the hub"):
        open_checkpoint(NAME)


def test_an_unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackHub({}) as hub:
        endpoint = hub.endpoint
    point_hub_library_at(monkeypatch, endpoint, tmp_path)
    with pytest.raises(FetchError, match=rf"incomplete response from the hub at {endpoint} .*HF_ENDPOINT"):
        open_checkpoint(NAME)


def test_a_misspelt_name_of_an_unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackHub({}) as hub:
        endpoint = hub.endpoint
    point_hub_library_at(monkeypatch, endpoint, tmp_path)
    for offline in (None, True):
        with pytest.raises(FetchError) as error:
            open_checkpoint("all-MiniLM-L6", offline=offline)
        assert error.value.__notes__ == [
            "Did you mean 'all-MiniLM-L6-v2'? `munjang models` lists what is here."
        ]


def test_a_hub_that_never_answers(hub: LoopbackHub, repository: Repository) -> None:
    repository.seconds = 2.0
    before = time.monotonic()
    with pytest.raises(FetchError, match="incomplete response"):
        fetch_snapshot(HubModel(repository=NAME), patience=0.2)
    assert time.monotonic() - before < 1.9


def test_an_interrupted_download_leaves_no_partial_model(hub: LoopbackHub, repository: Repository) -> None:
    repository.cut = "model.safetensors"
    with pytest.raises(FetchError, match=rf"Can't fetch '{NAME}': incomplete response") as error:
        open_checkpoint(NAME)
    assert "\n" not in str(error.value)
    with pytest.raises(OfflineError):
        open_checkpoint(NAME, offline=True)
    assert list_models()[-1].name != NAME
    repository.cut = None
    assert open_checkpoint(NAME).weights()["embeddings.weight"].shape == (1000, 2)


def test_pickles_are_not_even_fetched_unless_allowed(hub: LoopbackHub, repository: Repository) -> None:
    repository.files["pytorch_model.bin"] = b"a pickle"
    del repository.files["model.safetensors"]
    with pytest.raises(UnsafeCheckpointError, match="allow_pickle=True"):
        open_checkpoint(NAME)
    assert not [path for path in hub.paths() if "/resolve/" in path]
    assert open_checkpoint(NAME, allow_pickle=True).has("pytorch_model.bin")


def test_safetensors_are_preferred_to_a_pickle(hub: LoopbackHub, repository: Repository) -> None:
    repository.files["pytorch_model.bin"] = b"a pickle"
    checkpoint = open_checkpoint(NAME, allow_pickle=True)
    assert checkpoint.has("model.safetensors")
    assert not checkpoint.has("pytorch_model.bin")


def test_shards_and_modules_are_fetched(hub: LoopbackHub, tmp_path: Path) -> None:
    save_weights(tmp_path / "shard", {"a": np.ones(2, np.float32)})
    shard, weights = (
        (tmp_path / "shard").read_bytes(),
        b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}',
    )
    files = {
        "modules.json": b'[{"path": "0_Transformer"}, {"path": "1_Pooling"}, {"path": "2_Dense"}]',
        "config_sentence_transformers.json": b"{}",
        "0_Transformer/config.json": b"{}",
        "0_Transformer/sentence_bert_config.json": b"{}",
        "0_Transformer/tokenizer.json": b"{}",
        "0_Transformer/model.safetensors.index.json": weights,
        "0_Transformer/model-00001-of-00001.safetensors": shard,
        "1_Pooling/config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "2_Dense/pytorch_model.bin": b"a pickle",
        "openvino/openvino_model.xml": b"for another engine",
    }
    hub.repositories["x/sentences"] = Repository(files)
    checkpoint = open_checkpoint("x/sentences")
    assert checkpoint.sub("0_Transformer").weights()["a"].tolist() == [1, 1]
    assert checkpoint.sub("1_Pooling").has("config.json")
    assert not checkpoint.sub("openvino").has("openvino_model.xml")
    with pytest.raises(CheckpointError):
        checkpoint.sub("2_Dense").weights()
    assert open_checkpoint("x/sentences", allow_pickle=True).sub("2_Dense").has("pytorch_model.bin")


def test_a_repository_without_a_model(hub: LoopbackHub) -> None:
    hub.repositories["x/text"] = Repository({"README.md": b"# Text", "config.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"'x/text' holds no weights: looked for model\.safetensors"):
        open_checkpoint("x/text")


def test_a_hub_model_is_listed_and_removed(hub: LoopbackHub) -> None:
    info = get_model(NAME, progress=False)
    assert info in list_models()
    assert (info.name, info.dimension, info.present) == (NAME, 2, True)
    assert info.size_bytes > 8000
    assert remove_model(NAME) == info
    assert info not in list_models()
    with pytest.raises(OfflineError):
        open_checkpoint(NAME, offline=True)


def test_a_catalogue_model_comes_from_the_hub_where_there_is_one(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repositories["intfloat/multilingual-e5-small"] = Repository(model_files(tmp_path / "e5"))
    checkpoint = open_checkpoint("multilingual-e5-small")
    assert checkpoint.config()["hidden_size"] == 2
    assert checkpoint.prompts["query"] == "query: "
    listed = {info.name: info for info in list_models()}
    assert listed["multilingual-e5-small"].path == checkpoint.path
    assert listed["multilingual-e5-small"].origin == "the hub repository intfloat/multilingual-e5-small"
    assert len(listed) == 2
    remove_model("multilingual-e5-small")
    assert not list_models()[0].present


def test_environment_variables_have_an_effect(hub: LoopbackHub, tmp_path: Path) -> None:
    code = f"from munjang.checkpoints import open_checkpoint; print(open_checkpoint({NAME!r}).path)"
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "mine",
    }
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(
        tmp_path / "hf" / "hub" / "models--klue--bert-small" / "snapshots" / MAIN_COMMIT
    )
    assert done.stderr == f"Fetching {NAME} (8 kB) from {hub.endpoint}.\n"
    assert {request.token for request in hub.requests} == {"mine"}


def test_a_second_start_does_not_load_the_hub_library(hub: LoopbackHub) -> None:
    open_checkpoint(NAME)
    code = (
        "import sys; from munjang.checkpoints import open_checkpoint;"
        f"open_checkpoint({NAME!r}).weights();"
        "print([name for name in ('huggingface_hub', 'torch', 'rich', 'filelock') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
