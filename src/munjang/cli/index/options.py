"""Options of the commands about an index."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["MAKING", "Analysis", "ChunkOverlap", "ChunkTokens", "Location"]

MAKING = "How a new index is made"

Location = Annotated[
    str, typer.Argument(metavar="INDEX", help="A file, or postgresql://user:password@host/database.")
]
Analysis = Annotated[
    str | None,
    typer.Option(
        "--analyzer",
        metavar="NAME",
        show_default="kiwi if it is installed",
        help="What makes words of texts: kiwi or hangul-bigrams.",
        rich_help_panel=MAKING,
    ),
]
ChunkTokens = Annotated[
    int | None,
    typer.Option(
        "--chunk-tokens",
        metavar="N",
        min=1,
        show_default="256 or what the model reads",
        help="Tokens of the longest passage that a text is cut into.",
        rich_help_panel=MAKING,
    ),
]
ChunkOverlap = Annotated[
    int | None,
    typer.Option(
        "--chunk-overlap",
        metavar="N",
        min=0,
        show_default="an eighth",
        help="Tokens that a passage may repeat of the one before it.",
        rich_help_panel=MAKING,
    ),
]
