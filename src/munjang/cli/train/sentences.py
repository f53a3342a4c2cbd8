"""``munjang train sentences``: vectors that learn from pairs, labels or contrasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.options import Columns, Encoding, NoQuoting, Pooling, examples, named_columns
from munjang.cli.common.texts import refuse, usage_error
from munjang.cli.train.labels import Labels
from munjang.cli.train.options import Run, trains
from munjang.cli.train.run import examples_of, follow, names_of, numbers_of

if TYPE_CHECKING:
    from munjang.training.losses.base import SentenceLoss

__all__ = ["SENTENCES_EXAMPLES", "sentences"]

SENTENCES_EXAMPLES = examples(
    'munjang train sentences --data sts-train.tsv --dev sts-dev.tsv --prompt "query: " --output my-encoder',
    "munjang train sentences --data nli.tsv --loss SoftmaxLoss --dev sts-dev.tsv --dev-kind scores -o first",
    "munjang train sentences --data qa.csv --loss MultipleNegativesRankingLoss --batch-size 64 -o my-search",
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
    columns: Columns = None,
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
    if run.dev is None:
        refuse("without --dev", "dev_kind")
    if kind is not Kind.SCORES:
        refuse(f"on {loss}, which learns from no scores", "score_scale")
    if kind is not Kind.LABELS:
        refuse(f"on {loss}, which learns from no labels", "labels")
    if chosen is not None and chosen.looks_at_batch and not chosen.cached:
        refuse(f"on {loss}, which needs each batch as a whole; lower --batch-size", "token_budget")
    learned, held_out = examples_of(
        run,
        _reader(kind, columns, encoding, no_quoting=no_quoting),
        key=_first_text,
        read_dev=_reader(
            dev_kind or kind,
            columns if dev_kind in (None, kind) else None,
            encoding,
            no_quoting=no_quoting,
        ),
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
            pooling=pooling,
            prompt=prompt if prompt is None or document_prompt is None else (prompt, document_prompt),
            max_seq_length=run.max_length,
            labels=names_of(labels),
            score_scale=score_scale,
            options=run.options,
            watchers=watchers,
        ),
    )


def _reader(
    kind: Kind, columns: str | None, encoding: str, *, no_quoting: bool
) -> Callable[[Path], Sequence[Any]]:
    """Give what reads a file of such examples."""
    from munjang.data import read_contrasts, read_labelled_texts, read_scored_pairs

    quoting = False if no_quoting else None
    if kind is Kind.SCORES:
        named = named_columns(columns, ("sentence1", "sentence2", "score"))
        return lambda path: read_scored_pairs(path, encoding=encoding, quoting=quoting, **named)
    if kind is Kind.LABELS:
        named = named_columns(columns, ("text", "text_pair", "label"))
        return lambda path: read_labelled_texts(path, encoding=encoding, quoting=quoting, **named)
    named = named_columns(columns, ("anchor", "positive"), "negatives")
    return lambda path: read_contrasts(path, encoding=encoding, quoting=quoting, **named)


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
