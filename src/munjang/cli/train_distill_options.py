"""Options of the commands of ``munjang train distill``, and how they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.texts import refuse, usage_error
from munjang.cli.train_options import Run
from munjang.cli.train_run import numbers_of
from munjang.training.options import TrainingOptions

if TYPE_CHECKING:
    from munjang.training.hidden_states import LayerMatching

__all__ = [
    "DISTILLING",
    "Attention",
    "HiddenStates",
    "LayerMap",
    "Layers",
    "Student",
    "Teacher",
    "check_share",
    "check_student",
    "layers_of",
    "matching_of",
]

DISTILLING = TrainingOptions(learning_rate=5e-5)
INSIDE = "What else of the teacher is learned"

Teacher = Annotated[
    str, typer.Option("--teacher", "-t", metavar="NAME", help="The trained model to learn from.")
]
Student = Annotated[
    str | None,
    typer.Option(
        "--student", metavar="NAME", show_default="layers of the teacher", help="The model to begin with."
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="N",
        show_default="half of them",
        help="How many of the teacher's layers the student begins with; or which, as in 0,2,4.",
    ),
]
HiddenStates = Annotated[
    float,
    typer.Option(
        "--hidden-states", metavar="X", help="The weight of the layers' outputs.", rich_help_panel=INSIDE
    ),
]
Attention = Annotated[
    float,
    typer.Option("--attention", metavar="X", help="The weight of the attention.", rich_help_panel=INSIDE),
]
LayerMap = Annotated[
    str | None,
    typer.Option(
        "--layer-map",
        metavar="N,N",
        show_default="evenly spread",
        help="The teacher's layer, from 0 on, that each layer of the student learns.",
        rich_help_panel=INSIDE,
    ),
]


def check_share(run: Run, kind: str) -> None:
    """Refuse to hold out what nobody has scored."""
    if run.dev_share is not None and kind != "scores":
        raise usage_error(
            "Only pairs with scores can be measured on; give --dev a file of them.", "--dev-share"
        )


def check_student(student: str | None) -> None:
    """Refuse a choice of the teacher's layers beside a student that has its own."""
    if student is not None:
        refuse("beside --student", "layers")


def layers_of(layers: str | None) -> int | list[int] | None:
    """Read a number of layers, or which they are."""
    if layers is None:
        return None
    numbers = numbers_of(layers, "--layers")
    return numbers if "," in layers else numbers[0]


def matching_of(hidden_states: float, attention: float, layer_map: str | None) -> LayerMatching | None:
    """Say what of the teacher's layers is learned, if anything."""
    from munjang.training import LayerMatching

    if not hidden_states and not attention:
        if layer_map is not None:
            raise usage_error("It needs --hidden-states or --attention.", "--layer-map")
        return None
    return LayerMatching(
        layers=None if layer_map is None else numbers_of(layer_map, "--layer-map"),
        hidden_states=hidden_states,
        attention=attention,
    )
