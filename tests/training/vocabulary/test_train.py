"""A WordPiece vocabulary: the library's algorithm, the same in every reader, and morphemes respected."""

from __future__ import annotations

import gzip
import sys
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from munjang import Tokenizer
from munjang.errors import CheckpointError, DataFileError, InputError, InputTypeError, MissingExtraError
from munjang.training.options import VocabularyTask
from munjang.training.vocabulary.train import WordCounts, morpheme_starts, train_wordpiece
from support.learning import with_task
from support.processes import run_python

TEXTS = [
    "서울에서 부산까지 기차를 타고 갔다.",
    "부산에서 서울까지 버스를 타고 왔다!",
    "영화는 정말 재미있었고 배우들도 좋았다 ㅋㅋ",
    "The café was nice, the CAFÉ was really nice; 漢字도 있다.",
    "I love this movie, and you will love it too.",
] * 4
OTHERS = ["대전에서 정말 좋은 영화를 봤다", "unknown zebra 漢 ㅎㅎ", "nice café", "", "  서울   "]


def pieces_of(folder: Path) -> list[str]:
    return (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()


def library_pieces(texts: list[str], size: int) -> set[str]:
    """Return the pieces that the trainer of the library learns."""
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special, min_frequency=2, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return set(backend.get_vocab())


def test_the_library_learns_the_same_pieces(tmp_path: Path) -> None:
    # No two pairs are equally frequent as long as there is something to choose, so the order is settled.
    words = ["abab", "abc", "한국어", "한국", "어한"]
    texts = [" ".join([word] * (7**i)) for i, word in enumerate(words)]
    for size in (22, 25, 1000):
        tokenizer = train_wordpiece(
            None, tmp_path / str(size), texts=texts, task=VocabularyTask(vocab_size=size, limit_alphabet=100)
        )
        assert set(tokenizer.get_vocab()) == library_pieces(texts, size)


@pytest.mark.parametrize("lowercase", [False, True])
def test_all_readers_return_the_same_ids(tmp_path: Path, lowercase: bool) -> None:
    ours = train_wordpiece(
        None, tmp_path, texts=TEXTS, task=VocabularyTask(vocab_size=260, lowercase=lowercase)
    )
    again = Tokenizer.from_pretrained(tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    fast = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    assert len(pieces_of(tmp_path)) == len(ours) <= 260
    assert pieces_of(tmp_path)[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for text in [*TEXTS[:5], *OTHERS]:
        ids = ours.encode(text)
        assert ids == again.encode(text) == auto(text)["input_ids"] == fast(text)["input_ids"]
        pair = ours(text, "서울")
        assert pair["token_type_ids"] == auto(text, "서울")["token_type_ids"]
    assert ours.decode(ours.encode("서울까지 버스를"), skip_special_tokens=True) == "서울까지 버스를"
    assert fast.mask_token_id == ours.mask_token_id == 4
    assert auto.model_max_length == again.model_max_length == 512


def test_hangul_is_composed_and_accents_stay(tmp_path: Path) -> None:
    decomposed = [unicodedata.normalize("NFD", text) for text in TEXTS]
    train_wordpiece(None, tmp_path / "nfc", texts=TEXTS, task=VocabularyTask(vocab_size=260, lowercase=True))
    train_wordpiece(
        None, tmp_path / "nfd", texts=decomposed, task=VocabularyTask(vocab_size=260, lowercase=True)
    )
    assert pieces_of(tmp_path / "nfc") == pieces_of(tmp_path / "nfd")
    for read in (Tokenizer, transformers.AutoTokenizer):
        reader: Any = read.from_pretrained(tmp_path / "nfc")
        assert reader.tokenize(decomposed[0]) == reader.tokenize(TEXTS[0])
    tokens = Tokenizer.from_pretrained(tmp_path / "nfc").tokenize("서울 café 漢字")
    assert "[UNK]" not in tokens
    assert "".join(tokens).replace("##", "") == "서울café漢字"
    assert tokens[-2:] == ["漢", "字"]


def test_the_vocabulary_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_wordpiece(
            None, tmp_path / name, texts=TEXTS, task=VocabularyTask(vocab_size=220, limit_alphabet=80)
        )
    assert pieces_of(tmp_path / "one") == pieces_of(tmp_path / "two")


def test_files_are_read_one_after_another(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_text("\n\n".join(TEXTS[:10]) + "\r\n", encoding="utf-8")
    packed.write_bytes(gzip.compress("\n".join(TEXTS[10:]).encode()))
    train_wordpiece([plain, str(packed)], tmp_path / "files", task=VocabularyTask(vocab_size=240))
    train_wordpiece(None, tmp_path / "texts", texts=iter(TEXTS), task=VocabularyTask(vocab_size=240))
    assert pieces_of(tmp_path / "files") == pieces_of(tmp_path / "texts")


def test_rare_characters_are_left_out(tmp_path: Path) -> None:
    texts = [*["가나 나가"] * 5, "가 뷁"]
    tokenizer = train_wordpiece(
        None, tmp_path, texts=texts, task=VocabularyTask(vocab_size=50, limit_alphabet=2)
    )
    assert set(tokenizer.get_vocab()) >= {"가", "나", "##가", "##나", "가나", "나가"}
    assert tokenizer.tokenize("가나 뷁") == ["가나", "[UNK]"]


def test_a_piece_must_be_frequent(tmp_path: Path) -> None:
    tokenizer = train_wordpiece(
        None, tmp_path, texts=["가나"] * 3 + ["다라"], task=VocabularyTask(vocab_size=50, min_frequency=3)
    )
    assert tokenizer.tokenize("가나 다라") == ["가나", "다", "##라"]


# 에서 and 까지 follow many nouns, and each noun many of them: without morphemes a frequent noun and its
# particle become one piece.
NOUNS = ("서울", "부산", "대전", "학교", "회사")
PARTICLES = ("에서", "까지", "에서는", "까지도", "의")
CROSSING = [f"{noun}{particle} 왔다." for noun in NOUNS for particle in PARTICLES] * 3


def test_no_piece_crosses_a_morpheme(tmp_path: Path) -> None:
    aware = train_wordpiece(
        None, tmp_path / "aware", texts=CROSSING, task=VocabularyTask(vocab_size=400, morphemes=True)
    )
    plain = train_wordpiece(None, tmp_path / "plain", texts=CROSSING, task=VocabularyTask(vocab_size=400))
    glued = {noun + particle[:n] for noun in NOUNS for particle in PARTICLES for n in (1, 2, 3)}
    glued -= set(NOUNS)
    assert glued & set(plain.get_vocab())
    assert not glued & set(aware.get_vocab())
    # Nor does any piece from the end of a noun to the start of a particle, or of two particles.
    inner = {f"##{noun[1:]}{particle[0]}" for noun in NOUNS for particle in PARTICLES}
    assert not (inner | {"##에서는", "##서는", "##까지도", "##지도"}) & set(aware.get_vocab())
    for noun in NOUNS:
        assert aware.tokenize(f"{noun}에서는 왔다") == [noun, "##에서", "##는", *aware.tokenize("왔다")]
    # What was learnt is served: transformers cuts in the same way.
    fast = transformers.BertTokenizerFast.from_pretrained(tmp_path / "aware")
    assert fast("대전까지도")["input_ids"] == aware.encode("대전까지도")


def test_morphemes_need_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from munjang.training.vocabulary import train as morphemes

    morphemes._kiwi.cache_clear()
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*kiwipiepy"):
        train_wordpiece(None, tmp_path, texts=TEXTS, task=VocabularyTask(morphemes=True))


def test_symbols_beyond_the_first_plane(tmp_path: Path) -> None:
    texts = ["좋아요😀 😀😀", "𠀋 좋아요"] * 5
    tokenizer = train_wordpiece(
        None, tmp_path, texts=texts, task=VocabularyTask(vocab_size=80, morphemes=True)
    )
    assert "".join(tokenizer.tokenize("좋아요😀 𠀋")).replace("##", "") == "좋아요😀𠀋"


def test_vocabularies_and_corpora_work_without_torch(tmp_path: Path) -> None:
    modules = [
        *("vocabulary.train", "vocabulary.trim", "vocabulary.add"),
        *("pretraining.corpus", "pretraining.masking", "pretraining.sentence_pairs"),
    ]
    imports = "; ".join(f"import munjang.training.{module}" for module in modules)
    assert (
        run_python(f"import sys; {imports}; print('torch' in sys.modules)", home=tmp_path).strip() == "False"
    )


def test_memory_is_bounded() -> None:
    words = WordCounts(most=100)
    for i in range(1000):
        words.add([f"{i:04}", "자주"])
    assert len(words.words) <= 100
    assert words.words["자주"] == words.parts().most_common(1)[0][1] == 1000


@pytest.mark.data
def test_pieces_cross_morphemes_far_less_often(tmp_path: Path, data: Path) -> None:
    with gzip.open(data / "nsmc" / "reviews.txt.gz", "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in islice(file, 3300)]
    held_out = lines[3000:]
    starts = list(morpheme_starts(held_out))
    shares = []
    for aware in (False, True):
        tokenizer = train_wordpiece(
            None,
            tmp_path / str(aware),
            texts=lines[:3000],
            task=VocabularyTask(vocab_size=6000, morphemes=aware),
        )
        spans = [encoding.offsets for encoding in tokenizer.encode_batch(held_out, add_special_tokens=False)]
        crossing = [
            any(place in cuts for place in range(start + 1, end))
            for found, cuts in zip(spans, starts, strict=True)
            for start, end in found
        ]
        shares.append(sum(crossing) / len(crossing))
    plain, morphemes = shares
    assert plain > 0.15
    assert morphemes < plain / 4


def test_progress_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # draw it although the test has no terminal
    train_wordpiece(None, tmp_path / "quiet", texts=TEXTS, task=VocabularyTask(vocab_size=260))
    assert capsys.readouterr().err == ""
    train_wordpiece(
        None, tmp_path / "shown", texts=TEXTS, task=VocabularyTask(vocab_size=260), show_progress_bar=True
    )
    assert "Counting words" in capsys.readouterr().err


def bad_calls(folder: Path) -> Iterator[tuple[type[Exception], str, dict[str, Any]]]:
    empty, latin = folder / "empty.txt", folder / "latin.txt"
    empty.write_text("\n \n")
    latin.write_bytes(b"fine\ncaf\xe9\n")
    yield InputError, "one of the two", {"files": None}
    yield InputError, "list is empty", {"files": []}
    yield InputError, "twice", {"files": "-"}
    yield InputTypeError, "not by an object of type int", {"files": [3]}
    yield InputTypeError, "not one text", {"files": None, "texts": "한 문장"}
    yield InputTypeError, "not 3 of type int", {"files": None, "texts": [3]}
    yield DataFileError, "no file", {"files": folder / "none.txt"}
    yield DataFileError, "has no text", {"files": empty}
    yield DataFileError, "no text", {"files": None, "texts": ["", " "]}
    yield DataFileError, "line 2: not UTF-8", {"files": latin}
    yield InputError, "no room", {"files": None, "texts": TEXTS, "vocab_size": 40, "limit_alphabet": 100}
    yield InputError, "vocab_size must be at least 1", {"files": None, "texts": TEXTS, "vocab_size": 0}
    yield InputTypeError, "whole number", {"files": None, "texts": TEXTS, "min_frequency": 2.5}


def test_mistakes(tmp_path: Path) -> None:
    for error, message, arguments in bad_calls(tmp_path):
        with pytest.raises(error, match=message):
            train_wordpiece(folder=tmp_path / "out", **with_task(VocabularyTask, arguments))
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="Can't write"):
        train_wordpiece(None, tmp_path / "file", texts=TEXTS)
    with pytest.raises(InputError, match="is not empty"):
        train_wordpiece(None, tmp_path, texts=TEXTS)
