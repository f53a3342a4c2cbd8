"""The base class and helpers of the objectives for a model with a task head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from munjang.errors import InputError, InputTypeError
from munjang.models.batch import TokenBatch
from munjang.models.program import LOGITS
from munjang.runtime.runner import pack
from munjang.tasks.loading import Loaded
from munjang.tokenization.encoding import Encoding, TokenIds
from munjang.training.loop.network import Network
from munjang.training.loop.objective import Objective, Tokenised, costs_of, require_examples
from munjang.training.models import in_chunks, used_ids
from munjang.training.options import TrainingOptions

X = TypeVar("X", bound=Tokenised)


class TaskObjective(Objective[X]):
    """A loss on the logits of a head.

    Args:
        loaded: a model with the head, on the executor ``torch``, and its tokenizer.
        examples: the tokenised examples.
        options: the options of the run.
        description: the data, the model and the settings, for the report and the run's identity.
        more: further trained tensors, see `Network`.

    Attributes:
        snippet: example code that uses the saved model, with ``{folder}`` for its folder.

    Raises `InputError` if there are no examples.
    """

    snippet: ClassVar[str]

    def __init__(
        self,
        loaded: Loaded,
        examples: Sequence[X],
        options: TrainingOptions,
        description: Mapping[str, str | int | float],
        *,
        more: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        require_examples(examples)
        self.loaded = loaded
        self.examples = examples
        self._description = description
        ids = used_ids(chain.from_iterable(example.texts for example in examples))
        self.network = Network(loaded.model, options, used_ids=ids, more=more)
        self._program = loaded.model.program(frozenset({LOGITS}))

    def costs(self) -> NDArray[np.intp]:
        """Return the total number of tokens in the texts of each example."""
        return costs_of(self.examples)

    def packed(self, examples: Sequence[X]) -> TokenBatch[NDArray[Any]]:
        """Return a packed batch of all texts of the examples."""
        texts = [text for example in examples for text in example.texts]
        return pack(texts, self.loaded.model.runner.layout)

    def logits(
        self,
        examples: Sequence[X],
        edit: Callable[[TokenBatch[NDArray[Any]]], TokenBatch[NDArray[Any]]] | None = None,
    ) -> Tensor:
        """Compute the logits of all texts of the examples in one batch, which ``edit`` may change first."""
        batch = self.packed(examples)
        return self.network.forward(self._program, batch if edit is None else edit(batch))[LOGITS].float()

    @abstractmethod
    def evaluate(self) -> Mapping[str, float]:
        """Evaluate the model on held-out data, with the public pipeline."""

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer."""
        self.loaded.model.set_weights(self.network.weights())
        self.loaded.model.save_pretrained(folder)
        self.loaded.tokenizer.save_pretrained(folder)

    def usage(self, folder: Path) -> str:
        """Return example code that uses the saved model."""
        return self.snippet.replace("{folder}", str(folder))


def tokenised_pairs(
    groups: Sequence[Sequence[tuple[str, str]]], loaded: Loaded, longest: int
) -> list[tuple[TokenIds, ...]]:
    """Return the ids of the pairs of texts of each group, truncated to ``longest`` tokens."""
    tokenised: list[tuple[TokenIds, ...]] = []
    for chunk in in_chunks(groups):
        pairs = [pair for group in chunk for pair in group]
        ids = iter(loaded.tokenizer.encode_ids(pairs, truncation=True, max_length=longest))
        tokenised += [tuple(next(ids) for _ in group) for group in chunk]
    return tokenised


def name_activation(loaded: Loaded, activation: str) -> None:
    """Write a cross-encoder's activation into the config, as `sentence-transformers` reads it."""
    raw = loaded.model.raw_config
    raw.pop("sbert_ce_default_activation_function", None)  # the key of older versions
    raw["sentence_transformers"] = {"activation_fn": activation}


def ids_of(encoding: Encoding) -> TokenIds:
    """Return the ids, token types and truncation count of an encoding."""
    types = encoding.token_type_ids if any(encoding.token_type_ids) else None
    return TokenIds(encoding.input_ids, types, encoding.truncated)


@contextmanager
def naming(what: str, index: int) -> Iterator[None]:
    """Prefix error messages from the ``with`` block with the number of the example."""
    try:
        yield
    except (InputError, InputTypeError) as error:
        raise type(error)(f"{what} {index}: {error}") from error
