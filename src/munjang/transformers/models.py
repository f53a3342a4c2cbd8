"""The model classes: `munjang.Model`, opened with the head that the class's name states."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints import Checkpoint, OpenOptions, open_checkpoint
from munjang.errors import InputError, InputTypeError
from munjang.models.registry import (
    ARCHITECTURES,
    CAUSAL_LM,
    QUESTION_ANSWERING,
    RELATION_EXTRACTION,
    architecture_of,
)
from munjang.runtime.model import Model, ModelOutput, whole_numbers
from munjang.runtime.notices import AssumptionWarning, notify
from munjang.runtime.tensors import Tensor, is_torch, tensor, torch_tensor
from munjang.sentence.activations import log_softmax
from munjang.tasks.generation.causal import session_maker, token_ids
from munjang.tasks.generation.decoding import Session, Writer, write
from munjang.tasks.generation.sampling import Sampling
from munjang.validation import check_device, checked_count

# head -> how the published classes end; a relation-extraction head has no class in `transformers`
_ENDINGS: Mapping[str | None, str] = {None: "Model"} | {
    name: head.published
    for architecture in ARCHITECTURES.values()
    for name, head in architecture.heads.items()
    if name != RELATION_EXTRACTION
}
AUTO_HEADS = (*_ENDINGS,)
"""The heads that have a class for any architecture; None is the bare encoder."""
# Options of lessons that have no effect, with the values that are accepted.
_GRANTED: Mapping[str, tuple[Any, ...]] = {
    "from_pt": (True, False),
    "use_safetensors": (True, False, None),
    "attn_implementation": ("eager", "sdpa", None),
    "add_pooling_layer": (True,),
    "low_cpu_mem_usage": (True, False),
    "torch_dtype": (None, "float32", "auto", "torch.float32"),
}
_IGNORED_INDEX = -100


class AutoConfig:
    """A model's ``config.json``: its keys as attributes, and the defaults of missing keys."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = dict(raw)
        self._config = architecture_of(raw).read_config(raw)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **options: Any) -> AutoConfig:
        """Read the config of a folder, a catalogue name or a hub repository."""
        return cls(open_checkpoint(name, OpenOptions.pop_from(options)).config())

    @property
    def id2label(self) -> dict[int, str]:
        """The name of each output of a classification head."""
        return dict(self._config.labels.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        """The output of each label."""
        return {label: number for number, label in self.id2label.items()}

    @property
    def num_labels(self) -> int:
        """The number of outputs of a classification head."""
        return self._config.labels.num_labels

    def to_dict(self) -> dict[str, Any]:
        """Return the keys and values of ``config.json``."""
        return dict(self._raw)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a key, or the default if the config lacks it."""
        return getattr(self, name, default)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            if name in self._raw:
                return self._raw[name]
            if hasattr(self._config, name):
                return getattr(self._config, name)
        raise AttributeError(f"The config has no {name!r}.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._raw})"


@dataclass(frozen=True, slots=True)
class _Defaults:
    """The options with which a model was opened: the defaults of its calls."""

    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True


class PreTrainedModel:
    """A model with the calls of `transformers` over `munjang.Model`, which is its ``model``.

    Torch tensors return torch tensors; lists and arrays return numpy arrays with the methods of tensors.
    Outputs are 0 where the attention mask is 0. There are no gradients: `munjang.training` trains models.
    """

    head: ClassVar[str | None] = None
    family: ClassVar[str | None] = None

    def __init__(
        self, model: Model, *, checkpoint: Checkpoint | None = None, defaults: _Defaults | None = None
    ) -> None:
        self.model = model
        self.config = AutoConfig(model.raw_config)
        self.name_or_path = "" if checkpoint is None else checkpoint.name
        self._defaults = defaults or _Defaults()

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **options: Any) -> Self:
        """Open a folder, a catalogue name or a hub repository with the head of this class.

        Options are ``output_hidden_states``, ``output_attentions`` and ``return_dict``, which calls may
        override; ``revision``, ``cache_dir``, ``token``, ``local_files_only``, ``allow_pickle``; ``backend``,
        ``threads`` and ``streams`` of `Model.from_pretrained`; and ``from_pt``, ``num_labels`` and similar
        options with the values that the checkpoint has anyway.

        Raises `InputError` for a model of another family or without such a head, `CheckpointError` if the
        checkpoint has no trained head, what `Model.from_pretrained` raises, and `InputTypeError` for another
        option.
        """
        opening = OpenOptions.pop_from(options)
        checkpoint = open_checkpoint(name, opening)
        raw = checkpoint.config()
        cls._check_family(raw, checkpoint.name)
        defaults = _Defaults(
            **{key: bool(options.pop(key)) for key in _Defaults.__slots__ if options.get(key) is not None}
        )
        _check_granted(options, raw)
        model = Model.from_checkpoint(checkpoint, cls.head, opening)
        return cls(model, checkpoint=checkpoint, defaults=defaults)

    @classmethod
    def _check_family(cls, raw: Mapping[str, Any], name: str) -> None:
        architecture = architecture_of(raw)
        kind = architecture.model_type
        if cls.family not in (None, kind):
            right = f"{architecture.class_prefix}{_ENDINGS[cls.head]}"
            known = cls.head is None or cls.head in architecture.heads
            advice = f"use {right} or the Auto class" if known else f"there is no {right}"
            raise InputError(f"{cls.__name__} can't open '{name}', a model of type '{kind}': {advice}.")

    # Methods that lessons call

    def eval(self) -> Self:
        """Return the model itself, which never applies dropout."""
        return self

    def train(self, mode: bool = True) -> Self:
        """Return the model itself for False; raise `InputError` for True."""
        if mode:
            raise InputError("This model can't be trained; train with munjang.training.")
        return self

    def to(self, device: object = None) -> Self:
        """Return the model itself; `InputError` for a device other than the CPU."""
        check_device(device)
        return self

    @property
    def device(self) -> str:
        """Where the model computes: ``"cpu"``."""
        return "cpu"

    @property
    def num_labels(self) -> int:
        """The number of outputs of a classification head."""
        return self.config.num_labels

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the values of each tensor of the checkpoint."""
        for name in self.model.weights:
            yield name, tensor(self.model.weights[name])

    def parameters(self) -> Iterator[Tensor]:
        """Yield the values of each tensor of the checkpoint."""
        return (values for _, values in self.named_parameters())

    def num_parameters(self) -> int:
        """Return the number of parameters in the checkpoint's tensors."""
        return sum(values.numel() for values in self.parameters())

    def resize_token_embeddings(self, new_size: int) -> None:
        """Resize the vocabulary; see `Model.resize_token_embeddings`."""
        self.model.resize_token_embeddings(new_size)
        self.config = AutoConfig(self.model.raw_config)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        self.model.save_pretrained(folder)

    def __call__(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        *,
        labels: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        use_cache: bool | None = None,  # noqa: ARG002 - `generate` has a cache of its own
        training: bool = False,
    ) -> ModelOutput | tuple[Any, ...]:
        """Run the model on ids ``[B, L]``, or on a tokenizer's whole batch.

        With ``labels`` the output has the mean cross-entropy as its ``loss``; labels of -100 do not count,
        and a causal model's are the ids themselves. ``return_dict=False`` returns a tuple.

        Raises `InputError` as `Model` does, and for labels that do not fit.
        """
        if isinstance(input_ids, Mapping):
            return self(
                **input_ids,
                labels=labels,
                output_hidden_states=output_hidden_states,
                output_attentions=output_attentions,
                return_dict=return_dict,
                training=training,
            )
        if training:
            self.train()
        chosen = self._defaults
        for name, value in (
            ("output_hidden_states", output_hidden_states),
            ("output_attentions", output_attentions),
            ("return_dict", return_dict),
        ):
            if value is not None:
                chosen = replace(chosen, **{name: bool(value)})
        output = self.model(
            _array(input_ids),
            None if attention_mask is None else _array(attention_mask),
            None if token_type_ids is None else _array(token_type_ids),
            output_hidden_states=chosen.output_hidden_states,
            output_attentions=chosen.output_attentions,
        )
        if labels is not None:
            output = replace(output, loss=self._loss(output, _array(labels)))
        if self.head == QUESTION_ANSWERING and output.logits is not None:
            start, end = output.logits[..., 0], output.logits[..., 1]
            output = replace(output, logits=None, start_logits=start, end_logits=end)
        convert = torch_tensor if is_torch(input_ids) else tensor
        converted = ModelOutput(**{name: _converted(value, convert) for name, value in output.items()})
        return converted if chosen.return_dict else converted.to_tuple()

    forward = __call__
    call = __call__

    def _loss(self, output: ModelOutput, labels: NDArray[Any]) -> NDArray[np.float32]:
        logits = output.logits
        if logits is None or self.head == QUESTION_ANSWERING or logits.shape[-1] == 1:
            raise InputError(f"{type(self).__name__} has no loss for labels; leave them out.")
        if self.head == CAUSAL_LM:
            logits, labels = logits[:, :-1], labels[:, 1:]
        rows, wanted = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        counted = wanted != _IGNORED_INDEX
        if len(rows) != len(wanted) or not np.isin(wanted[counted], np.arange(rows.shape[-1])).all():
            raise InputError(f"labels of shape {labels.shape} do not fit logits of shape {logits.shape}.")
        likelihoods = log_softmax(rows[counted])
        losses = -likelihoods[np.arange(len(likelihoods)), wanted[counted]]
        return np.asarray(losses.mean(), dtype=np.float32)


def _array(value: Any) -> NDArray[Any]:
    """Return ids as an array, from a list, an array, or a tensor on any device."""
    return np.asarray(value.detach().cpu() if is_torch(value) else value)


def _converted(value: Any, convert: Any) -> Any:
    return tuple(map(convert, value)) if isinstance(value, tuple) else convert(value)


def _check_granted(options: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Raise an error for an option of opening that would not be obeyed."""
    labels = AutoConfig(raw)
    granted = {
        **_GRANTED,
        "num_labels": (labels.num_labels,),
        "id2label": (labels.id2label,),
        "label2id": (labels.label2id,),
    }
    for name, value in options.items():
        if name not in granted:
            raise InputTypeError(f"A model is not opened with {name!r} here; leave it out.")
        if value not in granted[name] and str(value) not in granted[name]:
            raise InputError(
                f"{name}={value!r} is not what this checkpoint is ({', '.join(map(repr, granted[name]))}). "
                "A new head must be trained: see munjang.training."
                if name in ("num_labels", "id2label", "label2id")
                else f"{name}={value!r} is not supported; leave it out."
            )


# Generation

_GENERATION = (
    "do_sample",
    "max_length",
    "max_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "num_return_sequences",
    "num_beams",
    "pad_token_id",
    "eos_token_id",
    "bos_token_id",
)
_NEW_TOKENS = 20  # the default of max_new_tokens
_PIPELINE_NEW_TOKENS = 256
_TOP_K = 50  # the default of top_k when sampling


class GenerationModel(PreTrainedModel):
    """A causal language model, with `generate`."""

    head = CAUSAL_LM

    def __init__(
        self, model: Model, *, checkpoint: Checkpoint | None = None, defaults: _Defaults | None = None
    ) -> None:
        super().__init__(model, checkpoint=checkpoint, defaults=defaults)
        has_file = checkpoint is not None and checkpoint.has("generation_config.json")
        config = checkpoint.read_json("generation_config.json") if checkpoint and has_file else {}
        self._settings = {name: config[name] for name in _GENERATION if config.get(name) is not None}

    @cached_property
    def _session(self) -> Callable[..., Session]:
        return session_maker(self.model)

    def resize_token_embeddings(self, new_size: int) -> None:
        """Resize the vocabulary; see `Model.resize_token_embeddings`."""
        super().resize_token_embeddings(new_size)
        self.__dict__.pop("_session", None)

    def generate(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        *,
        token_type_ids: Any = None,  # noqa: ARG002 - a causal model has no types
        use_cache: bool = True,  # noqa: ARG002 - it makes no difference to what is written
        early_stopping: bool = False,  # noqa: ARG002 - about beams, of which there is one
        **settings: Any,
    ) -> Any:
        """Generate text after prompts of ids; return the prompts with the new ids, ``[n, L]``.

        Settings are ``do_sample``, ``max_length`` (the prompt included) or ``max_new_tokens`` (20 if neither
        is given), ``temperature``, ``top_k`` (50 when sampling), ``top_p``, ``repetition_penalty``,
        ``no_repeat_ngram_size``, ``num_return_sequences``, ``pad_token_id`` and ``eos_token_id``; defaults
        are those of the checkpoint's ``generation_config.json``. `set_seed` makes sampling repeatable; with
        torch imported, its generator is used, so the sampled tokens are those of `transformers`.

        Raises `InputError` for several beams, invalid values and prompts as long as the model's limit, and
        `InputTypeError` for another setting.
        """
        if unknown := [name for name in settings if name not in _GENERATION]:
            raise InputTypeError(f"generate has no {unknown[0]!r}; there are {', '.join(_GENERATION)}.")
        wanted = {**self._settings, **{name: value for name, value in settings.items() if value is not None}}
        if wanted.get("num_beams", 1) != 1:
            raise InputError(f"num_beams={wanted['num_beams']} is not supported; sample, or leave it out.")
        raw = self.model.raw_config
        ends = token_ids(wanted.get("eos_token_id"), raw.get("eos_token_id"))
        padding = next(iter(token_ids(wanted.get("pad_token_id", raw.get("pad_token_id")), None)), None)
        rows = self._rows(input_ids, wanted)
        mask = _mask(rows, attention_mask, padding, ends)
        longest = self._longest(rows.shape[1], wanted)
        sampling = _sampling(wanted, settings)
        copies = sampling.checked_copies(wanted.get("num_return_sequences", 1))
        prompts = [row[kept].tolist() for row, kept in zip(rows, mask, strict=True)]
        writers = [
            Writer(prompt, limit=len(prompt) + longest, ends=ends)
            for prompt in prompts
            for _ in range(copies)
        ]
        for _ in write(self._session(copies), prompts, writers, sampling, _draws(len(writers))):
            pass
        new = [writer.ids[len(prompts[number // copies]) :] for number, writer in enumerate(writers)]
        result = np.full((len(new), rows.shape[1] + max(map(len, new))), padding or 0, dtype=np.int64)
        if padding is None and ends:
            result[:] = ends[0]
        result[:, : rows.shape[1]] = rows.repeat(copies, axis=0)
        for row, ids in zip(result, new, strict=True):
            row[rows.shape[1] : rows.shape[1] + len(ids)] = ids
        return torch_tensor(result) if is_torch(input_ids) else tensor(result)

    def pipeline_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Add the defaults of the text-generation pipeline for settings of neither caller nor checkpoint."""
        chosen = {**self._settings, **settings}
        added: dict[str, Any] = {"do_sample": chosen.get("do_sample", True)}
        if added["do_sample"]:
            added["temperature"] = chosen.get("temperature", 0.7)
        if "max_length" not in chosen:
            added["max_new_tokens"] = chosen.get("max_new_tokens", _PIPELINE_NEW_TOKENS)
        return {**added, **settings}

    def _rows(self, input_ids: Any, wanted: Mapping[str, Any]) -> NDArray[np.integer]:
        if input_ids is None:
            starts = token_ids(wanted.get("bos_token_id"), self.model.raw_config.get("bos_token_id"))
            if not starts:
                raise InputError("generate needs input_ids: the model has no token that starts a text.")
            return np.array([starts[:1]])
        rows = whole_numbers("input_ids", _array(input_ids))
        if not rows.shape[1]:
            raise InputError("The prompts have no tokens; pass at least one.")
        return rows

    def _longest(self, length: int, wanted: Mapping[str, Any]) -> int:
        """Return the maximum number of new tokens after prompts of this length."""
        room = self.model.config.max_length - length
        if room <= 0:
            raise InputError(
                f"The prompts have {length} tokens, and the model takes {self.model.config.max_length} "
                "together with the new tokens; shorten them."
            )
        if (new := wanted.get("max_new_tokens")) is not None:
            return min(room, checked_count("max_new_tokens", new))
        if (limit := wanted.get("max_length")) is None:
            return min(room, _NEW_TOKENS)
        if checked_count("max_length", limit) <= length:
            raise InputError(
                f"max_length={limit} counts the prompt, which has {length} tokens; raise it, or use "
                "max_new_tokens."
            )
        return int(min(room, limit - length))


def _mask(
    rows: NDArray[np.integer], attention_mask: Any, padding: int | None, ends: Sequence[int]
) -> NDArray[np.bool_]:
    """Return a mask of the prompts' ids that are read: by the attention mask, or all but the padding."""
    if attention_mask is None:
        hidden = padding is not None and padding not in ends
        mask = rows != padding if hidden else np.ones(rows.shape, dtype=np.bool_)
    else:
        mask = whole_numbers("attention_mask", _array(attention_mask)) != 0
    if mask.shape != rows.shape:
        raise InputError(f"attention_mask has shape {mask.shape}, input_ids has {rows.shape}.")
    if not mask.any(axis=1).all():
        raise InputError("A prompt has no token that the attention mask leaves.")
    return mask


def _sampling(wanted: Mapping[str, Any], asked: Mapping[str, Any]) -> Sampling:
    filters = {
        "temperature": wanted.get("temperature", 1.0),
        "top_k": wanted.get("top_k", _TOP_K) or None,  # 0 is none
        "top_p": wanted.get("top_p"),
    }
    always = {
        "repetition_penalty": wanted.get("repetition_penalty", 1.0),
        "no_repeat_ngram_size": wanted.get("no_repeat_ngram_size") or None,
    }
    if wanted.get("do_sample"):
        kind = _TorchSampling if sys.modules.get("torch") else Sampling
        return kind(do_sample=True, **filters, **always)
    if ignored := [name for name in filters if asked.get(name) is not None]:
        notify(
            f"Without do_sample=True the best token is always taken, so {' and '.join(ignored)} did nothing.",
            AssumptionWarning,
        )
    return Sampling(do_sample=False, **always)


class _TorchSampling(Sampling):
    """Draws with torch's own generator, as `transformers` does: for each step, all texts at once."""

    def choose(
        self, logits: NDArray[np.float32], texts: Sequence[Sequence[int]], generators: Sequence[Any]
    ) -> list[int]:
        """Choose the next token of each text; a generator is the text's index and the number of texts."""
        torch = sys.modules["torch"]
        indices, count = [index for index, _ in generators], generators[0][1]
        # Finished texts draw too, so that the generator is used as often as in the reference.
        scores = np.zeros((count, logits.shape[1]), dtype=np.float32)
        scores[indices] = self.scores(logits, texts)
        probabilities = torch.nn.functional.softmax(torch.from_numpy(scores), dim=-1)
        drawn = torch.multinomial(probabilities, num_samples=1).squeeze(1).tolist()
        return [drawn[index] for index in indices]


def _draws(count: int) -> list[Any]:
    if sys.modules.get("torch"):
        return [(index, count) for index in range(count)]
    # `set_seed` seeds numpy's global generator.
    return [np.random.default_rng(np.random.randint(2**31)) for _ in range(count)]


def model_class(head: str | None, family: str | None = None) -> type[Any]:
    """Create the class that opens models of a family (None: any) with a head (None: the bare encoder)."""
    auto = {None: "AutoModel", CAUSAL_LM: "AutoModelForCausalLM"}
    prefix = ARCHITECTURES[family].class_prefix if family else "AutoModel"
    name = prefix + _ENDINGS[head] if family else auto.get(head, prefix + _ENDINGS[head])
    base = GenerationModel if head == CAUSAL_LM else PreTrainedModel
    what = "a bare encoder" if head is None else f"a {head} head"
    whose = f"the model type {family}" if family else "any type"
    doc = f"A model of {whose} with {what}; see `PreTrainedModel`."
    return type(
        name, (base,), {"head": head, "family": family, "__doc__": doc, "__module__": "munjang.transformers"}
    )
