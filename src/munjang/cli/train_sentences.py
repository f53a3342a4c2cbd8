"""``munjang train sentences`` and ``mine``: sentence encoders, and the negatives that they learn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.options import (
    AsJson,
    Encoding,
    Model,
    NoHeader,
    NoQuoting,
    Offline,
    Pooling,
    Progress,
    examples,
    split_pooling,
)
from munjang.cli.output import print_json, write_line
from munjang.cli.progress import has_bar
from munjang.cli.texts import cross_encoder, sentence_model, usage_error
from munjang.cli.train_labels import READING, Labels
from munjang.cli.train_options import Run, trains
from munjang.cli.train_run import examples_of, follow, names_of, numbers_of

if TYPE_CHECKING:
    from munjang.evaluation import Contrast
    from munjang.training.sentence_losses import SentenceLoss

__all__ = ["MINE_EXAMPLES", "SENTENCES_EXAMPLES", "Kind", "kind_reader", "mine", "sentences"]

SENTENCES_EXAMPLES = examples(
    'munjang train sentences --data sts-train.tsv --dev sts-test.tsv --prompt "query: " --output my-encoder',
    "munjang train sentences --data nli.tsv --loss SoftmaxLoss --dev sts-test.tsv --dev-kind scores -o first",
    "munjang train sentences --data qa.csv --loss MultipleNegativesRankingLoss --batch-size 64 -o my-search",
)
MINE_EXAMPLES = examples(
    "munjang train mine --data qa.csv --output mined.jsonl",
    "munjang train mine --data qa.csv --range-min 2 --relative-margin 0.05 --negatives 1 -o mined.jsonl",
)


class Kind(StrEnum):
    """What the examples of a sentence encoder are."""

    SCORES = "scores"
    LABELS = "labels"
    CONTRASTS = "contrasts"


class LossName(StrEnum):
    """The losses by their names in `sentence-transformers`."""

    COSINE_SIMILARITY = "CosineSimilarityLoss"
    COSENT = "CoSENTLoss"
    ANGLE = "AnglELoss"
    SOFTMAX = "SoftmaxLoss"
    CONTRASTIVE = "ContrastiveLoss"
    ONLINE_CONTRASTIVE = "OnlineContrastiveLoss"
    MULTIPLE_NEGATIVES = "MultipleNegativesRankingLoss"
    CACHED_MULTIPLE_NEGATIVES = "CachedMultipleNegativesRankingLoss"
    TRIPLET = "TripletLoss"


_KINDS = {
    **dict.fromkeys((LossName.COSINE_SIMILARITY, LossName.COSENT, LossName.ANGLE), Kind.SCORES),
    **dict.fromkeys((LossName.SOFTMAX, LossName.CONTRASTIVE, LossName.ONLINE_CONTRASTIVE), Kind.LABELS),
}  # of the others, contrasts
_SCALED = (
    LossName.COSENT,
    LossName.ANGLE,
    LossName.MULTIPLE_NEGATIVES,
    LossName.CACHED_MULTIPLE_NEGATIVES,
)
_WITH_MARGIN = (LossName.TRIPLET, LossName.CONTRASTIVE, LossName.ONLINE_CONTRASTIVE)


@trains()
def sentences(
    run: Run,
    loss: Annotated[
        LossName,
        typer.Option("--loss", metavar="NAME", help=f"What is minimised: {', '.join(LossName)}."),
    ] = LossName.COSINE_SIMILARITY,
    dev_kind: Annotated[
        Kind | None,
        typer.Option(
            "--dev-kind",
            metavar="NAME",
            show_default="as --data",
            help=f"What is in the file of --dev: {', '.join(Kind)}.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", metavar="X", show_default="20", help="Similarities are multiplied by it."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="X", show_default="the loss's own", help="How far apart texts should be."
        ),
    ] = None,
    matryoshka: Annotated[
        str | None,
        typer.Option("--matryoshka", metavar="N,N", help="Learn shorter vectors too: 384,128,64."),
    ] = None,
    pooling: Pooling = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", show_default="the model's", help="Put before each text."),
    ] = None,
    document_prompt: Annotated[
        str | None,
        typer.Option(
            "--document-prompt",
            metavar="TEXT",
            show_default="as --prompt",
            help="Put before all texts of an example but the first.",
        ),
    ] = None,
    score_scale: Annotated[
        float | None,
        typer.Option(
            "--score-scale",
            metavar="X",
            show_default="5, or 1 if none is above 1",
            help="The score of texts that mean the same.",
        ),
    ] = None,
    labels: Labels = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
) -> None:
    """Train a sentence encoder (Sentence-BERT), from another one or from a plain BERT.

    The loss says what the file holds. CosineSimilarityLoss, CoSENTLoss and AnglELoss: two sentences and a
    score, as in KorSTS. SoftmaxLoss: two sentences and a label, as in KorNLI; ContrastiveLoss: the
    label 1 or 0. The others: a text, one that belongs to it and maybe some that do not, as questions with
    answers, KorNLI, or what `train mine` writes.
    """
    from munjang.training import train_sentence_transformer

    kind = _KINDS.get(loss, Kind.CONTRASTS)
    chosen = _loss(loss, scale, margin, matryoshka)
    if document_prompt is not None and prompt is None:
        raise usage_error("It needs --prompt; an empty one is --prompt ''.", "--document-prompt")
    if dev_kind is not None and run.dev is None:
        raise usage_error("It says what is in the file of --dev.", "--dev-kind")
    learned, held_out = examples_of(
        run,
        kind_reader(kind, encoding, no_quoting=no_quoting),
        key=_first_text,
        read_dev=kind_reader(dev_kind or kind, encoding, no_quoting=no_quoting),
    )
    follow(
        run,
        "Sentences",
        lambda watchers: train_sentence_transformer(
            learned,
            model=run.model,
            output=run.output,
            loss=chosen,
            held_out=held_out,
            pooling=split_pooling(pooling),
            prompt=prompt if prompt is None or document_prompt is None else (prompt, document_prompt),
            max_seq_length=run.max_length,
            labels=names_of(labels),
            score_scale=score_scale,
            options=run.options,
            watchers=watchers,
        ),
    )


def kind_reader(kind: Kind, encoding: str, *, no_quoting: bool) -> Callable[[Path], Sequence[Any]]:
    """Give what reads a file of such examples."""
    from munjang.evaluation.example_files import read_contrasts, read_labelled_texts, read_scored_pairs

    quoting = False if no_quoting else None
    if kind is Kind.SCORES:
        return lambda path: read_scored_pairs(path, encoding=encoding, quoting=quoting)
    if kind is Kind.LABELS:
        return lambda path: read_labelled_texts(path, encoding=encoding, quoting=quoting)
    return lambda path: read_contrasts(path, encoding=encoding, quoting=quoting)


def _first_text(example: Any) -> str:
    for name in ("sentence1", "anchor", "text"):
        if hasattr(example, name):
            return str(getattr(example, name))
    raise TypeError(type(example))


def _loss(
    name: LossName, scale: float | None, margin: float | None, matryoshka: str | None
) -> SentenceLoss | None:
    """Make the loss; `None` is the softmax loss, which is made for the labels that occur."""
    from munjang.training import losses

    if scale is not None and name not in _SCALED:
        raise usage_error(f"{name} has none; {', '.join(_SCALED)} have.", "--scale")
    if margin is not None and name not in _WITH_MARGIN:
        raise usage_error(f"{name} has none; {', '.join(_WITH_MARGIN)} have.", "--margin")
    if name is LossName.SOFTMAX:
        if matryoshka is not None:
            raise usage_error(f"{name} compares no parts of vectors.", "--matryoshka")
        return None
    settings = {"scale": scale, "margin": margin}
    given = {setting: value for setting, value in settings.items() if value is not None}
    made: SentenceLoss = getattr(losses, name.value)(**given)
    if matryoshka is None:
        return made
    return losses.MatryoshkaLoss(made, numbers_of(matryoshka, "--matryoshka"))


def mine(
    data: Annotated[
        list[Path], typer.Option("--data", metavar="FILE", help="Texts and what belongs to them; repeat it.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write, JSON Lines.")
    ],
    corpus: Annotated[
        list[Path] | None,
        typer.Option("--corpus", metavar="FILE", help="More texts to find negatives in; repeat it."),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="NAME",
            show_default="the obvious one",
            help="The column of the first texts.",
            rich_help_panel=READING,
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            "--positive",
            metavar="NAME",
            show_default="the obvious one",
            help="The column of what belongs to them.",
            rich_help_panel=READING,
        ),
    ] = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    negatives: Annotated[
        int, typer.Option("--negatives", metavar="N", min=1, help="How many are wanted for each text.")
    ] = 3,
    range_min: Annotated[
        int, typer.Option("--range-min", metavar="N", min=0, help="Leave so many of the nearest out.")
    ] = 0,
    range_max: Annotated[
        int | None,
        typer.Option(
            "--range-max",
            metavar="N",
            min=1,
            show_default="as many as are needed",
            help="Look at so many of the nearest.",
        ),
    ] = None,
    max_score: Annotated[
        float | None, typer.Option("--max-score", metavar="X", help="The highest score of a negative.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", metavar="X", help="The lowest score of a negative.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", metavar="X", help="How much lower than the positive's, at least."),
    ] = None,
    relative_margin: Annotated[
        float | None,
        typer.Option("--relative-margin", metavar="X", help="The same, as a part of the positive's score."),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Draw from what was found, instead of the nearest.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="Put all negatives of a text into one row.")
    ] = False,
    rerank: Annotated[
        str | None, typer.Option("--rerank", metavar="NAME", help="A cross-encoder that scores anew.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="For --random.")] = 1,
    model: Model = None,
    offline: Offline = False,
    pooling: Pooling = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Find hard negatives: the texts most like a text that do not belong to it.

    The file has texts with one that belongs to each, such as questions and answers. What is written is read
    by `train sentences` with a loss on contrasts, and by `train reranker --kind contrasts`.
    """
    from munjang.evaluation.example_files import read_contrasts, read_texts
    from munjang.training import mine_hard_negatives

    pairs = [
        one
        for path in data
        for one in read_contrasts(
            path,
            anchor=anchor,
            positive=positive,
            encoding=encoding,
            quoting=False if no_quoting else None,
            header=not no_header,
        )
    ]
    found = mine_hard_negatives(
        sentence_model(model, offline=offline, pooling=pooling),
        pairs,
        list(read_texts(corpus, encoding=encoding)) if corpus else None,
        cross_encoder=None if rerank is None else cross_encoder(rerank, offline=offline),
        range_min=range_min,
        range_max=range_max,
        max_score=max_score,
        min_score=min_score,
        absolute_margin=margin,
        relative_margin=relative_margin,
        num_negatives=negatives,
        sampling_strategy="random" if random else "top",
        output_format="n-tuple" if together else "triplet",
        show_progress_bar=has_bar(progress),
        seed=seed,
    )
    _write(found, output)
    if as_json:
        print_json({"output": str(output), "pairs": len(pairs), "rows": len(found)})
    else:
        write_line(f"{output}: {len(found):,} rows from {len(pairs):,} pairs")


def _write(found: Sequence[Contrast], output: Path) -> None:
    """Write contrasts as `read_contrasts` reads them."""
    from munjang.checkpoints.files import replacing

    with replacing(output) as file:
        for one in found:
            row = {"anchor": one.anchor, "positive": one.positive, "negatives": list(one.negatives)}
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
