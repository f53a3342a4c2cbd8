"""Products in 8 bits: the rounding itself, equal values on all executors, no effect of the batch, accuracy.

Bad: an unknown dtype, torch in 8 bits, an index of another dtype, an unfinished encoding of another dtype.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import munjang
from munjang.backends import openvino
from munjang.backends.eight_bit import EightBitMatrix, EightBitProducts, quantized
from munjang.backends.openvino import has_eight_bit_products
from munjang.errors import EngineWarning, IndexMismatchError, InputError
from munjang.models.registry import ARCHITECTURES as REGISTERED
from munjang.runtime.model import Model
from support.gpt2 import make_gpt2
from support.peers import ARCHITECTURES, random_inputs, random_peer
from support.program import invoke_here, json_lines

# The CPU of this machine may have none.
pytestmark = pytest.mark.filterwarnings("ignore:This CPU has no instructions for products in 8 bits")

REALISTIC = {"initializer_range": 0.1}


def test_the_rounding() -> None:
    x = np.array(
        [[127.0, -63.6, 0.4, 0.6, 0, 0, 0, 0], [0, 0, 0, 0, -2.0, 1.0, 0.0, 0.004]], dtype=np.float32
    )
    whole = [[127, -64, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, -2, 64 * 2 / 127, 0, 0]]
    expected = np.array(whole, dtype=np.float32)
    np.testing.assert_allclose(quantized(x, 4), expected, rtol=1e-6)
    np.testing.assert_allclose(quantized(x[:, :6], 4), expected[:, :6], rtol=1e-6)  # padded


@pytest.mark.parametrize("transposed", [True, False])
def test_a_matrix(transposed: bool) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((40, 30), dtype=np.float32)
    smoothing = random.uniform(0.5, 2, 30 if transposed else 40).astype(np.float32)
    matrix = EightBitMatrix.of(weight, transposed=transposed, smoothing=smoothing)
    exact = (weight if transposed else weight.T) * smoothing
    assert matrix.values.dtype == np.int8
    assert np.abs(matrix.values).max(axis=1).tolist() == [127] * len(exact)
    assert (np.abs(matrix.restored() - exact) <= matrix.scales / 2 * 1.0001).all()
    zero = EightBitMatrix.of(np.zeros((32, 32), dtype=np.float32), transposed=True)
    assert not zero.restored().any()


def test_smoothing_preserves_the_product_and_saves_the_small_channels(tmp_path: Path) -> None:
    """One channel of the inputs is 100 times as large as the others."""
    peer = random_peer("bert", tmp_path, settings=REALISTIC)
    weights = {name: value.numpy().copy() for name, value in peer.state_dict().items()}
    weights["embeddings.LayerNorm.weight"][5] = 100
    raw = json.loads((tmp_path / "config.json").read_text())
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(0))
    products = EightBitProducts(weights)
    exact = Model(raw, weights)
    products.prepare(exact.program(frozenset({"last_hidden_state"})))
    query = products.matrix(
        "encoder.layer.0.attention.self.query.weight",
        weights["encoder.layer.0.attention.self.query.weight"],
        transposed=True,
    )
    assert query is not None
    assert query.smoothing is not None
    assert query.smoothing[5] == query.smoothing.max()

    def errors(smoothed: bool) -> float:
        with pytest.MonkeyPatch.context() as patch:
            if not smoothed:
                patch.setattr(EightBitProducts, "_smoothing", lambda *_: None)
            rounded = Model(raw, weights, dtype="int8")(**inputs).last_hidden_state
        expected = exact(**inputs).last_hidden_state
        assert rounded is not None
        assert expected is not None
        return float(np.square(rounded - expected).mean())

    assert errors(smoothed=True) < 0.9 * errors(smoothed=False)


def close(values: NDArray[Any] | None, expected: NDArray[Any] | None) -> bool:
    """Return whether most values are equal up to float error.

    In a text a value between two steps may be rounded to the other one, which changes all that follow.
    """
    assert values is not None
    assert expected is not None
    assert values.shape == expected.shape
    difference = np.abs(values - expected)
    largest = float(np.abs(expected).max())
    return bool(np.median(difference) < 1e-5 * largest and difference.max() < 0.05 * largest)


# Where the engine does not round, products of float32 depend on the batch in their last bit.
only_with_vnni = pytest.mark.skipif(
    not has_eight_bit_products(), reason="this CPU has no instructions for products in 8 bits"
)


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(
    architecture: str, head: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO with the CPU's 8-bit instructions, OpenVINO without them, and NumPy."""
    random_peer(architecture, tmp_path, head=head, settings=REALISTIC)
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(1), texts=6)
    name = "sequence-classification" if head else None
    wanted = "logits" if head else "last_hidden_state"

    def opened(**options: Any) -> NDArray[np.float32]:
        return Model.from_pretrained(tmp_path, name, **options)(**inputs)[wanted]  # type: ignore[no-any-return]

    reference = opened(backend="numpy", dtype="int8")
    exact = opened()
    assert close(opened(dtype="int8"), reference)
    monkeypatch.setattr(openvino, "has_eight_bit_products", lambda: False)
    with pytest.warns(EngineWarning, match="no instructions for products in 8 bits"):
        without = opened(dtype="int8")
    assert close(without, reference)
    assert 1e-4 < np.abs(reference - exact).max() / np.abs(exact).max() < 0.1  # rounded, and not by much


@only_with_vnni
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_does_not_depend_on_its_batch(architecture: str, tmp_path: Path) -> None:
    random_peer(architecture, tmp_path, settings=REALISTIC)
    model = Model.from_pretrained(tmp_path, dtype="int8")
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(2), texts=6)
    together = model(**inputs).last_hidden_state
    assert together is not None
    for i in range(6):
        row: dict[str, Any] = {key: value[i : i + 1] for key, value in inputs.items()}
        alone = model(**row).last_hidden_state
        assert alone is not None
        np.testing.assert_allclose(alone, together[i : i + 1], atol=1e-6)


def test_generation(tmp_path: Path) -> None:
    gpt2 = make_gpt2(tmp_path)
    ids = np.array([[5, 6, 7, 8]])
    rounded = Model.from_pretrained(gpt2.folder, "causal-lm", dtype="int8")(ids).logits
    reference = Model.from_pretrained(gpt2.folder, "causal-lm", dtype="int8", backend="numpy")(ids).logits
    assert close(rounded, reference)


def test_all_cores_for_one_text_give_the_same_values(tmp_path: Path) -> None:
    random_peer("bert", tmp_path, settings=REALISTIC)
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(3), texts=1)
    several = Model.from_pretrained(tmp_path, dtype="int8", threads=2, streams=2)(**inputs).last_hidden_state
    single = Model.from_pretrained(tmp_path, dtype="int8", threads=2, streams=1)(**inputs).last_hidden_state
    assert close(several, single)


def test_this_cpu() -> None:
    assert isinstance(has_eight_bit_products(), bool)


# Bad input


def test_unknown_dtypes(tmp_path: Path) -> None:
    random_peer("bert", tmp_path)
    for dtype in ("int4", "INT8", 8, None):
        with pytest.raises(InputError, match="dtype must be one of 'float32', 'int8'"):
            Model.from_pretrained(tmp_path, dtype=dtype)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="torch backend computes in float32, not int8"):
        Model.from_pretrained(tmp_path, backend="torch", dtype="int8")


@pytest.mark.models
class TestSentences:
    """MiniLM, with 8 bits."""

    TEXTS = (
        "나는 학교에 간다.",
        "The cat sat on the mat.",
        "Where is the station?",
        "a",
        "한국어 문장입니다. " * 9,
    )

    def test_accuracy(self) -> None:
        for name in ("all-MiniLM-L6-v2", "multilingual-e5-small"):
            exact = munjang.SentenceTransformer(name).encode(self.TEXTS, normalize_embeddings=True)
            model = munjang.SentenceTransformer(name, dtype="int8")
            rounded = model.encode(self.TEXTS, normalize_embeddings=True)
            cosines = (exact * rounded).sum(axis=1)
            assert cosines.min() > 0.996
            assert cosines.mean() > 0.998
            assert np.abs(exact - rounded).max() > 1e-4
            assert "int8" in repr(model.model)

    @only_with_vnni
    def test_the_batch_has_no_effect(self) -> None:
        for name in ("all-MiniLM-L6-v2", "multilingual-e5-small"):
            model = munjang.SentenceTransformer(name, dtype="int8")
            together = model.encode(self.TEXTS)
            alone = [model.encode(text) for text in self.TEXTS]
            np.testing.assert_allclose(together, alone, atol=1e-6)
            np.testing.assert_allclose(model.encode(self.TEXTS[::-1])[::-1], together, atol=1e-6)

    def test_an_index_keeps_its_dtype(self, tmp_path: Path) -> None:
        path, model = tmp_path / "a.munjang", "all-MiniLM-L6-v2"
        with munjang.Index.open(path, model=model, dtype="int8", analyzer="hangul-bigrams") as index:
            index.add(["The cat sat on the mat.", "Where is the station?"])
            assert index.settings.dtype == "int8"
        with munjang.Index.open(path) as index:
            assert index.model.model.dtype == "int8"
            assert index.search("train station", mode="semantic")[0].text == "Where is the station?"
        with pytest.raises(IndexMismatchError, match="dtype 'int8', now 'float32'"):
            munjang.Index.open(path, dtype="float32")
        with pytest.raises(IndexMismatchError, match="dtype 'int8', now 'float32'"):
            munjang.Index.open(path, model=munjang.SentenceTransformer(model))
        with munjang.Index.open(path) as index:
            assert index.migrate(dtype="float32") == 2
            assert index.settings.dtype == index.model.model.dtype == "float32"
        with (
            munjang.Index.open(path, dtype="float32") as index,
            pytest.raises(InputError, match="dtype must be"),
        ):
            index.migrate(dtype="int4")

    def test_the_command_line(self, tmp_path: Path) -> None:
        model = ("-m", "all-MiniLM-L6-v2")
        expected = munjang.SentenceTransformer(model[1], dtype="int8").encode(self.TEXTS[0])
        ((row,),) = json_lines("encode", self.TEXTS[0], *model, "--dtype", "int8")
        np.testing.assert_allclose(row, expected, atol=1e-6)
        texts = tmp_path / "a.txt"
        texts.write_text("하나\n둘\n")
        index = tmp_path / "a.munjang"
        built = invoke_here(
            "index", "build", index, texts, "--lines", *model, "--dtype", "int8", "--no-progress"
        )
        assert built.exit_code == 0, built.output
        again = invoke_here("index", "build", index, texts, "--lines", "--dtype", "float32", "--no-progress")
        assert again.exit_code == 1
        assert "dtype 'int8', now 'float32'" in again.stderr
        wrong = invoke_here("encode", "하나", *model, "--dtype", "int4")
        assert wrong.exit_code == 2
        assert "int4" in wrong.stderr


def test_every_registered_architecture_is_tested() -> None:
    assert {name for name in REGISTERED if name != "gpt2"} <= {
        name.split("-")[0] for name in ARCHITECTURES
    } | {*ARCHITECTURES}
