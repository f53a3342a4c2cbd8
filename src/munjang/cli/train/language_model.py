"""``munjang train language-model``: pre-training on plain texts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

from munjang.cli.common.commands import given
from munjang.cli.common.options import Bundle, Encoding, option
from munjang.cli.common.texts import refuse, usage_error
from munjang.cli.train.run import Run, follow, trains
from munjang.training.options import (
    CONTINUED_OPTIONS,
    NEW_MODEL_OPTIONS,
    NewModel,
    PretrainingTask,
    TrainingOptions,
)

_NEW, _CONTINUED = NEW_MODEL_OPTIONS, CONTINUED_OPTIONS
_DEPENDENT = ("learning_rate", "warmup_ratio", "adam_beta2", "adam_epsilon")
_SHOWN = {
    "batch_size": "--batch-tokens",
    "batch_tokens": f"{_NEW.batch_tokens} without --batch-size",
    **{
        name: f"{getattr(_NEW, name):g}, or {getattr(_CONTINUED, name):g} with --model" for name in _DEPENDENT
    },
}


@trains(
    "munjang train language-model --data article.txt --tokenizer my-words --layers 4 --width 256 -o my-bert",
    "munjang train language-model --data article.txt --model klue/bert-base --whole-words -o my-bert",
    "munjang train language-model --data article.txt --tokenizer my-words --objective electra -o my-electra",
)
def language_model(
    run: Annotated[Run, Bundle(without=("model", "limit"))],
    task: PretrainingTask,
    new_model: NewModel,
    options: Annotated[TrainingOptions, Bundle(shown=_SHOWN)] = _NEW,
    tokenizer: Annotated[
        str | None, option("The vocabulary of a new model, as `train vocabulary` makes it.", "NAME")
    ] = None,
    model: Annotated[
        str | None, option("Or the model to continue training with, on texts of a domain.", "NAME", "-m")
    ] = None,
    encoding: Encoding = "utf-8",
) -> None:
    """Pre-train a model on plain texts: a new one, or one that is adapted to the texts of a domain.

    Each line is a text; the files may be packed as .gz and larger than memory.
    """
    if (tokenizer is None) == (model is None):
        raise usage_error("Use --tokenizer for a new model, or --model to continue training.", "--tokenizer")
    if model is not None:
        refuse("beside --model", "model_type", "layers", "width", "heads", "intermediate", "dropout")
    if task.objective != "electra":
        refuse("without --objective electra", "generator", "generator_size")
    else:
        refuse("beside --objective electra", "next_sentences", "added_tokens_only")
    if task.generator is not None:
        refuse("beside --generator", "generator_size")
    from munjang.training import train_masked_language_model

    if model is not None:
        defaults = {name: getattr(_CONTINUED, name) for name in _DEPENDENT if not given(name)}
        options = replace(options, **defaults)
    if given("batch_size") and not given("batch_tokens"):
        options = replace(options, batch_tokens=None)
    train = partial(
        train_masked_language_model,
        list(run.data),
        held_out=run.dev_share if run.dev is None else run.dev,
        tokenizer=tokenizer,
        model=model,
        new_model=new_model,
        task=replace(task, encoding=encoding),
        options=options,
    )
    follow(run, "Pre-training", train)
