"""``munjang train sentences``: sentence encoders."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args

from munjang.cli.common.options import Bundle, Columns, Pooling, option
from munjang.cli.common.texts import Reading, refuse, usage_error
from munjang.cli.train.run import Run, fit, numbers_of, reader, trains
from munjang.training.options import SentencesTask, TrainingOptions

if TYPE_CHECKING:
    from munjang.training.losses.base import SentenceLoss

SentencesKind: TypeAlias = Literal["scores", "labels", "contrasts"]
# The losses by their names in `sentence-transformers`.
LossName: TypeAlias = Literal[
    "CosineSimilarityLoss",
    "CoSENTLoss",
    "AnglELoss",
    "SoftmaxLoss",
    "ContrastiveLoss",
    "OnlineContrastiveLoss",
    "MultipleNegativesRankingLoss",
    "CachedMultipleNegativesRankingLoss",
    "TripletLoss",
]


@trains(
    'munjang train sentences --data sts-train.tsv --dev sts-dev.tsv --prompt "query: " --output my-encoder',
    "munjang train sentences --data nli.tsv --loss SoftmaxLoss --dev sts-dev.tsv --dev-kind scores -o first",
    "munjang train sentences --data qa.csv --loss MultipleNegativesRankingLoss --batch-size 64 -o my-search",
)
def sentences(
    run: Run,
    task: SentencesTask,
    options: TrainingOptions,
    loss: Annotated[
        LossName, option(f"What is minimised: {', '.join(get_args(LossName))}.", "NAME")
    ] = "CosineSimilarityLoss",
    dev_kind: Annotated[
        SentencesKind | None,
        option("The contents of the --dev file: scores, labels, contrasts.", "NAME", shown="as --data"),
    ] = None,
    scale: Annotated[float | None, option("The factor of similarities in the loss.", "X", shown="20")] = None,
    margin: Annotated[
        float | None, option("The distance that texts should have.", "X", shown="the loss's own")
    ] = None,
    matryoshka: Annotated[str | None, option("Train shorter vectors too: 384,128,64.", "N,N")] = None,
    pooling: Pooling = None,
    prompt: Annotated[str | None, option("The prefix of each text.", "TEXT", shown="the model's")] = None,
    document_prompt: Annotated[
        str | None,
        option("The prefix of all texts of an example but the first.", "TEXT", shown="as --prompt"),
    ] = None,
    columns: Columns = None,
    reading: Annotated[Reading, Bundle(without=("column", "no_header"))] = Reading(),
) -> None:
    """Train a sentence encoder (Sentence-BERT), from another one or from a plain BERT.

    The loss determines what the file holds. CosineSimilarityLoss, CoSENTLoss and AnglELoss: two sentences
    and a score, as in KorSTS. SoftmaxLoss: two sentences and a label, as in KorNLI; ContrastiveLoss: the
    label 1 or 0. The others: a text, a matching text and optional texts that do not match, as questions with
    answers, KorNLI, or what `train mine` writes.
    """
    from munjang.training import losses, train_sentence_transformer

    kinds: dict[str, SentencesKind] = {"score": "scores", "label": "labels"}
    kind = kinds.get(getattr(losses, loss).wants, "contrasts")
    chosen = _loss(loss, scale, margin, matryoshka)
    if document_prompt is not None and prompt is None:
        raise usage_error("It needs --prompt; an empty one is --prompt ''.", "--document-prompt")
    if run.dev is None:
        refuse("without --dev", "dev_kind")
    if kind != "scores":
        refuse(f"on {loss}, which learns from no scores", "score_scale")
    if kind != "labels":
        refuse(f"on {loss}, which learns from no labels", "labels")
    if chosen is not None and chosen.looks_at_batch and not chosen.cached:
        refuse(f"on {loss}, which needs each batch as a whole; lower --batch-size", "token_budget")
    settings = reading.arguments(*run.files)
    read_dev = reader(dev_kind, **settings) if dev_kind not in (None, kind) else None
    examples = run.examples(reader(kind, columns, **settings), read_dev)
    both = prompt if prompt is None or document_prompt is None else (prompt, document_prompt)
    task = replace(task, pooling=pooling, prompt=both)
    fit(run, "Sentences", train_sentence_transformer, examples, loss=chosen, task=task, options=options)


def _loss(
    name: LossName, scale: float | None, margin: float | None, matryoshka: str | None
) -> SentenceLoss | None:
    """Return the loss; None for the softmax loss, which is created for the labels that occur."""
    from munjang.training import losses

    settings = {"scale": scale, "margin": margin}
    given = {setting: value for setting, value in settings.items() if value is not None}
    for setting in given:
        having = [
            each
            for each in get_args(LossName)
            if setting in inspect.signature(getattr(losses, each)).parameters
        ]
        if name not in having:
            raise usage_error(f"{name} has none; {', '.join(having)} have.", f"--{setting}")
    if name == "SoftmaxLoss":
        if matryoshka is not None:
            raise usage_error(f"{name} compares no parts of vectors.", "--matryoshka")
        return None
    made: SentenceLoss = getattr(losses, name)(**given)
    if matryoshka is None:
        return made
    return losses.MatryoshkaLoss(made, numbers_of(matryoshka, "--matryoshka"))
