"""The declaration of commands: flags from names, and options from the fields of dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from munjang.cli.common.commands import Commands, command
from munjang.cli.common.options import AsJson, Bundle, Offline, argument, option

got: dict[str, Any] = {}


@dataclass(frozen=True)
class Shape:
    """A dataclass with annotated fields."""

    width: Annotated[int, option("How wide.", "N", "-w", min=1)] = 1
    closed: Annotated[bool, option("Without a gap.", negatable=True)] = False
    inner: int = 7  # no option


@dataclass(frozen=True)
class Settings:
    """A dataclass of the library, which does not depend on typer."""

    name: str = field(metadata={"help": "A name.", "metavar": "NAME"})
    rate: float = field(default=0.5, metadata={"help": "How fast.", "panel": "Speed", "max": 1})
    kind: Literal["round", "square"] = field(default="round", metadata={"help": "Which kind."})
    bold: bool = field(default=False, metadata={"help": "In bold.", "negatable": True})
    steps: int | None = field(default=None, metadata={"help": "How many.", "shown": "no bound"})


app = Commands()


@command("munjang draw x --top-k 3", "munjang draw [y]")
def draw(
    text: Annotated[str, argument("A text.", "TEXT")],
    settings: Annotated[Settings, Bundle(shown={"steps": "as it fits"})] = Settings("n", rate=0.25),
    top_k: Annotated[int, option("How many.", "K", "-k", min=1)] = 5,
    shape: Annotated[Shape, Bundle(without=("width",))] = Shape(),
    show: Annotated[bool | None, option("Show it.", shown="on a terminal")] = None,
    offline: Offline = None,
    as_json: AsJson = False,
) -> None:
    """Draw a text.

    A second paragraph
    on two lines.
    """
    got.update(locals())


@command("munjang rest-of", name="rest")
def rest_of(shape: Shape = Shape(), kind: Literal["a", "b"] | None = None) -> None:
    """Draw the rest."""
    got.update(locals())


app.add("Look", draw, rest_of)


def run(*words: str) -> dict[str, Any]:
    got.clear()
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return dict(got)


def test_every_option_has_its_default() -> None:
    assert run("draw", "x") == {
        "text": "x",
        "settings": Settings("n", rate=0.25),
        "top_k": 5,
        "shape": Shape(),
        "show": None,
        "offline": None,
        "as_json": False,
    }
    assert run("rest") == {"shape": Shape(), "kind": None}


def test_flags_are_the_names_of_parameters_and_fields() -> None:
    words = (
        "draw x --name m --rate 0.75 --kind square --bold --steps 3 --top-k 2 --closed --no-show --offline"
    )
    assert run(*words.split(), "--json") == {
        "text": "x",
        "settings": Settings("m", 0.75, "square", bold=True, steps=3),
        "top_k": 2,
        "shape": Shape(closed=True),
        "show": False,
        "offline": True,
        "as_json": True,
    }
    assert run("draw", "x", "-k", "9", "--no-bold", "--no-closed", "--show")["top_k"] == 9
    assert run("rest", "-w", "4", "--kind", "b") == {"shape": Shape(4), "kind": "b"}


@pytest.mark.parametrize(
    "words",
    [
        "draw x --width 3",
        "draw x --inner 3",
        "draw x -k 0",
        "draw x --rate 2",
        "draw x --kind oval",
        "rest-of",
    ],
)
def test_other_options_and_values_are_refused(words: str) -> None:
    assert CliRunner().invoke(app, words.split()).exit_code == 2


@command("munjang required")
def required(settings: Settings) -> None:
    """Take a name."""
    got.update(locals())


@command("munjang shown")
def shown(
    settings: Annotated[Settings, Bundle(shown={"rate": "1/8"})] = Settings("n", 0.125, steps=4),
) -> None:
    """Show a default."""
    got.update(locals())


app.add(None, required, shown)


def test_a_field_without_a_default_is_required() -> None:
    assert CliRunner().invoke(app, ["required"]).exit_code == 2
    assert run("required", "--name", "n") == {"settings": Settings("n")}


def test_a_default_that_is_shown_as_text_is_that_of_the_bundle() -> None:
    assert run("shown") == {"settings": Settings("n", 0.125, steps=4)}
    assert run("shown", "--rate", "0") == {"settings": Settings("n", 0, steps=4)}


def test_help_has_the_docstring_panels_defaults_and_examples() -> None:
    commands: Any = vars(typer.main.get_command(app))["commands"]
    assert list(commands) == ["draw", "rest", "required", "shown"]
    drawn = commands["draw"]
    assert drawn.help == "Draw a text.\n\nA second paragraph on two lines."
    assert drawn.rich_help_panel == "Look"
    assert "$ munjang draw x --top-k 3" in drawn.epilog
    assert "$ munjang draw \\[y]" in drawn.epilog
    params = {param.name: param for param in drawn.params}
    assert list(params) == [
        "text", "name", "rate", "kind", "bold", "steps", "top_k", "closed", "show", "offline", "as_json",
    ]  # fmt: skip
    assert params["rate"].rich_help_panel == "Speed"
    assert params["rate"].default == 0.25
    assert params["steps"].show_default == "as it fits"
    assert params["bold"].secondary_opts == ["--no-bold"]
    assert params["offline"].secondary_opts == []
    assert params["top_k"].opts == ["--top-k", "-k"]
