"""The documentation names every public name, and only names and paths that exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = PROJECT / "docs" / "api"
PACKAGES = {
    "munjang": "munjang.md",
    "munjang.chat": "chat.md",
    "munjang.data": "data.md",
    "munjang.errors": "errors.md",
    "munjang.evaluation": "evaluation.md",
    "munjang.training": "training.md",
    "munjang.training.losses": "losses.md",
    "munjang.transformers": "transformers.md",
    "munjang.util": "util.md",
}
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
CODE = re.compile(r"`([\w.]+)`")
PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?|[\w-]+\.(?:py|txt|toml))`")


def described(page: str) -> list[str]:
    """Return the names whose docstrings a page shows."""
    return DIRECTIVE.findall((PAGES / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_the_page_of_its_package(package: str) -> None:
    page = PACKAGES[package]
    listed = {*described(page)}
    if package in listed:  # the page shows the whole module
        return
    text = (PAGES / page).read_text(encoding="utf-8")
    listed |= {name if name.startswith("munjang.") else f"{package}.{name}" for name in CODE.findall(text)}
    missing = [name for name in import_module(package).__all__ if f"{package}.{name}" not in listed]
    assert missing == []


def test_every_name_that_is_described_exists() -> None:
    for page in PAGES.glob("*.md"):
        for name in described(page.name):
            module, _, attribute = name.rpartition(".")
            assert getattr(import_module(module), attribute).__doc__, name


def test_every_page_is_in_the_navigation() -> None:
    """A page that is missing in the navigation is built, but no reader finds it."""
    navigation = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (PROJECT / "docs").rglob("*.md"):
        assert str(page.relative_to(PROJECT / "docs")) in navigation, page


@pytest.mark.parametrize("page", ["architecture.md", "performance.md", "training.md", "README.md"])
def test_every_path_in_the_documentation_exists(page: str) -> None:
    paths = set(PATH.findall((PROJECT / "docs" / page).read_text(encoding="utf-8")))
    folders = (PROJECT, PROJECT / "src" / "munjang", PROJECT / "src", PROJECT / "tests")
    missing = {path for path in paths if not any((folder / path).exists() for folder in folders)}
    assert missing == set()
