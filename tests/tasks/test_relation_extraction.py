"""Relations between marked entities: the formula in torch, markers in the text, and bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

import munjang
from munjang.backends.registry import BACKENDS
from munjang.choices import MarkerKind
from munjang.data.readers.relations import KLUE_RE_LABELS
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.runtime.model import Model
from munjang.runtime.notices import TruncationWarning
from munjang.tasks.loading import Loaded, ModelOptions, load
from munjang.tasks.markers import Markers, add_markers, mark
from munjang.tasks.relation_extraction import RelationExtraction
from munjang.tokenization import Tokenizer
from support.labelled import MAX_LENGTH, labelled_model

TEXT = "이순신은 한성에서 태어났다."
SUBJECT, OBJECT = (0, 3, "PER"), (5, 7, "LOC")
MARKED = {
    "plain": "[E1]이순신[/E1]은 [E2]한성[/E2]에서 태어났다.",
    "typed": "[S:PER]이순신[/S:PER]은 [O:LOC]한성[/O:LOC]에서 태어났다.",
    "klue": "<subj>이순신</subj>은 <obj>한성</obj>에서 태어났다.",
}
LABELS = ("no_relation", "per:place_of_birth", "per:title", "org:members")
PLAIN = Markers("plain", {"S": [], "O": []})


def relation_model(folder: Path, kind: MarkerKind = "plain", architecture: str = "Bert") -> Path:
    """Save a random model with a relation head and markers."""
    labelled_model(folder, f"{architecture}ForSequenceClassification", LABELS)
    loaded = load(folder, None)
    add_markers(loaded, kind)
    generator = np.random.default_rng(3)
    head = {
        "relation.weight": generator.normal(size=(4, 64)).astype(np.float32),
        "relation.bias": generator.normal(size=4).astype(np.float32),
    }
    loaded.model.set_weights({**loaded.model.weights, **head})
    loaded.model.save_pretrained(folder, without=["classifier", "pre_classifier"])
    loaded.tokenizer.save_pretrained(folder)
    return folder


def peer_scores(folder: Path, marked: str, starts: tuple[str, str]) -> list[float]:
    """Score the relations with a few lines of torch."""
    from safetensors.torch import load_file

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoder = transformers.AutoModel.from_pretrained(folder).eval()
    weights = load_file(folder / "model.safetensors")
    inputs = tokenizer(marked, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder(**inputs).last_hidden_state[0]
        places = [
            inputs["input_ids"][0].tolist().index(tokenizer.convert_tokens_to_ids(start)) for start in starts
        ]
        both = torch.cat([hidden[places[0]], hidden[places[1]]])
        logits = weights["relation.weight"] @ both + weights["relation.bias"]
        return [float(score) for score in logits.softmax(-1)]


def by_label(found: Any) -> list[float]:
    scores = {score["label"]: score["score"] for score in found}
    return [scores[label] for label in LABELS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return relation_model(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def relate(folder: Path) -> RelationExtraction:
    return RelationExtraction(folder)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> RelationExtraction:
    return RelationExtraction(relation_model(tmp_path_factory.mktemp("models") / "typed", "typed"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ["Bert", "Electra", "DistilBert"])
def test_the_formula_on_every_executor(architecture: str, backend: str, tmp_path: Path) -> None:
    relation_model(tmp_path, architecture=architecture)
    relate = RelationExtraction(tmp_path, options=ModelOptions(backend=backend))
    expected = peer_scores(tmp_path, MARKED["plain"], ("[E1]", "[E2]"))
    assert by_label(relate(TEXT, SUBJECT, OBJECT, top_k=None)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", MARKED)
def test_every_kind_of_markers(kind: Any, tmp_path: Path) -> None:
    relation_model(tmp_path, kind)
    starts = re.findall(r"\[(?!/)[^\]]+\]|<\w+>", MARKED[kind])
    expected = peer_scores(tmp_path, MARKED[kind], (starts[0], starts[1]))
    relate = RelationExtraction(tmp_path)
    assert relate.markers.kind == kind
    assert by_label(relate(TEXT, SUBJECT, OBJECT, top_k=None)) == pytest.approx(expected, abs=1e-5)


def test_the_object_may_precede_the_subject(folder: Path, relate: RelationExtraction) -> None:
    marked = "[E2]이순신[/E2]은 [E1]한성[/E1]에서 태어났다."
    expected = peer_scores(folder, marked, ("[E1]", "[E2]"))
    assert by_label(relate(TEXT, OBJECT, SUBJECT, top_k=None)) == pytest.approx(expected, abs=1e-5)


def test_a_list_gives_a_list(relate: RelationExtraction, folder: Path) -> None:
    single = relate(TEXT, (0, 3), (5, 7))
    found = relate(
        [
            {"text": "Seoul is lovely, the cat is not.", "subject": (0, 5), "object": (17, 24)},
            {"text": TEXT, "subject": (0, 3), "object": (5, 7)},
        ]
    )
    assert [score["label"] for score in found[1]] == [score["label"] for score in single]
    assert found[1][0]["score"] == pytest.approx(single[0]["score"], abs=1e-6)
    assert relate([]) == []
    assert munjang.pipeline("relation-extraction", folder)(TEXT, SUBJECT, OBJECT) == single


def test_a_sequence_classifier_on_marked_text(tmp_path: Path) -> None:
    labelled_model(tmp_path, labels=LABELS)
    loaded = load(tmp_path, "sequence-classification")
    add_markers(loaded, "klue")
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["relation_markers"]  # as in published checkpoints: only the tokenizer has the markers
    (tmp_path / "config.json").write_text(json.dumps(config))
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path)(MARKED["klue"], return_tensors="pt")
    with torch.no_grad():
        expected = peer(**inputs).logits[0].softmax(-1).tolist()
    found = RelationExtraction(tmp_path)(TEXT, SUBJECT, OBJECT, top_k=None)
    assert by_label(found) == pytest.approx(expected, abs=1e-5)


@given(st.text(alphabet="가나 ab", min_size=4, max_size=12), st.data())
def test_markers_change_nothing_else(text: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4, unique=True).map(sorted))
    spans = [(cuts[0], cuts[1]), (cuts[2], cuts[3])]
    if not all(text[start:end].strip() for start, end in spans):
        return
    subject, other = data.draw(st.permutations(spans))
    marked = mark(text, subject, other, PLAIN).text
    assert re.sub(r"\[/?E[12]\]", "", marked) == text
    assert f"[E1]{text[subject[0] : subject[1]]}[/E1]" in marked
    assert f"[E2]{text[other[0] : other[1]]}[/E2]" in marked


def test_markers_are_tokens_with_rows_of_their_own(tmp_path: Path) -> None:
    loaded = load(labelled_model(tmp_path), None)
    before = loaded.model.config.vocab_size
    assert add_markers(loaded, "plain") == ["[E1]", "[/E1]", "[E2]", "[/E2]"]
    assert loaded.tokenizer.tokenize("[E1]이순신[/E1]은") == ["[E1]", "이순신", "[/E1]", "은"]
    assert loaded.model.config.vocab_size == len(loaded.tokenizer) == before + 4
    assert loaded.model.raw_config["relation_markers"] == "plain"
    add_markers(loaded, "plain")
    assert len(loaded.tokenizer) == before + 4
    with pytest.raises(InputError, match="Unknown kind of markers 'dotted'"):
        add_markers(loaded, "dotted")  # type: ignore[arg-type]


def test_a_long_text_is_read_around_its_entities(folder: Path, relate: RelationExtraction) -> None:
    before, after = "가 " * 50, " 나" * 50
    text = f"{before}{TEXT}{after}"
    at = len(before)
    with pytest.warns(TruncationWarning, match=r"1 of 1 texts were longer than 40 tokens"):
        found = relate(text, (at, at + 3), (at + 5, at + 7), top_k=None)
    tokenizer = Tokenizer.from_pretrained(folder)
    ids = tokenizer.encode(f"{before}{MARKED['plain']}{after}", add_special_tokens=False)
    marks = [ids.index(tokenizer.get_vocab()[marker]) for marker in ("[E1]", "[/E2]")]
    room = MAX_LENGTH - 2
    start = marks[0] - (room - (marks[1] - marks[0] + 1)) // 2
    kept = tokenizer.convert_ids_to_tokens(ids[start : start + room])
    marked = "".join(
        str(token).removeprefix("##") if str(token).startswith("##") else f" {token}" for token in kept
    )
    assert by_label(found) == pytest.approx(peer_scores(folder, marked, ("[E1]", "[E2]")), abs=1e-5)
    with pytest.raises(InputError, match=r"are \d+ tokens apart.*takes 38"):
        relate(text, (0, 1), (len(text) - 1, len(text)))


def test_relations_of_klue() -> None:
    assert len(set(KLUE_RE_LABELS)) == 30
    assert sum(label.startswith("per:") for label in KLUE_RE_LABELS) == 18
    assert sum(label.startswith("org:") for label in KLUE_RE_LABELS) == 11


@pytest.mark.parametrize(
    ("text", "subject", "object_", "error", "message"),
    [
        (" ", (0, 1), (0, 1), InputError, "The text is empty"),
        (TEXT, (0, 3), (14, 17), InputError, r"object \(14, 17\) is no part of the text of 15"),
        (TEXT, (-1, 3), (5, 7), InputError, r"subject \(-1, 3\) is no part"),
        (TEXT, (3, 3), (5, 7), InputError, r"subject \(3, 3\) is no part"),
        (TEXT, (0, 3), (2, 5), InputError, "overlap"),
        (TEXT, (4, 5), (5, 7), InputError, "nothing but spaces"),
        (TEXT, (0, "3"), (5, 7), InputTypeError, "must be whole numbers, got '3'"),
        (TEXT, "이순신", (5, 7), InputTypeError, "must be .start, end."),
        (TEXT, (0, 3), None, InputTypeError, "must be .start, end."),
        ("[E1]이순신 한성", (4, 7), (8, 10), InputError, "holds the marker .E1. already"),
        ([{"text": TEXT}], None, None, InputTypeError, "The text must be a dictionary of a text, a subject"),
        ([], (0, 3), None, InputError, "pass none beside it"),
    ],
)
def test_bad_input(
    text: Any, subject: Any, object_: Any, error: type[Exception], message: str, relate: RelationExtraction
) -> None:
    with pytest.raises(error, match=message):
        relate(text, subject, object_)


def test_types_that_markers_need(typed: RelationExtraction) -> None:
    with pytest.raises(InputError, match="need the type of the subject: one of PER, ORG"):
        typed(TEXT, (0, 3), OBJECT)
    with pytest.raises(InputError, match="no object of type 'MISC'; there are PER, ORG, LOC, DAT, POH, NOH"):
        typed(TEXT, SUBJECT, (5, 7, "MISC"))


def test_models_without_a_relation_head(tmp_path: Path, folder: Path) -> None:
    labelled_model(tmp_path / "classes")
    with pytest.raises(CheckpointError, match=r"no such markers.*it has none"):
        RelationExtraction(tmp_path / "classes")
    with pytest.raises(CheckpointError, match=r"no klue markers.*it has plain"):
        RelationExtraction(folder, markers="klue")
    with pytest.raises(InputError, match="Unknown kind of markers"):
        RelationExtraction(folder, markers="dotted")  # type: ignore[arg-type]
    labelled_model(tmp_path / "ner", "BertForTokenClassification")
    with pytest.raises(CheckpointError, match="no trained relation-extraction head; it has token-class"):
        RelationExtraction(tmp_path / "ner")
    with pytest.raises(InputError, match="opened with no head"):
        RelationExtraction(Loaded(Model.from_pretrained(folder, None), Tokenizer.from_pretrained(folder)))


def test_the_model_alone_does_not_know_the_entities(folder: Path) -> None:
    model = Model.from_pretrained(folder, "relation-extraction")
    with pytest.raises(InputError, match="needs the positions of the entities"):
        model([[2, 5, 3]])
