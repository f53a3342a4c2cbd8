"""Train the models of docs/results/ again and write their pages: ``python -m scripts.results [NAME ...]``.

A run that was stopped goes on where it was; a finished one is only measured again. The real data is read from
``MUNJANG_DATA`` or ``../shared/data``, models and checkpoints go to ``build/results``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from scripts.results.outcome import Outcome, Place, page
from scripts.results.recipes import RECIPES

from munjang.training.loop.watchers import shown

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the requested recipes."""
    parser = argparse.ArgumentParser(prog="python -m scripts.results", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}; default: all")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "results", help="where models go")
    parser.add_argument("--pages", type=Path, default=ROOT / "docs" / "results", help="where pages go")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in RECIPES]
    if unknown:
        parser.error(f"there is no result {unknown[0]!r}; there are {', '.join(RECIPES)}")
    data = Path(os.environ.get("MUNJANG_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        parser.error(f"the data is not at '{data}'; set MUNJANG_DATA")
    chosen.pages.mkdir(parents=True, exist_ok=True)
    for name in chosen.names or RECIPES:
        with shown(True, name) as watchers:
            _run(name, Place(data, chosen.runs, watchers), chosen.pages)


def _run(name: str, place: Place, pages: Path) -> None:
    began = time.monotonic()
    print(f"== {name}", file=sys.stderr, flush=True)
    outcome: Outcome = RECIPES[name](place)
    (pages / f"{name}.md").write_text(page(name, outcome), encoding="utf-8")
    shutil.copy(outcome.result.folder / "curves.png", pages / f"{name}.png")
    for evaluation in outcome.evaluations:
        print(evaluation.to_markdown(), flush=True)
    print(*outcome.remarks, sep="\n", flush=True)
    print(f"== {name}: {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
