"""The library implements all names that arguments accept, and no others."""

from __future__ import annotations

from typing import get_args

from munjang.choices import Task
from munjang.tasks.explain.explain import EXPLAINED_TASKS


def test_every_task_can_be_explained() -> None:
    assert tuple(EXPLAINED_TASKS) == get_args(Task)
