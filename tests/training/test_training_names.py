"""The public names of `munjang.training`."""

from __future__ import annotations

import pytest

import munjang
from munjang import training


def test_every_public_name_loads() -> None:
    assert {"TrainingOptions", "losses", "train"} < set(training.__all__)
    assert training.__all__ == dir(training)
    for name in training.__all__:
        assert getattr(training, name) is not None
    assert munjang.training is training


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'train_everything'"):
        training.train_everything  # noqa: B018 - the access is the test
