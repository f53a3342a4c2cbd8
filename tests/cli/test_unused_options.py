"""An option that has no effect in the chosen mode is refused by its name, before anything is opened."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from support.program import Invoke

FILES = {
    "a.txt": "가\n나\n",
    "a.jsonl": '{"text": "가"}\n',
    "a.csv": "text\n가\n",
    "pairs.csv": "sentence1,sentence2,score\n가,나,1\n다,라,0\n",
    "nli.csv": "text,text_pair,label\n가,나,1\n다,라,0\n",
}
TRAIN = "--data a.csv -o out"
REFUSED = [
    ("classify 가 -m m --template 'It is {}.'", "--template"),
    ("classify 가 -m m --multi-label", "--multi-label"),
    ("classify 가 -m m -l a --windows", "--windows"),
    ("classify 가 -m m -l a --pair 나", "--pair"),
    ("generate 가 --candidates --greedy", "--greedy"),
    ("generate 가 --candidates --sample", "--sample"),
    ("generate 가 --candidates --max-new-tokens 5", "--max-new-tokens"),
    ("generate 가 --candidates --stop x", "--stop"),
    ("generate 가 --greedy --seed 1", "--seed"),
    ("generate 가 --greedy --top-k 5", "--top-k"),
    ("generate 가 --greedy --temperature 0.5", "--temperature"),
    ("encode 가 --column text", "--column"),
    ("encode 가 --no-header", "--no-header"),
    ("encode 가 --restart", "--restart"),
    ("encode 가 --prompt a --prompt-name query", "--prompt-name"),
    ("encode -f a.jsonl --no-quoting", "--no-quoting"),
    ("encode -f a.txt --no-header", "--no-header"),
    ("similarity 가 나 --prompt a --prompt-name query", "--prompt-name"),
    ("pairs a.txt --prompt a --prompt-name query", "--prompt-name"),
    ("pairs a.txt --no-quoting", "--no-quoting"),
    ("rerank 가 -d 나 -m m --column text", "--column"),
    ("rerank 가 -d 나 -m m --encoding cp949", "--encoding"),
    ("models --json list", "--json"),
    ("evaluate retrieval a.csv --mode semantic --rerank m", "--rerank"),
    ("evaluate retrieval a.csv --mode semantic --analyzer kiwi", "--analyzer"),
    ("evaluate similarity pairs.csv --cross-encoder -m m --prompt a", "--prompt"),
    ("evaluate similarity pairs.csv --cross-encoder -m m --pooling cls", "--pooling"),
    ("evaluate similarity pairs.csv --prompt a --prompt-name query", "--prompt-name"),
    ("evaluate classification a.jsonl -m m --no-quoting", "--no-quoting"),
    (f"train classification {TRAIN} --patience 2", "--patience"),
    (f"train classification {TRAIN} --dev a.csv --dev-share 0.1", "--dev-share"),
    (f"train classification {TRAIN} --max-steps 2 --epochs 1", "--epochs"),
    (f"train classification {TRAIN} --batch-tokens 9 --batch-size 2", "--batch-size"),
    (f"train classification {TRAIN} --regression --labels a,b", "--labels"),
    ("train classification --data a.jsonl -o out --no-quoting", "--no-quoting"),
    (f"train reranker {TRAIN} --kind scores --positive 1", "--positive"),
    (f"train reranker {TRAIN} --highest 5", "--highest"),
    (f"train sentences {TRAIN} --labels a,b", "--labels"),
    (f"train sentences {TRAIN} --loss SoftmaxLoss --score-scale 5", "--score-scale"),
    (f"train sentences {TRAIN} --loss MultipleNegativesRankingLoss --token-budget 9", "--token-budget"),
    (f"train sentences {TRAIN} --dev-kind scores", "--dev-kind"),
    (f"train language-model {TRAIN} --model m --layers 2", "--layers"),
    (f"train language-model {TRAIN} --model m --generator-size 0.5", "--generator-size"),
    (f"train distill classification {TRAIN} -t m --column text", "--column"),
    (f"train distill classification {TRAIN} -t m --unlabelled --alpha 0.5", "--alpha"),
    (f"train distill classification {TRAIN} -t m --student s --layers 2", "--layers"),
    (f"train distill sentences {TRAIN} -t m --column text", "--column"),
    (f"train distill sentences {TRAIN} -t m --kind texts --gold 0.5", "--gold"),
    ("train mine --data a.csv -o out.jsonl --seed 3", "--seed"),
    ("train trim -o out --min-count 3", "--min-count"),
]


@pytest.mark.parametrize(("line", "option"), REFUSED)
def test_an_option_without_effect_is_refused(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, option: str
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = invoke(*shlex.split(line))
    assert result.exit_code == 2, result.output
    assert f"Invalid value for {option}: " in " ".join(result.stderr.replace("│", " ").split())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    ("line", "explained"),
    [
        (
            "search 가 --file a.txt --mode dense",
            "'--mode': 'dense' is not one of 'hybrid', 'semantic', 'lexical'.",
        ),
        ("features 가 --level sentence", "'--level': 'sentence' is not one of 'token', "),
        ("search 가 --file a.txt --top x", "'--top' / '-k': Input should be a valid integer"),
        ("train sentences --epochs x", "'--epochs': Input should be a valid number"),
    ],
)
def test_a_wrong_value_is_explained_without_words_of_python(
    invoke: Invoke, line: str, explained: str
) -> None:
    result = invoke(*shlex.split(line))
    message = " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2
    assert f"Invalid value for {explained}" in message
    assert "Value error" not in message
    assert "parse" not in message


def test_an_explanation_without_answers_refuses_top(invoke: Invoke, model: Path) -> None:
    result = invoke("explain", "가", "--task", "tokenize", "--top", 3, "-m", model)
    assert result.exit_code == 2
    assert "--top" in result.stderr


def test_too_many_dimensions(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("가\n", encoding="utf-8")
    for more in (("가",), ("--file", tmp_path / "a.txt", "--output", tmp_path / "out.npy")):
        result = invoke("encode", *more, "--truncate-dim", 33, "--model", model)
        assert result.exit_code == 1
        assert "33 is more than the 32 components of the model's vectors" in result.stderr
        assert result.stdout == ""
    assert invoke("encode", "가", "--truncate-dim", 32, "--model", model).exit_code == 0
