"""The drawings accept all texts, load nothing, and fit their widths."""

from __future__ import annotations

import base64
import json
import re
import struct
import unicodedata
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from munjang.tasks.explain.drawing.parts import signed, visible
from munjang.tasks.explain.drawing.text import heat
from munjang.tasks.explain.explain import Explanation, explain
from support.processes import run_python
from support.wordpiece import model_with_words

NASTY = "<script>alert('1')</script> & \"a\" \x00 \u202eabc\u202c \u0301 </style></div> 축구"
_VOID = {"meta", "input"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its text, as a browser parses them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    model_with_words(made)
    return made


@pytest.fixture(scope="module")
def nasty(folder: Path) -> Explanation:
    return explain("축구는 [MASK]", NASTY[:37], model=folder, task="fill-mask")


@pytest.mark.parametrize(
    "text", [NASTY[:45], NASTY[27:], "<img src=x onerror=alert(1)>", "\u0301", "ا ب\u200f"]
)
def test_pages_hold_any_text(text: str, folder: Path) -> None:
    found = explain(text, text[:5], model=folder, task="features")
    for page in (found.to_html(), found._repr_html_()):
        read = Reader(page)
        assert read.opened == []
        assert not {tag for tag, _ in read.elements} & {"script", "img", "link", "iframe", "object"}
        assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
        assert visible(text) in "".join(read.text)
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in page if c not in "\n\t")


def test_a_page_loads_nothing(nasty: Explanation) -> None:
    page = nasty.to_html()
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|@import|url\((?!'data:image/png;base64,)", page)
    for tag, attributes in Reader(page).elements:
        assert not set(attributes) & {"src", "href", "action", "srcset"}, tag


def test_heads_are_chosen_without_a_script(nasty: Explanation) -> None:
    read = Reader(nasty.to_html(layer=1, head=2))
    radios = [attributes for tag, attributes in read.elements if tag == "input"]
    layers, heads = len(nasty.layers), len(nasty.layers[0].attention)
    assert len(radios) == layers * (heads + 2)  # the mean and the cosines too
    assert {str(each["id"]) for each in radios} == {
        str(attributes["for"]) for tag, attributes in read.elements if tag == "label"
    }
    chosen = [each["id"] for each in radios if "checked" in each]
    assert chosen == ["munjang-0-0", "munjang-1-3", "munjang-2-0"]
    opened = [attributes for tag, attributes in read.elements if attributes.get("class") == "layer"]
    assert ["open" in attributes for attributes in opened] == [False, True, False]


def test_two_drawings_in_one_notebook_are_independent(nasty: Explanation) -> None:
    names = [
        {attributes["name"] for tag, attributes in Reader(nasty._repr_html_()).elements if tag == "input"}
        for _ in range(2)
    ]
    assert not names[0] & names[1]


def test_long_texts_show_the_heads_of_one_layer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from munjang.tasks.explain.drawing import attention

    monkeypatch.setattr(attention, "_MOST_PIXELS", 10)
    read = Reader(explain("i love paris", model=folder, task="features").to_html(layer=0))
    assert len([tag for tag, _ in read.elements if tag == "input"]) == 3 * 2 + 4
    assert "only layer 0 has a matrix for each head" in "".join(read.text)


def test_text_fits_the_width(folder: Path) -> None:
    for text in ("축구는 정말 재미있는 [MASK]다. " * 4, "the [MASK] sky " * 8, "[MASK]"):
        drawn = explain(text, model=folder).to_text(width=80)
        lines = drawn.splitlines()
        assert max(map(cell_len, lines)) <= 80
        assert "…" not in drawn


def test_columns_are_aligned(folder: Path) -> None:
    """A Hangul letter takes two columns."""
    lines = explain("축구는 love 재미있는 a", model=folder, task="tokenize").to_text().splitlines()
    found = [re.search(r"\d+(?=\s+-\s)", line) for line in lines if re.match(r" \d", line)]
    assert None not in found
    assert len({cell_len(each.string[: each.end()]) for each in found if each is not None}) == 1


def test_text_and_json_hold_any_text(nasty: Explanation) -> None:
    assert "\x00" not in nasty.to_text()
    again = json.loads(json.dumps(nasty.to_dict()))
    assert again["pair"] == nasty.pair
    assert "<Explanation of" in repr(nasty)


def test_json_of_one_layer_and_head(nasty: Explanation) -> None:
    found = nasty.to_dict(layer=2, head=1)
    [layer] = found["layers"]
    assert (layer["layer"], [each["head"] for each in layer["attention"]]) == (2, [1])
    weights = layer["attention"][0]["weights"]
    np.testing.assert_allclose(weights, nasty.layers[2].attention[1], atol=1e-6)
    assert [each["head"] for each in nasty.to_dict()["layers"][0]["attention"]] == [None, 0, 1, 2, 3]
    np.testing.assert_allclose(np.diag(layer["cos_between_tokens"]), 1, atol=1e-5)


@given(st.text())
def test_visible_hides_and_turns_nothing(text: str) -> None:
    shown = visible(text)
    for character in shown:
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in ("RLO", "LRO", "RLE", "LRE", "RLI", "LRI", "FSI")


def test_visible() -> None:
    assert visible("a\tb\x00 \u0301 e\u0301 \u202e") == "a b\\x00 ◌\u0301 e\u0301 \\u202e"
    assert visible("축구 👨\u200d👩") == "축구 👨\u200d👩"


def test_pictures_are_pngs() -> None:
    address = signed(np.array([[0.0, 1.0], [-0.5, 2.0]]))
    raw = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", raw[16:24]) == (2, 2)
    lines = np.frombuffer(zlib.decompress(raw[raw.index(b"IDAT") + 4 : -16]), dtype=np.uint8).reshape(2, 9)
    assert lines[:, 0].tolist() == [0, 0]
    assert lines[:, 1:].reshape(2, 2, 4)[..., 3].tolist() == [[0, 255], [128, 255]]


def test_heat() -> None:
    assert heat([0, 0.25, 0.5, 0.75, 1, 3, -1]) == " ░▒▓██ "


CODE = """
import sys
from munjang.cli import main
sys.argv = ["munjang", "explain", *sys.argv[1:]]
main()
"""


def test_command(folder: Path, tmp_path: Path) -> None:
    arguments = ("축구는 [MASK]다.", "--model", folder)
    assert "Answer at 3 [MASK]" in run_python(CODE, *arguments, home=tmp_path)
    found = json.loads(run_python(CODE, *arguments, "--json", "--top", "2", "--layer", "0", home=tmp_path))
    assert found["task"] == "fill-mask"
    assert len(found["decisions"][0]["choices"]) == 2
    assert len(found["layers"]) == 1
    page = tmp_path / "steps.html"
    assert "7 tokens, 3 layers" in run_python(CODE, *arguments, "--html", page, home=tmp_path)
    assert Reader(page.read_text(encoding="utf-8")).opened == []
