"""Options and output of the commands about an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from munjang.cli.common.options import argument, option
from munjang.cli.common.output import print_json, write_line

_SETTINGS = "How a new index is made"

Location = Annotated[str, argument("A file, or postgresql://user:password@host/database.", "INDEX")]


@dataclass(frozen=True)
class Passages:
    """Options: how texts are split into passages and words, and which fields are embedded."""

    embed: Annotated[
        list[str] | None,
        option("A field that is searched by meaning; may be repeated.", "NAME", shown="all", panel=_SETTINGS),
    ] = None
    analyzer: Annotated[
        str | None,
        option(
            "How texts are split into words: kiwi or hangul-bigrams.",
            "NAME",
            shown="kiwi if it is installed",
            panel=_SETTINGS,
        ),
    ] = None
    chunk_tokens: Annotated[
        int | None,
        option(
            "Maximum tokens of a passage of a text.",
            "N",
            shown="256 or what the model reads",
            panel=_SETTINGS,
            min=1,
        ),
    ] = None
    chunk_overlap: Annotated[
        int | None,
        option(
            "Maximum tokens that a passage shares with the previous passage.",
            "N",
            shown="an eighth",
            panel=_SETTINGS,
            min=0,
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Index.migrate`."""
        return {
            "analyzer": self.analyzer,
            "chunk_tokens": self.chunk_tokens,
            "chunk_overlap": self.chunk_overlap,
        }


def print_result(location: str, as_json: bool, values: dict[str, Any], *lines: str) -> None:
    """Print the result of a command as JSON, or as lines about the index."""
    if as_json:
        print_json({"index": location, **values})
    else:
        for line in lines:
            write_line(f"{location}: {line}")
