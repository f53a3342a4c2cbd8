"""Fill-mask against `transformers` and against an exhaustive search, and bad input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.models.program import LOGITS
from munjang.runtime.notices import TruncationWarning
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.loading import ModelOptions
from support.wordpiece import SPECIAL, VOCABULARY, bert_with_words, model_with_words, roberta_with_bytes

SOCCER = "축구는 정말 재미있는 [MASK]다."
MORNING = "나는 오늘 아침에 [MASK]에 출근을 했다."
TWO = "나는 [MASK]에 [MASK] 했다."
NEVER = {*SPECIAL, "[unused0]", "[unused1]"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    bert_with_words(path)
    return path


@pytest.fixture(scope="module")
def fill(folder: Path) -> FillMask:
    return FillMask(folder)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> FillMask:
    path = tmp_path_factory.mktemp("roberta")
    roberta_with_bytes(path)
    return FillMask(path)


def probabilities(model: Any, ids: Sequence[int]) -> Any:
    """Ask the reference model: ``[L, vocab_size]``."""
    with torch.no_grad():
        found = model(torch.tensor([list(ids)]))
    logits = found.prediction_logits if hasattr(found, "prediction_logits") else found.logits
    return torch.softmax(logits[0].double(), dim=-1).numpy()


@pytest.fixture(scope="module")
def peer(folder: Path) -> Any:
    return transformers.BertForPreTraining.from_pretrained(folder).eval()


CLASSES = ["BertForMaskedLM", "ElectraForMaskedLM", "DistilBertForMaskedLM"]


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("backend", ["openvino", "numpy"])
def test_one_mask_as_transformers(class_name: str, backend: str, tmp_path: Path) -> None:
    model = model_with_words(tmp_path, class_name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    ours = FillMask(tmp_path, options=ModelOptions(backend=backend))
    for text in (SOCCER, MORNING):
        expected = [
            one for one in theirs(text, top_k=len(VOCABULARY)) if VOCABULARY[one["token"]] not in NEVER
        ]
        found = ours(text, top_k=len(VOCABULARY))
        assert [one["token"] for one in found] == [one["token"] for one in expected]
        for our, their in zip(found, expected, strict=True):
            assert our["score"] == pytest.approx(their["score"], abs=1e-5)
            assert our["token_str"] == their["token_str"].removeprefix("##")
        assert found[0]["withheld"] == pytest.approx(1 - sum(one["score"] for one in expected), abs=1e-5)


def test_bytes_as_transformers(roberta: FillMask) -> None:
    folder = roberta.tokenizer.name_or_path
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.RobertaForMaskedLM.from_pretrained(folder)
    theirs = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    size = model.config.vocab_size
    for text in ("I like <mask>.", "서울은 한국의 <mask>다."):
        expected = {one["token"]: one for one in theirs(text, top_k=size)}
        found = roberta(text, top_k=400)
        assert len(found) > 100
        for our in found:
            assert our["score"] == pytest.approx(expected[our["token"]]["score"], abs=1e-5)
            assert our["token_str"] == expected[our["token"]]["token_str"].strip()
        offered = {one["token"] for one in found}
        for token, their in expected.items():
            shown = their["token_str"].strip()
            whole = bool(shown) and "\ufffd" not in shown and token not in tokenizer.all_special_ids
            assert (token in offered) is whole


def test_splicing_keeps_the_text(fill: FillMask) -> None:
    for text in (SOCCER, MORNING, "  Soccer   is a REALLY fun [MASK] ?", "재미[MASK] 경기다", "[MASK]\t는"):
        before, after = text.split("[MASK]")
        for found in fill(text, top_k=len(VOCABULARY)):
            assert found["sequence"] == f"{before}{found['token_str']}{after}"
            assert not found["token_str"].startswith("##")
    assert fill(SOCCER, targets="스포츠")[0]["sequence"] == "축구는 정말 재미있는 스포츠다."
    assert fill(MORNING, targets="회사")[0]["sequence"] == "나는 오늘 아침에 회사에 출근을 했다."


def test_decomposed_text_is_spliced_in_its_own_string(fill: FillMask) -> None:
    import unicodedata

    apart = unicodedata.normalize("NFD", SOCCER)
    assert apart != SOCCER
    (found,) = fill(apart, targets="스포츠")
    assert found["sequence"] == apart.replace("[MASK]", "스포츠")
    assert found["score"] == pytest.approx(fill(SOCCER, targets="스포츠")[0]["score"], abs=1e-7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I like <mask>.", "I like tea."),
        ("I like<mask>.", "I like tea."),
        ("I like  <mask> .", "I like  tea ."),
        ("<mask> is good", "tea is good"),
    ],
)
def test_a_leading_space_is_added_only_where_there_is_none(
    roberta: FillMask, text: str, expected: str
) -> None:
    token = roberta.tokenizer.get_vocab()["Ġtea"]
    found = {one.get("token"): one["sequence"] for one in roberta(text, top_k=400)}
    assert found[token] == expected


def test_unusable_pieces_are_never_offered(tmp_path: Path) -> None:
    model_with_words(tmp_path, "BertForMaskedLM", rows=len(VOCABULARY) + 30)  # more rows than pieces
    fill = FillMask(tmp_path)
    found = fill(SOCCER, top_k=1000)
    assert fill(SOCCER, top_k=10**400) == found
    assert {VOCABULARY[one["token"]] for one in found} == set(VOCABULARY) - NEVER
    assert sum(one["score"] for one in found) + found[0]["withheld"] == pytest.approx(1, abs=1e-5)


def test_only_mask_rows_reach_the_head(fill: FillMask, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    run = fill.model.runner.run

    def watched(program: Any, texts: Any, **how: Any) -> Any:
        shapes.append("run")
        for done in run(program, texts, **how):
            shapes.append(done.outputs[LOGITS].shape)
            yield done

    monkeypatch.setattr(fill.model.runner, "run", watched)
    fill([SOCCER, MORNING, SOCCER])
    assert shapes == ["run", (3, len(VOCABULARY))]


def joint(peer: Any, tokenizer: Any, text: str, fills: Sequence[int]) -> float:
    """The chain rule from left to right, one run of the reference model per mask."""
    ids = list(tokenizer.encode(text))
    product_of_all = 1.0
    for token in fills:
        place = ids.index(tokenizer.mask_token_id)
        product_of_all *= float(probabilities(peer, ids)[place, token])
        ids[place] = token
    return product_of_all


def test_several_masks_against_every_pair(fill: FillMask, peer: Any) -> None:
    offered = [i for i, piece in enumerate(VOCABULARY) if piece not in NEVER]
    ids = fill.tokenizer.encode(TWO)
    first, second = (i for i, token in enumerate(ids) if token == fill.tokenizer.mask_token_id)
    alone = probabilities(peer, ids)[first]
    table = np.zeros((len(VOCABULARY), len(VOCABULARY)))
    for token in offered:
        ids[first] = token
        table[token] = alone[token] * probabilities(peer, ids)[second]
    best = sorted(product(offered, offered), key=lambda pair: -table[pair])[:6]
    found = fill(TWO, top_k=6, beam=len(VOCABULARY))
    assert [tuple(one["tokens"]) for one in found] == best
    for one in found:
        assert one["score"] == pytest.approx(table[tuple(one["tokens"])], abs=1e-6)
        assert one["score"] == pytest.approx(math.prod(one["scores"]), rel=1e-6)
        a, b = one["token_strs"]
        assert one["sequence"] == f"나는 {a}에 {b} 했다."
    assert joint(peer, fill.tokenizer, TWO, best[0]) == pytest.approx(found[0]["score"], abs=1e-6)


def test_a_narrow_beam_scores_alike_and_a_batch_changes_nothing(fill: FillMask) -> None:
    three = "[MASK] [MASK] [MASK]다."
    narrow = {tuple(one["tokens"]): one["score"] for one in fill(three, top_k=3, beam=1)}
    wide = {tuple(one["tokens"]): one["score"] for one in fill(three, top_k=400, beam=400)}
    assert len(narrow) == 3
    for tokens, score in narrow.items():
        assert wide[tokens] == pytest.approx(score, rel=1e-4)
    together = fill([SOCCER, three, TWO], top_k=4)
    for text, found in zip((SOCCER, three, TWO), together, strict=True):
        for one, alone in zip(found, fill(text, top_k=4), strict=True):
            assert one["sequence"] == alone["sequence"]
            assert one["score"] == pytest.approx(alone["score"], abs=1e-6)
    assert fill([]) == []


def test_targets_of_several_pieces(fill: FillMask, peer: Any) -> None:
    words = ["스포츠", "한국사람", "스포츠카", "공장", "##다"]
    found = {one["token_str"]: one for one in fill(MORNING, targets=words)}
    assert list(found) == sorted(found, key=lambda word: -found[word]["score"])
    assert set(found) == {"스포츠", "한국사람", "스포츠카", "공장", "다"}
    alone = fill(MORNING, top_k=len(VOCABULARY))
    for word in ("스포츠", "공장"):
        same = next(one for one in alone if one["token"] == VOCABULARY.index(word))
        assert found[word] == pytest.approx(same)
    assert found["다"]["token"] == VOCABULARY.index("##다")
    for word in ("한국사람", "스포츠카"):
        pieces = fill.tokenizer.convert_tokens_to_ids(fill.tokenizer.tokenize(word))
        assert found[word]["tokens"] == pieces
        wider = MORNING.replace("[MASK]", "[MASK]" * len(pieces))
        expected = joint(peer, fill.tokenizer, wider, [i for i in pieces if i is not None])
        assert found[word]["score"] == pytest.approx(expected, rel=1e-4)
        assert found[word]["sequence"] == MORNING.replace("[MASK]", word)
    assert len(fill(MORNING, 2, words)) == 2


def test_a_target_right_behind_a_letter_continues_its_word(fill: FillMask) -> None:
    (glued,) = fill("재미[MASK] 경기다", targets="있는")  # not a piece of the vocabulary
    assert glued["token"] == VOCABULARY.index("##있는")
    (longer,) = fill("재미[MASK] 경기다", targets="있는스")
    assert longer["tokens"] == [VOCABULARY.index("##있는"), VOCABULARY.index("##스")]
    assert longer["sequence"] == "재미있는스 경기다"
    with pytest.raises(InputError, match="can't write the targets '있는'"):
        fill(SOCCER, targets="있는")
    assert glued["sequence"] == "재미있는 경기다"


def test_targets_of_bytes(roberta: FillMask) -> None:
    vocabulary = roberta.tokenizer.get_vocab()
    assert roberta("I like <mask>.", targets="tea")[0]["token"] == vocabulary["Ġtea"]
    assert roberta("I like <mask>.", targets=" tea")[0]["sequence"] == "I like tea."
    (found,) = roberta("서울은 <mask>다", targets="바다")  # pieces that are no whole characters
    assert len(found["tokens"]) > 1
    assert found["sequence"] == "서울은 바다다"


def test_targets_with_several_masks(fill: FillMask) -> None:
    found = fill(TWO, targets=["회사", "공장"], top_k=10)
    assert sorted(one["token_strs"] for one in found) == sorted(
        [list(pair) for pair in product(["회사", "공장"], repeat=2)]
    )
    with pytest.raises(InputError, match=r"one piece of the vocabulary.*'한국사람'"):
        fill(TWO, targets=["회사", "한국사람"])


def test_filter(fill: FillMask) -> None:
    korean = [one["token_str"] for one in fill(SOCCER, top_k=4, filter=lambda word: not word.isascii())]
    everything = [one["token_str"] for one in fill(SOCCER, top_k=len(VOCABULARY))]
    assert korean == [word for word in everything if not word.isascii()][:4]
    assert fill(SOCCER, filter=lambda word: False) == []
    assert [one["token_str"] for one in fill(SOCCER, targets=["거", "공장"], filter="거".__eq__)] == ["거"]
    assert all(len(one["token_strs"][1]) == 1 for one in fill(TWO, filter=lambda word: len(word) == 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("축구는 재미있다.", r"The text has no \[MASK\]; write it where a word is missing"),
        ("", r"has no \[MASK\]"),
        ("축구는 <mask>다.", r"has <mask>, which is another model's mask; this one's is \[MASK\]"),
        ("나는 " * 60 + "[MASK]", r"and a \[MASK\] is beyond them; shorten the text"),
    ],
)
def test_texts_without_a_usable_mask(fill: FillMask, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fill(text)
    with pytest.raises(InputError, match=message.replace("The text", "Text 1")):
        fill([SOCCER, text])


def test_the_mask_of_bert_in_a_text_for_roberta(roberta: FillMask) -> None:
    with pytest.raises(
        InputError, match=r"has \[MASK\], which is another model's mask; this one's is <mask>"
    ):
        roberta("I like [MASK].")


def test_a_long_text_with_its_mask_in_reach(fill: FillMask) -> None:
    text = f"{SOCCER} {'나는 ' * 60}"
    with pytest.warns(TruncationWarning, match="1 of 1 texts were longer than 40 tokens"):
        found = fill(text, targets="스포츠")
    assert found[0]["sequence"] == text.replace("[MASK]", "스포츠")
    full = "나는 " * 18 + "[MASK]"
    with pytest.raises(InputError, match=r"the 3 pieces of the target '스포츠카는'.*shorten the text"):
        fill(full, targets=["스포츠", "스포츠카는"])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"top_k": 0}, InputError, "top_k must be at least 1, got 0"),
        ({"top_k": 2.0}, InputTypeError, "top_k must be a whole number, got 2.0"),
        ({"beam": 0}, InputError, "beam must be at least 1, got 0"),
        ({"targets": []}, InputError, "targets is empty"),
        ({"targets": ["축구", " "]}, InputError, "A target is empty"),
        ({"targets": ["축구", "없는낱말", "qqq"]}, InputError, "can't write the targets '없는낱말', 'qqq'"),
        ({"targets": "[SEP]"}, InputError, r"can't write the targets '\[SEP\]'"),
        ({"targets": [3]}, InputTypeError, r"targets\[0\] must be a text, got 3"),
        ({"targets": {"축구"}}, InputTypeError, "targets must be"),
    ],
)
def test_unusable_settings(
    fill: FillMask, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fill(SOCCER, **settings)


def test_values_that_are_not_text(fill: FillMask) -> None:
    for wrong in (3, None, b"[MASK]", [SOCCER, 3]):
        with pytest.raises(InputTypeError):
            fill(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="topk"):
        fill(SOCCER, topk=3)  # type: ignore[call-overload]


def test_models_that_cannot_fill_masks(tmp_path: Path) -> None:
    model_with_words(tmp_path, "BertForNextSentencePrediction")
    with pytest.raises(CheckpointError, match="no trained masked-lm head; it has next-sentence-prediction"):
        FillMask(tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    vocabulary = [piece for piece in VOCABULARY if piece != "[MASK]"]
    model_with_words(bare, "BertForMaskedLM", vocabulary=vocabulary)
    with pytest.raises(CheckpointError, match="has no mask token"):
        FillMask(bare)
