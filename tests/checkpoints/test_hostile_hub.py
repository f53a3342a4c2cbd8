"""A hostile hub: its answers must not write outside the cache, be recorded, or cause a hang."""

from __future__ import annotations

import json
import time
from hashlib import sha1, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from checkpoints.hub_on_loopback import (
    MAIN_COMMIT,
    LoopbackHub,
    Repository,
    close_connections,
    point_hub_library_at,
)
from checkpoints.small_models import model_files
from munjang.checkpoints import cache_root, get_model, list_models, open_checkpoint, remove_model
from munjang.errors import (
    CheckpointError,
    FetchError,
    InputError,
    InputTypeError,
    MunjangError,
    OfflineError,
    UnknownModelError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "klue/bert-small"
ESCAPE = "../../../../../escaped"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(model_files(tmp_path / "source"))


@pytest.fixture
def hub(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub({NAME: repository}) as hub:
        # Deep, so that a path that leads upward stays in the test's own folder.
        point_hub_library_at(monkeypatch, hub.endpoint, tmp_path / "a" / "b" / "c" / "d" / "home")
        yield hub
        close_connections()


def refused(tmp_path: Path, *words: str) -> str:
    """Check that the model can't be opened, no file is outside the cache and no model is recorded."""
    with pytest.raises(FetchError) as error:
        open_checkpoint(NAME)
    message = str(error.value)
    assert all(word in message for word in (NAME, *words)), message
    assert message.isprintable()
    assert len(message) < 600
    check_inside(tmp_path)
    with pytest.raises(OfflineError):
        open_checkpoint(NAME, offline=True)
    assert NAME not in [info.name for info in list_models()]
    return message


def check_inside(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b" / "c" / "d" / "home"
    outside = [path for path in tmp_path.rglob("*") if not path.is_dir() and home not in path.parents]
    assert [path for path in outside if tmp_path / "source" not in path.parents] == []
    inside = home / "hub" / "models--klue--bert-small"
    strays = [path for path in home.rglob("*") if path.is_file() and inside not in path.parents]
    assert {path.name for path in strays if ".locks" not in path.parts} <= {"CACHEDIR.TAG"}


def listing(**changes: object) -> bytes:
    files = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    answer = {"id": NAME, "sha": MAIN_COMMIT, "siblings": [{"rfilename": name} for name in files]}
    return json.dumps(answer | changes).encode()


@pytest.mark.parametrize(
    "sha",
    [ESCAPE, "main", "", "A" * 40, "a" * 39, "a" * 41, "a" * 40 + "\n", "/etc", None, 7, ["a" * 40], {}],
)
def test_a_commit_that_is_not_a_hash(
    sha: object, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.listing = listing(sha=sha)
    refused(tmp_path, "commit", "40 hexadecimal digits")
    assert not [path for path in hub.paths() if "/resolve/" in path]


@pytest.mark.parametrize(
    "etag", [ESCAPE, "..", ".", "/etc/x", "a/b", "a\\b", "C:x", "x" * 300, "W/..", "a b"]
)
def test_an_etag_that_is_a_path(etag: str, hub: LoopbackHub, repository: Repository, tmp_path: Path) -> None:
    repository.etags = [etag]
    refused(tmp_path, "ETag")
    assert not [path for path in hub.paths("GET") if "/resolve/" in path]


def test_an_etag_that_changes_between_two_requests(
    hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    for harmless in (1, 2, 3, 5, 8):
        repository.etags = ["a" * 40] * harmless + [ESCAPE]
        with pytest.raises(FetchError):
            open_checkpoint(NAME)
        check_inside(tmp_path)


@pytest.mark.parametrize("etag", ["5f3e-61a", "sha1+Ab=", 'W/"abc"', "0"])
def test_etags_of_other_hubs(etag: str, hub: LoopbackHub, repository: Repository) -> None:
    repository.files = {"config.json": b"{}", "model.safetensors": repository.files["model.safetensors"]}
    repository.etag_of = {"config.json": etag, "model.safetensors": "other"}
    assert open_checkpoint(NAME).has("config.json")


@pytest.mark.parametrize("commit", [ESCAPE, "b" * 40, "x"])
def test_another_commit_with_a_file(
    commit: str, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.commit_header = commit
    refused(tmp_path, "sent for 'config.json' the commit")


def test_a_missing_file_of_a_commit_that_is_a_path(
    hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.missing = "config.json"
    refused(tmp_path, "404")
    repository.commit_header = ESCAPE
    refused(tmp_path, "the commit")


@pytest.mark.parametrize("folder", [ESCAPE, "/tmp", "..", "a\\..\\b", "a/../../b", "nul\0", "C:", ".", ""])
def test_file_names_outside_the_folder(
    folder: str, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.files["modules.json"] = json.dumps([{"path": folder}]).encode()
    for name in ("config.json", "model.safetensors"):
        repository.files[f"{folder}/{name}"] = repository.files[name]
    open_checkpoint(NAME)
    assert not [path for path in hub.paths() if "/resolve/" in path and path.count("/") > 5]
    check_inside_but_record(tmp_path)


def check_inside_but_record(tmp_path: Path) -> None:
    (cache_root() / "hub" / "klue--bert-small" / "main.json").unlink()
    check_inside(tmp_path)


ANSWERS: dict[str, bytes] = {
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a string": b'"x"',
    "nothing": b"",
    "half": b'{"id": ',
    "deep": b"[" * 200_000,
    "deep inside": b'{"id": "x", "sha": ' + b'{"a":' * 200_000,
    "a huge number": b'{"id": 1' + b"0" * 10_000 + b"}",
    "not UTF-8": b'{"id": "\xff"}',
    "no id": b"{}",
    "siblings null": listing(siblings=None),
    "siblings a number": listing(siblings=3),
    "siblings a string": listing(siblings="config.json"),
    "siblings of null": listing(siblings=[None]),
    "siblings without names": listing(siblings=[{}]),
    "names of numbers": listing(siblings=[{"rfilename": 3}]),
    "names of null": listing(siblings=[{"rfilename": None}]),
    "names of lists": listing(siblings=[{"rfilename": ["config.json"]}]),
    "sizes of strings": listing(siblings=[{"rfilename": "config.json", "size": "12"}]),
    "sizes below zero": listing(siblings=[{"rfilename": "config.json", "size": -1}]),
    "sizes of NaN": listing(siblings=[{"rfilename": "config.json", "size": float("nan")}]),
    "sizes of truth": listing(siblings=[{"rfilename": "config.json", "size": True}]),
    "lfs of a string": listing(siblings=[{"rfilename": "config.json", "lfs": "x"}]),
    "lfs empty inside": listing(siblings=[{"rfilename": "config.json", "lfs": {"size": 3}}]),
    "a date of a number": listing(lastModified=3),
    "a date": listing(lastModified="\x1b[31mred" * 500),
    "gigabytes of config": listing(siblings=[{"rfilename": "config.json", "size": 10**10}]),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_of_the_wrong_shape(
    kind: str, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.listing = ANSWERS[kind]
    with pytest.raises(MunjangError) as error:
        open_checkpoint(NAME)
    assert isinstance(error.value, (FetchError, CheckpointError))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600
    check_inside(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "vocab.txt", "model.safetensors"])
@pytest.mark.parametrize("more", [-1, 1, 1000])
def test_a_file_of_another_size_than_announced(
    file: str, more: int, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.announced[file] = {"size": len(repository.files[file]) + more}
    refused(tmp_path, file, "announced")
    repository.announced.clear()
    assert open_checkpoint(NAME).has(file)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["lfs", "blob", "etag"])
def test_a_file_of_another_hash_than_announced(
    kind: str, file: str, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    right = repository.files[file]
    if kind == "lfs":
        lfs = {"size": len(right), "sha256": sha256(right).hexdigest(), "pointerSize": 130}
        repository.announced[file] = {"lfs": lfs}
    elif kind == "blob":
        blob = sha1(b"blob %d\0" % len(right) + right, usedforsecurity=False).hexdigest()
        repository.announced[file] = {"blobId": blob}
    else:
        repository.files = {name: repository.files[name] for name in ("config.json", "model.safetensors")}
        hashes = {name: sha256(data).hexdigest() for name, data in repository.files.items()}
        repository.etag_of = hashes
    repository.files[file] = right[:-1] + bytes([right[-1] ^ 1])
    refused(tmp_path, file, "hash", "announced")
    repository.files[file] = right
    assert (open_checkpoint(NAME).path / file).read_bytes() == right


def test_a_damaged_file_of_the_cache_is_fetched_again(hub: LoopbackHub, repository: Repository) -> None:
    """A cache as an earlier release, which compared nothing, could leave it."""
    for file in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download(NAME, file, revision=MAIN_COMMIT)
    snapshot = Path(constants.HF_HUB_CACHE, "models--klue--bert-small", "snapshots", MAIN_COMMIT)
    with (snapshot / "model.safetensors").open("r+b") as weights:
        weights.truncate(100)
    assert open_checkpoint(NAME).weights()["embeddings.weight"].shape == (1000, 2)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_stalled_download_times_out(
    file: str, hub: LoopbackHub, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert constants.HF_HUB_DOWNLOAD_TIMEOUT <= 10
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    repository.silent = file
    before = time.monotonic()
    refused(tmp_path, "incomplete response")
    assert time.monotonic() - before < 20  # six attempts and more with the library's own patience
    attempts = [path for path in hub.paths("GET") if path.endswith(file)]
    assert len(attempts) == 1
    repository.silent = None
    assert open_checkpoint(NAME).has(file)


@pytest.mark.skipif(int(huggingface_hub.__version__.partition(".")[0]) < 2, reason="it does not resume then")
def test_a_broken_connection_is_resumed(hub: LoopbackHub, repository: Repository) -> None:
    repository.cuts = 1
    repository.cut = "model.safetensors"
    assert open_checkpoint(NAME).weights()["embeddings.weight"].shape == (1000, 2)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_file_without_an_end(file: str, hub: LoopbackHub, repository: Repository, tmp_path: Path) -> None:
    repository.endless = file
    refused(tmp_path, "more than the announced")
    assert hub.sent < 1 << 28


@pytest.mark.parametrize(
    "location",
    [
        "/klue/bert-small/resolve/main/config.json",
        "http://[::1",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "\x7f",
        "",
    ],
)
def test_redirects_to_nowhere(
    location: str, hub: LoopbackHub, repository: Repository, tmp_path: Path
) -> None:
    repository.location = location
    refused(tmp_path)


@pytest.mark.parametrize(
    "revision",
    ["../../../escaped", "/etc", "a/../b", "a\0b", "a\\b", "x" * 300, "", ".", "a b", "a//b", "x.lock", "~1"],
)
def test_revisions_that_look_like_paths(revision: str, hub: LoopbackHub, tmp_path: Path) -> None:
    for offline in (True, False):
        with pytest.raises(UnknownModelError, match="no branch, tag or commit can have this name"):
            open_checkpoint(NAME, revision=revision, offline=offline)
    assert hub.requests == []
    check_inside(tmp_path)


@pytest.mark.parametrize("revision", ["refs/pr/1", "v1.0.2", "한글", "feature/a-b_c", "abcdef0"])
def test_revisions_by_branch_and_tag(revision: str, hub: LoopbackHub, repository: Repository) -> None:
    repository.commits[revision] = MAIN_COMMIT
    assert open_checkpoint(NAME, revision=revision).path.name == MAIN_COMMIT
    assert open_checkpoint(NAME, revision=revision, offline=True).path.name == MAIN_COMMIT


@pytest.mark.parametrize("content", [ESCAPE, "/etc", "", "..", ".", "\0", "a" * 5000])
def test_a_ref_file_that_contains_a_path(content: str, hub: LoopbackHub, tmp_path: Path) -> None:
    model = tmp_path / "a" / "b" / "c" / "d" / "home" / "hub" / "models--klue--bert-small"
    for file in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download(NAME, file)
        (tmp_path / file).write_bytes(b"{}")
    (model / "refs" / "main").write_text(content)
    with pytest.raises(OfflineError):
        open_checkpoint(NAME, offline=True)


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/..", "../hub", "a\0b", "~a\0b", "x" * 100_000, "\ud800", "a--b/c"]
)
def test_a_name_that_no_model_has_removes_nothing(name: str, hub: LoopbackHub) -> None:
    open_checkpoint(NAME)
    with pytest.raises(MunjangError) as error:
        get_model(name)
    assert len(str(error.value)) < 600
    assert open_checkpoint(NAME, offline=True).has("config.json")
    with pytest.raises(UnknownModelError):
        remove_model(name)


def test_a_record_of_another_folder_is_ignored(hub: LoopbackHub, tmp_path: Path) -> None:
    """Removing a model removes the folder two levels above the snapshot that its record names."""
    open_checkpoint(NAME)
    precious = tmp_path / "precious"
    (precious / "a" / "b").mkdir(parents=True)
    (precious / "a" / "b" / "config.json").write_text("{}")
    record = cache_root() / "hub" / "klue--bert-small" / "main.json"
    for place in (precious / "a" / "b", "relative", precious / "snapshots" / MAIN_COMMIT):
        content = {"snapshot": str(place), "files": ["config.json"], "skipped_pickle": False}
        record.write_text(json.dumps(content))
        with pytest.raises(UnknownModelError):
            remove_model(NAME)
    assert (precious / "a" / "b" / "config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"cache_dir": "a\0b"}, InputError),
        ({"cache_dir": 7}, InputTypeError),
        ({"cache_dir": "x" * 5000}, FetchError),
        ({"revision": 7}, InputTypeError),
        ({"token": "secret\n"}, InputError),
        ({"token": "비밀"}, InputError),
    ],
)
def test_impossible_arguments(arguments: dict[str, Any], kind: type[Exception], hub: LoopbackHub) -> None:
    with pytest.raises(kind) as error:
        open_checkpoint(NAME, **arguments)
    assert "secret" not in str(error.value)
    for action in (list_models, lambda **options: remove_model("all-MiniLM-L6-v2", **options)):
        if "cache_dir" in arguments:
            try:
                action(**arguments)
            except MunjangError:
                continue
