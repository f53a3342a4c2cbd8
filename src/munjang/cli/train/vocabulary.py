"""``munjang train vocabulary``, ``trim``, ``suggest-tokens`` and ``add-tokens``: the pieces of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.common.options import AsJson, Column, Encoding, Model, Offline, Progress, examples
from munjang.cli.common.output import clean, console, new_table, print_json, write_line
from munjang.cli.common.texts import refuse, usage_error
from munjang.cli.train.options import without_connections
from munjang.cli.train.run import names_of
from munjang.progress import has_bar

if TYPE_CHECKING:
    from munjang.training.vocabulary.add import Suggestion

__all__ = [
    "ADD_TOKENS_EXAMPLES",
    "SUGGEST_TOKENS_EXAMPLES",
    "TRIM_EXAMPLES",
    "VOCABULARY_EXAMPLES",
    "add_tokens",
    "suggest_tokens",
    "trim",
    "vocabulary",
]

VOCABULARY_EXAMPLES = examples(
    "munjang train vocabulary --data article.txt --size 16000 --output my-vocabulary",
    "munjang train vocabulary --data article.txt --lowercase --json --output my-vocabulary",
)
TRIM_EXAMPLES = examples(
    "munjang train trim --output e5-korean-english",
    "munjang train trim --data article.txt --scripts Hangul --json --output e5-small-vocabulary",
)
SUGGEST_TOKENS_EXAMPLES = examples(
    "munjang train suggest-tokens --data article.txt --min-count 1",
    "munjang train suggest-tokens --data article.txt --top 50 --json",
)
ADD_TOKENS_EXAMPLES = examples(
    "munjang train add-tokens 심근경색 고지혈증 --output my-model",
    "munjang train add-tokens --file words.txt --json --output my-model",
)

Texts = Annotated[list[Path], typer.Option("--data", metavar="FILE", help="Text files; repeat it.")]
Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write, new or empty.")
]


def vocabulary(
    data: Texts,
    output: Folder,
    size: Annotated[
        int, typer.Option("--size", metavar="N", help="The most pieces, special tokens included.")
    ] = 32000,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Ignore case.")] = False,
    morphemes: Annotated[
        bool,
        typer.Option("--morphemes", help="Let no piece cross a morpheme of Korean; needs munjang\\[ko]."),
    ] = False,
    limit_alphabet: Annotated[
        int | None,
        typer.Option(
            "--limit-alphabet",
            metavar="N",
            show_default="a quarter of --size, at most 6,000",
            help="The most characters that are known.",
        ),
    ] = None,
    min_frequency: Annotated[
        int, typer.Option("--min-frequency", metavar="N", help="How often pieces must stand together.")
    ] = 2,
    max_length: Annotated[
        int, typer.Option("--max-length", metavar="N", help="The most tokens that the model will take.")
    ] = 512,
    encoding: Encoding = "utf-8",
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Train a WordPiece vocabulary, as BERT has it, from text files.

    Each line is a text; the files may be packed as .gz and larger than memory.
    """
    from munjang.training import train_wordpiece

    tokenizer = train_wordpiece(
        list(data),
        output,
        vocab_size=size,
        lowercase=lowercase,
        limit_alphabet=limit_alphabet,
        min_frequency=min_frequency,
        morphemes=morphemes,
        model_max_length=max_length,
        encoding=encoding,
        show_progress_bar=has_bar(progress),
    )
    if as_json:
        print_json({"output": str(output), "pieces": len(tokenizer)})
    else:
        write_line(f"{output}: {len(tokenizer):,} pieces")


def trim(
    output: Folder,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FILE", help="Keep what these texts are made of; repeat it."),
    ] = None,
    scripts: Annotated[
        str | None,
        typer.Option(
            "--scripts",
            metavar="A,B",
            show_default="Hangul,Latin,Common without --data",
            help="Keep what is written in these scripts of Unicode.",
        ),
    ] = None,
    min_count: Annotated[
        int, typer.Option("--min-count", metavar="N", help="How often a piece must occur in the texts.")
    ] = 1,
    column: Column = None,
    encoding: Encoding = "utf-8",
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a multilingual model with the pieces that the wanted languages use.

    Texts in the kept scripts have the same tokens and vectors as before; with --data alone, these texts have.
    """
    if not data:
        refuse("without --data", "min_count", "column", "encoding")
    from munjang.cli.common.options import DEFAULT_MODEL
    from munjang.data import read_texts
    from munjang.training import trim_vocabulary

    texts = read_texts(data, column=column, encoding=encoding) if data else None
    with without_connections(offline):
        found = trim_vocabulary(
            DEFAULT_MODEL if model is None else model,
            texts,
            output,
            scripts=names_of(scripts),
            min_count=min_count,
        )
    if as_json:
        print_json(
            {
                "output": str(output),
                "pieces_before": found.before,
                "pieces": found.after,
                "parameters_before": found.parameters_before,
                "parameters": found.parameters_after,
                "same_for": found.same_for,
            }
        )
        return
    write_line(
        f"{output}: {found.after:,} pieces of {found.before:,}, {found.parameters_after:,} parameters of "
        f"{found.parameters_before:,}; the same as before for {found.same_for}"
    )


def suggest_tokens(
    data: Texts,
    top: Annotated[int, typer.Option("--top", "-k", metavar="K", min=1, help="How many words.")] = 20,
    min_count: Annotated[
        int, typer.Option("--min-count", metavar="N", min=1, help="How often a word must occur.")
    ] = 5,
    column: Column = None,
    encoding: Encoding = "utf-8",
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Suggest words of a domain that would save most tokens if they were tokens of a model.

    Particles are taken off Korean words. `train add-tokens` adds what you choose of them.
    """
    from munjang.cli.common.options import DEFAULT_MODEL
    from munjang.data import read_texts
    from munjang.tokenization import Tokenizer
    from munjang.training import suggest_tokens as suggest

    with without_connections(offline):
        tokenizer = Tokenizer.from_pretrained(DEFAULT_MODEL if model is None else model)
    texts = read_texts(data, column=column, encoding=encoding)
    _show(suggest(texts, tokenizer, limit=top, min_count=min_count), as_json)


def _show(found: list[Suggestion], as_json: bool) -> None:
    if as_json:
        rows = [
            {"word": one.word, "count": one.count, "pieces": one.pieces, "saved": one.saved} for one in found
        ]
        print_json(rows)
        return
    table = new_table()
    table.add_column("word")
    table.add_column("seen", justify="right")
    table.add_column("its pieces now")
    table.add_column("tokens saved", justify="right")
    for one in found:
        table.add_row(clean(one.word), f"{one.count:,}", clean(" ".join(one.pieces)), f"{one.saved:,}")
    console().print(table)


def add_tokens(
    output: Folder,
    words: Annotated[list[str] | None, typer.Argument(metavar="WORD", help="The words to add.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="A file with a word in each line.")
    ] = None,
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a model that knows more words, each starting as the mean of its pieces.

    Train it on texts of the domain afterwards: any other command of `munjang train` takes it as --model.
    """
    from munjang.cli.common.options import DEFAULT_MODEL
    from munjang.data import read_texts
    from munjang.training import add_domain_tokens

    if bool(words) == (file is not None):
        raise usage_error("Give words, or a file of them.", "WORD")
    wanted = words or [line.strip() for line in read_texts(file or Path())]
    with without_connections(offline):
        added = add_domain_tokens(DEFAULT_MODEL if model is None else model, wanted, output)
    if as_json:
        print_json(
            {
                "output": str(output),
                "tokens": added.tokens,
                "known": added.known,
                "vocabulary_size": added.vocabulary_size,
            }
        )
        return
    known = f", {len(added.known):,} known before" if added.known else ""
    count = f"{len(added.tokens):,} word{'' if len(added.tokens) == 1 else 's'}"
    write_line(f"{output}: {count} added{known}, {added.vocabulary_size:,} pieces now")
