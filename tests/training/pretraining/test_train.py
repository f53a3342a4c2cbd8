"""Pre-training from files: from texts to a model in one call, stopped and resumed, or from a checkpoint.

What can be wrong: the files (none, empty, one document), the share to hold out, settings that do not go
together, the vocabulary, the output.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import munjang
from munjang import Tokenizer
from munjang.errors import DataFileError, InputError, InputTypeError, UnknownModelError
from munjang.training.loop.watchers import Step
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.train import train_masked_language_model
from support.pretraining import DOCUMENTS, OPTIONS, SIZES, losses, make_tokenizer, run_of, write_documents

SHORT = replace(OPTIONS, epochs=2)
KINDS: Mapping[str, Mapping[str, Any]] = {
    "masked": {"whole_words": True},
    "sentences": {"next_sentences": True},
    "electra": {"objective": "electra", "generator_size": 0.5},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The documents in two files, one of them packed."""
    folder = tmp_path_factory.mktemp("texts")
    first = write_documents(folder / "a.txt", DOCUMENTS[:16])
    second = write_documents(folder / "b.txt", DOCUMENTS[16:])
    packed = folder / "b.txt.gz"
    packed.write_bytes(gzip.compress(second.read_bytes()))
    return [first, packed]


class StopAfter:
    """Interrupts the run when an update is done, as a second Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self._step = step
        self.done = 0

    def begin(self, steps: int, done: int) -> None:
        self.done = done

    def step(self, step: Step) -> None:
        if step.step == self._step:
            raise KeyboardInterrupt

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_resumes_exactly(
    tokenizer: Tokenizer, texts: list[Path], tmp_path: Path, kind: str
) -> None:
    def run(name: str, *watchers: StopAfter) -> None:
        train_masked_language_model(
            texts,
            tokenizer=tokenizer.name_or_path,
            output=tmp_path / name,
            held_out=0.2,
            options=replace(SHORT, checkpoint_steps=3),
            watchers=watchers,
            **run_of({**SIZES, **KINDS[kind], "corpus_folder": tmp_path / "corpus"}),
        )

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", StopAfter(5))
    later = StopAfter(0)
    run("stopped", later)
    assert later.done == 3
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    files = ["model.safetensors", *(["generator/model.safetensors"] if kind == "electra" else [])]
    for file in files:
        found, wanted = (load_file(tmp_path / name / file) for name in ("stopped", "whole"))
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_adapts_to_other_texts(
    tokenizer: Tokenizer, texts: list[Path], tmp_path: Path, kind: str
) -> None:
    """It begins with what the first run learned, the generator included."""
    settings: dict[str, Any] = {"held_out": texts[1], "options": OPTIONS, **KINDS[kind]}
    first = train_masked_language_model(
        texts[0], tokenizer=tokenizer, output=tmp_path / "first", **run_of({**settings, **SIZES})
    )
    settings.pop("generator_size", None)
    settings["options"] = replace(OPTIONS, learning_rate=1e-9, max_steps=1)
    later = train_masked_language_model(
        texts[0],
        model=tmp_path / "first",
        output=tmp_path / "later",
        **run_of({**settings, "max_length": SIZES["max_length"]}),
    )
    assert later.metrics == pytest.approx(first.metrics, rel=1e-4)
    assert (tmp_path / "first.corpus" / "train" / "corpus.json").is_file()
    assert Tokenizer.from_pretrained(tmp_path / "later").model_max_length == SIZES["max_length"]
    assert tokenizer.model_max_length == 512
    folder = tmp_path / "later" / ("generator" if kind == "electra" else "")
    assert munjang.pipeline("fill-mask", folder)("서울에서 기차를 [MASK].")


def test_a_generator_is_found_named_or_created(
    tokenizer: Tokenizer, texts: list[Path], tmp_path: Path
) -> None:
    """Published generators are in separate folders; without a generator, its weights start at random."""
    first = train_masked_language_model(
        texts,
        tokenizer=tokenizer,
        output=tmp_path / "first",
        options=OPTIONS,
        **run_of({"objective": "electra", **SIZES}),
    )
    apart = (first.folder / "generator").rename(tmp_path / "apart")
    found: dict[str, float] = {}
    ways: dict[str, dict[str, Any]] = {
        "named": {"generator": apart},
        "begun": {},
        "wide": {"generator_size": 1.0},
    }
    for name, settings in ways.items():
        result = train_masked_language_model(
            texts,
            model=first.folder,
            output=tmp_path / name,
            held_out=texts[0],
            options=replace(OPTIONS, learning_rate=1e-9, max_steps=1),
            **run_of({"objective": "electra", **settings}),
        )
        found[name] = result.metrics["generator_loss"]
    assert found["named"] < 0.9 * found["begun"]
    assert found["wide"] > found["named"]
    width = munjang.Model.from_pretrained(tmp_path / "wide" / "generator", None).config.hidden_size
    assert width == SIZES["width"]


def test_no_text_is_in_both_parts(tokenizer: Tokenizer, texts: list[Path], tmp_path: Path) -> None:
    options = replace(OPTIONS, max_steps=1)
    train_masked_language_model(
        texts, tokenizer=tokenizer, output=tmp_path / "run", held_out=0.3, options=options, **run_of(SIZES)
    )
    learned, held = (TokenCorpus.open(tmp_path / "run.corpus" / name) for name in ("train", "held-out"))
    assert len(learned) + len(held) == sum(len(document) for document in DOCUMENTS)
    report = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert learned.fingerprint in report
    assert held.fingerprint in report


def test_another_run_is_not_resumed(tokenizer: Tokenizer, texts: list[Path], tmp_path: Path) -> None:
    def run(files: list[Path], **settings: Any) -> None:
        train_masked_language_model(
            files,
            tokenizer=tokenizer,
            output=tmp_path / "run",
            options=replace(OPTIONS, max_steps=1),
            **run_of({**SIZES, **settings}),
        )

    run(texts)
    with pytest.raises(InputError, match="holds another run: 'corpus'"):
        run(texts[:1])
    with pytest.raises(InputError, match="holds another run: 'hidden'"):
        run(texts, whole_words=True)
    with pytest.raises(InputError, match="holds another run: 'config checksum'"):
        run(texts, dropout=0.2)


def test_conflicting_settings_are_refused(tokenizer: Tokenizer, texts: list[Path], tmp_path: Path) -> None:
    def run(**settings: Any) -> None:
        train_masked_language_model(texts, output=tmp_path / "run", options=SHORT, **run_of(settings))

    new = {"tokenizer": tokenizer, **SIZES}
    wrong: list[tuple[Mapping[str, Any], str]] = [
        ({}, "Pass the tokenizer of a new model, or a model"),
        ({**new, "model": tmp_path}, "give a tokenizer or a model, not both"),
        ({"model": tmp_path, "layers": 3}, "layers is for a new model"),
        ({**new, "objective": "gpt"}, "objective must be one of 'masked', 'electra', got 'gpt'"),
        ({**new, "objective": "electra", "next_sentences": True}, "not with objective='electra'"),
        ({**new, "generator_size": 0.5}, "A generator is part of objective='electra' only"),
        ({**new, "objective": "electra", "generator": "x", "generator_size": 0.5}, "has a fixed size"),
        ({**new, "objective": "electra", "model_type": "bert"}, "by a model of type 'electra', not 'bert'"),
        ({**new, "next_sentences": True, "model_type": "roberta"}, "of type 'bert', not 'roberta'"),
        ({**new, "model_type": "gpt2"}, "model_type must be one of .*, got 'gpt2'"),
        ({**new, "probability": 0.0}, "probability must be above 0"),
        ({**new, "held_out": 1.5}, "must be between 0 and 1, got 1.5"),
        ({**new, "held_out": True}, "must be between 0 and 1, got True"),
        ({**new, "held_out": 1e-9}, "leaves none to measure on"),
    ]
    for settings, message in wrong:
        with pytest.raises(InputError, match=message):
            run(**settings)
    with pytest.raises(UnknownModelError):
        run(model=tmp_path / "nothing")
    assert not (tmp_path / "run").exists()


def test_files_without_text_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    def run(files: Any, **settings: Any) -> None:
        train_masked_language_model(
            files,
            tokenizer=tokenizer,
            output=tmp_path / "run",
            options=SHORT,
            **run_of({**SIZES, **settings}),
        )

    good, empty = write_documents(tmp_path / "good.txt"), tmp_path / "empty.txt"
    empty.write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataFileError, match="has no text"):
        run([good, empty])
    with pytest.raises(DataFileError, match="has no text"):
        run(good, held_out=empty)
    with pytest.raises(DataFileError):
        run(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="the list is empty"):
        run([])
    with pytest.raises(InputTypeError):
        run(3)
    single = write_documents(tmp_path / "single.txt", [[line for text in DOCUMENTS for line in text]])
    with pytest.raises(InputError, match="need several documents"):
        run(single, next_sentences=True)


def test_a_vocabulary_without_a_mask_token_is_refused(texts: list[Path], tmp_path: Path) -> None:
    from support.gpt2 import make_gpt2

    gpt2 = make_gpt2(tmp_path / "gpt2").folder
    with pytest.raises(InputError, match="has no mask token"):
        train_masked_language_model(texts, tokenizer=gpt2, output=tmp_path / "run", **run_of(SIZES))
