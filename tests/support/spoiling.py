"""Random damage to a model's files, the same for the same seed."""

from __future__ import annotations

import json
import random
from typing import Any

__all__ = ["spoil_bytes", "spoil_json"]

_HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, 1e-300, 1e308,
    float("inf"), float("-inf"), float("nan"), "", "x", "\0", "../../x", "/etc", "x" * 5000, "한글", "\ud800",
    [], [None], [[]], [0, 1], {}, {"a": {}}, {"0": None}, [[[[[[[[]]]]]]]], {"\0": "\0"}, "gelu", "mean", 1.0,
]  # fmt: skip


def spoil_json(content: bytes, seed: int) -> bytes:
    """Replace, remove or add one value somewhere in a JSON file."""
    generator = random.Random(seed)
    root = {"root": json.loads(content)}
    places = list(_places(root))
    holder, key = generator.choice(places)
    match generator.randrange(5):
        case 0 if holder is not root:
            del holder[key]
        case 1 if isinstance(holder, dict) and holder is not root:
            holder[generator.choice(["x", "", "\0", key + "x"])] = generator.choice(_HOSTILE)
        case _:
            holder[key] = generator.choice(_HOSTILE)
    return json.dumps(root["root"]).encode()


def _places(value: Any) -> Any:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def spoil_bytes(content: bytes, seed: int, *, most: int | None = None) -> bytes:
    """Change, cut, repeat or insert bytes among the first ``most``."""
    generator = random.Random(seed)
    data = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 8])):
        place = generator.randrange(min(len(data), most or len(data)) or 1)
        match generator.randrange(6):
            case 0:
                data[place : place + 1] = bytes([generator.randrange(256)])
            case 1:
                data[place : place + 1] = generator.choice(list(b'0123456789-"{}[],:.eN\\'.decode())).encode()
            case 2:
                del data[place:]
            case 3:
                del data[place : place + generator.randrange(1, 9)]
            case 4:
                data[place:place] = data[place : place + generator.randrange(1, 33)]
            case 5:
                data[place:place] = bytes(generator.randrange(256) for _ in range(generator.randrange(1, 9)))
    return bytes(data)
