"""A hook of MkDocs (see mkdocs.yml): addresses of pages that the theme uses for itself."""

from __future__ import annotations

from typing import Any


def on_files(files: Any, **_: Any) -> None:
    """Write docs/search.md to another file: in this theme, ``search.html`` is the page of search results."""
    guide = files.get_file_from_path("search.md")
    guide.dest_uri = "search-guide.html"
