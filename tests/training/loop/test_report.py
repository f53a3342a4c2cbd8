"""The chart of a run: the scales of its measures, and runs without measures or updates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from munjang.training.loop.report import draw_curves

STEPS: list[dict[str, Any]] = [{"step": number, "loss": 5.0 / number} for number in range(1, 30)]


@pytest.mark.parametrize(("metric", "scales"), [("loss", 1), ("accuracy", 2), (None, 1), ("recall", 1)])
def test_a_measure_has_its_own_scale_and_a_loss_the_scale_of_the_loss(
    tmp_path: Path, metric: str | None, scales: int
) -> None:
    """A measure without values is not drawn."""
    log = [*STEPS, {"step": 20, "evaluation": {"loss": 0.4, "accuracy": 0.8}, "best": True}]
    assert draw_curves(log, tmp_path, metric)
    picture = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert picture.count('<g id="axes_') == scales
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("updates", [1, 2, 3, 5, 29])
def test_ticks_are_at_whole_updates(tmp_path: Path, updates: int) -> None:
    """The numbers below the axis are comments in the SVG, with the glyphs that draw them."""
    log = [{"step": 0, "evaluation": {"accuracy": 0.5}, "best": False}, *STEPS[:updates]]
    assert draw_curves(log, tmp_path, "accuracy")
    picture = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    axis = picture.partition('<g id="matplotlib.axis_1">')[2].partition('<g id="matplotlib.axis_2">')[0]
    labels = [label for label in re.findall(r"<!-- (.+?) -->", axis) if label != "update"]
    assert labels
    assert all(label.isdigit() for label in labels)


def test_a_chart_without_values(tmp_path: Path) -> None:
    assert not draw_curves([], tmp_path, "loss")
    assert not any(tmp_path.iterdir())
