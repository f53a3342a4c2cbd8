"""All values of `explain` equal those of the fast path, for every architecture and task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import transformers
from tokenizers import pre_tokenizers

import munjang
from munjang.errors import CheckpointError, InputError, InputTypeError, TruncationError
from munjang.tasks.explain.explain import Explanation, decide, explain
from munjang.tasks.loading import Loaded, ModelOptions, load
from munjang.tasks.text_classification import TextClassification
from support.wordpiece import model_with_words, roberta_with_bytes

TOLERANCE = 1e-5
TEXT = "축구는 정말 재미있는 경기다."
ENCODERS = {
    "bert": "BertModel",
    "electra": "ElectraModel",  # projects its embeddings
    "distilbert": "DistilBertModel",  # has no segments
}


def gpt2_with_bytes(folder: Path) -> None:
    """Save a random GPT-2 whose pieces are the 256 bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={piece: i for i, piece in enumerate(alphabet)}, merges=[])
    )
    backend.add_special_tokens(["<|endoftext|>"])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, "unk_token": "<|endoftext|>"}))
    config = transformers.GPT2Config(
        vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=40, initializer_range=0.3
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def make(architecture: str, folder: Path) -> None:
    if architecture == "gpt2":
        gpt2_with_bytes(folder)
    elif architecture == "roberta":
        roberta_with_bytes(folder)
    else:
        model_with_words(folder, ENCODERS[architecture])


@pytest.mark.parametrize("architecture", [*ENCODERS, "roberta", "gpt2"])
def test_the_steps_are_those_of_the_fast_path(architecture: str, tmp_path: Path) -> None:
    make(architecture, tmp_path)
    text = "i love paris" if architecture == "gpt2" else TEXT
    found = explain(text, model=tmp_path, task="features")
    tokenizer = munjang.Tokenizer.from_pretrained(tmp_path)
    model = munjang.Model.from_pretrained(tmp_path, None)
    output = model(**tokenizer(text, return_tensors="np"), output_hidden_states=True, output_attentions=True)
    assert output.hidden_states is not None
    assert output.attentions is not None
    assert found.embeddings is not None
    assert found.last_hidden_state is not None
    assert output.last_hidden_state is not None

    states = [found.embeddings.result, *(layer.vectors for layer in found.layers)]
    if architecture == "gpt2":  # its last hidden state is the output of the last norm
        states[-1] = found.last_hidden_state
    for ours, fast in zip(states, output.hidden_states, strict=True):
        assert np.abs(ours - fast[0]).max() < TOLERANCE
    for layer, attention in zip(found.layers, output.attentions, strict=True):
        assert np.abs(layer.attention - attention[0]).max() < TOLERANCE
        np.testing.assert_allclose(layer.attention.sum(axis=-1), 1, rtol=1e-5)
    assert np.abs(found.last_hidden_state - output.last_hidden_state[0]).max() < TOLERANCE
    if output.pooler_output is not None:
        assert np.abs(found.steps[-1].vector - output.pooler_output[0]).max() < TOLERANCE
    assert found.rows.input_ids == tokenizer.encode(text)
    draw(found)


def draw(found: Explanation) -> None:
    """Each form can be made, and JSON holds nothing that is not a number."""
    assert "Tokens" in found.to_text()
    assert found.to_html().startswith("<!DOCTYPE html>")
    json.dumps(found.to_dict(), allow_nan=False)


def test_rows_of_models_without_segments(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    make("distilbert", tmp_path / "a")
    make("roberta", tmp_path / "b")
    without = explain(TEXT, model=tmp_path / "a")
    assert without.rows.token_type_ids is None
    assert without.embeddings is not None
    assert list(without.embeddings.parts) == ["word", "position"]
    roberta = explain("I like", "tea", model=tmp_path / "b", task="features").rows
    assert roberta.position_ids == list(range(2, 2 + len(roberta)))  # they count from the padding's on
    assert set(roberta.token_type_ids or ()) == {0}


def test_embeddings_are_added(tmp_path: Path) -> None:
    peer = model_with_words(tmp_path, "BertModel")
    found = explain("i love", "paris", model=tmp_path).embeddings
    assert found is not None
    table = peer.embeddings.word_embeddings.weight.detach().numpy()
    rows = explain("i love", "paris", model=tmp_path).rows
    np.testing.assert_array_equal(found.parts["word"], table[rows.input_ids])
    assert rows.token_type_ids == [0, 0, 0, 0, 1, 1]
    np.testing.assert_allclose(found.added, sum(found.parts.values()), rtol=1e-6)


def test_fill_mask_agrees_with_the_model(tmp_path: Path) -> None:
    model_with_words(tmp_path)
    text = "축구는 [MASK] 재미있는 [MASK]다."
    found = explain(text, model=tmp_path, top=4)
    assert found.task == "fill-mask"
    model = munjang.Model.from_pretrained(tmp_path, head="masked-lm")
    tokenizer = munjang.Tokenizer.from_pretrained(tmp_path)
    logits = model(**tokenizer(text, return_tensors="np")).logits
    assert logits is not None
    places = [i for i, token in enumerate(found.rows.tokens) if token == "[MASK]"]
    assert [decision.place for decision in found.decisions] == places
    for decision, place in zip(found.decisions, places, strict=True):
        assert np.abs(decision.logits - logits[0, place]).max() < TOLERANCE
        assert len(decision.choices) == 4
        special = [i for i, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(7))))]
        assert not {choice.id for choice in decision.choices} & set(special)
        assert decision.withheld == pytest.approx(float(decision.scores[special].sum()), abs=1e-6)
        assert decision.scores.sum() == pytest.approx(1, abs=1e-5)
    draw(found)


def test_one_mask_agrees_with_the_task(tmp_path: Path) -> None:
    model_with_words(tmp_path)
    text = "축구는 정말 재미있는 [MASK]다."
    [decision] = explain(text, model=tmp_path).decisions
    for ours, fast in zip(decision.choices, munjang.pipeline("fill-mask", tmp_path)(text), strict=True):
        assert ours.id == fast["token"]
        assert ours.score == pytest.approx(fast["score"], abs=TOLERANCE)


def test_next_sentence_agrees_with_the_task(tmp_path: Path) -> None:
    model_with_words(tmp_path)
    found = explain("i love paris.", "the sky is blue.", model=tmp_path)
    assert found.task == "next-sentence"
    [decision] = found.decisions
    scores = {choice.label: choice.score for choice in decision.choices}
    fast = munjang.pipeline("next-sentence-prediction", tmp_path)("i love paris.", "the sky is blue.")
    assert scores == pytest.approx({name: fast[name] for name in ("follows", "unrelated")}, abs=TOLERANCE)
    assert [step.name for step in found.steps] == ["last_hidden_state[0]", "pooler_output"]
    draw(found)


@pytest.mark.parametrize(
    ("settings", "function"),
    [
        ({"num_labels": 3}, "softmax"),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, "sigmoid"),
        ({"num_labels": 1, "problem_type": "regression"}, "none"),
    ],
)
def test_classification_agrees_with_the_task(settings: dict[str, Any], function: str, tmp_path: Path) -> None:
    model_with_words(tmp_path, "DistilBertForSequenceClassification", **settings)
    found = explain(TEXT, model=tmp_path)
    assert (found.task, found.decisions[0].function) == ("classify", function)
    fast = TextClassification(tmp_path)(TEXT, top_k=None)
    ours = [(choice.label, choice.score) for choice in found.decisions[0].choices]
    assert [label for label, _ in ours] == [each["label"] for each in fast]
    assert [score for _, score in ours] == pytest.approx([each["score"] for each in fast], abs=TOLERANCE)
    draw(found)


def test_next_token_of_gpt2(tmp_path: Path) -> None:
    gpt2_with_bytes(tmp_path)
    found = explain("i love", model=tmp_path)
    assert found.task == "next-token"
    logits = munjang.Model.from_pretrained(tmp_path, head="causal-lm")(
        munjang.Tokenizer.from_pretrained(tmp_path).encode("i love")
    ).logits
    assert logits is not None
    [decision] = found.decisions
    assert decision.place == 5
    assert np.abs(decision.logits - logits[0, -1]).max() < 10 * TOLERANCE
    assert np.triu(found.layers[0].weights(0), 1).max() == 0  # it looks back only
    draw(found)


def test_open_models_are_used_unchanged(tmp_path: Path) -> None:
    model_with_words(tmp_path)
    opened = load(tmp_path, "masked-lm", ModelOptions(backend="numpy"))
    assert isinstance(opened, Loaded)
    by_name, by_object = (explain("[MASK] is fun", model=model) for model in (tmp_path, opened))
    np.testing.assert_array_equal(by_name.decisions[0].logits, by_object.decisions[0].logits)
    assert decide("features", {}, opened.model, opened.tokenizer, None, 5) == ()


def test_only_tokens_need_no_weights(tmp_path: Path) -> None:
    model_with_words(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    found = explain("i love", "paris", model=tmp_path, task="tokenize")
    assert found.rows.tokens == ["[CLS]", "i", "love", "[SEP]", "paris", "[SEP]"]
    assert found.rows.characters == ["", "i", "love", "", "paris", ""]
    assert (found.layers, found.embeddings, found.rows.position_ids) == ((), None, None)
    draw(found)


def test_bad_input(tmp_path: Path) -> None:
    model_with_words(tmp_path)
    with pytest.raises(InputError, match=r"no mask in the text.*\[MASK\]"):
        explain("no gap", model=tmp_path, task="fill-mask")
    with pytest.raises(InputError, match="two texts"):
        explain("alone", model=tmp_path, task="next-sentence")
    with pytest.raises(CheckpointError, match="no trained sequence-classification head; it has masked-lm"):
        explain("a", model=tmp_path, task="classify")
    with pytest.raises(InputError, match="no causal-lm head"):
        explain("a", model=tmp_path, task="text-generation")
    with pytest.raises(InputError, match="Unknown task 'sing'"):
        explain("a", model=tmp_path, task="sing")
    with pytest.raises(TruncationError, match=r"42 tokens.* takes 40 at most"):
        explain("sky " * 40, model=tmp_path)
    with pytest.raises(InputTypeError, match="text must be a text, got 3"):
        explain(3, model=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="surrogate"):
        explain("\ud800", model=tmp_path)
    with pytest.raises(InputError, match="no layer 3; they are numbered 0 to 2"):
        explain("a", model=tmp_path).to_dict(layer=3)
    with pytest.raises(InputError, match="no head -1"):
        explain("a", model=tmp_path).to_text(head=-1)
    with pytest.raises(InputError, match="no layer 0; the model was not run"):
        explain("a", model=tmp_path, task="tokenize").to_html(layer=0)


def test_an_empty_text(tmp_path: Path) -> None:
    """An empty text has its special tokens."""
    model_with_words(tmp_path)
    found = explain("", model=tmp_path)
    assert found.rows.tokens == ["[CLS]", "[SEP]"]
    draw(found)


@pytest.mark.models
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "multilingual-e5-small"])
def test_sentence_vectors_of_the_catalogue(name: str) -> None:
    encoder = munjang.SentenceTransformer(name)
    found = explain(TEXT, model=name)
    assert found.sentence is not None
    assert np.abs(found.sentence.vector - encoder.encode(TEXT)).max() < TOLERANCE
    assert [step.name for step in found.sentence.steps] == ["pooled", "Normalize"]
    assert explain(TEXT, "A pair.", model=encoder).sentence is None
    draw(found)
