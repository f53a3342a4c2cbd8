"""Every Python example in the README files and in docs/ runs, and prints the output in its comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(PROJECT.glob("README*.md")), *sorted((PROJECT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"(<!-- needs the hub -->\n)?```python\n(.*?)```", re.DOTALL)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)


def blocks(page: Path, *, hub: bool) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for needs_hub, code in found if bool(needs_hub) is hub]


def run(page: Path, codes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for code in codes:
        exec(compile(code, str(page), "exec"), names)
        printed = capsys.readouterr().out
        for expected in PRINTED.findall(code):
            assert expected.split(": ")[0] in printed, f"{page.name}: {expected!r} was not printed"


# Pages with the very same examples, their comments included, are run once: docs/lessons.md and lessons.ko.md.
DISTINCT = {tuple(codes): page for page in PAGES if (codes := blocks(page, hub=False))}


@pytest.mark.models
@pytest.mark.parametrize("page", DISTINCT.values(), ids=lambda p: p.name)
def test_examples(
    page: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    monkeypatch.chdir(tmp_path)  # files that an example writes
    run(page, blocks(page, hub=False), capsys)


@pytest.mark.hub
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, hub=True)], ids=lambda p: p.name)
def test_hub_examples(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(page, blocks(page, hub=True), capsys)
