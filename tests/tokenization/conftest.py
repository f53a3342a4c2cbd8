"""Small vocabularies of every kind, made here, so that these tests need no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from munjang.checkpoints import open_checkpoint
from munjang.tokenization import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "sat", "on", "mat", "Seoul", "love", "i", "cafe", "café", "naive"]
WORDS += ["서울", "은", "대한민국", "의", "수도", "한국어", "문장", "고양이", "축구", "정말"]
ENDINGS = ["s", "ing", "ed", "는", "은", "을", "이", "가", "의", "다", "어", "요"]
LETTERS = "abcdefghijklmnopqrstuvwxyzéABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LETTERS += "가나다라마바사아자차카타파하각한글ㅋㅎ中文字"
PUNCTUATION = [".", ",", "!", "?", "'", '"', "(", ")", "-", ":", "/", "@", "#", "。", "‘", "’", "…"]
CORPUS = [
    "The cat sat on the mat with a hat, and the other cat sat on that cat.",
    "Seoul is the capital of the Republic of Korea!",
    "서울은 대한민국의 수도입니다. 한국어 문장을 읽고 문장을 씁니다.",
    "축구는 정말 재미있는 일이다. 고양이는 정말 귀엽다.",
    "naïve café — 123,456 + 789 = ? @home #tag",
] * 20

FolderMaker = Callable[..., Path]


def write_json(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


@pytest.fixture
def wordpiece_folder(tmp_path: Path) -> FolderMaker:
    """Return a folder with a ``vocab.txt`` and the given keys in ``tokenizer_config.json``."""

    def make(*, model_type: str = "bert", extra: list[str] | None = None, **config: Any) -> Path:
        pieces = [*SPECIAL, *WORDS, *PUNCTUATION, *LETTERS, *(f"##{piece}" for piece in [*ENDINGS, *LETTERS])]
        pieces = list(dict.fromkeys([*pieces, *(extra or [])]))
        (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
        write_json(tmp_path, config={"model_type": model_type}, tokenizer_config=config)
        return tmp_path

    return make


@pytest.fixture
def bpe_folder(tmp_path: Path) -> FolderMaker:
    """A folder with the ``vocab.json`` and ``merges.txt`` of a small byte-level pair encoding."""

    def make(*, model_type: str = "roberta", **config: Any) -> Path:
        special = (
            ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if model_type == "roberta" else ["<|endoftext|>"]
        )
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        backend.train_from_iterator(CORPUS, trainer)
        backend.model.save(str(tmp_path))
        write_json(tmp_path, config={"model_type": model_type}, tokenizer_config=config)
        return tmp_path

    return make


@pytest.fixture
def unigram_folder(tmp_path: Path) -> FolderMaker:
    """A folder with the ``tokenizer.json`` of a small Unigram model, laid out as XLM-RoBERTa's is."""

    def make(**config: Any) -> Path:
        backend = tokenizers.Tokenizer(models.Unigram())
        backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("…", "...")])
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
        )
        backend.decoder = decoders.Metaspace(prepend_scheme="always")
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trainer = trainers.UnigramTrainer(
            vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False
        )
        backend.train_from_iterator(CORPUS, trainer)
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        backend.save(str(tmp_path / "tokenizer.json"))
        named = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
        named |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **named, **config}
        write_json(tmp_path, config={"model_type": "xlm-roberta"}, tokenizer_config=config)
        return tmp_path

    return make


KINDS = (
    "bert-uncased",
    "bert-cased",
    "bert-accents",
    "bert-plain",
    "electra",
    "distilbert",
    "roberta",
    "gpt2",
    "unigram",
)


@pytest.fixture(params=KINDS)
def folder(
    request: pytest.FixtureRequest,
    wordpiece_folder: FolderMaker,
    bpe_folder: FolderMaker,
    unigram_folder: FolderMaker,
) -> Path:
    """One folder of each kind of tokeniser."""
    makers: dict[str, Callable[[], Path]] = {
        "bert-uncased": lambda: wordpiece_folder(tokenizer_class="BertTokenizer", model_max_length=32),
        "bert-cased": lambda: wordpiece_folder(tokenizer_class="BertTokenizer", do_lower_case=False),
        "bert-accents": lambda: wordpiece_folder(do_lower_case=False, strip_accents=True),
        "bert-plain": lambda: wordpiece_folder(
            do_lower_case=True, strip_accents=False, tokenize_chinese_chars=False
        ),
        "electra": lambda: wordpiece_folder(model_type="electra", do_lower_case=False),
        "distilbert": lambda: wordpiece_folder(
            model_type="distilbert", tokenizer_class="DistilBertTokenizer"
        ),
        "roberta": bpe_folder,
        "gpt2": lambda: bpe_folder(model_type="gpt2", pad_token="<|endoftext|>"),
        "unigram": unigram_folder,
    }
    return makers[request.param]()


@pytest.fixture
def ours(folder: Path) -> Tokenizer:
    """Our tokeniser of the folder."""
    return Tokenizer.from_pretrained(folder)


@pytest.fixture
def theirs(folder: Path) -> Any:
    """The reference's tokeniser of the folder."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def small(wordpiece_folder: FolderMaker) -> Tokenizer:
    """A WordPiece tokeniser that lowers case and keeps accents, and with them Hangul, in one piece."""
    return Tokenizer.from_pretrained(wordpiece_folder(strip_accents=False))


@pytest.fixture
def stripping(wordpiece_folder: FolderMaker) -> Tokenizer:
    """A WordPiece tokeniser of the plain uncased kind, which takes Hangul apart into jamo."""
    return Tokenizer.from_pretrained(wordpiece_folder(do_lower_case=True))


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, fetched on first use."""
    return open_checkpoint("all-MiniLM-L6-v2").path


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path) -> Tokenizer:
    """The tokeniser of all-MiniLM-L6-v2."""
    return Tokenizer.from_pretrained(minilm_folder)
