"""``munjang models``: the models in the cache, and the available models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.common.commands import Commands, command
from munjang.cli.common.options import AsJson, Offline, argument
from munjang.cli.common.output import clean, new_table, print_json, print_result, print_table
from munjang.cli.common.texts import usage_error
from munjang.progress import megabytes

if TYPE_CHECKING:
    from rich.text import Text

    from munjang.checkpoints import ModelInfo

app = Commands(
    "munjang models",
    "munjang models get all-MiniLM-L6-v2",
    "munjang models remove klue/bert-base",
    help="List, fetch and remove models.",
)

Name = Annotated[str, argument("A name of the list, or a Hugging Face repository.", "NAME")]


@app.callback(invoke_without_command=True)
def models(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List, fetch and remove models; without a further word, list them."""
    if ctx.invoked_subcommand is None:
        list_(as_json)
    elif as_json:
        raise usage_error(
            f"Write it after the command: munjang models {ctx.invoked_subcommand} --json.", "--json"
        )


@command("munjang models list --json", name="list")
def list_(as_json: AsJson = False) -> None:
    """List the models that have a short name, and the models that were fetched from the hub."""
    from munjang.checkpoints import list_models

    infos = list_models()
    if as_json:
        print_json([info.to_dict() for info in infos])
    else:
        _print_table(infos)


@command("munjang models get multilingual-e5-small")
def get(name: Name, offline: Offline = None, as_json: AsJson = False) -> None:
    """Fetch a model if it is not in the cache, so that it can be used without a connection."""
    from munjang.checkpoints import get_model

    info = get_model(name, offline=offline)
    print_result(as_json, info.to_dict(), f"{info.name} is here: {info.path} ({megabytes(info.size_bytes)})")


@command("munjang models remove all-MiniLM-L6-v2")
def remove(name: Name, as_json: AsJson = False) -> None:
    """Remove a model from the cache; `munjang models get` fetches it again."""
    from munjang.checkpoints import remove_model

    info = remove_model(name)
    print_result(as_json, info.to_dict(), f"{info.name} is removed: {megabytes(info.size_bytes)} freed")


app.add(None, list_, get, remove)


def _print_table(infos: list[ModelInfo]) -> None:
    table = new_table(None, "model", "here", ">dimension", ">size", "licence", lines=True)
    for info in infos:
        dimension = "" if info.dimension is None else str(info.dimension)
        here = "yes" if info.present else "no"
        size = megabytes(info.size_bytes)
        table.add_row(_described(info), here, dimension, size, info.licence or "unknown")
    print_table(table)


def _described(info: ModelInfo) -> Text:
    from rich.text import Text

    text = Text(clean(info.name), style="bold")
    for line in (info.description, _where_from(info)):
        text.append(f"\n{clean(line)}" if line else "", style="not bold dim")
    return text


def _where_from(info: ModelInfo) -> str:
    if info.present:
        return f"from {info.origin}"
    return f"can come from {' or '.join(source for source in info.sources if source != 'the cache')}"
