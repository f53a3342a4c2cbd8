"""Reading and writing of a checkpoint's tokeniser files, in the standard Hugging Face layout."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from munjang.checkpoints.files import replacing, write_json
from munjang.errors import CheckpointError
from munjang.tokenization import builders
from munjang.tokenization.config_keys import checked_added_tokens, checked_config, checked_special_tokens
from munjang.tokenization.limits import check_limits, library_errors
from munjang.tokenization.special_tokens import (
    BERT,
    EXTRA_KEYS,
    GPT2,
    NAMES,
    ROBERTA,
    UNKNOWN,
    Family,
    class_name,
    extra_tokens,
    family_for,
    guess_family,
    is_general_class,
    is_known_class,
    is_own_token,
    named_tokens,
    token_text,
    written_extra_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tokenizers import AddedToken
    from tokenizers import Tokenizer as LibraryTokenizer

    from munjang.checkpoints import Checkpoint


class Sources(NamedTuple):
    """The checkpoint, and its ``tokenizer_config.json``, ``special_tokens_map.json`` and ``config.json``."""

    files: Checkpoint
    config: dict[str, Any]
    special_tokens_map: dict[str, Any]
    model_config: dict[str, Any]

    @property
    def token_sources(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The dicts that define special tokens; the second takes precedence."""
        return self.config, self.special_tokens_map


def read_sources(files: Checkpoint) -> Sources:
    """Read the three files; a missing file counts as empty.

    Raises:
        CheckpointError: a file is broken, or a key has a value that `config_keys` refuses.

    """

    def read(filename: str) -> dict[str, Any]:
        return files.read_json(filename) if files.has(filename) else {}

    config = checked_config(
        files.path / "tokenizer_config.json",
        read("tokenizer_config.json"),
        vocabulary_only=not files.has("tokenizer.json"),
    )
    # A config with added_tokens_decoder is complete; a map in the same folder is for older readers.
    special = {} if "added_tokens_decoder" in config else read("special_tokens_map.json")
    special = checked_special_tokens(files.path / "special_tokens_map.json", special)
    return Sources(files, config, special, read("config.json"))


def tokenizer_folder(name: object) -> Path | None:
    """Return the folder of this name if it contains a tokeniser's vocabulary, else None."""
    if not isinstance(name, (str, os.PathLike)):
        return None
    # os.path, because Path raises for unknown users and for invalid file names.
    folder = os.path.expanduser(os.fspath(name))  # noqa: PTH111
    has_vocabulary = any(os.path.isfile(os.path.join(folder, file)) for file in _VOCABULARIES)  # noqa: PTH113, PTH118
    return Path(folder) if has_vocabulary else None


_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")


_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")


def register(backend: LibraryTokenizer, sources: Sources, *, family: Family, special: dict[str, str]) -> None:
    """Register every added and special token, so that it is never split, with its id from the files.

    Raises:
        CheckpointError: a token is not in the vocabulary and its new id would differ from the files' id.

    """
    numbered = _numbered_tokens(sources, special)
    _add(backend, [token for _, token in sorted(numbered.items())])
    for index, token in numbered.items():
        if (actual := backend.token_to_id(token.content)) != index:
            raise CheckpointError(
                f"Added token {token.content!r} of {sources.files.name!r} should have id {index} but gets "
                f"{actual}; its added tokens do not fit its vocabulary."
            )
    spelled = _spelled_out(sources)
    unnamed = [token for token in extra_tokens(sources.token_sources) if token not in special.values()]
    _add(backend, [_special_token(text, spelled, family, special) for text in (*special.values(), *unnamed)])


def _add(backend: LibraryTokenizer, tokens: list[AddedToken]) -> None:
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in tokens:
        if token.content not in known:
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])


def _numbered_tokens(sources: Sources, special: dict[str, str]) -> dict[int, AddedToken]:
    """Return id -> token from the config's `added_tokens_decoder` or the older file ``added_tokens.json``."""
    if decoder := sources.config.get("added_tokens_decoder"):
        return {int(index): _token(token_text(token), token) for index, token in decoder.items()}
    if not sources.files.has("added_tokens.json"):
        return {}
    names = {*special.values(), *extra_tokens(sources.token_sources)}
    path = sources.files.path / "added_tokens.json"
    older = checked_added_tokens(path, sources.files.read_json(path.name))
    return {i: _token(text, {"special": text in names}) for text, i in older.items()}


def _token(text: str, flags: dict[str, Any]) -> AddedToken:
    from tokenizers import AddedToken

    special = bool(flags.get("special", False))
    known = {flag: bool(flags[flag]) for flag in _FLAGS if flag in flags}
    return AddedToken(text, special=special, **{"normalized": not special, **known})


def _spelled_out(sources: Sources) -> dict[str, dict[str, Any]]:
    """Return text -> object for the special tokens that are objects with flags in the files."""
    tokens = [source[name] for source in sources.token_sources for name in NAMES if name in source]
    tokens += written_extra_tokens(sources.token_sources)
    return {token_text(token): token for token in tokens if isinstance(token, dict)}


def _special_token(
    text: str, spelled: dict[str, dict[str, Any]], family: Family, special: dict[str, str]
) -> AddedToken:
    # RoBERTa was trained with a mask token that includes the space before it (lstrip).
    takes_space = family is ROBERTA and text == special.get("mask_token")
    return _token(text, {"lstrip": takes_space, **spelled.get(text, {}), "special": True})


def added_tokens_decoder(backend: LibraryTokenizer) -> dict[str, dict[str, Any]]:
    """Return id (as a JSON key) -> text and flags for every token that the library never splits."""
    tokens = sorted(backend.get_added_tokens_decoder().items())
    return {
        str(index): {
            "content": token.content,
            **{flag: getattr(token, flag) for flag in _FLAGS},
            "special": token.special,
        }
        for index, token in tokens
    }


_CLEAN_UP_PAIR_ENCODINGS = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
_NO_LIMIT = int(1e30)
"""What `transformers` gives as `model_max_length` if no file names one."""


@dataclass(kw_only=True)
class Settings:
    """Settings that the library's object does not store; ``config`` is the raw ``tokenizer_config.json``."""

    name: str
    model_max_length: int = _NO_LIMIT
    model_input_names: list[str]
    padding_side: str = "right"
    truncation_side: str = "right"
    clean_up_tokenization_spaces: bool = False
    clean_up_pair_encodings: bool = False
    special_tokens: dict[str, str] = field(default_factory=dict)
    additional_special_tokens: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


def load(files: Checkpoint) -> tuple[LibraryTokenizer, Settings]:
    """Return the library's tokeniser and our settings from the checkpoint's files.

    Raises:
        CheckpointError: there are no tokeniser files, or they are broken or contradict each other.

    """
    sources = read_sources(files)
    with library_errors(f"The tokeniser files of {files.name!r} can't be used", CheckpointError):
        return _load(sources)


def _load(sources: Sources) -> tuple[LibraryTokenizer, Settings]:
    family = family_for(sources.config, sources.model_config)
    backend = _read_backend(sources)
    sources = _with_sides(sources, backend)
    backend.no_padding()
    backend.no_truncation()
    check_limits(backend, repr(sources.files.name))

    def knows(token: str) -> bool:
        return backend.token_to_id(token) is not None

    family = _settled_family(sources, family, knows)
    special = named_tokens(family, sources.token_sources, knows)
    register(backend, sources, family=family, special=special)
    if backend.post_processor is None and family.name != UNKNOWN.name:
        builders.add_post_processor(backend, family, special, sources.config)
    backend.encode_special_tokens = sources.config.get("split_special_tokens", False)
    return backend, _settings(sources, family, special)


def _read_backend(sources: Sources) -> LibraryTokenizer:
    files, config = sources.files, sources.config
    name = class_name(config, sources.model_config)
    if files.has("tokenizer.json"):
        general = is_general_class(name)
        return builders.read_tokenizer_json(files.path / "tokenizer.json", config, general=general)
    if not is_known_class(name):
        raise CheckpointError(
            f"The tokeniser of {files.name!r} has the class {name}, of which only a tokenizer.json can be "
            f"read, and {files.path} has none; it can be saved as tokenizer.json with transformers."
        )
    if files.has("vocab.txt"):
        unknown = named_tokens(BERT, sources.token_sources, lambda _: True).get("unk_token", "")
        return builders.wordpiece(files.path / "vocab.txt", unknown, config)
    if files.has("vocab.json") and files.has("merges.txt"):
        return builders.byte_level_bpe(files.path / "vocab.json", files.path / "merges.txt", config)
    raise CheckpointError(
        f"{files.name!r} has no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt in "
        f"{files.path}; a sentencepiece model can be saved as tokenizer.json with transformers."
    )


def _with_sides(sources: Sources, backend: LibraryTokenizer) -> Sources:
    """Return the sources with the padding and truncation sides of a tokenizer.json.

    They are used if tokenizer_config.json defines none, as in `transformers`; the lengths are not used.
    """
    sides = {
        key: part["direction"]
        for key, part in (("padding_side", backend.padding), ("truncation_side", backend.truncation))
        if part is not None
    }
    return sources._replace(config={**sides, **sources.config})


def _settled_family(sources: Sources, family: Family, knows: Callable[[str], bool]) -> Family:
    """Return the family; if no file defines it, guess it from the vocabulary."""
    if sources.files.has("tokenizer.json"):
        named = any(source.get(name) for source in sources.token_sources for name in NAMES)
        return guess_family(knows) if family.name == UNKNOWN.name and not named else family
    if sources.files.has("vocab.txt"):
        return family if family.name == "bert" else BERT
    if family.name == UNKNOWN.name:
        family = guess_family(knows)
    return GPT2 if family.name == UNKNOWN.name else family


def _settings(sources: Sources, family: Family, special: dict[str, str]) -> Settings:
    config = sources.config
    return Settings(
        name=sources.files.name,
        model_max_length=_length_limit(sources),
        model_input_names=list(config.get("model_input_names") or family.model_input_names),
        padding_side=config.get("padding_side", "right"),
        truncation_side=config.get("truncation_side", "right"),
        clean_up_tokenization_spaces=config.get("clean_up_tokenization_spaces", False),
        clean_up_pair_encodings=config.get(_CLEAN_UP_PAIR_ENCODINGS, False),
        special_tokens=special,
        additional_special_tokens=extra_tokens(sources.token_sources),
        config=config,
    )


def _length_limit(sources: Sources) -> int:
    limit: float = sources.config.get("model_max_length", sources.config.get("max_len", _NO_LIMIT))
    return _NO_LIMIT if limit > _NO_LIMIT else int(limit)


def save(backend: LibraryTokenizer, settings: Settings, folder: Path) -> None:
    """Write the tokeniser so that it, or `transformers.AutoTokenizer`, reads it back with equal results.

    The written class is the general class: `transformers` then uses tokenizer.json unchanged, but the classes
    of the families would rebuild parts of it with their own defaults.
    """
    special: dict[str, Any] = dict(settings.special_tokens)
    if settings.additional_special_tokens:
        special["additional_special_tokens"] = settings.additional_special_tokens
    dropped = {*NAMES, *EXTRA_KEYS, *_MACHINE_KEYS}
    config = {
        key: value
        for key, value in settings.config.items()
        if not (key in dropped or is_own_token(key, value))
    }
    config |= special
    config |= {
        "added_tokens_decoder": added_tokens_decoder(backend),
        "clean_up_tokenization_spaces": settings.clean_up_tokenization_spaces,
        "model_input_names": settings.model_input_names,
        "model_max_length": settings.model_max_length,
        "padding_side": settings.padding_side,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "truncation_side": settings.truncation_side,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with library_errors("The tokeniser can't be written out", CheckpointError):
            content = backend.to_str(pretty=True)
        with replacing(folder / "tokenizer.json") as file:
            file.write(content.encode())
        write_json(folder / "special_tokens_map.json", special)
        write_json(folder / "tokenizer_config.json", config)
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"Can't save the tokeniser in {str(folder)!r}: {reason}.") from error


# Paths on the machine where the files were written, and references to code that we do not run.
_MACHINE_KEYS = (
    "auto_map",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "vocab_file",
    "merges_file",
)
