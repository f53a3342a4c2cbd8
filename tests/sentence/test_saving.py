"""A save is atomic, also over the files that the model was read from."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer as Peer
from sentence_transformers.sentence_transformer import modules as parts

from munjang import SentenceTransformer
from munjang.checkpoints.saving import staged
from munjang.errors import CheckpointError, InputError
from support.sentences import TEXTS, Trio, make_checkpoint, make_sentence_folder

FILES = {
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files(bert: Trio, tmp_path: Path) -> None:
    bert.ours.save_pretrained(tmp_path / "new" / "folder")
    assert set(content(tmp_path / "new" / "folder")) == FILES
    bert.ours.save_pretrained(str(tmp_path / "new" / "folder"))
    assert set(content(tmp_path / "new" / "folder")) == FILES


def test_saving_over_the_files_of_the_model(tmp_path: Path) -> None:
    """The weights are memory-mapped from the very file that is replaced."""
    model = Trio.make(tmp_path / "model", modules=[parts.Dense(32, 20), parts.Normalize()])
    expected = model.peer.encode(TEXTS)
    model.ours.save_pretrained(model.folder)  # before anything was read of the map
    np.testing.assert_allclose(model.ours.encode(TEXTS), expected, rtol=0, atol=1e-5)
    again = SentenceTransformer(model.folder)
    again.add_tokens(["food."])
    again.save_pretrained(model.folder)
    third = SentenceTransformer(model.folder)
    np.testing.assert_array_equal(third.encode(TEXTS), again.encode(TEXTS))
    np.testing.assert_allclose(model.ours.encode(TEXTS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        Peer(str(model.folder), device="cpu").encode(TEXTS), third.encode(TEXTS), rtol=0, atol=1e-5
    )


@contextmanager
def a_disk_of(size: int) -> Iterator[None]:
    """Limit the size of files to this number of bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("size", [100, 5_000, 50_000])
def test_a_full_disk_is_reported(size: int, tmp_path: Path) -> None:
    old = Trio.make(tmp_path / "old")
    make_sentence_folder("bert", tmp_path / "other", pooling="cls", seed=1)
    other = SentenceTransformer(tmp_path / "other")
    before = content(old.folder)
    with a_disk_of(size), pytest.raises(CheckpointError, match=r"Can't .*File too large"):
        other.save_pretrained(old.folder)
    assert content(old.folder) == before
    with a_disk_of(size), pytest.raises(CheckpointError):
        other.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_no_permission(bert: Trio, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"Can't save to '.*file': File exists"):
        bert.ours.save_pretrained(tmp_path / "file")
    with pytest.raises(CheckpointError, match="Can't save to '/proc/model'"):
        bert.ours.save_pretrained("/proc/model")


@pytest.mark.parametrize(("name", "reason"), [("a" * 300, "too long"), ("a\0b", "NUL character|null byte")])
def test_names_that_cannot_be_folders(bert: Trio, tmp_path: Path, name: str, reason: str) -> None:
    for part in (bert.ours, bert.ours.model, bert.ours.tokenizer):
        with pytest.raises(CheckpointError, match=f"Can't .*{reason}"):
            part.save_pretrained(tmp_path / name)


def test_an_interrupted_save_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("old")

    def save() -> None:
        with staged(tmp_path) as temporary:
            (temporary / "modules.json").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save()
    assert content(tmp_path) == {"modules.json": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["modules.json"]


def test_pooler_output_cannot_be_saved(tmp_path: Path) -> None:
    make_checkpoint("bert", tmp_path / "plain")
    model = SentenceTransformer(tmp_path / "plain", pooling="pooler")
    with pytest.raises(InputError, match="Pooling by the pooler output can't be saved"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_killed_save_leaves_a_whole_model(tmp_path: Path) -> None:
    """A process that alternately saves two models to one folder is killed at a random time."""
    for number in (0, 1):
        make_sentence_folder("bert", tmp_path / str(number), seed=number)
    models = [SentenceTransformer(tmp_path / str(number)) for number in (0, 1)]
    either = [model.encode(TEXTS) for model in models]
    program = """
        import sys
        from munjang import SentenceTransformer
        models = [SentenceTransformer(f"{sys.argv[1]}/{number}") for number in (0, 1)]
        while True:
            for model in models:
                model.save_pretrained(f"{sys.argv[1]}/target")
                print("saved", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for delay in (0.0, 0.011, 0.023):
            assert process.stdout.readline() == "saved\n"
            time.sleep(delay)
        process.kill()
    found = SentenceTransformer(tmp_path / "target").encode(TEXTS)
    assert any(np.array_equal(found, vectors) for vectors in either)
