"""A Griffe extension that converts docstrings and signatures for the reference in docs/api/ (see mkdocs.yml).

The docstrings are in Google style with three conventions of this project, which are rewritten as Markdown:

- ``Example::`` begins an indented block of code.
- ``text, pair: ...`` describes several arguments at once.
- A name in single backticks, such as `Index.open`, refers to a name of the package: it becomes a link.

The decorators `takes_keywords` and `same_signature` (munjang/validation.py) change a function's signature at
run time; Griffe reads only the source, so the extension does the same. A dataclass field that is declared by
`munjang.training.options.setting` has its default and its docstring in that call.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator
from typing import Any

from griffe import (
    Alias,
    Attribute,
    Class,
    Docstring,
    ExprCall,
    ExprKeyword,
    Extension,
    Function,
    Module,
    NameResolutionError,
    Object,
    Parameter,
    ParameterKind,
    Parameters,
)

_SETTINGS = (
    "setting",
    "_max_length",
    "_labels",
)  # functions of munjang.training.options that declare a field
_CODE_FOLLOWS = re.compile(r"::$", re.MULTILINE)
_SEVERAL = re.compile(r"^( +)(\*{0,2}\w+(?:, \*{0,2}\w+)+): ((?:.*)(?:\n\1 +.*)*)", re.MULTILINE)
_NAME = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)(\(\))?`(?!`)")


class Docstrings(Extension):
    """Rewrite the docstrings and signatures of a package when it has been loaded."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Rewrite every docstring and signature of the package."""
        members = list(_members(pkg))
        everywhere = {member.name: member.path for member in members if _is_public(member)}
        for member in members:
            if isinstance(member, Class) and {"NamedTuple", "TypedDict"} & {
                str(base) for base in member.bases
            }:
                member.set_member("__init__", Function("__init__", parameters=Parameters(*_keys(member))))
            elif isinstance(member, Function):
                for decorator in member.decorators:
                    _decorate(member, *re.findall(r"[\w.]+", str(decorator.value)))
            elif isinstance(member, Attribute):
                _describe(member)
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


def _decorate(function: Function, decorator: str, *arguments: str) -> None:
    if decorator == "same_signature":
        function.parameters = function.parent[arguments[0]].parameters
    elif decorator == "takes_keywords":
        sources = (function.module[name] for name in arguments)
        keywords, *defaults = (each.final_target if isinstance(each, Alias) else each for each in sources)
        values = {key.name: key.default for source in defaults for key in _keys(source)}
        own = [value for value in function.parameters if value.kind is not ParameterKind.var_keyword]
        for key in _keys(keywords):
            key.default = values.get(key.name) or "None"
            own.append(key)
        function.parameters = Parameters(*own)


def _describe(field: Attribute) -> None:
    """Set the docstring and the default of a field that is declared with `setting`."""
    call = field.value
    if isinstance(call, ExprCall) and str(call.function) in _SETTINGS:
        values = [value for value in call.arguments if not isinstance(value, ExprKeyword)]
        default, text = values[:2] if str(call.function) == "setting" else ("None", values[0])
        field.docstring = Docstring(literal_eval(str(text)), parent=field)
        field.value = default
        if "__init__" in field.parent.members:
            field.parent["__init__"].parameters[field.name].default = default


def _keys(source: Class) -> Iterator[Parameter]:
    """Yield the keys of a TypedDict, or the fields of a dataclass with defaults, as keyword parameters."""
    for owner in (*reversed(source.mro()), source):
        for name, field in owner.members.items():
            if field.is_attribute and field.annotation is not None:
                yield Parameter(
                    name, annotation=field.annotation, kind=ParameterKind.keyword_only, default=field.value
                )


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
