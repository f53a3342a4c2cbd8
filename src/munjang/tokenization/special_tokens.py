"""The special tokens by name, and the families of tokenisers with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
EXTRA_KEYS = ("additional_special_tokens", "extra_special_tokens")
"""The two names under which files and callers give further special tokens (older and newer)."""

_WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_WITHOUT_TYPES = ("input_ids", "attention_mask")


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of tokenisers: its default special tokens and its models' inputs."""

    name: str
    """``"bert"``, ``"roberta"``, ``"gpt2"`` or ``"unknown"``."""
    model_input_names: tuple[str, ...] = _WITH_TYPES
    special_tokens: Mapping[str, str] = field(default_factory=dict)


_BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_GPT2_TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")

BERT = Family(name="bert", special_tokens=_BERT_TOKENS)
_DISTILBERT = Family(name="bert", special_tokens=_BERT_TOKENS, model_input_names=_WITHOUT_TYPES)
ROBERTA = Family(name="roberta", special_tokens=_ROBERTA_TOKENS, model_input_names=_WITHOUT_TYPES)
GPT2 = Family(name="gpt2", special_tokens=_GPT2_TOKENS, model_input_names=_WITHOUT_TYPES)
UNKNOWN = Family(name="unknown", model_input_names=_WITHOUT_TYPES)

_BY_CLASS = {
    "BertTokenizer": BERT,
    "ElectraTokenizer": BERT,
    "DistilBertTokenizer": _DISTILBERT,
    "RobertaTokenizer": ROBERTA,
    "XLMRobertaTokenizer": ROBERTA,
    "GPT2Tokenizer": GPT2,
}
_BY_MODEL_TYPE = {
    "bert": BERT,
    "electra": BERT,
    "distilbert": _DISTILBERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "gpt2": GPT2,
}


def family_for(tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any]) -> Family:
    """Return the family that a checkpoint's files define.

    The tokeniser's class overrides the model's type: klue/roberta is a RoBERTa with a BERT vocabulary.
    """
    by_model = _BY_MODEL_TYPE.get(str(model_config.get("model_type")), UNKNOWN)
    name = class_name(tokenizer_config, model_config)
    if name in _BY_CLASS:
        return _BY_CLASS[name]
    if name:  # a general class: its tokens come from the files, its inputs from the model
        return replace(UNKNOWN, model_input_names=by_model.model_input_names)
    return by_model


def class_name(tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any]) -> str:
    """Return the name of the tokeniser's class without ``Fast``; empty if no file defines it."""
    names = (str(config.get("tokenizer_class") or "") for config in (tokenizer_config, model_config))
    return next(filter(None, names), "").removesuffix("Fast")


def is_general_class(name: str) -> bool:
    """Return whether a class is a general one, whose behaviour only ``tokenizer.json`` defines."""
    return name in ("PreTrainedTokenizer", "TokenizersBackend")


def is_known_class(name: str) -> bool:
    """Return whether a class is supported or general; without a name, the model's type decides."""
    return name in _BY_CLASS or name == "" or is_general_class(name)


def guess_family(knows: Callable[[str], bool]) -> Family:
    """Return the family guessed from a vocabulary; ``knows(token)`` is whether a token is in it."""
    for guess in (BERT, ROBERTA, GPT2):
        if all(knows(token) for name, token in guess.special_tokens.items() if name != "mask_token"):
            return guess
    return UNKNOWN


def named_tokens(
    family: Family, sources: Iterable[dict[str, Any]], knows: Callable[[str], bool]
) -> dict[str, str]:
    """Return name -> special token: the family's defaults in the vocabulary, overridden by each source."""
    named = {name: token for name, token in family.special_tokens.items() if knows(token)}
    for source in sources:
        for name in NAMES:
            if name in source:
                named[name] = token_text(source[name])
    return {name: named[name] for name in NAMES if named.get(name)}


def extra_tokens(sources: Iterable[dict[str, Any]]) -> list[str]:
    """Return the texts of `written_extra_tokens` without duplicates."""
    return list(dict.fromkeys(map(token_text, written_extra_tokens(sources))))


def written_extra_tokens(sources: Iterable[dict[str, Any]]) -> list[Any]:
    """Return the special tokens other than `NAMES`, as written in the files, in the order of the sources.

    Tokens with a model-specific name, such as ``image_token``, come before tokens in lists.
    """
    named: list[Any] = []
    listed: list[Any] = []
    for source in sources:
        named += [value for key, value in source.items() if is_own_token(key, value)]
        for key in EXTRA_KEYS:
            tokens = source.get(key) or ()
            if isinstance(tokens, dict):
                named += tokens.values()
            else:
                listed += tokens
    return [*named, *listed]


def is_own_token(key: str, value: object) -> bool:
    """Return whether an entry of a config is a special token with a model-specific name."""
    return key.endswith("_token") and key not in NAMES and is_token(value)


def is_token(value: object) -> bool:
    """Return whether this is a token as the files write it: a string, or an object with text and flags."""
    if not isinstance(value, dict):
        return is_text(value)
    flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
    return is_text(value.get("content")) and all(isinstance(value.get(flag, False), bool) for flag in flags)


def is_text(value: object) -> bool:
    """Return whether this is a string without lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def token_text(token: str | dict[str, Any] | None) -> str:
    """Return the text of a token as the files write it: a string, or an object with its text as `content`."""
    return str(token.get("content") or "") if isinstance(token, dict) else token or ""


class SpecialToken:
    """An attribute such as ``cls_token``: the text of a special token, or None if there is none."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type[Any]) -> str | None:
        token: str | None = instance.special_tokens_map.get(self.name)
        return token

    def __set__(self, instance: Any, token: str | None) -> None:
        instance.set_special_token(self.name, token)


class SpecialTokenId:
    """An attribute such as ``cls_token_id``: the id of a special token, or None if there is none."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, instance: Any, owner: type[Any]) -> int | None:
        token = instance.special_tokens_map.get(self.name)
        index: int | None = None if token is None else instance.convert_tokens_to_ids(token)
        return index
