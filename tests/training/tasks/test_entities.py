"""Training of entities: targets of tokens, no entity lost, the gradients of `transformers`.

What can be wrong: no texts, an empty one, no entity, entities that are empty, overlap, lie outside of their
text or are of another type, in the examples or in the held-out ones; a window that is too short or too long.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors

import munjang
from munjang import Tokenizer
from munjang.data.tags import TaggedText
from munjang.errors import InputError, InputTypeError
from munjang.tasks.token_classification import _merged
from munjang.tasks.windows import windows
from munjang.training.loop.loop import train
from munjang.training.options import EntitiesTask, TrainingOptions
from munjang.training.tasks.entities import (
    NO_TAG,
    TaggedWindows,
    TokenClassificationObjective,
    train_token_classification,
)
from support.learning import tiny_model, with_task
from support.task_training import (
    LEARNING,
    assert_cutting_changes_nothing,
    assert_learned,
    assert_same_gradients,
    assert_same_logits,
    saved,
)
from support.task_training import padded as padded_texts

TAGS = ["O", "B-DT", "I-DT", "B-LC", "I-LC", "B-PS", "I-PS"]
TEXTS: list[TaggedText] = [
    {"text": "한국의 수도는 서울이다.", "entities": [(0, 3, "PS"), (4, 12, "LC")]},
    {"text": "오늘 하루 어떻게 보냈나요?", "entities": [(0, 5, "DT")]},
    {"text": "A man is eating food.", "entities": [(2, 5, "PS")]},
    {
        "text": "The girl is carrying a baby, and two men pushed carts.",
        "entities": [(4, 11, "PS"), (23, 27, "PS")],
    },
]


def objective(model: Path, **settings: Any) -> TokenClassificationObjective:
    given: dict[str, Any] = {"examples": TEXTS, "held_out": (), "options": LEARNING, **settings}
    return TokenClassificationObjective(model, **with_task(EntitiesTask, given))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model", dropout=0.0)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
def test_gradients(architecture: str, tmp_path: Path) -> None:
    made = objective(tiny_model(tmp_path / "model", architecture, dropout=0.0))
    peer = saved(made, tmp_path / "saved", "AutoModelForTokenClassification")
    inputs = padded_texts(made)
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, one in enumerate(made.examples):
        labels[row, : len(one.tags)] = torch.tensor(one.tags)
    assert set(labels.flatten().tolist()) == {-100, *range(len(TAGS))}
    assert_same_gradients(made, peer, lambda: peer(**inputs, labels=labels).loss)


def test_parts_of_a_batch(model: Path) -> None:
    assert_cutting_changes_nothing(objective(model))


def test_learns_and_serves(model: Path, tmp_path: Path) -> None:
    options = replace(LEARNING, epochs=100.0)  # of one update each
    result = train_token_classification(
        TEXTS, model=str(model), output=tmp_path / "run", held_out=TEXTS, options=options
    )
    assert_learned(result.folder)
    assert result.metrics["entity_f1"] == 1
    made = objective(result.folder)
    assert_same_logits(made, result.folder, "token-classification", "AutoModelForTokenClassification")
    assert list(munjang.Model.from_pretrained(result.folder, None).config.labels.id2label.values()) == TAGS
    tag = munjang.pipeline("token-classification", result.folder)
    assert [(e["start"], e["end"], e["entity_group"]) for e in tag(TEXTS[0]["text"])] == TEXTS[0]["entities"]
    assert '"token-classification"' in (result.folder / "report.md").read_text(encoding="utf-8")


def test_a_trained_head_is_trained_further(model: Path, tmp_path: Path) -> None:
    train(objective(model, options=TrainingOptions(max_steps=2, device="cpu")), tmp_path / "run", LEARNING)
    before = munjang.Model.from_pretrained(tmp_path / "run", None).weights["classifier.weight"]
    again = objective(tmp_path / "run").loaded.model.weights["classifier.weight"]
    assert (again == before).all()
    other = objective(tmp_path / "run", types=["PS", "LC", "DT"]).loaded.model.weights["classifier.weight"]
    assert (other != before).any()


@pytest.mark.parametrize("longest", [4, 7, 12, 48])
def test_every_token_is_learned_once(model: Path, longest: int) -> None:
    tokenizer = Tokenizer.from_pretrained(model)
    found = list(TaggedWindows(tokenizer, TAGS, longest).of(TEXTS))
    assert max(len(ids.input_ids) for ids, _ in found) <= longest
    whole = [number for _, numbers in TaggedWindows(tokenizer, TAGS, 48).of(TEXTS) for number in numbers]
    learned = [number for _, numbers in found for number in numbers]
    counts = [(learned.count(number), whole.count(number)) for number in range(len(TAGS))]
    assert all(one == other for one, other in counts)
    assert sum(one for one, _ in counts) == sum(len(tokenizer.encode(t["text"])) - 2 for t in TEXTS)


@pytest.mark.parametrize("longest", [5, 12, 20])
def test_windows_are_those_of_the_pipeline(longest: int, model: Path) -> None:
    """A token is trained in the window from which the pipeline takes its scores."""
    text = " ".join(one["text"] for one in TEXTS)
    tokenizer = Tokenizer.from_pretrained(model)
    (encoding,) = tokenizer.encode_batch([text])
    parts = windows(encoding, longest)
    numbers = [np.full((len(part.positions), 1), which, np.float32) for which, part in enumerate(parts)]
    read_from = _merged(encoding, list(zip(parts, numbers, strict=True)))[:, 0]
    learned = [
        tags for _, tags in TaggedWindows(tokenizer, TAGS, longest).of([TaggedText(text=text, entities=[])])
    ]
    assert len(learned) == len(parts) > 1
    for which, (part, tags) in enumerate(zip(parts, learned, strict=True)):
        for at, tag in zip(part.positions, tags, strict=True):
            special = encoding.sequence_ids[at] is None
            assert (tag != NO_TAG) == (not special and read_from[at] == which)


def test_long_texts(model: Path) -> None:
    made = objective(model, max_length=7)
    described = made.describe()
    assert described["texts cut into windows"] == 2
    assert described["longest window in tokens"] == 7
    assert made.costs().max() == 7


def _sentence_pieces(folder: Path) -> Tokenizer:
    """A tokenizer whose tokens begin with the space before them."""
    pieces = ["<pad>", "<unk>", "<s>", "</s>", "▁", "▁나는", "▁서울", "에", "▁산다", "▁한국인", "이다"]
    backend = Backend(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=1))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    return Tokenizer.from_pretrained(folder)


def test_spaces_belong_to_no_entity(tmp_path: Path) -> None:
    tokenizer = _sentence_pieces(tmp_path)
    text = "나는 서울에 산다"
    assert tokenizer.encode_batch([text])[0].offsets[2][0] == 2  # the space before 서울
    cutter = TaggedWindows(tokenizer, TAGS, 20)
    ((_, numbers),) = cutter.of([{"text": text, "entities": [(3, 5, "LC")]}])
    assert numbers == [NO_TAG, 0, TAGS.index("B-LC"), 0, 0, NO_TAG]
    assert cutter.counts()["entities with an edge inside a token"] == 0


def test_entities_inside_tokens_are_counted(tmp_path: Path) -> None:
    cutter = TaggedWindows(_sentence_pieces(tmp_path), TAGS, 20)
    text = "나는 한국인이다"
    ((_, numbers),) = cutter.of([{"text": text, "entities": [(3, 5, "LC"), (6, 8, "DT")]}])
    assert numbers == [NO_TAG, 0, TAGS.index("B-LC"), TAGS.index("B-DT"), NO_TAG]
    assert cutter.counts()["entities"] == 2
    assert cutter.counts()["entities with an edge inside a token"] == 1


def test_decomposed_text(model: Path) -> None:
    """Offsets count the characters of the text as it is given."""
    composed = TEXTS[0]
    text = unicodedata.normalize("NFD", composed["text"])
    sizes = [len(unicodedata.normalize("NFD", composed["text"][:place])) for place in range(14)]
    entities = [(sizes[start], sizes[end], kind) for start, end, kind in composed["entities"]]
    tokenizer = Tokenizer.from_pretrained(model)
    given: list[TaggedText] = [{"text": text, "entities": entities}]
    assert list(TaggedWindows(tokenizer, TAGS, 48).of(given)) == list(
        TaggedWindows(tokenizer, TAGS, 48).of([composed])
    )


GOOD = TEXTS[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": []}, "no examples"),
        ({"examples": [GOOD, {"text": " ", "entities": []}]}, "Example 1: The text is empty"),
        (
            {"examples": [GOOD, {"text": "서울", "entities": [(0, 3, "LC")]}]},
            r"Example 1: The entity \(0, 3, 'LC'\)",
        ),
        ({"examples": [GOOD, {"text": "서울", "entities": [(-1, 1, "LC")]}]}, "Example 1: .* outside"),
        ({"examples": [GOOD, {"text": "서울", "entities": [(1, 1, "LC")]}]}, "Example 1: .* is empty"),
        ({"examples": [{"text": "서울", "entities": [(0, 2, "LC"), (1, 2, "PS")]}]}, "Example 0: .* overlap"),
        ({"examples": [{"text": "서울", "entities": []}] * 2}, "None of the 2 examples has an entity"),
        ({"held_out": [{"text": "서울", "entities": []}]}, "None of the 1 held-out examples"),
        ({"types": ["LC", "PS"]}, "Example 1 has an entity of type 'DT'; the types are 'LC', 'PS'"),
        ({"held_out": [GOOD, {"text": "서울", "entities": [(0, 2, "OG")]}]}, "Held-out example 1 .*'OG'"),
        ({"held_out": [{"text": "서울", "entities": [(0, 3, "LC")]}]}, "Held-out example 0: .* outside"),
        ({"max_length": 3}, "max_length must be at least 4, got 3"),
        ({"max_length": 500}, "max_length=500, but the model takes 48 tokens"),
    ],
)
def test_bad_input(model: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(model, **settings)


def test_not_a_text(model: Path) -> None:
    with pytest.raises(InputTypeError, match="Example 1: The text must be a str"):
        objective(model, examples=[GOOD, {"text": 5, "entities": []}])
