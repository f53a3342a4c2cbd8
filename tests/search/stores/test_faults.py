"""Faults of the disk, the folder, another writer or another program, and their effect on an index."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

from munjang.errors import StoreBusyError, StoreError
from munjang.search.documents import Document
from munjang.search.stores.base import Changes, Store
from munjang.search.stores.sqlite.schema import VERSION
from munjang.search.stores.sqlite.store import SqliteStore, open_sqlite
from support.faulty import Fault, FaultyFiles
from support.processes import run_python
from support.stores import SETTINGS, document, entry, other_settings, vector_of

BEFORE = [document(number, f"word{number} common") for number in range(30)]
OTHER = other_settings(model="larger", dimension=12, probe=(0.5,))


@pytest.fixture
def files() -> Iterator[FaultyFiles]:
    registered = FaultyFiles()
    yield registered
    registered.unregister()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed index with documents."""
    folder = tmp_path / "index"
    folder.mkdir()
    store = open_sqlite(folder / "a.munjang", create=True)
    store.create(SETTINGS)
    store.write(Changes(put=[entry(one) for one in BEFORE]))
    store.close()
    return folder / "a.munjang"


def stored(store: Store) -> list[Document]:
    with store.snapshot() as reader:
        return list(reader.documents())


def write(store: Store) -> None:
    store.write(Changes(put=[entry(document(n, f"new{n} common")) for n in range(25, 35)], delete=[1, 2]))


def rebuild(store: Store) -> None:
    store.rebuild()


def move(store: Store) -> None:
    while left := store.unstaged(OTHER, 20):
        store.stage(OTHER, [entry(one, OTHER) for one in left])
    store.switch(OTHER)


def check_usable(store: Store) -> None:
    """Assert that the store is intact and accepts further writes."""
    assert store.check() == []
    settings = store.settings
    assert settings is not None
    store.write(Changes(put=[entry(document("later", "later"), settings)]))
    with store.snapshot() as reader:
        assert len(reader.lexical(["later"], 5)) == 1
        assert reader.count() == len(list(reader.documents()))
    store.write(Changes(delete=["later"]))


def succeeded(work: Callable[[Store], None], store: Store) -> bool:
    """Return whether a write succeeded. If it failed, the error must name the reason."""
    try:
        work(store)
    except StoreError as error:
        if "disk" not in str(error):
            raise
        return False
    return True


# A disk that fails

# What SQLite passes over, such as tidying up that it will do another time, APSW reports as unraisable.
ignores_errors = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@ignores_errors
@pytest.mark.parametrize("fault", ["full", "broken", "unsynced"])
@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("work", [write, rebuild, move])
def test_a_disk_that_fails_at_any_moment(
    files: FaultyFiles, path: Path, tmp_path: Path, work: Callable[[Store], None], fault: Fault, forever: bool
) -> None:
    after = failed = 0
    while True:
        folder = tmp_path / f"{after}"
        shutil.copytree(path.parent, folder)
        store = open_sqlite(folder / path.name, create=False, vfs=FaultyFiles.name)
        files.fail(fault, after, forever=forever)
        done = succeeded(work, store)
        left = files.failures
        files.recover()
        there = stored(store)
        if done and work is write:
            assert there != BEFORE
        elif work is write or work is rebuild:
            assert there == BEFORE
        check_usable(store)
        assert stored(store) == there
        store.close()
        again = open_sqlite(folder / path.name, create=False)
        assert stored(again) == there
        assert again.check() == []
        again.close()
        shutil.rmtree(folder)
        if not left:
            break
        failed += not done
        after += 1 + after // 8  # every moment at first, later some of them
    assert failed > 1


@ignores_errors
@pytest.mark.parametrize("fault", ["full", "broken", "unsynced"])
def test_a_disk_that_fails_while_an_index_is_made(files: FaultyFiles, tmp_path: Path, fault: Fault) -> None:
    after = 0
    while True:
        path = tmp_path / f"{after}.munjang"
        files.fail(fault, after, forever=True)
        with suppress(StoreError), closing(open_sqlite(path, create=True, vfs=FaultyFiles.name)) as store:
            store.create(SETTINGS)
        left = files.failures
        files.recover()
        again = open_sqlite(path, create=True)
        again.create(SETTINGS)
        check_usable(again)
        again.close()
        if not left:
            break
        after += 1
    assert after > 2


def test_a_power_failure_loses_no_acknowledged_write(files: FaultyFiles, tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "a.munjang", create=True, vfs=FaultyFiles.name)
    store.create(SETTINGS)
    for step in range(40):
        store.write(Changes(put=[entry(document(step % 15, f"step{step} common"))], delete=[(step + 3) % 15]))
        if step == 20:
            store.rebuild()
        left = tmp_path / f"left{step}"
        left.mkdir()
        for name, content in files.durable.items():
            (left / name).write_bytes(content)
        survivor = open_sqlite(left / "a.munjang", create=False)
        assert stored(survivor) == stored(store)
        assert survivor.check() == []
        survivor.close()
    store.close()


# Two writers


def test_a_writer_waits_for_another_and_then_gives_up(path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    impatient = open_sqlite(path, create=False, busy_timeout=0.05)
    with pytest.raises(StoreBusyError, match="busy"):
        write(impatient)
    assert stored(impatient) == BEFORE  # readers need not wait
    patient = open_sqlite(path, create=False, busy_timeout=20)
    timer = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    timer.start()
    write(patient)
    timer.join()
    assert stored(impatient) == stored(patient) != BEFORE
    other.close()
    check_usable(impatient)
    impatient.close()
    patient.close()


def test_threads_of_one_store_wait_for_each_other(path: Path) -> None:
    store = open_sqlite(path, create=False, busy_timeout=0.05)
    with store._exclusive(), pytest.raises(StoreBusyError, match="another thread"):
        write(store)
    write(store)
    store.close()


# The derived file


def spoil_cut(derived: Path, _: Path) -> None:
    derived.write_bytes(derived.read_bytes()[: derived.stat().st_size // 2])


def spoil_empty(derived: Path, _: Path) -> None:
    derived.write_bytes(b"")


def spoil_garbage(derived: Path, _: Path) -> None:
    derived.write_bytes(bytes(range(256)) * 40)


def spoil_folder(derived: Path, _: Path) -> None:
    derived.unlink()
    (derived / "inside").mkdir(parents=True)


def spoil_other_database(derived: Path, folder: Path) -> None:
    other = open_sqlite(folder / "other.munjang", create=True)
    other.create(SETTINGS)
    other.write(Changes(put=[entry(document(n, f"other{n} x y z")) for n in range(40)]))
    other.rebuild()
    other.close()
    shutil.copy(folder / "other.munjang-vectors", derived)


@pytest.mark.parametrize("spoil", [spoil_cut, spoil_empty, spoil_garbage, spoil_folder, spoil_other_database])
def test_a_damaged_derived_file_is_rebuilt(
    path: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    store = open_sqlite(path, create=False)
    store.rebuild()
    expected = nearest(store)
    store.close()
    derived = path.with_name(f"{path.name}-vectors")
    assert derived.exists()
    spoil(derived, tmp_path)
    again = open_sqlite(path, create=False)
    assert nearest(again) == expected
    assert again.check() == []
    again.rebuild()
    write(again)
    assert again.check() == []
    again.close()


def test_a_flipped_bit_in_the_derived_file_is_found_and_mended(path: Path) -> None:
    store = open_sqlite(path, create=False)
    store.rebuild()
    expected = nearest(store)
    store.close()
    derived = path.with_name(f"{path.name}-vectors")
    content = bytearray(derived.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    derived.write_bytes(content)
    again = open_sqlite(path, create=False)
    assert nearest(again) == expected
    assert "are damaged" in again.info().details["derived vectors"]
    again.rebuild()
    assert again.check() == []
    assert nearest(again) == expected
    assert "derived vectors" not in again.info().details
    again.close()


def nearest(store: SqliteStore) -> list[tuple[int, float]]:
    with store.snapshot() as reader:
        return [(match.passage, round(match.score, 5)) for match in reader.semantic(vector_of("q"), 1000)]


def test_a_derived_file_of_an_older_generation_catches_up(path: Path, tmp_path: Path) -> None:
    derived = path.with_name(f"{path.name}-vectors")
    store = open_sqlite(path, create=False)
    store.rebuild()
    shutil.copy(derived, tmp_path / "old")
    write(store)
    expected = nearest(store)
    store.close()
    shutil.copy(tmp_path / "old", derived)
    again = open_sqlite(path, create=False)
    assert nearest(again) == expected
    again.close()


@pytest.mark.parametrize("further", [0, 1, 3])
def test_a_derived_file_that_followed_another_copy_is_not_trusted(
    path: Path, tmp_path: Path, further: int
) -> None:
    """A backup is restored beside a derived file that is newer than the backup."""
    store = open_sqlite(path, create=False)
    store.rebuild()
    store.close()
    shutil.copy(path, tmp_path / "backup")
    store = open_sqlite(path, create=False)
    store.write(Changes(put=[entry(document(n, f"lost{n} x y")) for n in range(10, 2000)]))
    nearest(store)  # enough changes that the file is written
    store.close()
    shutil.copy(tmp_path / "backup", path)
    again = open_sqlite(path, create=False)
    for number in range(further):
        again.write(Changes(put=[entry(document(f"b{number}", "after the backup"))]))
    assert len(nearest(again)) == 30 + further
    assert again.check() == []
    again.close()


# What is no index


def refused(path: Path, message: str) -> None:
    before = {one.name: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    for create in (False, True):
        with pytest.raises(StoreError, match=message):
            open_sqlite(path, create=create)
    assert {one.name: one.read_bytes() for one in path.parent.iterdir() if one.is_file()} == before


def test_an_index_of_a_newer_version(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", VERSION + 1)
    connection.close()
    refused(path, f"version {VERSION + 1}.*newer munjang")


@pytest.mark.parametrize("content", [b"id,text\n1,hello\n", b"x" * 5000, b"SQLite format 3\x00"])
def test_a_file_that_is_not_a_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.munjang").write_bytes(content)
    refused(tmp_path / "a.munjang", "not an index")


@pytest.mark.parametrize("application", [0, 42])
def test_a_database_of_another_program(tmp_path: Path, application: int) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.execute("CREATE TABLE document (id)")
    connection.pragma("application_id", application)
    connection.close()
    refused(tmp_path / "a.db", "another program")


def test_an_empty_file_becomes_an_index_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.munjang"
    path.touch()
    with pytest.raises(StoreError, match="empty"):
        open_sqlite(path, create=False)
    store = open_sqlite(path, create=True)
    store.create(SETTINGS)
    check_usable(store)
    store.close()


def test_an_invalid_location(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder"):
        open_sqlite(tmp_path, create=True)
    with pytest.raises(StoreError, match="no folder"):
        open_sqlite(tmp_path / "missing" / "a.munjang", create=True)
    with pytest.raises(StoreError, match="no index"):
        open_sqlite(tmp_path / "a.munjang", create=True, readonly=True)


def test_a_damaged_file_is_reported(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 4, len(content), 997):
        content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        refuse_damaged(path)
    assert "damaged" in str(caught.value)


def refuse_damaged(path: Path) -> None:
    store = open_sqlite(path, create=False)
    try:
        if problems := store.check():
            raise StoreError(f"damaged: {problems[0]}")
    finally:
        store.close()


# A folder that can't be written to

_READ_ONLY = """
import os, shutil, sys
from pathlib import Path
import numpy as np
from munjang.errors import StoreError
from munjang.search.stores.base import Changes
from munjang.search.stores.sqlite.store import open_sqlite

def use(path, readonly):
    store = open_sqlite(path, create=False, readonly=readonly)
    with store.snapshot() as reader:
        count = reader.count()
        nearest = len(reader.semantic(np.ones(8, np.float32), 1000))
        found = len(reader.lexical(["common"], 1000))
    print(count, nearest, found, store.check(), store.info().documents)
    store.write(Changes(delete=[1]))

path, readonly = Path(sys.argv[1]), sys.argv[2] == "True"
if os.geteuid() == 0:  # root may write anywhere; others may not be able to import, so do that before
    shutil.copyfile(path, "copy.munjang")
    use(Path("copy.munjang"), False)
    os.setuid(65534)
try:
    use(path, readonly)
except StoreError as error:
    print(error)
"""


@pytest.fixture
def readonly_folder(path: Path) -> Iterator[Path]:
    """A folder in which all users may read the index, and no user may write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(path, folder / path.name)
        (folder / path.name).chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of a Unix system")
@pytest.mark.parametrize("readonly", [True, False])
def test_an_index_in_a_read_only_folder_is_read(
    readonly_folder: Path, tmp_path: Path, readonly: bool
) -> None:
    printed = run_python(_READ_ONLY, readonly_folder / "a.munjang", readonly, home=tmp_path)
    told, refused = printed.strip().split("\n")[-2:]
    assert told == "30 30 30 [] 30"
    assert "read-only" in refused or "reading only" in refused
    assert [one.name for one in readonly_folder.iterdir()] == ["a.munjang"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of a Unix system")
def test_a_log_that_only_a_writer_can_recover_is_reported(
    readonly_folder: Path, path: Path, tmp_path: Path
) -> None:
    store = open_sqlite(path, create=False)
    write(store)
    readonly_folder.chmod(0o755)
    (readonly_folder / path.name).chmod(0o644)
    for name in (path.name, f"{path.name}-wal"):  # as after a kill
        shutil.copy(path.with_name(name), readonly_folder / name)
        (readonly_folder / name).chmod(0o444)
    readonly_folder.chmod(0o555)
    store.close()
    printed = run_python(_READ_ONLY, readonly_folder / path.name, False, home=tmp_path)
    assert "'a.munjang-wal' has changes that are not in the index" in printed
    assert "Open it once with write permission" in printed


def test_a_store_for_reading_refuses_every_change(path: Path) -> None:
    store = open_sqlite(path, create=False, readonly=True)
    for change in (write, rebuild, move, lambda one: one.abandon()):
        with pytest.raises(StoreError, match="reading only"):
            change(store)
    store.create(SETTINGS)
    assert stored(store) == BEFORE
    store.close()
