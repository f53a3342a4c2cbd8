from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from munjang.checkpoints import cache_root
from munjang.checkpoints.cache import cached_model, install_model, remove_cached
from munjang.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator


NOBODY = 65534


def build(work: Path) -> Path:
    folder = work / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def leftovers(root: Path) -> list[Path]:
    return list((root / "tmp").iterdir()) if (root / "tmp").is_dir() else []


def test_a_model_is_installed_once(tmp_path: Path) -> None:
    assert cached_model(tmp_path, "m", "1") is None
    folder = install_model(tmp_path, "m", "1", build)
    assert (folder / "config.json").read_text() == "{}"
    assert cached_model(tmp_path, "m", "1") == folder

    def again(work: Path) -> Path:
        raise AssertionError("built twice")

    assert install_model(tmp_path, "m", "1", again) == folder
    assert leftovers(tmp_path) == []


def test_a_new_key_replaces_the_old_model(tmp_path: Path) -> None:
    old = install_model(tmp_path, "m", "1", build)
    new = install_model(tmp_path, "m", "2", build)
    assert new.is_dir()
    assert not old.exists()


def test_a_removed_model_is_gone(tmp_path: Path) -> None:
    install_model(tmp_path, "m", "1", build)
    assert remove_cached(tmp_path, "m")
    assert not remove_cached(tmp_path, "m")
    assert cached_model(tmp_path, "m", "1") is None
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError, FetchError])
def test_an_interrupted_build_leaves_no_file(tmp_path: Path, problem: type[BaseException]) -> None:
    def stopped(work: Path) -> Path:
        build(work)
        raise problem("stopped")

    with pytest.raises(problem):
        install_model(tmp_path, "m", "1", stopped)
    assert leftovers(tmp_path) == []
    assert cached_model(tmp_path, "m", "1") is None
    assert install_model(tmp_path, "m", "1", build).is_dir()


@pytest.fixture
def small_file_limit() -> Iterator[None]:
    """Limit the size of files: for a program this is like a full disk or quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_file_limit")
def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path) -> None:
    def large(work: Path) -> Path:
        folder = build(work)
        (folder / "model.safetensors").write_bytes(bytes(2 << 20))
        return folder

    with pytest.raises(FetchError, match=r"No room for 'm' in the model cache .* MUNJANG_CACHE") as error:
        install_model(tmp_path, "m", "1", large)
    assert "\n" not in str(error.value)
    assert leftovers(tmp_path) == []
    assert cached_model(tmp_path, "m", "1") is None


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    def full(work: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FetchError, match=r"No room for 'm' .*No space left on device"):
        install_model(tmp_path, "m", "1", full)


def test_too_little_room_is_noticed_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"'m' takes 1,000,000,000 MB, but the disk"):
        install_model(tmp_path, "m", "1", build, needed=10**15)


def test_a_cache_that_is_not_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("in the way")
    with pytest.raises(
        FetchError, match=rf"Can't write 'm' to the model cache '{root}': .* Set MUNJANG_CACHE"
    ):
        install_model(root, "m", "1", build)


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder of a user who is not root: for root no folder is read-only."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(os.getuid())


def test_a_read_only_cache(ordinary_user: Path) -> None:
    root = ordinary_user
    folder = install_model(root, "m", "1", build)
    for path in (root, *root.iterdir()):
        path.chmod(0o555)
    try:
        assert cached_model(root, "m", "1") == folder
        assert (folder / "config.json").read_text() == "{}"
        with pytest.raises(FetchError, match=r"Can't write 'n' to the model cache.*Permission denied"):
            install_model(root, "n", "1", build)
    finally:
        for path in (root, *root.iterdir()):
            path.chmod(0o755)


def test_a_second_process_waits_and_uses_the_first_ones_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    started, go_on = threading.Event(), threading.Event()
    built: list[str] = []

    def slowly(work: Path) -> Path:
        started.set()
        go_on.wait(20)
        built.append("first")
        return build(work)

    first = threading.Thread(target=install_model, args=(tmp_path, "m", "1", slowly))
    first.start()
    assert started.wait(20)
    threading.Timer(0.3, go_on.set).start()
    install_model(tmp_path, "m", "1", build)
    first.join()
    assert built == ["first"]
    assert "Waiting for another process that is working on 'm'" in capfd.readouterr().err


KILLED = """
    import sys, time
    from pathlib import Path
    from munjang.checkpoints.cache import install_model

    def build(work):
        (work / "half").write_bytes(bytes(1000))
        print("working", flush=True)
        time.sleep(60)

    install_model(Path(sys.argv[1]), "m", "1", build)
"""


def test_leftovers_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGKILL)
    assert len(leftovers(tmp_path)) == 1
    before = time.monotonic()
    assert install_model(tmp_path, "m", "1", build).is_dir()
    assert time.monotonic() - before < 10  # the lock went with the process
    assert leftovers(tmp_path) == []


def set_environment(patch: pytest.MonkeyPatch, platform: str, variables: dict[str, str]) -> None:
    for name in ("MUNJANG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        patch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/u"} | variables).items():
        patch.setenv(name, value)
    patch.setattr(sys, "platform", platform)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/u/.cache/munjang"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/munjang"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/u/.cache/munjang"),
        ("linux", {"MUNJANG_CACHE": "/m", "XDG_CACHE_HOME": "/x"}, "/m"),
        ("linux", {"MUNJANG_CACHE": "~/m"}, "/home/u/m"),
        ("darwin", {}, "/home/u/Library/Caches/munjang"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/munjang/Cache"),
        ("win32", {}, "/home/u/AppData/Local/munjang/Cache"),
    ],
)
def test_location_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    set_environment(monkeypatch, platform, variables)
    assert cache_root() == Path(expected)
    assert cache_root("/given") == Path("/given")


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, "linux", {})

    def nobody(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(FetchError, match="set MUNJANG_CACHE"):
        cache_root()
