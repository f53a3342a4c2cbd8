"""Attributes of a loaded model, similarity, new tokens, threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from munjang import Model, SentenceTransformer, Tokenizer, util
from munjang.errors import InputError, InputTypeError
from support.peers import ARCHITECTURES
from support.sentences import MAX_TOKENS, TEXTS, Trio, make_checkpoint, make_sentence_folder


def assert_close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=tolerance)


# Settings


def test_attributes_that_can_be_set(bert: Trio) -> None:
    model = SentenceTransformer(bert.folder)
    assert model.device == "cpu"
    assert model.prompts == bert.peer.prompts
    assert model.default_prompt_name is None
    model.prompts["new"] = "new: "
    assert_close(model.encode(TEXTS, prompt_name="new"), bert.peer.encode(TEXTS, prompt="new: "))
    model.default_prompt_name = "new"
    assert_close(model.encode(TEXTS), bert.peer.encode(TEXTS, prompt="new: "))
    model.default_prompt_name = None
    model.truncate_dim = 5
    assert model.encode(TEXTS).shape == (8, 5)
    assert model.get_sentence_embedding_dimension() == model.get_embedding_dimension() == 5
    with model.truncate_embeddings(3):
        assert model.encode("a").shape == (3,)
    assert model.encode("a").shape == (5,)
    model.truncate_dim = 32
    assert model.get_sentence_embedding_dimension() == 32
    model.on_truncation = "ignore"
    assert model.on_truncation == "ignore"


def test_attributes_that_cannot_be_set(bert: Trio) -> None:
    model = SentenceTransformer(bert.folder)
    with pytest.raises(InputError, match="no prompt named 'none'"):
        model.default_prompt_name = "none"
    with pytest.raises(InputError, match="truncate_dim must be at least 1"):
        model.truncate_dim = 0
    with (
        pytest.raises(InputError, match="truncate_dim=500 is more than the 32 components"),
        model.truncate_embeddings(500),
    ):
        pass
    assert model.truncate_dim is None
    with pytest.raises(InputError, match="on_truncation must be one of 'warn', 'error', 'ignore', got 'no'"):
        model.on_truncation = "no"
    with pytest.raises(InputTypeError, match="include_prompt must be True or False, got 'no'"):
        model.set_pooling_include_prompt("no")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="prompts must map names to texts, got a list"):
        model.prompts = ["a"]  # type: ignore[assignment]
    too_many = "truncate_dim=33 is more than the 32 components of the model's vectors"
    with pytest.raises(InputError, match=too_many):
        model.truncate_dim = 33
    with pytest.raises(InputError, match=too_many):
        model.encode("a", truncate_dim=33)
    with pytest.raises(InputError, match=too_many):
        SentenceTransformer(bert.folder, truncate_dim=33)
    with pytest.raises(InputTypeError, match="prompts must map names to texts"):
        model.prompts = {"a": 5}  # type: ignore[dict-item]
    with pytest.raises(InputError, match="Unknown similarity function 'angle'"):
        model.similarity_fn_name = "angle"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"default_prompt_name": "none"}, "no prompt named 'none'; it has 'document', 'odd', 'query'"),
        ({"similarity_fn_name": "angle"}, "Unknown similarity function 'angle'"),
        ({"truncate_dim": -1}, "truncate_dim must be at least 1, got -1"),
        ({"truncate_dim": 33}, "truncate_dim=33 is more than the 32 components"),
        ({"similarity_fn_name": ""}, "Unknown similarity function ''"),
        ({"device": "cuda:0"}, "device must be None or 'cpu', got 'cuda:0'"),
        ({"backend": "onnx"}, "Unknown backend 'onnx'"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"streams": 0}, "streams must be at least 1"),
        ({"threads": 1, "streams": 2}, r"streams \(2\) must not exceed threads \(1\)"),
    ],
)
def test_unusable_arguments(options: dict[str, Any], message: str, bert: Trio) -> None:
    with pytest.raises(InputError, match=message):
        SentenceTransformer(bert.folder, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": {"a": None}}, "prompts must map names to texts, got 'a': None"),
        ({"prompts": ["a"]}, "prompts must map names to texts, got a list"),
        ({"default_prompt_name": 5}, "The name of a prompt must be a text, got 5"),
        ({"allow_pickle": "no"}, "allow_pickle must be True or False, got 'no'"),
        ({"local_files_only": "yes"}, "local_files_only must be True or False, got 'yes'"),
    ],
)
def test_arguments_of_the_wrong_type(options: dict[str, Any], message: str, bert: Trio) -> None:
    with pytest.raises(InputTypeError, match=message):
        SentenceTransformer(bert.folder, **options)


@pytest.mark.parametrize(("threads", "streams"), [(1, None), (1, 1), (2, 1), (2, 2), (3, 2)])
def test_threads_and_streams(threads: int, streams: int | None, bert: Trio) -> None:
    model = SentenceTransformer(bert.folder, threads=threads, streams=streams, device="cpu")
    assert_close(model.encode(TEXTS * 4), bert.ours.encode(TEXTS * 4), 3e-6)


def test_torchs_name_of_the_cpu(bert: Trio) -> None:
    device: Any = torch.device("cpu")
    assert SentenceTransformer(bert.folder, device=device).encode("a", device=device).shape == (32,)


def test_tokenize(bert: Trio) -> None:
    ours, theirs = bert.ours.tokenize(TEXTS), bert.peer.tokenize(TEXTS)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert bert.ours.tokenize("한국의 수도").input_ids.shape[0] == 1
    assert bert.ours.tokenize(["word " * 100]).input_ids.shape == (1, MAX_TOKENS)


# Comparing


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(name: Any, bert: Trio) -> None:
    model = SentenceTransformer(bert.folder, similarity_fn_name=name)
    assert model.similarity_fn_name == name
    assert_similar(model, bert.peer, name)
    model = SentenceTransformer(bert.folder)
    assert model.similarity_fn_name == "cosine"
    model.similarity_fn_name = name
    assert_similar(model, bert.peer, name)


def test_similarity_functions_may_be_named_by_their_enum(bert: Trio, tmp_path: Path) -> None:
    model = SentenceTransformer(bert.folder, similarity_fn_name=util.SimilarityFunction.DOT_PRODUCT)
    assert model.similarity_fn_name == "dot"
    model.similarity_fn_name = util.SimilarityFunction.EUCLIDEAN
    model.save_pretrained(tmp_path)
    assert SentenceTransformer(tmp_path).similarity_fn_name == "euclidean"


def assert_similar(model: SentenceTransformer, peer: Any, name: str) -> None:
    vectors = model.encode(TEXTS)
    before = peer.similarity_fn_name
    peer.similarity_fn_name = name
    assert_close(model.similarity(vectors, vectors[:3]), peer.similarity(vectors, vectors[:3]), 2e-4)
    pairwise = peer.similarity_pairwise(vectors, vectors[::-1].copy())
    assert_close(model.similarity_pairwise(vectors, vectors[::-1]), pairwise, 2e-4)
    peer.similarity_fn_name = before


# New words


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_add_tokens(architecture: str, tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "model", architecture).ours
    before = model.encode(TEXTS)
    words = ["zebra", "사과나무", "<new>"]
    pieces = {word: model.tokenizer.encode(word)[1:-1] for word in words}
    name = next(name for name in model.model.weights if name.endswith("word_embeddings.weight"))
    old = model.model.weights[name].copy()

    assert model.add_tokens(words) == 3
    table = model.model.weights[name]
    np.testing.assert_array_equal(table[: len(old)], old)
    for word in words:
        (row,) = model.tokenizer.encode(word)[1:-1]
        assert row >= len(old)
        assert_close(table[row], old[pieces[word]].mean(axis=0), 1e-6)
    assert_close(model.encode(TEXTS), before, 1e-6)

    texts = ["a zebra eats", "사과나무 아래", "<new>", "no new word"]
    vectors = model.encode(texts)
    model.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(SentenceTransformer(tmp_path / "saved").encode(texts), vectors)
    assert_close(load(tmp_path / "saved").encode(texts), vectors)


def load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer as Peer

    return Peer(str(folder), device="cpu")


def test_add_tokens_more_than_once(bert: Trio) -> None:
    model = SentenceTransformer(bert.folder)
    size = len(model.tokenizer)
    assert model.add_tokens("zebra") == 1
    assert model.add_tokens(["zebra", "giraffe"]) == 1
    assert model.add_tokens([]) == 0
    assert len(model.tokenizer) == model.model.config.vocab_size == size + 2
    assert np.isfinite(model.encode("zebra and giraffe")).all()
    once = SentenceTransformer(bert.folder)
    once.add_tokens(["zebra", "giraffe"])
    assert_close(model.encode("zebra giraffe"), once.encode("zebra giraffe"), 1e-6)


def test_new_words_use_spare_rows(tmp_path: Path) -> None:
    """multilingual-e5 and others have more embedding rows than tokens; new ones still start from pieces."""
    make_checkpoint("bert", tmp_path, settings={"vocab_size": 400})
    model = SentenceTransformer(tmp_path, pooling="mean")
    size = len(model.tokenizer)
    assert size < 399
    old = model.model.weights["embeddings.word_embeddings.weight"].copy()
    pieces = model.tokenizer.encode("zebra")[1:-1]
    model.add_tokens(["zebra"])
    table = model.model.weights["embeddings.word_embeddings.weight"]
    assert table.shape == old.shape
    assert_close(table[size], old[pieces].mean(axis=0), 1e-6)
    np.testing.assert_array_equal(np.delete(table, size, axis=0), np.delete(old, size, axis=0))


def test_resize_token_embeddings(tmp_path: Path) -> None:
    peer = make_checkpoint("bert", tmp_path)
    model, tokenizer = Model.from_pretrained(tmp_path), Tokenizer.from_pretrained(tmp_path)
    old = peer.get_input_embeddings().weight.detach().numpy()
    batch: dict[str, Any] = dict(tokenizer(TEXTS, padding=True, return_tensors="np"))
    before = model(**batch).last_hidden_state
    model.resize_token_embeddings(len(old) + 3, {len(old) + 1: [7, 9]})
    table = model.weights["embeddings.word_embeddings.weight"]
    assert_close(table[[len(old), len(old) + 2]], np.stack([old.mean(axis=0)] * 2), 1e-6)
    assert_close(table[len(old) + 1], old[[7, 9]].mean(axis=0), 1e-6)
    assert_close(model(**batch).last_hidden_state, before, 1e-6)
    model.resize_token_embeddings(50)
    np.testing.assert_array_equal(model.weights["embeddings.word_embeddings.weight"], old[:50])
    with pytest.raises(InputError, match="must keep at least one token, got 0"):
        model.resize_token_embeddings(0)


# Threads and processes


def test_threads_share_a_model(bert: Trio) -> None:
    model = SentenceTransformer(bert.folder)  # nothing is compiled yet
    texts = [[f"{text} {worker}" for text in TEXTS * 4] for worker in range(4)]
    expected = [bert.ours.encode(some) for some in texts]
    found: dict[int, list[Any]] = {}

    def work(worker: int) -> None:
        found[worker] = [model.encode(texts[worker]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for worker in range(4):
        for vectors in found[worker]:
            assert_close(vectors, expected[worker], 3e-6)


def _in_a_child(task: Any, *args: Any) -> None:
    """Run a task in a forked child; it must succeed within a time limit."""
    process = multiprocessing.get_context("fork").Process(target=task, args=args)
    process.start()
    process.join(30)
    alive = process.is_alive()
    if alive:
        process.kill()
    assert not alive
    assert process.exitcode == 0


def _import_only() -> None:
    from munjang import util

    assert util.cos_sim([1.0], [1.0]) == 1.0


def _encode_in_child(model: SentenceTransformer, expected: Any) -> None:
    assert_close(model.encode(TEXTS), expected, 3e-6)
    os._exit(0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a fork after threads is not to be had")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork(bert: Trio) -> None:
    expected = bert.ours.encode(TEXTS)
    _in_a_child(_import_only)
    _in_a_child(_encode_in_child, bert.ours, expected)
    assert_close(bert.ours.encode(TEXTS), expected, 0)


def test_a_model_in_a_spawned_process(tmp_path: Path) -> None:
    make_sentence_folder("bert", tmp_path / "model")
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        found = pool.apply(_encode_folder, (tmp_path / "model",))
    assert_close(found, _encode_folder(tmp_path / "model"), 0)


def _encode_folder(folder: Path) -> Any:
    return SentenceTransformer(folder).encode(TEXTS)
