"""Shared fixtures: the real data, the models of the catalogue, the hub. Tests are skipped without them."""

from __future__ import annotations

import gc
import os
import signal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from munjang.errors import MunjangError
from support.postgres import postgres_server, postgres_url  # noqa: F401 - fixtures for every folder

# In the background of a shell the tests ignore Ctrl-C, and so would the programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: a busy machine is no error.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

PROJECT = Path(__file__).resolve().parent.parent


def data_folder() -> Path | None:
    """Return the folder of the real data: ``MUNJANG_DATA``, or ``../shared/data`` from the project's root."""
    folder = Path(os.environ.get("MUNJANG_DATA") or PROJECT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


@pytest.fixture
def data() -> Path:
    """Return the folder of real data; skip the test without it."""
    folder = data_folder()
    if folder is None:
        pytest.skip("the real data is not here (MUNJANG_DATA)")
    return folder


@cache
def _why_no_models() -> str | None:
    """Fetch the catalogue's models, once per process; return the reason if they are not available."""
    from munjang.checkpoints import open_checkpoint

    try:
        for name in ("all-MiniLM-L6-v2", "multilingual-e5-small"):
            open_checkpoint(name)
    except MunjangError as error:
        return str(error)
    return None


@cache
def _why_no_hub() -> str | None:
    from munjang.checkpoints import open_checkpoint

    try:
        open_checkpoint("klue/bert-base")
    except MunjangError as error:
        return str(error)
    return None


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("models") and (reason := _why_no_models()):
        pytest.skip(f"no catalogue model: {reason}")
    if request.node.get_closest_marker("hub") and (reason := _why_no_hub()):
        pytest.skip(f"no hub: {reason}")
    if request.node.get_closest_marker("data") and data_folder() is None:
        pytest.skip("the real data is not here (MUNJANG_DATA)")


@pytest.fixture(autouse=True)
def _unrendered_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the curves of a run in this process, but don't render them: that takes longer than the run.

    Not for the tests of the report, and not for fixtures of a module or of the session, which run before.
    """
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    if folder not in ("cli", "training") or request.path.name == "test_report.py":
        return
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: Path(path).touch())


# The files that take longest, measured on two cores. They are started first, so that at the end of a parallel
# run no worker waits for another one's long file.
LONGEST = (
    "search/test_ray.py",
    "models/test_config_values.py",
    "cli/test_help.py",
    "docs/test_examples.py",
    "sentence/test_transformer_quality.py",
    "training/loop/test_loop.py",
    "cli/test_index_commands.py",
    "sentence/test_files.py",
    "sentence/test_mining.py",
    "cli/test_program.py",
    "cli/test_train.py",
    "models/test_contract.py",
    "sentence/test_pooling.py",
    "tokenization/test_hostile_texts.py",
    "bulk/test_resume.py",
    "cli/test_chat.py",
    "training/vocabulary/test_trim.py",
    "chat/test_chatbot.py",
    "training/distillation/test_encoder.py",
    "sentence/test_cross_encoder.py",
    "lessons/test_lesson_cells.py",
    "sentence/test_transformer_use.py",
    "models/test_parity.py",
    "search/stores/test_kill.py",
    "tokenization/test_truncation_parity.py",
    "training/loop/test_freed_memory.py",
    "cli/test_index_build_killed.py",
    "training/sentences/test_train.py",
    "docs/test_results_pages.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front."""
    tests = Path(__file__).parent
    order = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    """Exclude what is loaded by now from garbage collection: the libraries' millions of objects stay."""
    gc.collect()
    gc.freeze()
