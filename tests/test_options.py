"""Options as dataclasses: keyword arguments and signatures have the same names and defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from inspect import signature
from typing import Any

import pytest

from munjang import ChatBot, CrossEncoder, Index, Model, SentenceTransformer, Tokenizer, pipeline
from munjang.chat.chatbot import ChatArguments, ChatOptions
from munjang.checkpoints import (
    FetchArguments,
    FetchOptions,
    OpenArguments,
    OpenOptions,
    get_model,
    open_checkpoint,
)
from munjang.errors import InputError, InputTypeError
from munjang.search.query import SearchArguments, SearchOptions
from munjang.search.settings import IndexArguments
from munjang.sentence.settings import OpenEncoderArguments, open_options
from munjang.tasks.generation.causal import GenerationArguments, GenerationOptions
from munjang.tasks.generation.text_generation import TextGeneration

PAIRS = [
    (FetchArguments, FetchOptions, set()),
    (OpenArguments, OpenOptions, set()),
    (SearchArguments, SearchOptions, {"where", "shares"}),  # computed
    (ChatArguments, ChatOptions, set()),
    (GenerationArguments, GenerationOptions, {"no_repeat_ngram_size"}),  # of `munjang.transformers` only
]
FUNCTIONS: list[tuple[Callable[..., Any], type, type | None]] = [
    (open_checkpoint, FetchArguments, FetchOptions),
    (get_model, FetchArguments, FetchOptions),
    (Tokenizer.from_pretrained, FetchArguments, FetchOptions),
    (Model.from_pretrained, OpenArguments, OpenOptions),
    (pipeline, OpenArguments, OpenOptions),
    (SentenceTransformer, OpenEncoderArguments, OpenOptions),
    (CrossEncoder, OpenEncoderArguments, OpenOptions),
    (Index.open, IndexArguments, None),
    (Index.search, SearchArguments, SearchOptions),
    (Index.search_batch, SearchArguments, SearchOptions),
    (ChatBot, ChatArguments, ChatOptions),
    (ChatBot.from_file, ChatArguments, ChatOptions),
    (ChatBot.from_index, ChatArguments, ChatOptions),
    (TextGeneration.__call__, GenerationArguments, GenerationOptions),
    (TextGeneration.stream, GenerationArguments, GenerationOptions),
]


@pytest.mark.parametrize(("arguments", "options", "without"), PAIRS)
def test_arguments_are_the_fields(arguments: type, options: type, without: set[str]) -> None:
    assert {*arguments.__annotations__} == {field.name for field in fields(options)} - without


@pytest.mark.parametrize(("function", "arguments", "options"), FUNCTIONS)
def test_signatures_list_the_arguments(
    function: Callable[..., Any], arguments: type, options: type | None
) -> None:
    parameters = signature(function).parameters
    defaults = {} if options is None else {field.name: field.default for field in fields(options)}
    for name in arguments.__annotations__:
        assert parameters[name].default == defaults.get(name), name
    assert "options" not in parameters or parameters["options"].kind != parameters["options"].VAR_KEYWORD


@pytest.mark.parametrize(("function", "arguments", "options"), FUNCTIONS)
def test_another_keyword_is_refused(
    function: Callable[..., Any], arguments: type, options: type | None
) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'ofline'"):
        function("a", ofline=True)


@pytest.mark.parametrize("name", ["encode_query", "encode_document"])
def test_encode_methods_have_one_signature(name: str) -> None:
    assert signature(getattr(SentenceTransformer, name)) == signature(SentenceTransformer.encode)


def test_names_of_compatible_libraries() -> None:
    options = open_options(
        {"cache_folder": "a", "local_files_only": True, "device": "cpu", "revision": "b", "streams": 1}
    )
    assert options == OpenOptions(cache_dir="a", offline=True, revision="b", streams=1)
    arguments = {"cache_dir": "a", "local_files_only": True, "num_labels": 2}
    assert FetchOptions.pop_from(arguments) == FetchOptions(cache_dir="a", offline=True)
    assert arguments == {"num_labels": 2}
    with pytest.raises(InputError, match="device"):
        open_options({"device": "cuda"})
    with pytest.raises(InputTypeError, match="local_files_only"):
        open_options({"local_files_only": "no"})  # type: ignore[typeddict-item]
