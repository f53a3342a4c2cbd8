"""Text generation agrees with the reference implementation, and invalid calls are refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from munjang import pipeline
from munjang.backends.eight_bit import EightBitMatrix
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.tasks.generation.text_generation import TextGeneration
from munjang.tasks.loading import ModelOptions
from support.gpt2 import END, Gpt2, make_gpt2
from support.peers import random_peer

PROMPTS = [
    "The cat sat on the",
    "",
    "고양이가 지붕",
    "a",
    "The dog and the bird 🐈‍⬛ and more than the others",
]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Gpt2:
    return make_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def task(peer: Gpt2) -> TextGeneration:
    return TextGeneration(peer.folder)


def text_of(task: TextGeneration, prompt: str, **settings: Any) -> str:
    [found] = task(prompt, **settings)
    return str(found["generated_text"])


@pytest.mark.parametrize("backend", ["openvino", "numpy", "torch"])
def test_greedy_in_a_batch_of_different_lengths(peer: Gpt2, backend: str) -> None:
    ours = TextGeneration(peer.folder, options=ModelOptions(backend=backend))(PROMPTS, max_new_tokens=9)
    theirs = [peer.generate(prompt, max_new_tokens=9, do_sample=False) for prompt in PROMPTS]
    assert [found["generated_text"] for [found] in ours] == theirs


@pytest.mark.parametrize("penalty", [1.3, 4.0, 0.7])
def test_repetition_penalty(task: TextGeneration, peer: Gpt2, penalty: float) -> None:
    ours = task(PROMPTS, max_new_tokens=12, repetition_penalty=penalty)
    theirs = [
        peer.generate(prompt, max_new_tokens=12, do_sample=False, repetition_penalty=penalty)
        for prompt in PROMPTS
    ]
    assert [found["generated_text"] for [found] in ours] == theirs


def test_an_end_token_ends_a_text_and_not_its_neighbours(peer: Gpt2, tmp_path: Path) -> None:
    """The end token is a probable token, so that texts end at different steps."""
    ids = peer.tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    liked = int(peer.model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)[0, -1])
    other = make_gpt2(tmp_path, end=liked)
    ours = TextGeneration(tmp_path)(PROMPTS, max_new_tokens=15)
    theirs = []
    for prompt in PROMPTS:
        inputs = other.tokenizer(prompt or END, return_tensors="pt")
        start = inputs["input_ids"].shape[1]
        out = other.model.generate(**inputs, max_new_tokens=15, do_sample=False, pad_token_id=0)[0, start:]
        kept = out[:-1] if out[-1] == liked else out
        theirs.append(prompt + other.tokenizer.decode(kept, skip_special_tokens=True))
    assert [found["generated_text"] for [found] in ours] == theirs
    assert len({len(text) - len(prompt) for text, prompt in zip(theirs, PROMPTS, strict=True)}) > 1


def test_max_length_counts_the_prompt(task: TextGeneration, peer: Gpt2) -> None:
    prompt = "The cat sat"
    assert text_of(task, prompt, max_length=10) == peer.generate(prompt, max_length=10, do_sample=False)


def test_generation_stops_at_the_model_s_length(task: TextGeneration, peer: Gpt2) -> None:
    for prompt in ("The cat", ""):
        start = max(1, len(peer.tokenizer(prompt)["input_ids"]))
        whole = peer.generate(prompt, max_new_tokens=48 - start, do_sample=False)
        assert text_of(task, prompt, max_new_tokens=1000) == whole
        assert text_of(task, prompt, max_length=1000) == whole


def test_prefix_and_the_prompt_itself(task: TextGeneration) -> None:
    whole = text_of(task, "The cat sat", max_new_tokens=6)
    assert whole.startswith("The cat sat")
    new = whole.removeprefix("The cat sat")
    assert text_of(task, "The cat sat", max_new_tokens=6, return_full_text=False) == new
    assert text_of(task, " sat", prefix="The cat", max_new_tokens=6) == f" sat{new}"


def test_decomposed_hangul_is_read_as_composed_and_returned_unchanged(task: TextGeneration) -> None:
    import unicodedata

    composed, decomposed = "고양이", unicodedata.normalize("NFD", "고양이")
    new = text_of(task, composed, max_new_tokens=5, return_full_text=False)
    assert text_of(task, decomposed, max_new_tokens=5) == decomposed + new


def test_a_seed_is_reproducible_in_any_batch(task: TextGeneration) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 8, "seed": 5, "temperature": 1.5}
    alone = text_of(task, PROMPTS[0], **settings)
    assert text_of(task, PROMPTS[0], **settings) == alone
    together = task(PROMPTS, **settings)
    assert together[0] == [{"generated_text": alone}]
    assert task(PROMPTS, batch_size=2, **settings) == together
    assert task([PROMPTS[0], "x"], **settings)[0] == together[0]
    assert text_of(task, PROMPTS[0], max_new_tokens=8, seed=6, temperature=1.5) != alone
    unseeded = {text_of(task, PROMPTS[0], max_new_tokens=12, do_sample=True) for _ in range(3)}
    assert len(unseeded) > 1


@pytest.mark.parametrize("backend", ["openvino", "numpy", "torch"])
def test_several_texts_of_one_prompt(peer: Gpt2, backend: str) -> None:
    task = TextGeneration(peer.folder, options=ModelOptions(backend=backend))
    settings: dict[str, Any] = {"max_new_tokens": 8, "seed": 1, "temperature": 2.0}
    found = task(PROMPTS, num_return_sequences=3, **settings)
    assert [len(group) for group in found] == [3] * len(PROMPTS)
    assert len({one["generated_text"] for one in found[0]}) == 3
    assert task(PROMPTS, num_return_sequences=3, batch_size=1, **settings) == found
    # The very same draws, each prompt read once for every text.
    [first, *_] = task([PROMPTS[0]] * 3, **settings)
    assert first == found[0][:1]
    assert [group[0] for group in task([PROMPTS[0]] * 3, **settings)] == found[0]


def test_top_k_of_one_is_greedy(task: TextGeneration) -> None:
    greedy = text_of(task, PROMPTS[0], max_new_tokens=8)
    assert text_of(task, PROMPTS[0], max_new_tokens=8, top_k=1, seed=3) == greedy
    assert text_of(task, PROMPTS[0], max_new_tokens=8, top_p=1e-6, seed=3) == greedy


def test_drawn_tokens_come_as_often_as_they_are_probable(task: TextGeneration) -> None:
    """The first token of 2,000 texts, against the model's own probabilities."""
    rows = task.candidates("The cat", top_k=5, rows=5)
    kept = sum(row["probability"] for row in rows)
    found = task("The cat", max_new_tokens=1, top_k=5, seed=2, num_return_sequences=2000, batch_size=2000)
    texts = [one["generated_text"].removeprefix("The cat") for one in found]
    for row in rows:
        share = sum(text == row["token_str"] for text in texts) / len(texts)
        same = sum(other["probability"] for other in rows if other["token_str"] == row["token_str"])
        assert share == pytest.approx(same / kept, abs=0.04)


def test_stop_strings_across_tokens(task: TextGeneration) -> None:
    new = text_of(task, PROMPTS[0], max_new_tokens=20, return_full_text=False)
    for start in (0, 3, 7):
        stop = new[start : start + 4]
        cut = text_of(task, PROMPTS[0], max_new_tokens=20, stop=stop, return_full_text=False)
        assert cut == new[: new.index(stop)]
    stops = ["nowhere to be met", new[5:7], new[9:12]]
    first = min(new.index(stop) + len(stop) for stop in stops[1:])
    cut = text_of(task, PROMPTS[0], max_new_tokens=20, stop=stops, return_full_text=False)
    assert any(new[:first] == cut + stop for stop in stops)
    never = text_of(task, PROMPTS[0], max_new_tokens=20, stop=["never met", "\n\n\n"], return_full_text=False)
    assert never == new


@pytest.mark.parametrize("settings", [{}, {"seed": 7, "temperature": 3.0}, {"stop": "q"}])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_pieces_of_a_stream_are_the_text(
    task: TextGeneration, prompt: str, settings: dict[str, Any]
) -> None:
    whole = text_of(task, prompt, max_new_tokens=20, **settings)
    assert "".join(task.stream(prompt, max_new_tokens=20, **settings)) == whole
    new = list(task.stream(prompt, max_new_tokens=20, return_full_text=False, **settings))
    assert "".join(new) == whole.removeprefix(prompt)
    assert all(new)


def test_a_stream_that_is_left_leaves_the_model_usable(task: TextGeneration) -> None:
    whole = text_of(task, PROMPTS[0], max_new_tokens=10)
    stream = task.stream(PROMPTS[0], max_new_tokens=10)
    next(stream)
    next(stream)

    def interrupted() -> Iterator[str]:
        yield next(stream)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(interrupted())
    stream.close()  # type: ignore[attr-defined] # a generator
    assert list(stream) == []
    assert "".join(task.stream(PROMPTS[0], max_new_tokens=10)) == whole


def test_ctrl_c_while_the_model_computes(task: TextGeneration, monkeypatch: pytest.MonkeyPatch) -> None:
    from munjang.tasks.generation import decoding

    whole = text_of(task, PROMPTS[0], max_new_tokens=10)
    read, steps = decoding.Session.read, iter(range(100))

    def read_until_interrupted(session: decoding.Session, texts: Any, **options: Any) -> Any:
        if next(steps) == 4:
            raise KeyboardInterrupt
        return read(session, texts, **options)

    stream = task.stream(PROMPTS[0], max_new_tokens=10)
    with monkeypatch.context() as patch:
        patch.setattr(decoding.Session, "read", read_until_interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(stream)
    assert list(stream) == []
    assert text_of(task, PROMPTS[0], max_new_tokens=10) == whole


def test_two_streams_at_once(task: TextGeneration) -> None:
    texts = [text_of(task, prompt, max_new_tokens=6) for prompt in PROMPTS[2:4]]
    streams = [task.stream(prompt, max_new_tokens=6) for prompt in PROMPTS[2:4]]
    pieces: list[list[str]] = [[], []]
    for _ in range(10):
        for row, stream in zip(pieces, streams, strict=True):
            row.append(next(stream, ""))
    assert ["".join(row) for row in pieces] == texts


def test_candidates(task: TextGeneration, peer: Gpt2) -> None:
    ids = peer.tokenizer("The cat sat on the", return_tensors="pt")
    with torch.no_grad():
        logits = peer.model(**ids).logits[0, -1]
    probabilities = torch.softmax(logits / 1.5, dim=-1).numpy()
    rows = task.candidates("The cat sat on the", top_k=3, top_p=0.4, temperature=1.5, rows=40)
    assert len(rows) == 40
    assert [row["token"] for row in rows] == np.argsort(-probabilities)[:40].tolist()
    assert [row["probability"] for row in rows] == pytest.approx(np.sort(probabilities)[::-1][:40], abs=1e-5)
    assert [row["cumulative"] for row in rows] == pytest.approx(
        np.cumsum(np.sort(probabilities)[::-1])[:40], abs=1e-5
    )
    assert [row["kept_by_top_k"] for row in rows] == [True] * 3 + [False] * 37
    needed = 1 + next(i for i, row in enumerate(rows) if row["cumulative"] >= 0.4)
    assert [row["kept_by_top_p"] for row in rows] == [True] * needed + [False] * (40 - needed)
    assert rows[0]["token_str"] == peer.tokenizer.decode([rows[0]["token"]])
    assert len(task.candidates("x", top_k=7)) == 7
    assert len(task.candidates("x")) == 10


def test_perplexity(task: TextGeneration, peer: Gpt2) -> None:
    texts = ["The cat sat on the mat.", "고양이가 지붕 위에", "x"]
    losses, count = 0.0, 0
    for text in texts[:2]:
        ids = peer.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            losses += float(peer.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert task.perplexity(texts) == pytest.approx(math.exp(losses / count), rel=1e-4)
    assert task.perplexity(texts[0]) == pytest.approx(task.perplexity(texts[:1]))
    long = "The cat sat on the mat. " * 30
    assert task.perplexity(long) > 1  # longer than the model: in parts
    with pytest.raises(InputError, match="two tokens"):
        task.perplexity("x")


def test_a_long_text_in_parts_has_the_same_perplexity(task: TextGeneration, monkeypatch: Any) -> None:
    text = "The cat sat on the mat. 고양이가 지붕 위에"
    whole = task.perplexity(text)
    monkeypatch.setattr("munjang.tasks.generation.causal._PIECE", 5)
    assert task.perplexity(text) == pytest.approx(whole, rel=1e-5)


def test_eight_bit_weights_equal_rounded_single_precision(peer: Gpt2, tmp_path: Path) -> None:
    """The same as single precision over the rounded matrices, except for looked-up rows."""
    task = TextGeneration(peer.folder, weights="int8")
    assert task.weights == "int8"
    rounded = TextGeneration(peer.folder)
    model, weights = rounded.model, dict(rounded.model.weights)
    for name, value in weights.items():
        if value.ndim == 2 and "wte" not in name and "wpe" not in name:
            weights[name] = np.ascontiguousarray(EightBitMatrix.of(value, transposed=False).restored().T)
    model.set_weights(weights)
    ids = np.array([[5, 9, 60, 200, 31]])
    hidden = model(ids, outputs=["last_hidden_state"]).last_hidden_state
    assert hidden is not None
    head = EightBitMatrix.of(weights["transformer.wte.weight"], transposed=True).restored()
    expected = hidden[0] @ head.T
    ours = task._reader.session().read(ids.tolist(), every_token=True)
    assert np.abs(ours - expected).max() < 1e-3 * np.abs(expected).max()
    assert task.perplexity("The cat sat on the mat.") == pytest.approx(
        TextGeneration(peer.folder).perplexity("The cat sat on the mat."), rel=0.2
    )


def test_rounding_to_eight_bits() -> None:
    weight = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    weight[2] = 0
    matrix = EightBitMatrix.of(weight, transposed=True)
    assert np.abs(matrix.restored() - weight).max() <= np.abs(weight).max() / 254 + 1e-6
    assert np.abs(matrix.restored()).max(axis=1) == pytest.approx(np.abs(weight).max(axis=1))
    assert (EightBitMatrix.of(weight.T, transposed=False).values == matrix.values).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "do_sample=False"),
        ({"temperature": -0.5}, "temperature must be above 0, got -0.5"),
        ({"temperature": math.nan}, "temperature must be a number, got nan"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.2}, "at most 1, got 1.2"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"num_return_sequences": 2}, "do_sample=True"),
        ({"num_return_sequences": 0}, "at least 1"),
        ({"do_sample": False, "top_k": 5}, "top_k=5 would have no effect"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"max_new_tokens": 5, "max_length": 9}, "pass only one"),
        ({"max_length": 2}, "counts the prompt"),
        ({"stop": ""}, "empty"),
        ({"stop": ["a", ""]}, "empty"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_unusable_settings(task: TextGeneration, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task("The cat sat", **settings)
    if settings.keys() <= {"temperature", "top_p", "top_k", "stop", "max_length", "max_new_tokens", "seed"}:
        with pytest.raises(InputError, match=message):
            task.stream("The cat sat", **settings)  # by the call, not with the first piece


@pytest.mark.parametrize(
    "settings",
    [{"temperature": "1"}, {"top_k": 2.5}, {"top_p": True}, {"seed": 0.5}, {"stop": [1]}, {"prefix": None}],
)
def test_settings_of_a_wrong_type(task: TextGeneration, settings: dict[str, Any]) -> None:
    with pytest.raises(InputTypeError):
        task("The cat sat", **settings)


def test_unusable_prompts(task: TextGeneration) -> None:
    for prompts in (3, None, ["a", 3], [("a", "b")], b"a"):
        with pytest.raises(InputTypeError):
            task(prompts)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Prompt 1 has \d+ tokens, and the model takes 48"):
        task(["short", "고양이가 " * 30])
    with pytest.raises(InputError, match="surrogate"):
        task("\ud800")
    with pytest.raises(TypeError, match="unexpected keyword"):
        task("a", temprature=2.0)  # type: ignore[call-overload]
    assert task([]) == []


def test_an_empty_prompt_without_a_start_token(peer: Gpt2) -> None:
    task = TextGeneration(peer.folder)
    task._reader._starts.clear()
    with pytest.raises(InputError, match="empty"):
        task("")


def test_a_model_without_a_causal_head(tmp_path: Path) -> None:
    from support.gpt2 import byte_level

    random_peer("bert", tmp_path)
    byte_level().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises((InputError, CheckpointError), match="causal-lm"):
        TextGeneration(tmp_path)


def test_a_tokenizer_of_another_model(peer: Gpt2, tmp_path: Path) -> None:
    from munjang.tasks.loading import load

    loaded = load(peer.folder, "causal-lm")
    loaded.tokenizer.add_tokens(["<new>"])
    with pytest.raises(InputError, match="do not belong together"):
        TextGeneration(loaded)("<new> a")


def test_eight_bits_need_openvino(peer: Gpt2) -> None:
    with pytest.raises(InputError, match="openvino"):
        TextGeneration(peer.folder, weights="int8", options=ModelOptions(backend="numpy"))
    with pytest.raises(InputError, match="'int4'"):
        TextGeneration(peer.folder, weights="int4")  # type: ignore[arg-type]


def test_pipeline(peer: Gpt2, task: TextGeneration) -> None:
    found = pipeline("text-generation", peer.folder)("The cat", max_new_tokens=4)
    assert found == task("The cat", max_new_tokens=4)
