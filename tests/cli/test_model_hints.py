"""If a model is not available, the message lists the models that are, and the command that trains it."""

from __future__ import annotations

from pathlib import Path

import pytest

from munjang.checkpoints.catalogue import CATALOGUE
from munjang.cli.common.needs import _NEEDS, _SAME
from munjang.models.registry import ARCHITECTURES
from support.heads import MODEL_MAKERS
from support.program import Invoke

COMMANDS = {
    "fill-mask": ("a [MASK]",),
    "next-sentence": ("a", "b"),
    "classify": ("a",),
    "tag": ("a",),
    "relate": ("a b", "--subject", "a", "--object", "b"),
    "answer": ("q", "--context", "c"),
    "generate": ("a",),
    "rerank": ("a", "-d", "b"),
}


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUNJANG_CACHE", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("MUNJANG_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "1000")


def words(result: object) -> str:
    return " ".join(str(getattr(result, "stderr", "")).replace("│", " ").split())


def hint(command: str, here: str) -> str:
    need, training = _NEEDS[command]
    made = f" `{training}` trains one; --model then takes its folder." if training else ""
    return f"Models in the cache: {here}. None of them has what `munjang {command}` needs ({need}).{made}"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("model", [(), ("--model", "klue/bert-bse")], ids=["default", "mistyped"])
def test_without_a_hub(invoke: Invoke, command: str, model: tuple[str, ...]) -> None:
    result = invoke(command, *COMMANDS[command], *model)
    shown = words(result)
    assert result.exit_code == (2 if "Missing option '--model'" in shown else 1)
    assert hint(command, "none") in shown
    assert ("Did you mean 'klue/bert-base'?" in shown) == bool(model)


def test_local_models_are_listed_with_their_heads(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of the catalogue in a cache, with the heads of BERT."""
    from munjang.checkpoints import library

    folder = MODEL_MAKERS["fill-mask"](tmp_path)
    entry = CATALOGUE[0]
    monkeypatch.setattr(library, "present_entry", lambda one, _: folder if one is entry else None)
    shown = words(invoke("answer", "q", "--context", "c"))
    heads = "sentence vectors, masked-lm, next-sentence-prediction"
    assert hint("answer", f"{entry.name} ({heads})") in shown
    shown = words(invoke("fill-mask", "a [MASK]"))
    assert f"For `munjang fill-mask`: --model {entry.name}." in shown


def test_a_model_without_the_head(invoke: Invoke, tmp_path: Path) -> None:
    model = MODEL_MAKERS["fill-mask"](tmp_path)
    result = invoke("tag", "a", "--model", model)
    assert result.exit_code == 1
    assert "no trained token-classification head" in result.stderr
    assert hint("tag", "none") in words(result)


def test_a_sentence_model(invoke: Invoke) -> None:
    result = invoke("similarity", "a", "b", "--model", "all-MiniLM-L6-v3")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "Did you mean 'all-MiniLM-L6-v2'? Models in the cache: none." in result.stderr


def test_every_need_is_a_head_and_every_training_a_command(invoke: Invoke) -> None:
    heads = {head for architecture in ARCHITECTURES.values() for head in architecture.heads}
    for command, (need, training) in _NEEDS.items():
        assert need in heads
        assert invoke(command, "--help").exit_code == 0
        flags = [word for word in training.split() if word.startswith("--")]
        shown = words_of_help(invoke, training) if training else ""
        assert all(flag in shown for flag in flags)
    for command, same in _SAME.items():
        assert same in _NEEDS
        assert invoke(*command.split(), "--help").exit_code == 0


def words_of_help(invoke: Invoke, training: str) -> str:
    result = invoke(*training.split()[1:3], "--help")
    assert result.exit_code == 0
    return str(result.stdout)
