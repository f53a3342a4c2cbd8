"""``munjang train language-model``: pre-training on plain texts."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from munjang.cli.common.options import Encoding, examples
from munjang.cli.common.texts import refuse, usage_error
from munjang.cli.train.options import Run, trains
from munjang.cli.train.run import follow
from munjang.training.options import TrainingOptions

__all__ = ["GOING_ON", "LANGUAGE_MODEL_EXAMPLES", "NEW", "language_model"]

LANGUAGE_MODEL_EXAMPLES = examples(
    "munjang train language-model --data article.txt --tokenizer my-words --layers 4 --width 256 -o my-bert",
    "munjang train language-model --data article.txt --model klue/bert-base --whole-words -o my-bert",
    "munjang train language-model --data article.txt --tokenizer my-words --objective electra -o my-electra",
)
# As munjang.training.pretraining.train has them, which would load PyTorch before any help is shown.
NEW = TrainingOptions(
    learning_rate=5e-4, batch_tokens=4096, warmup_ratio=0.05, adam_beta2=0.98, adam_epsilon=1e-6
)
GOING_ON = TrainingOptions(learning_rate=5e-5, batch_tokens=4096)
_OPEN = ("learning_rate", "warmup_ratio", "adam_beta2", "adam_epsilon")
SIZE = "A new model"


class Pretraining(StrEnum):
    """What is learned."""

    MASKED = "masked"
    ELECTRA = "electra"


class Family(StrEnum):
    """What a new model can be."""

    BERT = "bert"
    ROBERTA = "roberta"
    ELECTRA = "electra"


def _size(flag: str, text: str, default: str) -> object:
    return typer.Option(flag, metavar="N", min=1, show_default=default, help=text, rich_help_panel=SIZE)


@trains(
    NEW,
    without=("model", "limit", "max_length"),
    open_ones={
        "batch_size": "--batch-tokens",
        "batch_tokens": f"{NEW.batch_tokens} without --batch-size",
        **{name: f"{getattr(NEW, name):g}, or {getattr(GOING_ON, name):g} with --model" for name in _OPEN},
    },
)
def language_model(
    run: Run,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="NAME",
            help="The vocabulary of a new model, as `train vocabulary` makes it.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="Or the model to go on with, on texts of a domain."
        ),
    ] = None,
    objective: Annotated[
        Pretraining,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="What is learned: masked tokens, or with electra which tokens were replaced.",
        ),
    ] = Pretraining.MASKED,
    next_sentences: Annotated[
        bool,
        typer.Option(
            "--next-sentences",
            help="Learn which sentences follow each other, too: one per line, blank lines between texts.",
        ),
    ] = False,
    added_tokens_only: Annotated[
        bool,
        typer.Option(
            "--added-tokens-only",
            help="Train nothing but the embeddings of tokens that `train add-tokens` added.",
        ),
    ] = False,
    whole_words: Annotated[
        bool, typer.Option("--whole-words", help="Hide all pieces of a word together.")
    ] = False,
    probability: Annotated[
        float, typer.Option("--probability", metavar="X", help="The part of the tokens that is hidden.")
    ] = 0.15,
    max_length: Annotated[
        int,
        typer.Option("--max-length", metavar="N", min=1, help="Tokens that are read at once."),
    ] = 128,
    family: Annotated[
        Family | None,
        typer.Option(
            "--family",
            metavar="NAME",
            show_default="bert, or electra",
            help=f"What it is: {', '.join(Family)}.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    layers: Annotated[int | None, _size("--layers", "Its layers.", "12")] = None,
    width: Annotated[int | None, _size("--width", "The numbers of a token's vector.", "768")] = None,
    heads: Annotated[
        int | None, _size("--heads", "Its attention heads.", "one for each 64 of the width")
    ] = None,
    intermediate: Annotated[
        int | None, _size("--intermediate", "The width inside of a layer.", "four times the width")
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            "--dropout",
            metavar="X",
            show_default="0.1",
            help="The part of the values that is dropped while it learns.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option("--generator", metavar="NAME", help="For electra: the generator to go on with."),
    ] = None,
    generator_size: Annotated[
        float | None,
        typer.Option(
            "--generator-size",
            metavar="X",
            show_default="0.25",
            help="For electra: how wide a new generator is, compared with the model.",
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus", metavar="DIR", show_default="OUTPUT.corpus", help="Where the tokenised texts go."
        ),
    ] = None,
    encoding: Encoding = "utf-8",
) -> None:
    """Pre-train a model on plain texts: a new one, or one that gets used to the texts of a domain.

    Each line is a text; the files may be packed as .gz and larger than memory.
    """
    if (tokenizer is None) == (model is None):
        raise usage_error("Give --tokenizer for a new model, or --model to go on with one.", "--tokenizer")
    if model is not None:
        refuse("beside --model", "family", "layers", "width", "heads", "intermediate", "dropout")
    if objective is not Pretraining.ELECTRA:
        refuse("without --objective electra", "generator", "generator_size")
    else:
        refuse("beside --objective electra", "next_sentences", "added_tokens_only")
    if generator is not None:
        refuse("beside --generator", "generator_size")
    from munjang.training import train_masked_language_model

    follow(
        run,
        "Pre-training",
        lambda watchers: train_masked_language_model(
            list(run.data),
            output=run.output,
            tokenizer=tokenizer,
            model=model,
            held_out=run.dev_share if run.dev is None else run.dev,
            next_sentences=next_sentences,
            whole_words=whole_words,
            added_tokens_only=added_tokens_only,
            objective=objective.value,
            model_type=None if family is None else family.value,
            layers=layers,
            width=width,
            heads=heads,
            intermediate=intermediate,
            dropout=dropout,
            generator=generator,
            generator_size=generator_size,
            max_length=max_length,
            probability=probability,
            corpus_folder=corpus,
            encoding=encoding,
            options=_options(run, new=model is None),
            watchers=watchers,
        ),
    )


def _options(run: Run, *, new: bool) -> TrainingOptions:
    """The options of the run; who gives a number of texts per batch wants no number of tokens."""
    options = run.options_over(NEW if new else GOING_ON)
    if "batch_tokens" in run.left and "batch_size" not in run.left:
        return replace(options, batch_tokens=None)
    return options
