"""Training of a WordPiece vocabulary, optionally with pieces that respect Korean morphemes.

With ``morphemes=True`` the words of the *training* texts are first split into morphemes (kiwi), and no piece
is learned across a morpheme boundary: of 서울에서 the pieces 서울 and ``##에서`` may be learned, but never
울에. The tokeniser itself remains plain WordPiece, so that ``tokenizer.json`` works the same wherever it is
loaded, and serving the model needs no morphological analyser.

This differs from the morpheme-aware subwords of https://arxiv.org/abs/2010.02534. There the analyser
(MeCab-ko) also splits the text at inference, so every piece lies within a morpheme of *this* sentence. Here a
piece lies within a morpheme of *some* sentence: WordPiece takes the longest matching piece, even if in this
sentence the piece happens to cross the boundary between two morphemes. So particles and endings become
separate pieces instead of being attached to every noun, but there is no guarantee for a single sentence.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from munjang.checkpoints.files import replacing
from munjang.data.readers.texts import Files, file_list, lines_of
from munjang.errors import CheckpointError, DataFileError, InputError, InputTypeError, MissingExtraError
from munjang.progress import track
from munjang.sentence.encoding import chunks
from munjang.tokenization import Tokenizer, nfc
from munjang.tokenization.builders import add_post_processor
from munjang.tokenization.files import Settings
from munjang.tokenization.limits import library_errors
from munjang.tokenization.special_tokens import BERT
from munjang.training.options import VocabularyTask
from munjang.training.output import check_empty
from munjang.validation import check_instance

PREFIX = "##"
BREAK = "\x1f"  # a control character, which occurs in no word
_SHIFT = 0xF0000  # maps the first two planes of Unicode to the private use planes 15 and 16
_PLANES = 0x20000  # characters from here on are rare ideographs and private use, not Korean or English
_LONGEST = 100  # characters; a longer word is unknown to every WordPiece tokeniser
_MOST_WORDS = 4_000_000  # about 500 MB


class WordCounts:
    """A counter of words with bounded memory. `BREAK` in a word marks a boundary that no piece may cross.

    If there are too many different words, the rarest are dropped (lossy counting); their effect on the
    vocabulary would be small.
    """

    def __init__(self, most: int = _MOST_WORDS) -> None:
        self.words: Counter[str] = Counter()
        self._most = most

    def add(self, words: Iterable[str]) -> None:
        """Add words to the counts."""
        self.words.update(words)
        if len(self.words) > self._most:
            self._drop_rarest()

    def _drop_rarest(self) -> None:
        floor = 0
        while len(self.words) > self._most // 2:
            floor += 1
            self.words = Counter({word: n for word, n in self.words.items() if n > floor})

    def parts(self) -> Counter[str]:
        """Count the parts between breaks.

        Characters inside a word are shifted to the private use planes, to distinguish them from its start.
        """
        counts: Counter[str] = Counter()
        for word, count in self.words.items():
            first, *others = word.split(BREAK)
            if first and len(word) - len(others) <= _LONGEST and _can_shift(word):
                for part in (first[0] + _shift(first[1:]), *map(_shift, others)):
                    counts[part] += count
        return counts


def _can_shift(word: str) -> bool:
    return word[0] < chr(_SHIFT) and all(ord(character) < _PLANES for character in word[1:])


def _shift(text: str) -> str:
    return "".join(chr(ord(character) + _SHIFT) for character in text)


def _plain(character: str) -> str:
    return chr(ord(character) - _SHIFT) if ord(character) >= _SHIFT else character


def alphabet(counts: Mapping[str, int], limit: int) -> list[str]:
    """Return the ``limit`` most frequent characters, as word-initial and, if they occur, as inner ones."""
    seen: Counter[str] = Counter()
    for part, count in counts.items():
        for character in part:
            seen[character] += count
    total: Counter[str] = Counter()
    for character, count in seen.items():
        total[_plain(character)] += count
    kept = set(sorted(total, key=lambda character: (-total[character], character))[:limit])
    # The word-initial form is always included: any character may occur as a single-character word.
    return sorted(kept | {character for character in seen if _plain(character) in kept})


def learn_pieces(
    counts: Mapping[str, int], characters: Sequence[str], size: int, min_frequency: int
) -> list[str]:
    """Return at most ``size`` pieces: the characters (of `alphabet`), then longer ones in learning order."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=list(characters),
        limit_alphabet=len(characters),
    )
    with library_errors("The pieces can't be learned", InputError):
        backend.train_from_iterator(_repeated(counts), trainer)
    vocabulary = backend.get_vocab()
    return [_as_piece(piece) for piece in sorted(vocabulary, key=vocabulary.__getitem__)]


def _repeated(counts: Mapping[str, int], most: int = 1000) -> Iterator[str]:
    """Yield each part as often as it was counted, since the library takes texts, not counts."""
    for part, count in counts.items():
        for done in range(0, count, most):
            yield f"{part} " * min(most, count - done)


def _as_piece(shifted: str) -> str:
    text = "".join(map(_plain, shifted))
    return PREFIX + text if ord(shifted[0]) >= _SHIFT else text


# kiwi's time grows faster than linearly with the length of a text, so a long line is split between words.
_PIECE = re.compile(r"\S(?:.{0,254}\S)?(?!\S)|\S{1,64}", re.DOTALL)
# kiwi's offsets count UTF-16 units, so characters beyond the BMP are replaced; none is part of a Korean word.
_BEYOND = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
_STAND_IN = "\u25a1"


def morpheme_starts(texts: Sequence[str]) -> Iterator[set[int]]:
    """Yield for each text (in NFC) the positions at which a morpheme begins.

    A stem and an ending that share a syllable, as in 봤, begin at the same position: a syllable is never
    split. Raises `MissingExtraError` without kiwipiepy.
    """
    pieces = [[(match.start(), match[0]) for match in _PIECE.finditer(text)] for text in texts]
    plain = [_BEYOND.sub(_STAND_IN, piece) for several in pieces for _, piece in several]
    analysed = iter(_kiwi().tokenize(plain))
    for several in pieces:
        yield {offset + token.start for offset, _ in several for token in next(analysed)}


@cache
def _kiwi() -> Any:
    try:
        from kiwipiepy import Kiwi
    except ImportError:
        raise MissingExtraError.of(
            "Splitting words into morphemes needs the package kiwipiepy, which is not installed", "ko"
        ) from None
    return Kiwi()


_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MOST_CHARACTERS = 6000
_BATCH = 1024  # lines that are in memory at once


def train_wordpiece(
    files: Files | None,
    folder: str | os.PathLike[str],
    *,
    texts: Iterable[str] | None = None,
    task: VocabularyTask = VocabularyTask(),
    encoding: str = "utf-8",
    show_progress_bar: bool = False,
) -> Tokenizer:
    """Train a BERT vocabulary from text files (``.gz`` too), or from ``texts``, and save the tokeniser.

    The texts are read once, line by line; memory grows with the number of different words, up to a limit. The
    same texts always result in the same vocabulary. Hangul stays in whole syllables (NFC), accents are kept,
    and each Chinese character is a separate word, as in BERT. kiwi needs about a minute for the morphemes of
    100,000 short texts. The written files are ``tokenizer.json``, ``tokenizer_config.json``,
    ``special_tokens_map.json`` and ``vocab.txt``, which `transformers` also reads. (Its ``AutoTokenizer``
    uses the tokeniser unchanged. Its ``BertTokenizerFast`` creates another normaliser, which does not compose
    Hangul: its input must be in NFC.)

    Args:
        files: a path or a list of paths; ``None`` if ``texts`` is given.
        folder: the output folder of the tokeniser, new or empty.
        texts: an iterable of texts instead of files; iterated once.
        task: the options of the vocabulary; with ``morphemes`` see the module's docstring.
        encoding: the encoding of the files.
        show_progress_bar: show the number of texts read on standard error.

    Raises `DataFileError` for files that can't be read or have no text, `InputError` for a folder that is not
    empty, a vocabulary too small for its characters and other invalid values, `MissingExtraError` for
    morphemes without the extra ``ko``, `CheckpointError` if the folder can't be written.
    """
    check_instance("task", task, VocabularyTask)
    check_empty(Path(folder))
    lines = _lines(files, texts, encoding)
    normalizer, splitter = _normalizer(task.lowercase), _splitter()
    words = WordCounts()
    with track(show_progress_bar, None, "Counting words") as advance:
        for batch in chunks(lines, most=_BATCH):
            with library_errors("The texts can't be cut into words", InputError):
                normal = [normalizer.normalize_str(nfc(line)) for line in batch]
            words.add(_words(normal, splitter.pre_tokenize_str, task.morphemes))
            advance(len(batch))
    pieces = _learn(words, task)
    tokenizer = _tokenizer(pieces, normalizer, splitter, task, os.fspath(folder))
    _save(tokenizer, pieces, Path(folder))
    return tokenizer


def _lines(files: Files | None, texts: Iterable[str] | None, encoding: str) -> Iterator[str]:
    if (files is None) == (texts is None):
        raise InputError("A vocabulary is trained from files or from texts: give one of the two.")
    if files is not None:
        return chain.from_iterable(lines_of(path, encoding) for path in file_list(files))
    if texts is None or isinstance(texts, str):
        raise InputTypeError("texts is a list or another iterable of texts, not one text.")
    return map(_checked_text, texts)


def _checked_text(text: object) -> str:
    if not isinstance(text, str):
        raise InputTypeError(f"A text is a str, not {text!r} of type {type(text).__name__}.")
    return text.encode("utf-8", "replace").decode("utf-8")  # replaces lone surrogates


def _words(
    texts: list[str], split: Callable[[str], list[tuple[str, tuple[int, int]]]], morphemes: bool
) -> Iterator[str]:
    """Yield the words of texts, with `BREAK` at boundaries that no piece may cross."""
    if not morphemes:
        yield from (word for text in texts for word, _ in split(text))
        return
    for text, starts in zip(texts, morpheme_starts(texts), strict=True):
        for word, (begin, _) in split(text):
            cuts = [at for at in range(1, len(word)) if begin + at in starts]
            yield BREAK.join(word[a:b] for a, b in pairwise([0, *cuts, len(word)]))


def _normalizer(lowercase: bool) -> Any:
    from tokenizers import normalizers

    # Stripping accents would decompose every Hangul syllable.
    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    return normalizers.Sequence([normalizers.NFC(), bert])


def _splitter() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.BertPreTokenizer()


def _learn(words: WordCounts, task: VocabularyTask) -> list[str]:
    counts = words.parts()
    if not counts:
        raise DataFileError("There is no text to learn a vocabulary from.")
    most = task.limit_alphabet
    if most is None:
        most = min(_MOST_CHARACTERS, task.vocab_size // 4)
    characters = alphabet(counts, most)
    room = task.vocab_size - len(_SPECIAL)
    if not most or len(characters) > room:
        raise InputError(
            f"vocab_size={task.vocab_size} has no room for {len(_SPECIAL)} special tokens and "
            f"{len(characters)} single characters; raise it or lower limit_alphabet."
        )
    return [*_SPECIAL, *learn_pieces(counts, characters, room, task.min_frequency)]


def _tokenizer(
    pieces: list[str], normalizer: Any, splitter: Any, task: VocabularyTask, name: str
) -> Tokenizer:
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import decoders, models

    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = LibraryTokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - not a password
    backend.normalizer, backend.pre_tokenizer = normalizer, splitter
    backend.decoder = decoders.WordPiece(prefix=PREFIX)
    backend.add_special_tokens(list(_SPECIAL))
    special = dict(BERT.special_tokens)
    add_post_processor(backend, BERT, special, {})
    return Tokenizer(
        backend,
        Settings(
            name=name,
            model_max_length=task.model_max_length,
            model_input_names=list(BERT.model_input_names),
            special_tokens=special,
            config={"do_lower_case": task.lowercase, "strip_accents": False, "tokenize_chinese_chars": True},
        ),
    )


def _save(tokenizer: Tokenizer, pieces: list[str], folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    try:
        with replacing(folder / "vocab.txt") as file:
            file.write("".join(f"{piece}\n" for piece in pieces).encode())
    except OSError as error:
        raise CheckpointError(
            f"Can't save the vocabulary in '{folder}': {error.strerror or error}."
        ) from error
