"""Programs of lessons on sentence vectors, with changed import lines only.

Each runs in up to three ways: with trained weights from the catalogue or the hub, to the digits that the
lessons printed; and on a small random model, where the same program with the other library's imports must
print the same.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from support.sentences import make_checkpoint, make_pair_checkpoint, make_sentence_folder, modify_json

CASES: dict[str, Any] = json.loads(Path(__file__).with_name("lesson_cases.json").read_text(encoding="utf-8"))

SENTENCE_EMBEDDING = """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(NAME)
sentence = CASE["text"]
embedding = model.encode(sentence)
print("Sentence:", sentence)
print("Shape:", embedding.shape)
print("Embedding:", embedding[:16].tolist())
"""

COS_SIM = """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME)
first = model.encode(CASE["text"])
second = model.encode(CASE["pair"])
cos_sim = util.cos_sim(first, second)
print("Cosine-Similarity: {:.4f}".format(cos_sim[0][0]))
"""

TOP_PAIRS = """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME)
sentences = CASE["texts"]
embeddings = model.encode(sentences)
cos_sim = util.cos_sim(embeddings, embeddings)

pairs = []
for i in range(len(cos_sim) - 1):
    for j in range(i + 1, len(cos_sim)):
        pairs.append([cos_sim[i][j], i, j])
pairs = sorted(pairs, key=lambda x: x[0], reverse=True)

for score, i, j in pairs[0:5]:
    print("{} \\t {} \\t Score: {:.4f}".format(sentences[i], sentences[j], score))
"""

DOT_SCORE = """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME)
query_embedding = model.encode(CASE["query"])
passage_embeddings = model.encode(CASE["passages"])
scores = util.dot_score(query_embedding, passage_embeddings)[0].tolist()
for passage, score in zip(CASE["passages"], scores):
    print(passage, "{:.4f}".format(score))
"""

SEMANTIC_SEARCH = """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME)
query_embedding = model.encode(CASE["query"])
corpus_embeddings = model.encode(CASE["passages"])
print(util.semantic_search(query_embedding, corpus_embeddings))
"""

SEMANTIC_SEARCH_WITH_TENSORS = """
import torch
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME)
corpus_embeddings = model.encode(CASE["passages"], convert_to_tensor=True)
query_embedding = model.encode(CASE["query"], convert_to_tensor=True)
scores = util.pytorch_cos_sim(query_embedding, corpus_embeddings)[0]
top = torch.topk(scores, k=2)
for score, i in zip(top[0], top[1]):
    print(CASE["passages"][i], "(Score: {:.4f})".format(score))
"""

CROSS_ENCODER = """
from sentence_transformers import CrossEncoder

model = CrossEncoder(NAME, max_length=512)
scores = model.predict([(CASE["query"], passage) for passage in CASE["passages"]])
print(scores.tolist())
"""

POOLER_SIMILARITY = """
from munjang import SentenceTransformer, util

model = SentenceTransformer(NAME, pooling="pooler")
vectors = model.encode(CASE["texts"])
for i, j, _ in CASE["pooler_cos_sim"]:
    print("{:.4f}".format(util.cos_sim(vectors[i], vectors[j])[0][0]))
"""

CHATBOT = """
from munjang import SentenceTransformer, util

model = SentenceTransformer(NAME, pooling="cls")
model.max_seq_length = CASE["max_length"]
question_vectors = model.encode(CASE["questions"])

def answer(question):
    scores = util.cos_sim(model.encode(question), question_vectors)[0]
    best = int(scores.argmax())
    return CASE["answers"][best], float(scores[best])

for question in CASE["questions"]:
    print(question, "->", *answer(question))
print(*answer("기차 여행"))
"""


def printed(program: str, name: str | Path, case: dict[str, Any], library: str = "munjang") -> str:
    """Run a lesson's program with another library in its import line; return its output."""
    changed = re.sub(
        r"^from \w+ import (?=SentenceTransformer|CrossEncoder)",
        f"from {library} import ",
        program,
        flags=re.MULTILINE,
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(changed, "lesson", "exec"), {"NAME": str(name), "CASE": case})
    return out.getvalue()


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)]


def assert_same(ours: str, theirs: str, tolerance: float) -> None:
    """Texts are equal but for the last digits of their numbers."""
    number = r"-?\d+\.\d+(?:e-?\d+)?"
    assert re.sub(number, "#", ours) == re.sub(number, "#", theirs)
    np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=0, atol=tolerance)


# On a small random model, against the other library


@pytest.mark.parametrize(
    ("case", "program", "architecture"),
    [
        ("sentence-embedding", SENTENCE_EMBEDDING, "bert"),
        ("cos-sim", COS_SIM, "bert"),
        ("top-pairs", TOP_PAIRS, "bert"),
        ("dot-score", DOT_SCORE, "bert"),
        ("semantic-search", SEMANTIC_SEARCH, "xlm-roberta"),
        ("semantic-search", SEMANTIC_SEARCH_WITH_TENSORS, "xlm-roberta"),
    ],
)
@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_lessons_on_sentences(case: str, program: str, architecture: str, tmp_path: Path) -> None:
    make_sentence_folder(architecture, tmp_path / "model")
    ours, theirs = (
        printed(program, tmp_path / "model", CASES[case], library)
        for library in ("munjang", "sentence_transformers")
    )
    assert_same(ours, theirs, 1.1e-4)  # a fourth decimal may round either way


@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_lesson_on_cross_encoders(tmp_path: Path) -> None:
    make_pair_checkpoint("bert", tmp_path)
    modify_json(
        tmp_path / "config.json", sbert_ce_default_activation_function="torch.nn.modules.linear.Identity"
    )
    modify_json(tmp_path / "tokenizer_config.json", model_max_length=48)
    program = CROSS_ENCODER.replace("max_length=512", "max_length=48")
    ours, theirs = (
        printed(program, tmp_path, CASES["cross-encoder"], library)
        for library in ("munjang", "sentence_transformers")
    )
    assert_same(ours, theirs, 1e-5)


def reference_vectors(folder: Path, texts: list[str], *, max_length: int, pooler: bool) -> Any:
    """Return the lessons' vectors, by `transformers`: the pooler's output, or the first token's vector."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.no_grad():
        output = model(**batch)
    return torch.nn.functional.normalize(output.pooler_output if pooler else output.last_hidden_state[:, 0])


def test_lesson_on_the_pooler(tmp_path: Path) -> None:
    make_checkpoint("bert", tmp_path)
    case = CASES["pooler-similarity"]
    vectors = reference_vectors(tmp_path, case["texts"], max_length=48, pooler=True)
    expected = [float(vectors[i] @ vectors[j]) for i, j, _ in case["pooler_cos_sim"]]
    np.testing.assert_allclose(
        numbers(printed(POOLER_SIMILARITY, tmp_path, case)), expected, rtol=0, atol=6e-5
    )


def test_lesson_on_a_chatbot(tmp_path: Path) -> None:
    # A byte-level vocabulary gives different texts different ids.
    make_checkpoint("roberta", tmp_path, settings={"max_position_embeddings": 140})
    case = CASES["retrieval-chatbot"]
    lines = printed(CHATBOT, tmp_path, case).splitlines()
    for line, question, answer in zip(lines, case["questions"], case["answers"], strict=False):
        assert line.startswith(f"{question} -> {answer} ")
    vectors = reference_vectors(tmp_path, [*case["questions"], "기차 여행"], max_length=128, pooler=False)
    scores = vectors[:-1] @ vectors[-1]
    best = int(scores.argmax())
    assert lines[-1].startswith(case["answers"][best])
    np.testing.assert_allclose(numbers(lines[-1]), [float(scores[best])], rtol=0, atol=1e-5)


# all-MiniLM-L6-v2, to the digits that the lessons printed


@pytest.mark.models
def test_the_vector_of_the_lesson() -> None:
    case = CASES["sentence-embedding"]
    lines = printed(SENTENCE_EMBEDDING, case["model"], case).splitlines()
    assert lines[0] == "Sentence: This framework generates embeddings for each input sentence"
    assert lines[1] == "Shape: (384,)"
    np.testing.assert_allclose(
        json.loads(lines[2].partition(":")[2]), case["first_values"], rtol=0, atol=1e-6
    )


@pytest.mark.models
def test_the_similarity_of_the_lesson() -> None:
    case = CASES["cos-sim"]
    assert printed(COS_SIM, case["model"], case) == "Cosine-Similarity: 0.6153\n"


@pytest.mark.models
def test_the_pairs_of_the_lesson() -> None:
    case = CASES["top-pairs"]
    texts = case["texts"]
    expected = [f"{texts[i]} \t {texts[j]} \t Score: {score:.4f}" for i, j, score in case["top"]]
    assert printed(TOP_PAIRS, case["model"], case).splitlines() == expected


# Weights of the hub


@pytest.mark.hub
def test_the_dot_scores_of_the_lesson() -> None:
    case = CASES["dot-score"]
    assert numbers(printed(DOT_SCORE, case["model"], case)) == pytest.approx(case["dot_score"], abs=1e-4)


@pytest.mark.hub
def test_the_hits_of_the_lesson() -> None:
    case = CASES["semantic-search"]
    (hits,) = json.loads(printed(SEMANTIC_SEARCH, case["model"], case).replace("'", '"'))
    assert [hit["corpus_id"] for hit in hits] == [hit["corpus_id"] for hit in case["hits"]]
    assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in case["hits"]], abs=1e-5)


@pytest.mark.hub
def test_the_logits_of_the_lesson() -> None:
    case = CASES["cross-encoder"]
    assert numbers(printed(CROSS_ENCODER, case["model"], case)) == pytest.approx(case["logits"], abs=1e-4)


@pytest.mark.hub
def test_the_pooler_of_the_lesson() -> None:
    case = CASES["pooler-similarity"]
    expected = [score for _, _, score in case["pooler_cos_sim"]]
    assert numbers(printed(POOLER_SIMILARITY, case["model"], case)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.hub
def test_the_chatbot_of_the_lesson() -> None:
    case = CASES["retrieval-chatbot"]
    lines = printed(CHATBOT, case["model"], case).splitlines()
    for line, question, answer in zip(lines, case["questions"], case["answers"], strict=False):
        assert line.startswith(f"{question} -> {answer} ")
    assert lines[-1].startswith("꿈꾸던 여행이네요.")
