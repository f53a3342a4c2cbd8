"""``munjang generate`` and ``answer``: text generation from a prompt, and question answering on a text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.options import AsJson, Offline, TaskModel, examples
from munjang.cli.common.output import clean, console, joined, new_table, print_json, rounded, write_line
from munjang.cli.common.texts import refuse, usage_error
from munjang.errors import DataFileError

if TYPE_CHECKING:
    from munjang.tasks.generation.text_generation import Candidate, TextGeneration
    from munjang.tasks.question_answering import Answer

__all__ = ["ANSWER_EXAMPLES", "GENERATE_EXAMPLES", "answer", "generate"]

GENERATE_EXAMPLES = examples(
    'munjang generate "The cat sat on the" --max-new-tokens 20 --seed 1',
    'munjang generate "옛날 옛적에" --model skt/kogpt2-base-v2 --top-p 0.9 --repetition-penalty 1.2',
    'munjang generate "The cat sat on the" --candidates --top-k 5 --top-p 0.8',
)
ANSWER_EXAMPLES = examples(
    'munjang answer "한국의 수도는 어디인가?" --context "한국의 수도는 서울이다."',
    'munjang answer "Who wrote it?" --context-file article.txt --top 3 --json',
)
# The catalogue has no model with either head.
_WRITER = "openai-community/gpt2"
_ANSWERER = "deepset/xlm-roberta-base-squad2"  # also for Korean; also trained on questions without an answer


class Weights(StrEnum):
    """The storage of the model's weights."""

    FLOAT32 = "float32"
    INT8 = "int8"


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the text begins with.")],
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max-new-tokens", metavar="N", min=1, show_default="50", help="How much to write."),
    ] = None,
    do_sample: Annotated[
        bool | None,
        typer.Option(
            "--sample/--greedy",
            show_default="sample if any of the options below is given",
            help="Draw each token by its probability, or take the best.",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="Below 1 the likely become likelier.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", metavar="K", show_default="all", help="Draw among the K best tokens."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p",
            metavar="P",
            show_default="all",
            help="Draw among the fewest that hold this probability.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Draw the same again with the same number.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", metavar="X", help="Above 1, less is said twice.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", metavar="TEXT", help="End before this text; may be repeated."),
    ] = None,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Show the likeliest next tokens instead of writing.")
    ] = False,
    weights: Annotated[
        Weights,
        typer.Option("--weights", help="int8 is faster and a little less exact.", rich_help_panel="Model"),
    ] = Weights.FLOAT32,
    model: TaskModel = _WRITER,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Write on from a prompt with a model of GPT-2's kind; the text appears as it is written.

    With --candidates, show the tokens that may come next, and which of them --top-k and --top-p keep.
    """
    if candidates:
        unused = ("do_sample", "max_new_tokens", "repetition_penalty", "stop", "seed")
        refuse("beside --candidates", *unused)
    elif do_sample is False:
        refuse("beside --greedy", "temperature", "top_k", "top_p", "seed")
    writer = _writer(model, weights, offline)
    if candidates:
        rows = writer.candidates(prompt, top_k=top_k, top_p=top_p, temperature=temperature)
        _print_candidates(rows, as_json)
        return
    pieces = writer.stream(
        prompt,
        max_new_tokens=max_new_tokens,
        do_sample=do_sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        stop=stop or None,
        seed=seed,
    )
    if as_json:
        print_json([{"generated_text": "".join(pieces)}])
    else:
        _print_pieces(pieces)


def _writer(model: str, weights: Weights, offline: bool | None) -> TextGeneration:
    from munjang.tasks.generation.text_generation import TextGeneration
    from munjang.tasks.loading import ModelOptions

    return TextGeneration(
        model,
        weights="int8" if weights is Weights.INT8 else "float32",
        options=ModelOptions(offline=offline or None),
    )


def _print_pieces(pieces: Iterator[str]) -> None:
    """Write each piece immediately; always end with a line break, also after an error."""
    try:
        for piece in pieces:
            # A text may have several lines; other control characters are escaped.
            sys.stdout.write("\n".join(map(clean, piece.split("\n"))))
            sys.stdout.flush()
    finally:
        write_line("")


def _print_candidates(rows: list[Candidate], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {**row, "probability": rounded(row["probability"]), "cumulative": rounded(row["cumulative"])}
                for row in rows
            ]
        )
        return
    table = new_table()
    for name in ("token", "text", "probability", "cumulative", "top-k", "top-p"):
        table.add_column(name, justify="left" if name == "text" else "right")
    for row in rows:
        kept = ("kept" if flag else "" for flag in (row["kept_by_top_k"], row["kept_by_top_p"]))
        shares = (f"{row['probability']:.4f}", f"{row['cumulative']:.4f}")
        table.add_row(str(row["token"]), repr(clean(row["token_str"])), *shares, *kept)
    console().print(table)


def answer(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What is asked.")],
    context: Annotated[
        str | None, typer.Option("--context", "-c", metavar="TEXT", help="The text that holds the answer.")
    ] = None,
    context_file: Annotated[
        Path | None,
        typer.Option("--context-file", "-f", metavar="FILE", help="A file with that text, in UTF-8."),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", metavar="K", min=1, help="How many answers.")] = 1,
    no_answer: Annotated[
        bool, typer.Option("--no-answer", help="Let the model say that there is no answer: an empty one.")
    ] = False,
    trim_particles: Annotated[
        bool, typer.Option("--trim-particles", help="Take Korean particles off: 서울에서 becomes 서울.")
    ] = False,
    max_answer_len: Annotated[
        int, typer.Option("--max-answer-len", metavar="N", min=1, help="Tokens that an answer may have.")
    ] = 30,
    model: TaskModel = _ANSWERER,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Find the part of a text that answers a question; the text may be of any length.

    With --top above 1, JSON is a list of answers, best first.
    """
    text = _context(context, context_file)
    from munjang.tasks.loading import ModelOptions
    from munjang.tasks.question_answering import QuestionAnswering

    task = QuestionAnswering(model, options=ModelOptions(offline=offline or None))
    found: Any = task(
        question,
        text,
        top_k=top,
        handle_impossible_answer=no_answer,
        trim_particles=trim_particles,
        max_answer_len=max_answer_len,
    )
    if as_json:
        print_json(_as_dict(found) if top == 1 else [_as_dict(each) for each in found])
    else:
        _print_answers([found] if top == 1 else found, model)


def _context(context: str | None, file: Path | None) -> str:
    if (context is None) == (file is None):
        raise usage_error("Give either --context or --context-file.", "--context")
    if file is None:
        return context or ""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFileError(f"{file} is not UTF-8 (at byte {error.start}); save it as UTF-8 first.") from None
    except OSError as error:
        raise DataFileError(f"{file} can't be read: {error.strerror or error}.") from None


def _as_dict(found: Answer) -> dict[str, Any]:
    return {
        "answer": found["answer"],
        "start": found["start"],
        "end": found["end"],
        "score": rounded(found["score"]),
    }


def _print_answers(found: list[Answer], model: str) -> None:
    table = new_table()
    table.add_column("score", justify="right")
    table.add_column("answer", overflow="fold")
    table.add_column("characters", justify="right")
    for each in found:
        place = f"{each['start']}-{each['end']}" if each["answer"] else ""
        table.add_row(f"{each['score']:.4f}", clean(each["answer"]) or "(no answer)", place)
    out = console()
    out.print(table)
    out.print(joined((model, f"no answer {found[0]['null_score']:.4f}")), style="dim")
