"""The pages of docs/results: each has a recipe, and recipes can be selected by name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import python_environment

PROJECT = Path(__file__).resolve().parents[2]
PAGES = PROJECT / "docs" / "results"


def asked(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.results", *arguments]
    environment = python_environment(tmp_path, {"MUNJANG_DATA": str(tmp_path / "nothing"), "COLUMNS": "1000"})
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    shown = asked(tmp_path_factory.mktemp("home"), "--help")
    assert shown.returncode == 0, shown.stderr
    listed = re.search(r"of ([a-z, -]+);", shown.stdout)
    assert listed
    return {name.strip() for name in listed[1].split(",")}


def test_every_page_has_a_recipe_and_a_picture(recipes: set[str]) -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README"}
    assert pages
    assert pages <= recipes
    assert pages == {picture.stem for picture in PAGES.glob("*.png")}


def test_every_page_is_in_the_table() -> None:
    table = (PAGES / "README.md").read_text(encoding="utf-8")
    for page in PAGES.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in table, page.name


def test_invalid_arguments(tmp_path: Path) -> None:
    unknown = asked(tmp_path, "nsmc", "imdb")
    assert unknown.returncode == 2
    assert "there is no result 'imdb'; there are stsb" in unknown.stderr
    no_data = asked(tmp_path, "nsmc")
    assert no_data.returncode == 2
    assert "set MUNJANG_DATA" in no_data.stderr
