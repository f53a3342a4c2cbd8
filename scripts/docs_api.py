"""A Griffe extension that converts the docstrings for the reference in docs/api/ (see mkdocs.yml).

The docstrings are in Google style with three conventions of this project, which are rewritten as Markdown:

- ``Example::`` begins an indented block of code.
- ``text, pair: ...`` describes several arguments at once.
- A name in single backticks, such as `Index.open`, refers to a name of the package: it becomes a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from griffe import Alias, Class, Extension, Module, NameResolutionError, Object

_CODE_FOLLOWS = re.compile(r"::$", re.MULTILINE)
_SEVERAL = re.compile(r"^( +)(\*{0,2}\w+(?:, \*{0,2}\w+)+): ((?:.*)(?:\n\1 +.*)*)", re.MULTILINE)
_NAME = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)(\(\))?`(?!`)")


class Docstrings(Extension):
    """Rewrite the docstrings of a package when it has been loaded."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Rewrite every docstring of the package."""
        everywhere = {member.name: member.path for member in _members(pkg) if _is_public(member)}
        for member in _members(pkg):
            if member.docstring:
                text = _CODE_FOLLOWS.sub(":", member.docstring.value)
                text = _SEVERAL.sub(_one_each, text)
                member.docstring.value = _NAME.sub(lambda name, at=member: _link(name, at, everywhere), text)


def _members(parent: Object) -> Iterator[Object]:
    yield parent
    for member in parent.members.values():
        if not isinstance(member, Alias):
            yield from _members(member)


def _is_public(member: Object) -> bool:
    return isinstance(member.parent, Module) and not member.name.startswith("_")


def _one_each(several: re.Match[str]) -> str:
    indent, names, text = several.groups()
    return "\n".join(f"{indent}{name}: {text}" for name in names.split(", "))


def _link(name: re.Match[str], member: Object, everywhere: dict[str, str]) -> str:
    """Return a link to a name in the docstring's scope or in the package; other names are unchanged."""
    path = _resolve(name[1], member, everywhere)
    if path is None:
        return name[0]
    return f'<autoref optional identifier="{path}"><code>{name[1]}{name[2] or ""}</code></autoref>'


def _resolve(name: str, member: Object, everywhere: dict[str, str]) -> str | None:
    if name.startswith("munjang."):
        return name
    first, _, rest = name.partition(".")
    owner = member if isinstance(member, Class) else member.parent
    if isinstance(owner, Class) and first in owner.all_members:
        path = f"{owner.path}.{first}"
    else:
        try:
            path = member.resolve(first)
        except NameResolutionError:
            path = everywhere.get(first, "")
    if not path.startswith("munjang."):
        return None
    return f"{path}.{rest}" if rest else path
