"""The small parts that the page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from munjang.tasks.explain.drawing.visible import as_html
from munjang.tasks.explain.steps import Rows

__all__ = ["bar", "cell", "section", "table", "token"]


def section(number: int, title: str, text: str, body: str) -> str:
    """A step of the page; ``title``, ``text`` and ``body`` are HTML."""
    return f"<section><h2><span>{number}</span>{title}</h2><p>{text}</p>{body}</section>"


def token(rows: Rows, i: int) -> str:
    """A token's name, dimmed if it is a special one."""
    special = ' class="special"' if rows.special_tokens_mask[i] else ""
    return f"<bdi{special}>{as_html(rows.tokens[i])}</bdi>"


def table(head: Sequence[str], lines: Iterable[str], *, left: Sequence[str] = (), kind: str = "") -> str:
    """A table that scrolls where it does not fit; ``lines`` are the cells of each row, as HTML."""
    cells = "".join(f'<th class="t">{name}</th>' if name in left else f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    opened = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="scroll">{opened}<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def bar(share: float, shown: str, *, kind: str = "") -> str:
    """A cell with a bar of a share of its width, and the number under it."""
    return f'<td class="bar{kind}"><i style="--v:{min(max(share, 0), 1):.3f}"></i><span>{shown}</span></td>'


def cell(share: float, shown: str) -> str:
    """A cell whose colour is as strong as the share."""
    return f'<td class="h" style="--v:{min(max(share, 0), 1):.2f}">{shown}</td>'
