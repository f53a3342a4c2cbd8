"""A tiny model."""

from __future__ import annotations

from support.tiny import tiny_folder_fixture, tiny_model_fixture  # noqa: F401 - fixtures for this folder
