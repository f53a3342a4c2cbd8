"""Indexes with a tiny model, and documents for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FAQ", "faq_file"]

FAQ: Sequence[Mapping[str, Any]] = [
    {"id": 1, "question": "배송은 언제 되나요?", "answer": "이틀 안에 도착해요.", "lang": "ko", "year": 2023},
    {"id": 2, "question": "서울에서 맛있는 집은?", "answer": "시장에 가 보세요.", "lang": "ko", "year": 2019},
    {"id": "a", "question": "Where is my parcel?", "answer": "It is on its way.", "lang": "en", "year": 2021},
    {"id": "b", "question": "반품하고 싶어요", "answer": "서울에서만 받아요.", "lang": "ko", "year": 2024},
]


def faq_file(folder: Path) -> Path:
    """Write `FAQ` as JSON Lines."""
    path = folder / "faq.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in FAQ), encoding="utf-8")
    return path
