"""Imports run downward without cycles, and load only what is needed."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import munjang
from support.processes import run_python
from support.sentences import make_checkpoint

PACKAGE = Path(munjang.__file__).parent

# From the lowest to the highest. A part may import parts from the rows above it in this table, and parts from
# its own row that do not import it.
LAYERS = (
    ("choices", "errors", "lazy", "progress", "rounding", "validation"),
    ("checkpoints",),
    ("tokenization",),
    ("data",),
    ("models",),
    ("backends",),
    ("runtime",),
    ("sentence", "tasks"),
    ("util", "transformers"),
    ("bulk", "search", "chat", "training", "evaluation"),
    ("munjang",),  # the package itself: its version, its public names
    ("cli",),
    ("__main__",),
)
RANK = {part: rank for rank, row in enumerate(LAYERS) for part in row}


class Import(NamedTuple):
    importer: str
    imported: str
    place: str  # file:line, and a note for imports under TYPE_CHECKING


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imported_names(node: ast.AST, importer: str, is_package: bool) -> Iterator[str]:
    """Yield the modules of this package that a statement imports, also with `import_module`."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = importer.split(".")
            base = base[: len(base) - level + is_package] if level else []
            start = ".".join([*base, *([module] if module else [])])
            for alias in names:
                submodule = f"{start}.{alias.name}"
                yield submodule if submodule in MODULES else start
        case ast.Call(func=ast.Name(id="import_module"), args=[ast.Constant(value=str(name)), *_]):
            yield name


def type_checking_lines(tree: ast.AST) -> set[int]:
    blocks = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    return {child.lineno for block in blocks for child in ast.walk(block) if isinstance(child, ast.stmt)}


def read_imports(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = type_checking_lines(tree)
    for node in ast.walk(tree):
        for name in imported_names(node, module, path.name == "__init__.py"):
            if name.split(".")[0] == "munjang":
                line = getattr(node, "lineno", 0)
                note = " (for types only)" if line in for_types else ""
                yield Import(module, name, f"{path.relative_to(PACKAGE)}:{line}{note}")


IMPORTS = [found for module, path in MODULES.items() for found in read_imports(module, path)]


def test_the_import_graph_is_complete() -> None:
    edges = {(found.importer, found.imported) for found in IMPORTS}
    assert ("munjang.models.roberta", "munjang.models.bert") in edges  # from a package, a submodule
    assert ("munjang.backends.registry", "munjang.backends.openvino") in edges  # inside a function
    assert ("munjang", "munjang.sentence.transformer") in edges  # for types only
    assert len(edges) > 100


def test_every_part_has_a_layer() -> None:
    assert {part_of(module) for module in MODULES} <= RANK.keys()


def test_every_import_leads_to_a_module() -> None:
    assert [found for found in IMPORTS if found.imported not in MODULES] == []


def test_imports_run_downward() -> None:
    upward = [
        f"{found.place} imports {found.imported}"
        for found in IMPORTS
        if RANK[part_of(found.imported)] > RANK[part_of(found.importer)]
    ]
    assert upward == []


@pytest.mark.parametrize("only_at_run_time", [True, False], ids=["run-time", "with-types"])
def test_no_import_cycle(only_at_run_time: bool) -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in IMPORTS:
        if not (only_at_run_time and found.place.endswith("(for types only)")):
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_public_names() -> None:
    assert {"Index", "SentenceTransformer", "__version__", "data"} < {*munjang.__all__}
    for name in munjang.__all__:
        assert getattr(munjang, name) is not None
    assert dir(munjang) == sorted(munjang.__all__)
    with pytest.raises(AttributeError, match="no attribute 'SentenceTransfomer'"):
        munjang.SentenceTransfomer  # noqa: B018 - the access is the test


@pytest.mark.parametrize("package", [munjang, munjang.data, munjang.training])
def test_type_checkers_see_the_same_names(package: ModuleType) -> None:
    """A lazy package lists its names twice: as imports for type checkers, and by defining module."""
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    for_types = type_checking_lines(tree)
    seen = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.lineno in for_types:
            home = import_module(str(node.module))
            for alias in node.names:
                assert alias.asname == alias.name
                assert getattr(home, alias.name) is getattr(package, alias.name)
                seen.add(alias.name)
    assert seen == {*package.__all__} - {"__version__"}


LOADED = "import sys, json; {}; print(json.dumps(sorted(sys.modules)))"


def loaded_after(code: str, *arguments: object, home: Path) -> set[str]:
    output = run_python(LOADED.format(code), *arguments, home=home)
    return {name.split(".")[0] for name in json.loads(output.splitlines()[-1])}


NOT_FOR_INFERENCE = {"torch", "pandas", "scipy", "sklearn", "transformers", "sentence_transformers"}
HEAVY = {"openvino", "numpy", "tokenizers", "safetensors", "huggingface_hub", "rich", "typer", "pyarrow"}


def test_import_loads_no_engine(tmp_path: Path) -> None:
    loaded = loaded_after("import munjang", home=tmp_path)
    assert "munjang" in loaded
    assert loaded & (NOT_FOR_INFERENCE | HEAVY | {"asyncio", "urllib", "http", "email"}) == set()


def test_inference_loads_only_what_it_needs(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make_checkpoint("bert", folder)
    code = (
        "from munjang import SentenceTransformer;"
        "SentenceTransformer(sys.argv[1], pooling='mean').encode(['a b', 'c'])"
    )
    loaded = loaded_after(code, folder, home=tmp_path)
    assert {"openvino", "tokenizers", "numpy"} <= loaded
    useless = {"huggingface_hub", "openvino_telemetry", "rich", "typer", "pyarrow"}
    assert loaded & (NOT_FOR_INFERENCE | useless) == set()
