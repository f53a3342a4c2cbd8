"""`CrossEncoder` gives the scores of sentence-transformers, for all options."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as Peer

from munjang import CrossEncoder
from munjang.errors import (
    CheckpointError,
    InputError,
    InputTypeError,
    TruncationError,
    UnsupportedModelError,
)
from munjang.runtime.notices import TruncationWarning
from munjang.sentence.program import TORCH_ACTIVATIONS
from support.peers import ARCHITECTURES
from support.sentences import MAX_TOKENS, TEXTS, make_checkpoint, make_pair_checkpoint, modify_json

QUERY = "한국의 수도는 어디인가요? A man"
PAIRS = [(QUERY, text) for text in TEXTS] + [(text, QUERY) for text in TEXTS]
LONG = "A man is eating food and the girl is carrying a baby. " * 5


def assert_close(ours: Any, theirs: Any) -> None:
    expected = np.asarray(theirs)
    assert np.shape(ours) == expected.shape
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=1e-5)


@dataclass(frozen=True, slots=True)
class Scorer:
    """One cross-encoder: its folder, our model of it, and the reference's."""

    folder: Path
    ours: CrossEncoder
    peer: Any

    @classmethod
    def make(cls, folder: Path, architecture: str = "bert", labels: int = 1) -> Scorer:
        peer = make_pair_checkpoint(architecture, folder, labels=labels)
        return cls(folder, CrossEncoder(folder), peer)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer.make(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer.make(tmp_path_factory.mktemp("three"), labels=3)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_every_architecture(architecture: str, labels: int, tmp_path: Path) -> None:
    """Token types of pairs among them: RoBERTa has none, whatever its config says of two."""
    scorer = Scorer.make(tmp_path, architecture, labels)
    assert scorer.ours.num_labels == labels
    assert_close(scorer.ours.predict(PAIRS), scorer.peer.predict(PAIRS))
    logits = torch.nn.Identity()
    assert_close(
        scorer.ours.predict(PAIRS, activation_fn="identity"), scorer.peer.predict(PAIRS, activation_fn=logits)
    )


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_backend(backend: str, one: Scorer) -> None:
    assert_close(CrossEncoder(one.folder, backend=backend).predict(PAIRS), one.ours.predict(PAIRS))


def test_forms_of_input(one: Scorer, three: Scorer) -> None:
    for scorer in (one, three):
        expected = scorer.peer.predict(PAIRS)
        forms: list[Any] = [PAIRS, tuple(PAIRS), [list(pair) for pair in PAIRS], np.array(PAIRS), iter(PAIRS)]
        forms += [np.array(PAIRS, dtype=object), [np.array(pair) for pair in PAIRS]]
        forms += [zip(*zip(*PAIRS, strict=True), strict=True)]
        for form in forms:
            assert_close(scorer.ours.predict(form), expected)
        for single in (PAIRS[0], list(PAIRS[0]), np.array(PAIRS[0])):
            assert_close(scorer.ours.predict(single), expected[0])
        assert_close(scorer.ours.predict(PAIRS[:2]), expected[:2])  # two pairs are not one
        assert_close(scorer.ours.predict(PAIRS[:1]), expected[:1])
    assert one.ours.predict([]).shape == (0,)
    assert three.ours.predict([]).shape == (0, 3)
    assert one.ours.predict([]).dtype == one.ours.predict(PAIRS).dtype == np.float32
    assert np.ndim(one.ours.predict(PAIRS[0])) == 0


def test_batch_size_and_order_have_no_influence(one: Scorer) -> None:
    expected = one.ours.predict(PAIRS * 3)
    for size in (1, 3, 500):
        np.testing.assert_allclose(one.ours.predict(PAIRS * 3, batch_size=size), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(one.ours.predict(PAIRS[::-1]), expected[: len(PAIRS)][::-1], rtol=0, atol=1e-6)


def test_forms_of_output(one: Scorer, three: Scorer) -> None:
    for scorer in (one, three):
        tensor, theirs = (
            model.predict(PAIRS, convert_to_tensor=True) for model in (scorer.ours, scorer.peer)
        )
        assert isinstance(tensor, torch.Tensor)
        assert_close(tensor, theirs)
        several = scorer.ours.predict(PAIRS, convert_to_numpy=False)
        assert all(isinstance(score, torch.Tensor) for score in several)
        assert_close(torch.stack(several), theirs)
        assert_close(scorer.ours.predict(PAIRS[0], convert_to_tensor=True), theirs[0])
        assert_close(scorer.ours.predict(PAIRS[0], convert_to_numpy=False), theirs[0])


def test_arrays_where_torch_was_not_imported(one: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert isinstance(one.ours.predict(PAIRS, convert_to_tensor=True), np.ndarray)
    with pytest.raises(TypeError):  # without torch there is no tensor to pass
        one.ours.predict(PAIRS, activation_fn=torch.sigmoid)


# Activations

FUNCTIONS: dict[str, Callable[[], Any]] = {
    **{name: getattr(torch.nn, name) for name in TORCH_ACTIVATIONS},
    "Softmax": lambda: torch.nn.Softmax(dim=-1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_by_name_and_of_torch(name: str, one: Scorer, three: Scorer) -> None:
    for scorer in (one, three):
        module = FUNCTIONS[name]()
        expected = scorer.peer.predict(PAIRS, activation_fn=module)
        for activation in (name, name.lower(), f"torch.nn.modules.activation.{name}", module):
            assert_close(scorer.ours.predict(PAIRS, activation_fn=activation), expected)
    model = CrossEncoder(three.folder, activation_fn=name)
    assert_close(model.predict(PAIRS), expected)
    assert getattr(model.activation_fn, "__name__", None) == name.lower()  # what training records


def test_custom_activations(three: Scorer) -> None:
    logits = three.ours.predict(PAIRS, activation_fn="identity")
    own: list[tuple[Any, Any]] = [
        (lambda x: x * 2, logits * 2),
        (np.exp, np.exp(logits)),
        (torch.sigmoid, 1 / (1 + np.exp(-logits))),
        (lambda x: torch.sigmoid(x), 1 / (1 + np.exp(-logits))),
        (lambda x: x.clamp(min=0), np.maximum(logits, 0)),
        (torch.nn.Linear(3, 3), None),
    ]
    for function, expected in own:
        scores = three.ours.predict(PAIRS, activation_fn=function)
        assert scores.dtype == np.float32
        if expected is not None:
            assert_close(scores, expected)
    with pytest.raises(InputError, match=r"must keep the shape \(16, 3\) of the logits, it returned \(16,\)"):
        three.ours.predict(PAIRS, activation_fn=lambda x: x[:, 0])


def test_apply_softmax(one: Scorer, three: Scorer) -> None:
    assert_close(three.ours.predict(PAIRS, apply_softmax=True), three.peer.predict(PAIRS, apply_softmax=True))
    with pytest.raises(InputError, match="apply_softmax is for models of several labels"):
        one.ours.predict(PAIRS, apply_softmax=True)
    after: dict[str, Any] = {"apply_softmax": True, "activation_fn": torch.nn.Sigmoid()}
    assert_close(three.ours.predict(PAIRS, **after), three.peer.predict(PAIRS, **after))
    assert three.ours.predict([], apply_softmax=True).shape == (0, 3)


PLACES: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "own file": ("config_sentence_transformers.json", lambda name: {"activation_fn": name}),
    "nested": ("config.json", lambda name: {"sentence_transformers": {"activation_fn": name}}),
    "oldest": ("config.json", lambda name: {"sbert_ce_default_activation_function": name}),
}


@pytest.mark.parametrize(
    ("labels", "activation"),
    [
        (1, "linear.Identity"),
        (1, "activation.Tanh"),
        (3, "activation.Sigmoid"),
        (1, "activation.ReLU"),
        (3, "activation.GELU"),
        (3, "activation.LeakyReLU"),
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_the_activation_named_in_the_files(
    place: str, activation: str, labels: int, one: Scorer, three: Scorer, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree((one if labels == 1 else three).folder, folder)
    if place == "own file":  # the library reads it only beside its list of modules
        Peer(str(folder), device="cpu").save(str(folder), create_model_card=False)
    file, setting = PLACES[place]
    modify_json(folder / file, **setting(f"torch.nn.modules.{activation}"))
    assert_close(CrossEncoder(folder).predict(PAIRS), Peer(str(folder), device="cpu").predict(PAIRS))


def test_the_file_of_sentence_transformers_has_priority(one: Scorer, tmp_path: Path) -> None:
    one.peer.save(str(tmp_path), create_model_card=False)
    modify_json(
        tmp_path / "config_sentence_transformers.json", activation_fn="torch.nn.modules.linear.Identity"
    )
    modify_json(
        tmp_path / "config.json", sentence_transformers={"activation_fn": "torch.nn.modules.activation.Tanh"}
    )
    assert_close(CrossEncoder(tmp_path).predict(PAIRS), Peer(str(tmp_path), device="cpu").predict(PAIRS))


def test_an_unknown_activation_in_the_files(one: Scorer, tmp_path: Path) -> None:
    shutil.copytree(one.folder, tmp_path / "model")
    for name in ("torch.nn.modules.activation.GLU", "my.own.Sigmoid"):
        modify_json(tmp_path / "model/config.json", sentence_transformers={"activation_fn": name})
        with pytest.raises(
            UnsupportedModelError, match=f"names the activation '{name}'.*Pass activation_fn: 'sigmoid'"
        ):
            CrossEncoder(tmp_path / "model")
        chosen = CrossEncoder(tmp_path / "model", activation_fn="sigmoid")
        assert_close(chosen.predict(PAIRS), one.ours.predict(PAIRS))


# Ranking


def test_rank(one: Scorer) -> None:
    for options in (
        {},
        {"top_k": 3},
        {"top_k": 100},
        {"return_documents": True},
        {"activation_fn": torch.nn.Identity()},
    ):
        ours, theirs = (model.rank(QUERY, TEXTS, **options) for model in (one.ours, one.peer))
        assert [hit["corpus_id"] for hit in ours] == [hit["corpus_id"] for hit in theirs]
        assert_close([hit["score"] for hit in ours], [hit["score"] for hit in theirs])
        assert [hit.get("text") for hit in ours] == [hit.get("text") for hit in theirs]
        assert {type(hit["score"]) for hit in ours} == {float}
    assert one.ours.rank(QUERY, []) == []
    json.dumps(one.ours.rank(QUERY, TEXTS))


def test_equal_scores_stay_in_order(one: Scorer) -> None:
    found = one.ours.rank(QUERY, ["same"] * 6)
    assert [hit["corpus_id"] for hit in found] == list(range(6))
    assert [hit["corpus_id"] for hit in one.ours.rank(QUERY, (text for text in TEXTS), top_k=1)]  # type: ignore[arg-type]


def test_rank_needs_one_label(one: Scorer, three: Scorer) -> None:
    with pytest.raises(InputError, match="rank needs a model with one label, this one has 3; use predict"):
        three.ours.rank(QUERY, TEXTS)
    with pytest.raises(InputError, match="top_k must be at least 1, got 0"):
        one.ours.rank(QUERY, TEXTS, top_k=0)
    for wrong in ({"a": 1}, b"bytes", 5):
        with pytest.raises(
            InputTypeError, match=f"rank needs a list of documents, got one {type(wrong).__name__}"
        ):
            one.ours.rank(QUERY, wrong)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="return_documents must be True or False, got 'no'"):
        one.ours.rank(QUERY, TEXTS, return_documents="no")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="rank needs a list of documents, got one str"):
        one.ours.rank(QUERY, "one text")


# Length


def test_long_pairs(one: Scorer) -> None:
    pairs = [
        (LONG, "short"),
        ("short", LONG),
        (LONG, LONG + "more"),
        ("short", "short"),
        (LONG[:150], LONG[:150]),
    ]
    expected = one.peer.predict(pairs)
    lengths = [len(one.ours.tokenizer.encode(*pair)) for pair in pairs]
    tokens = sum(length - MAX_TOKENS for length in lengths if length > MAX_TOKENS)
    with pytest.warns(TruncationWarning) as caught:
        scores = one.ours.predict(pairs)
    assert_close(scores, expected)
    (warning,) = caught
    assert str(warning.message) == f"4 of 5 pairs were longer than 48 tokens; {tokens} tokens were cut off."
    assert warning.filename == __file__
    assert_close(CrossEncoder(one.folder, on_truncation="ignore").predict(pairs), expected)
    with pytest.raises(TruncationError, match=r"^Pair 1 is [0-9]+ tokens longer than the 48 that are read"):
        CrossEncoder(one.folder, on_truncation="error").predict([pairs[3], pairs[0]])
    with pytest.warns(TruncationWarning) as caught:
        one.ours.rank(LONG, TEXTS)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("length", [5, 12, 30])
def test_max_length(length: int, one: Scorer) -> None:
    ours = CrossEncoder(one.folder, max_length=length, on_truncation="ignore")
    peer = Peer(str(one.folder), device="cpu", max_length=length)
    assert ours.max_length == ours.max_seq_length == peer.max_seq_length == length
    assert_close(ours.predict(PAIRS), peer.predict(PAIRS))
    ours.max_length = 10_000
    assert ours.max_length == MAX_TOKENS


def test_invalid_max_lengths(one: Scorer) -> None:
    with pytest.raises(InputError, match="max_length must be at least 1, got 0"):
        CrossEncoder(one.folder, max_length=0)
    with pytest.raises(InputError, match="no room for the 3 special tokens"):
        CrossEncoder(one.folder, max_length=2).predict(PAIRS)


# Bad input


@pytest.mark.parametrize("wrong", [None, "one text", b"bytes", 5, {"a": "b"}])
def test_no_pairs(wrong: Any, one: Scorer) -> None:
    with pytest.raises(InputTypeError, match="predict needs a pair of texts or a list of pairs"):
        one.ours.predict(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([("a", "b"), None], "^Pair 1 must be two texts, got None"),
        ([("a", "b"), 5], "^Pair 1 must be two texts, got 5"),
        (["a", "b", "c"], "^Pair 0 must be two texts, got 'a'"),
        ([("a", "b", "c")], "^Pair 0 must be two texts"),
        ([("a", None)], "^Pair 0 holds a NoneType; both of its texts must be str"),
        ([("a", b"b")], "^Pair 0 holds a bytes; both of its texts must be str"),
        (("a", None), "^Pair 0 must be two texts, got 'a'"),
    ],
)
def test_wrong_pairs(wrong: Any, message: str, one: Scorer) -> None:
    with pytest.raises(InputTypeError, match=message):
        one.ours.predict(wrong)


def test_odd_texts(one: Scorer) -> None:
    pairs = [("", ""), (" ", "\x00"), ("축구", "\u200b"), ("", "text")]
    assert_close(one.ours.predict(pairs), one.peer.predict(pairs))
    with pytest.raises(InputError, match=r"^Text 1 has a lone surrogate U\+D800"):
        one.ours.predict([("a", "b"), ("a", "\ud800")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        (
            {"activation_fn": "swoosh"},
            "Unknown activation_fn 'swoosh'; there are identity, tanh, relu, relu6, gelu",
        ),
    ],
)
def test_unusable_values(options: dict[str, Any], message: str, one: Scorer) -> None:
    with pytest.raises(InputError, match=message):
        one.ours.predict(PAIRS, **options)


def test_unknown_and_wrong_arguments(one: Scorer) -> None:
    with pytest.raises(TypeError, match="normalize"):
        one.ours.predict(PAIRS, normalize=True)  # type: ignore[call-arg]
    with pytest.raises(InputTypeError, match="activation_fn must be a name or a function, got 5"):
        one.ours.predict(PAIRS, activation_fn=5)  # type: ignore[arg-type]
    for name in ("show_progress_bar", "apply_softmax", "convert_to_numpy", "convert_to_tensor"):
        options: dict[str, Any] = {name: "no"}
        with pytest.raises(InputTypeError, match=f"{name} must be True or False, got 'no'"):
            one.ours.predict(PAIRS, **options)
    with pytest.raises(InputTypeError, match="allow_pickle must be True or False, got 'no'"):
        CrossEncoder(one.folder, allow_pickle="no")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="on_truncation must be one of"):
        CrossEncoder(one.folder).on_truncation = "never"
    with pytest.raises(InputError, match="device must be None or 'cpu'"):
        CrossEncoder(one.folder, device="cuda")
    with pytest.raises(InputError, match="on_truncation must be one of"):
        CrossEncoder(one.folder, on_truncation="never")  # type: ignore[arg-type]


def test_the_progress_bar_is_on_standard_error(
    one: Scorer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    one.ours.predict(PAIRS, show_progress_bar=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Scoring" in err


# Folders


def test_no_head(tmp_path: Path) -> None:
    make_checkpoint("bert", tmp_path)
    with pytest.raises(CheckpointError, match=r"no trained sequence-classification head.*random answers"):
        CrossEncoder(tmp_path)


def test_folders_saved_by_sentence_transformers(one: Scorer, three: Scorer, tmp_path: Path) -> None:
    for scorer in (one, three):
        scorer.peer.save(str(tmp_path), create_model_card=False)
        assert (tmp_path / "modules.json").exists()
        assert_close(CrossEncoder(tmp_path).predict(PAIRS), scorer.peer.predict(PAIRS))


def test_keys_of_the_transformer(one: Scorer, tmp_path: Path) -> None:
    one.peer.save(str(tmp_path), create_model_card=False)
    modify_json(tmp_path / "sentence_bert_config.json", max_seq_length=9, do_lower_case=True)
    ours = CrossEncoder(tmp_path, on_truncation="ignore")
    assert ours.max_length == 9
    assert_close(ours.predict(PAIRS), Peer(str(tmp_path), device="cpu").predict(PAIRS))
    assert CrossEncoder(tmp_path, max_length=11).max_length == 11
    modify_json(tmp_path / "sentence_bert_config.json", processing_kwargs={"text": {"max_length": 8}})
    with pytest.raises(UnsupportedModelError, match=r"'processing_kwargs' = .* not supported"):
        CrossEncoder(tmp_path)
    modify_json(
        tmp_path / "sentence_bert_config.json", processing_kwargs=None, transformer_task="text-generation"
    )
    with pytest.raises(
        UnsupportedModelError, match="'transformer_task' = 'text-generation' is not supported"
    ):
        CrossEncoder(tmp_path)
    modify_json(tmp_path / "config_sentence_transformers.json", model_type="SentenceTransformer")
    with pytest.raises(UnsupportedModelError, match=r"open it with munjang\.SentenceTransformer"):
        CrossEncoder(tmp_path)


def test_unsupported_modules_and_prompts(one: Scorer, tmp_path: Path) -> None:
    one.peer.save(str(tmp_path), create_model_card=False)
    modules = json.loads((tmp_path / "modules.json").read_text())
    dense = {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.models.Dense"}
    (tmp_path / "modules.json").write_text(json.dumps([*modules, dense]))
    with pytest.raises(UnsupportedModelError, match=r"modules.json lists Transformer, Dense"):
        CrossEncoder(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    modify_json(tmp_path / "config_sentence_transformers.json", default_prompt_name="query")
    with pytest.raises(UnsupportedModelError, match="a cross-encoder with the default prompt 'query'"):
        CrossEncoder(tmp_path)


def test_equal_pairs_are_scored_once(one: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    run = one.ours.model.runner.run

    def counting(program: Any, texts: Any, **options: Any) -> Any:
        counts.append(len(texts))
        return run(program, texts, **options)

    monkeypatch.setattr(one.ours.model.runner, "run", counting)
    scores = one.ours.predict([*PAIRS, *PAIRS])
    assert counts == [len(set(PAIRS))]
    assert_close(scores, np.tile(one.peer.predict(PAIRS), 2))


def test_of_an_open_model(one: Scorer) -> None:
    """A model in training is scored as it is, without a folder."""
    made = CrossEncoder.of(one.ours.model, one.ours.tokenizer, activation_fn="sigmoid")
    assert_close(made.predict(PAIRS), one.peer.predict(PAIRS))
    short = CrossEncoder.of(
        one.ours.model, one.ours.tokenizer, activation_fn="identity", max_length=8, on_truncation="error"
    )
    with pytest.raises(TruncationError):
        short.predict([(LONG, LONG)])
    with pytest.raises(InputError, match="on_truncation"):
        CrossEncoder.of(one.ours.model, one.ours.tokenizer, activation_fn="sigmoid", on_truncation="cut")  # type: ignore[arg-type]
