"""Token ids on disk: the unchanged texts, built atomically and once."""

from __future__ import annotations

import errno
import gzip
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from munjang import Tokenizer
from munjang.errors import DataFileError, InputError
from munjang.tokenization.pieces import word_starts
from munjang.training.options import VocabularyTask
from munjang.training.pretraining import corpus as corpus_build
from munjang.training.pretraining.corpus import Part, TokenCorpus
from munjang.training.vocabulary.train import train_wordpiece

TEXTS = ["서울에서 기차를 탔다.", "영화가 재미있었다 ㅋㅋ", "I love [MASK] movies", "부산까지 갔다"] * 3


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_wordpiece(
        None, tmp_path_factory.mktemp("pieces"), texts=TEXTS, task=VocabularyTask(vocab_size=200)
    )


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids = tokenizer.encode(text.replace("[MASK]", "[ MASK ]"), add_special_tokens=False)
    assert not set(ids) & {0, 2, 3, 4}
    return ids


def test_each_line_is_a_document(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = write(tmp_path / "a.txt", [*TEXTS[:2], "", "  ", *TEXTS[2:]])
    corpus = TokenCorpus.build(file, tokenizer, tmp_path / "corpus")
    assert len(corpus) == len(TEXTS)
    for text, ids in zip(TEXTS, corpus, strict=True):
        assert ids.tolist() == plain_ids(tokenizer, text)
    assert corpus[-1].tolist() == corpus[len(TEXTS) - 1].tolist() == plain_ids(tokenizer, TEXTS[-1])
    assert corpus.documents.tolist() == list(range(len(TEXTS) + 1))
    assert (corpus.tokens.dtype, corpus.vocabulary_size) == (np.dtype("uint16"), len(tokenizer))
    for index in (len(TEXTS), -len(TEXTS) - 1):
        with pytest.raises(IndexError):
            corpus[index]
    again = TokenCorpus.open(tmp_path / "corpus")
    assert np.array_equal(again.tokens, corpus.tokens)
    assert np.array_equal(again.offsets, corpus.offsets)


def test_blank_lines_and_files_separate_documents(tmp_path: Path, tokenizer: Tokenizer) -> None:
    first = write(tmp_path / "a.txt", ["", TEXTS[0], TEXTS[1], " ", "", TEXTS[3], "", "\u200b"])
    second = tmp_path / "b.txt.gz"
    second.write_bytes(gzip.compress(f"{TEXTS[2]}\r\n{TEXTS[0]}".encode()))
    corpus = TokenCorpus.build([first, second], tokenizer, tmp_path / "corpus", sentences=True)
    assert corpus.documents.tolist() == [0, 2, 3, 5]
    assert [list(corpus.document(i)) for i in range(3)] == [[0, 1], [2], [3, 4]]
    assert [ids.tolist() for ids in corpus] == [plain_ids(tokenizer, TEXTS[i]) for i in (0, 1, 3, 2, 0)]


def test_decomposed_text_is_composed(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = write(tmp_path / "a.txt", [unicodedata.normalize("NFD", TEXTS[0])])
    assert TokenCorpus.build(file, tokenizer, tmp_path / "c")[0].tolist() == plain_ids(tokenizer, TEXTS[0])


def test_many_small_batches_give_the_same(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.txt", [*TEXTS, "", *TEXTS])
    whole = TokenCorpus.build(file, tokenizer, tmp_path / "whole", sentences=True)
    monkeypatch.setattr(corpus_build, "_CHARACTERS", 30)
    read: list[int] = []
    parts = TokenCorpus.build(file, tokenizer, tmp_path / "parts", sentences=True, advance=read.append)
    assert np.array_equal(whole.tokens, parts.tokens)
    assert whole.documents.tolist() == parts.documents.tolist() == [0, 12, 24]
    assert sum(read) == 25
    assert len(read) > 5


def test_a_large_vocabulary_has_wide_ids(tmp_path: Path) -> None:
    pieces = {"[UNK]": 0, **{f"w{i}": i + 1 for i in range(70_000)}}
    backend = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(tmp_path / "tokenizer.json"))
    file = write(tmp_path / "a.txt", ["w5 w69999"])
    corpus = TokenCorpus.build(file, Tokenizer.from_pretrained(tmp_path), tmp_path / "corpus")
    assert (corpus.tokens.dtype, corpus[0].tolist()) == (np.dtype("uint32"), [6, 70_000])


def test_a_corpus_that_fits_is_not_built_again(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file, folder = write(tmp_path / "a.txt", TEXTS), tmp_path / "corpus"
    other = train_wordpiece(None, tmp_path / "other", texts=TEXTS, task=VocabularyTask(vocab_size=80))

    def lines_read(**settings: Any) -> int:
        read: list[int] = []
        arguments: dict[str, Any] = {"tokenizer": tokenizer, **settings}
        TokenCorpus.build(file, folder=folder, advance=read.append, **arguments)
        return sum(read)

    assert lines_read() == 12
    assert lines_read() == 0
    assert lines_read(sentences=True) == 12
    assert lines_read(sentences=True) == 0
    assert lines_read(sentences=True, tokenizer=other) == 12
    write(file, TEXTS[:5])
    assert lines_read(sentences=True, tokenizer=other) == 5
    assert len(TokenCorpus.open(folder)) == 5
    os.utime(file, (1, 1))
    assert lines_read(sentences=True, tokenizer=other) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [".corpus.lock", "a.txt", "corpus", "other"]


def test_a_failed_build_leaves_what_was_there(tmp_path: Path, tokenizer: Tokenizer) -> None:
    good, folder = write(tmp_path / "a.txt", TEXTS), tmp_path / "corpus"
    kept = TokenCorpus.build(good, tokenizer, folder)
    bad = tmp_path / "b.txt"
    bad.write_bytes("좋다\n".encode() * 3 + "좋다\n".encode("cp949"))
    with pytest.raises(DataFileError, match=r"b\.txt', line 4: not UTF-8 .*cp949"):
        TokenCorpus.build([good, bad], tokenizer, folder)
    assert TokenCorpus.open(folder).tokens.tolist() == kept.tokens.tolist()
    assert len(TokenCorpus.build([bad], tokenizer, tmp_path / "other", encoding="cp949")) == 4
    assert not list(tmp_path.glob(".corpus-*"))


def test_a_full_disk_is_reported(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, document: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(corpus_build._Writer, "add", full)
    with pytest.raises(DataFileError, match=r"No space left on device.*make room"):
        TokenCorpus.build(write(tmp_path / "a.txt", TEXTS), tokenizer, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    assert not list(tmp_path.glob(".corpus-*"))


def test_mistakes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    good = write(tmp_path / "a.txt", TEXTS)
    blank = write(tmp_path / "blank.txt", [" ", ""])
    nothing = write(tmp_path / "nothing.txt", ["\u200b"])
    (tmp_path / "taken").mkdir()
    write(tmp_path / "taken" / "mine.txt", ["mine"])
    build: Callable[..., TokenCorpus] = TokenCorpus.build
    for files, folder, message in [
        ([good, blank], "x", "blank.txt' has no text"),
        (nothing, "x", "no text that the tokeniser"),
        (tmp_path, "x", "is a folder"),
        (tmp_path / "none.txt", "x", "There is no file"),
        (good, "a.txt", "is a file"),
        (good, "taken", "something else"),
    ]:
        with pytest.raises(DataFileError, match=message):
            build(files, tokenizer, tmp_path / folder)
    with pytest.raises(InputError, match="no character encoding 'nope'"):
        build(good, tokenizer, tmp_path / "x", encoding="nope")
    assert (tmp_path / "taken" / "mine.txt").read_text() == "mine\n"
    with pytest.raises(DataFileError, match="holds no corpus"):
        TokenCorpus.open(tmp_path / "taken")


def test_two_concurrent_builds_build_once(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = write(tmp_path / "a.txt", TEXTS * 200)
    read: list[int] = []

    def build(_: int) -> int:
        return len(TokenCorpus.build(file, tokenizer, tmp_path / "corpus", advance=read.append))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(build, range(4))) == [2400] * 4
    assert sum(read) == 2400


def test_a_broken_corpus(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder, file = tmp_path / "corpus", write(tmp_path / "a.txt", TEXTS)
    TokenCorpus.build(file, tokenizer, folder)
    tokens = (folder / "tokens.bin").read_bytes()
    for content in (tokens[:-2], tokens[:-1], b""):
        (folder / "tokens.bin").write_bytes(content)
        with pytest.raises(DataFileError, match="broken"):
            TokenCorpus.open(folder)
    assert len(TokenCorpus.build(file, tokenizer, folder)) == len(TEXTS)
    (folder / "texts.bin").unlink()
    with pytest.raises(DataFileError, match="broken"):
        TokenCorpus.open(folder)
    for about in ("{}", "{"):
        (folder / "corpus.json").write_text(about)
        with pytest.raises(DataFileError, match="holds no corpus"):
            TokenCorpus.open(folder)
    assert len(TokenCorpus.build(file, tokenizer, folder)) == len(TEXTS)


def test_spans_cover_everything_once(tmp_path: Path, tokenizer: Tokenizer) -> None:
    lines = [TEXTS[0] * 5, "갔다", "", TEXTS[1], TEXTS[3]]
    corpus = TokenCorpus.build(write(tmp_path / "a.txt", lines), tokenizer, tmp_path / "c", sentences=True)
    for by, edges in (("text", corpus.offsets), ("document", corpus.offsets[corpus.documents])):
        for longest in (1, 3, 7, 1000):
            spans = corpus.spans(longest, by=by)
            assert spans[0, 0] == 0
            assert spans[-1, 1] == len(corpus.tokens)
            assert np.array_equal(spans[1:, 0], spans[:-1, 1])
            lengths = np.diff(spans, axis=1)
            assert lengths.min() >= 1
            assert lengths.max() <= longest
            assert set(edges.tolist()) <= {0, *spans[:, 1].tolist()}
    with pytest.raises(InputError, match="at least 1"):
        corpus.spans(0)
    with pytest.raises(InputError, match="'text' or 'document'"):
        corpus.spans(5, by="sentence")


# Where words begin


def test_wordpiece_continues_with_hashes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    corpus = TokenCorpus.build(write(tmp_path / "a.txt", TEXTS), tokenizer, tmp_path / "corpus")
    assert corpus.word_starts is not None
    assert np.array_equal(corpus.word_starts, word_starts(tokenizer))
    pieces = tokenizer.convert_ids_to_tokens(corpus[0].tolist())
    expected = [not str(piece).startswith("##") for piece in pieces]
    assert corpus.word_starts[corpus[0]].tolist() == expected
    assert sum(expected) == len(["서울에서", "기차를", "탔다", "."])


def trained(model: Any, trainer: Any, pre_tokenizer: Any, decoder: Any, folder: Path) -> Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoder
    backend.train_from_iterator(TEXTS * 3, trainer)
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.from_pretrained(folder)


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """Join tokens to words with `word_starts`."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    starts = word_starts(tokenizer)[ids]
    starts[0] = True
    edges = [*np.flatnonzero(starts).tolist(), len(ids)]
    return [tokenizer.decode(ids[a:b]).strip() for a, b in pairwise(edges)]


def test_unigram_words_begin_with_the_mark(tmp_path: Path) -> None:
    tokenizer = trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=60, special_tokens=["<s>", "<unk>"], unk_token="<unk>", show_progress=False
        ),
        pre_tokenizers.Metaspace(),
        decoders.Metaspace(),
        tmp_path,
    )
    assert words_of(tokenizer, "서울까지 기차를 탔다.") == ["서울까지", "기차를", "탔다."]
    assert word_starts(tokenizer)[tokenizer.convert_tokens_to_ids("<s>")]


def test_byte_level_words_begin_with_a_space(tmp_path: Path) -> None:
    tokenizer = trained(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
        tmp_path,
    )
    assert words_of(tokenizer, "서울까지 기차를 탔다.") == ["서울까지", "기차를", "탔다."]


def test_a_vocabulary_without_marks(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="Can't tell where words begin"):
        word_starts(tokenizer)
    corpus = TokenCorpus.build(write(tmp_path / "a.txt", ["a a"]), tokenizer, tmp_path / "corpus")
    assert corpus.word_starts is None
    assert corpus[0].tolist() == [0, 0]


@pytest.mark.parametrize("sentences", [False, True])
def test_a_part_is_held_out_from_the_training(tmp_path: Path, tokenizer: Tokenizer, sentences: bool) -> None:
    """No document of any file is lost, split or in both parts."""
    documents = [f"{TEXTS[i % 4]} {i}\n{TEXTS[0]} {i}" for i in range(60)]
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    between = "\n\n" if sentences else "\n"
    for file, some in zip(files, (documents[:25], documents[25:]), strict=True):
        file.write_text(between.join(some), encoding="utf-8")
    parts = []
    for held_out in (False, True):
        part = Part(0.3, held_out, seed=5)
        folder = tmp_path / f"corpus-{held_out}"
        corpus = TokenCorpus.build(files, tokenizer, folder, sentences=sentences, part=part)
        ends = corpus.documents if sentences else np.arange(len(corpus) + 1)
        parts.append([[tuple(corpus[i].tolist()) for i in range(a, b)] for a, b in pairwise(ends.tolist())])
        assert (
            corpus.fingerprint
            == TokenCorpus.build(files, tokenizer, folder, sentences=sentences, part=part).fingerprint
        )
    whole = TokenCorpus.build(files, tokenizer, tmp_path / "whole", sentences=sentences)
    found = sorted(text for part in parts for document in part for text in document)
    assert found == sorted(tuple(ids.tolist()) for ids in whole)
    count = len(whole.documents) - 1
    assert [len(parts[0]) + len(parts[1]), sentences] == [count, count == 60]
    assert 0.1 * count < len(parts[1]) < 0.5 * count
    if sentences:
        assert all(len(document) == 2 for part in parts for document in part)


def test_a_part_without_text_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    file = write(tmp_path / "a.txt", TEXTS)
    with pytest.raises(InputError, match="Holding out 1e-06 of the texts leaves none to measure on"):
        TokenCorpus.build(file, tokenizer, tmp_path / "corpus", part=Part(1e-6, held_out=True))
    with pytest.raises(InputError, match="leaves none to learn from"):
        TokenCorpus.build(file, tokenizer, tmp_path / "corpus", part=Part(1 - 1e-6, held_out=False))
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="must be between 0 and 1"):
            Part(share, held_out=True)
    assert not (tmp_path / "corpus").exists()
