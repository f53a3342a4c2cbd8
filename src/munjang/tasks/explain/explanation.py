"""`Explanation`: the result of `munjang.explain`, with its drawings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from munjang.errors import InputError
from munjang.tasks.explain.drawing.document import document
from munjang.tasks.explain.drawing.page import fragment, page
from munjang.tasks.explain.drawing.text import as_text
from munjang.tasks.explain.steps import Explained


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Explanation(Explained):
    """Every step from a text to an answer; made by `munjang.explain`.

    A notebook shows it as HTML; elsewhere use `to_text`, `to_html` and `to_dict`.
    """

    def __repr__(self) -> str:
        return (
            f"<Explanation of {self.text!r}: task {self.task}, model {self.model!r}, "
            f"{len(self.rows)} tokens, {len(self.layers)} layers>"
        )

    def check(self, layer: int | None, head: int | None) -> None:
        """Raise `InputError` for a layer or head that the model does not have."""
        heads = len(self.layers[0].attention) if self.layers else 0
        for name, value, count in (("layer", layer, len(self.layers)), ("head", head, heads)):
            if value is not None and not 0 <= value < count:
                numbers = f"they are numbered 0 to {count - 1}" if count else "the model was not run"
                raise InputError(f"There is no {name} {value}; {numbers}.")

    def to_dict(self, *, layer: int | None = None, head: int | None = None) -> dict[str, Any]:
        """Return the explanation as plain numbers and texts, for JSON; only one layer or head, if given.

        The keys are described in `munjang.tasks.explain.drawing.document`. Raises `InputError` if there is no
        such layer or head.
        """
        self.check(layer, head)
        return document(self, layer=layer, head=head)

    def to_html(self, *, layer: int | None = None, head: int | None = None) -> str:
        """Return a self-contained HTML page, without script, font or connection; opened at a layer and head.

        Raises `InputError` if there is no such layer or head.
        """
        self.check(layer, head)
        return page(self, layer=layer, head=head)

    def to_text(self, *, layer: int | None = None, head: int | None = None, width: int = 80) -> str:
        """Return tables for a terminal of ``width`` columns, without colour; attention of one layer and head.

        Raises `InputError` if there is no such layer or head.
        """
        self.check(layer, head)
        return as_text(self, layer=layer, head=head, width=width)

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return fragment(self)
