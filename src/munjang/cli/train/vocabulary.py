"""``munjang train vocabulary``, ``trim``, ``suggest-tokens`` and ``add-tokens``: the pieces of models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Column, Encoding, Progress, argument, option
from munjang.cli.common.output import clean, new_table, print_json, print_result, print_table
from munjang.cli.common.texts import ModelOpening, Opening, refuse, usage_error
from munjang.cli.train.run import without_connections
from munjang.progress import has_bar
from munjang.training.options import VocabularyTask

Texts = Annotated[list[Path], option("A text file; may be repeated.", "FILE")]
Folder = Annotated[Path, option("The folder to write, new or empty.", "DIR", "-o")]


@command(
    "munjang train vocabulary --data article.txt --size 16000 --output my-vocabulary",
    "munjang train vocabulary --data article.txt --lowercase --json --output my-vocabulary",
)
def vocabulary(
    data: Texts,
    output: Folder,
    task: VocabularyTask,
    encoding: Encoding = "utf-8",
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Train a WordPiece vocabulary, as for BERT, from text files.

    Each line is a text; the files may be packed as .gz and larger than memory.
    """
    from munjang.training import train_wordpiece

    tokenizer = train_wordpiece(
        list(data), output, task=task, encoding=encoding, show_progress_bar=has_bar(progress)
    )
    result = {"output": str(output), "pieces": len(tokenizer)}
    print_result(as_json, result, f"{output}: {len(tokenizer):,} pieces")


@command(
    "munjang train trim --output e5-korean-english",
    "munjang train trim --data article.txt --scripts Hangul --json --output e5-small-vocabulary",
)
def trim(
    output: Folder,
    data: Annotated[
        list[Path] | None, option("A file whose pieces are kept; may be repeated.", "FILE")
    ] = None,
    scripts: Annotated[
        str | None,
        option(
            "Keep the pieces in these scripts of Unicode.",
            "A,B",
            shown="Hangul,Latin,Common without --data",
        ),
    ] = None,
    min_count: Annotated[int, option("The minimum number of occurrences of a piece in the texts.", "N")] = 1,
    column: Column = None,
    encoding: Encoding = "utf-8",
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Write a copy of a multilingual model with the pieces that the wanted languages use.

    Texts in the kept scripts have the same tokens and vectors as before; with --data alone, these texts have.
    """
    if not data:
        refuse("without --data", "min_count", "column", "encoding")
    from munjang.data import read_texts
    from munjang.training import trim_vocabulary

    texts = read_texts(data, column=column, encoding=encoding) if data else None
    kept = None if scripts is None else [name.strip() for name in scripts.split(",")]
    with without_connections(opening.offline):
        trimmed = trim_vocabulary(opening.name, texts, output, scripts=kept, min_count=min_count)
    result = {
        "output": str(output),
        "pieces_before": trimmed.before,
        "pieces": trimmed.after,
        "parameters_before": trimmed.parameters_before,
        "parameters": trimmed.parameters_after,
        "same_for": trimmed.same_for,
    }
    line = (
        f"{output}: {trimmed.after:,} pieces of {trimmed.before:,}, {trimmed.parameters_after:,} parameters "
        f"of {trimmed.parameters_before:,}; the same as before for {trimmed.same_for}"
    )
    print_result(as_json, result, line)


@command(
    "munjang train suggest-tokens --data article.txt --min-count 1",
    "munjang train suggest-tokens --data article.txt --top 50 --json",
)
def suggest_tokens(
    data: Texts,
    top: Annotated[int, option("The number of words.", "K", "-k", min=1)] = 20,
    min_count: Annotated[int, option("The minimum number of occurrences of a word.", "N", min=1)] = 5,
    column: Column = None,
    encoding: Encoding = "utf-8",
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Suggest words of a domain that would save most tokens if they were tokens of a model.

    Particles are removed from Korean words. `train add-tokens` adds the words that you choose.
    """
    from munjang.data import read_texts
    from munjang.tokenization import Tokenizer
    from munjang.training import suggest_tokens as suggest

    with without_connections(opening.offline):
        tokenizer = Tokenizer.from_pretrained(opening.name)
    texts = read_texts(data, column=column, encoding=encoding)
    suggestions = suggest(texts, tokenizer, limit=top, min_count=min_count)
    if as_json:
        print_json([asdict(each) for each in suggestions])
        return
    table = new_table(None, "word", ">seen", "its pieces now", ">tokens saved")
    for each in suggestions:
        table.add_row(clean(each.word), f"{each.count:,}", clean(" ".join(each.pieces)), f"{each.saved:,}")
    print_table(table)


@command(
    "munjang train add-tokens 심근경색 고지혈증 --output my-model",
    "munjang train add-tokens --file words.txt --json --output my-model",
)
def add_tokens(
    output: Folder,
    words: Annotated[list[str] | None, argument("The words to add.", "WORD")] = None,
    file: Annotated[Path | None, option("A file with a word in each line.", "FILE")] = None,
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Write a copy of a model with more words as tokens, each initialised with the mean of its pieces.

    Train it on texts of the domain afterwards: any other command of `munjang train` takes it as --model.
    """
    from munjang.data import read_texts
    from munjang.training import add_domain_tokens

    if bool(words) == (file is not None):
        raise usage_error("Write words, or name a file of them with --file.", "WORD")
    wanted = words or [line.strip() for line in read_texts(file or Path())]
    with without_connections(opening.offline):
        added = add_domain_tokens(opening.name, wanted, output)
    known = f", {len(added.known):,} known before" if added.known else ""
    count = f"{len(added.tokens):,} word{'' if len(added.tokens) == 1 else 's'}"
    line = f"{output}: {count} added{known}, {added.vocabulary_size:,} pieces now"
    print_result(as_json, {"output": str(output), **asdict(added)}, line)
