"""The files of sentence-transformers: what either library saved loads in the other, with equal vectors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer as Peer
from sentence_transformers.sentence_transformer import modules as parts

from munjang import SentenceTransformer
from munjang.errors import CheckpointError, UnsafeCheckpointError, UnsupportedModelError
from support.peers import ARCHITECTURES
from support.sentences import MAX_TOKENS, TEXTS, Trio, make_sentence_folder, modify_json

TOLERANCE = 1e-5


def assert_close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=TOLERANCE)


def some_norm(width: int) -> Any:
    norm = parts.LayerNorm(width)
    torch.nn.init.normal_(norm.norm.weight)
    torch.nn.init.normal_(norm.norm.bias)
    return norm


STEPS: dict[str, Callable[[], list[Any]]] = {
    "normalize": lambda: [parts.Normalize()],
    "dense": lambda: [parts.Dense(32, 20)],
    "dense-linear-without-bias": lambda: [
        parts.Dense(32, 20, bias=False, activation_function=torch.nn.Identity())
    ],
    "dense-gelu": lambda: [parts.Dense(32, 48, activation_function=torch.nn.GELU())],
    "dense-relu": lambda: [parts.Dense(32, 8, activation_function=torch.nn.ReLU())],
    "dense-sigmoid": lambda: [parts.Dense(32, 8, activation_function=torch.nn.Sigmoid())],
    "dense-leaky-relu": lambda: [parts.Dense(32, 8, activation_function=torch.nn.LeakyReLU())],
    "dense-hardswish": lambda: [parts.Dense(32, 8, activation_function=torch.nn.Hardswish())],
    "dense-silu": lambda: [parts.Dense(32, 8, activation_function=torch.nn.SiLU())],
    "dense-residual": lambda: [parts.Dense(32, 32, use_residual=True)],
    "dense-residual-narrower": lambda: [parts.Dense(32, 12, use_residual=True)],
    "layer-norm": lambda: [some_norm(32)],
    "dropout": lambda: [parts.Dropout(0.4)],
    "all": lambda: [
        parts.Dense(32, 24),
        parts.Dropout(0.1),
        some_norm(24),
        parts.Dense(24, 10, bias=False),
        parts.Normalize(),
    ],
}


@pytest.mark.parametrize("steps", STEPS)
def test_modules_after_pooling_survive_saving(steps: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Trio.make(tmp_path / "theirs", modules=STEPS[steps]())
    expected = model.peer.encode(TEXTS)
    assert_close(model.ours.encode(TEXTS), expected)
    assert model.ours.get_sentence_embedding_dimension() == expected.shape[1]

    model.ours.save_pretrained(tmp_path / "ours")
    again = SentenceTransformer(tmp_path / "ours")
    np.testing.assert_array_equal(again.encode(TEXTS), model.ours.encode(TEXTS))
    assert_close(Peer(str(tmp_path / "ours"), device="cpu").encode(TEXTS), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_survives_saving(architecture: str, tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "theirs", architecture, pooling=("lasttoken", "mean"))
    model.ours.save_pretrained(tmp_path / "ours")
    np.testing.assert_array_equal(
        SentenceTransformer(tmp_path / "ours").encode(TEXTS), model.ours.encode(TEXTS)
    )
    peer = Peer(str(tmp_path / "ours"), device="cpu")
    assert_close(peer.encode(TEXTS), model.peer.encode(TEXTS))
    assert peer.max_seq_length == model.ours.max_seq_length == MAX_TOKENS
    peer.save(str(tmp_path / "again"), create_model_card=False)
    np.testing.assert_array_equal(
        SentenceTransformer(tmp_path / "again").encode(TEXTS), model.ours.encode(TEXTS)
    )


@pytest.mark.parametrize("pooling", ["cls", ("cls", "mean"), ("mean", "cls", "max")])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_pooling_survives_saving(pooling: Any, include_prompt: bool, tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "theirs", pooling=pooling, include_prompt=include_prompt)
    model.ours.save_pretrained(tmp_path / "ours")
    again = SentenceTransformer(tmp_path / "ours")
    assert again.pooling == model.ours.pooling
    expected = model.peer.encode(TEXTS, prompt="The girl ")
    assert_close(again.encode(TEXTS, prompt="The girl "), expected)
    peer = Peer(str(tmp_path / "ours"), device="cpu")
    assert_close(peer.encode(TEXTS, prompt="The girl "), expected)


@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_settings_survive_saving(tmp_path: Path) -> None:
    prompts = {"query": "질문: ", "passage": "글: "}
    chosen: dict[str, Any] = {
        "prompts": prompts,
        "default_prompt_name": "passage",
        "similarity_fn_name": "manhattan",
        "truncate_dim": 11,
    }
    model = Trio.make(tmp_path / "theirs", **chosen)
    model.peer.max_seq_length = 17
    model.peer.save(str(tmp_path / "theirs"), create_model_card=False)
    ours = SentenceTransformer(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    again = SentenceTransformer(tmp_path / "ours")
    peer = Peer(str(tmp_path / "ours"), device="cpu")
    for loaded in (ours, again, peer):
        assert loaded.prompts == model.peer.prompts == {"document": "", **prompts}
        assert loaded.default_prompt_name == "passage"
        assert loaded.similarity_fn_name == "manhattan"
        assert loaded.truncate_dim == 11
        assert loaded.max_seq_length == 17
        assert loaded.get_embedding_dimension() == 11
        assert_close(loaded.encode(TEXTS), model.peer.encode(TEXTS))


@pytest.mark.filterwarnings("ignore::munjang.runtime.notices.TruncationWarning")
def test_changed_settings_are_saved(bert: Trio, tmp_path: Path) -> None:
    model = SentenceTransformer(bert.folder, pooling="cls", prompts={"new": "n: "}, truncate_dim=9)
    model.max_seq_length = 12
    model.similarity_fn_name = "dot"
    model.default_prompt_name = "new"
    model.save(tmp_path)
    for loaded in (SentenceTransformer(tmp_path), Peer(str(tmp_path), device="cpu")):
        assert loaded.max_seq_length == 12
        assert loaded.similarity_fn_name == "dot"
        assert loaded.default_prompt_name == "new"
        assert_close(loaded.encode(TEXTS), model.encode(TEXTS))


def test_max_seq_length_of_older_files(tmp_path: Path) -> None:
    folder = Trio.make(tmp_path / "model").folder
    (folder / "sentence_bert_config.json").unlink()
    assert SentenceTransformer(folder).max_seq_length == MAX_TOKENS  # the tokenizer's
    modify_json(folder / "sentence_roberta_config.json", max_seq_length=9)
    assert SentenceTransformer(folder).max_seq_length == Peer(str(folder), device="cpu").max_seq_length == 9
    modify_json(folder / "sentence_bert_config.json", max_seq_length=10, do_lower_case=False)
    model, peer = SentenceTransformer(folder), Peer(str(folder), device="cpu")
    assert model.max_seq_length == peer.max_seq_length == 10
    modify_json(folder / "sentence_bert_config.json", max_seq_length="long")
    with pytest.raises(CheckpointError, match="max_seq_length must be a whole number, got 'long'"):
        SentenceTransformer(folder)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_do_lower_case(architecture: str, tmp_path: Path) -> None:
    texts = ["A MAN is EATING food.", "ΟΔΟΣ Σ", "İstanbul [MASK] <mask>", "Ⅷ ǅ"]
    folder = Trio.make(tmp_path / "model", architecture).folder
    cased = SentenceTransformer(folder).encode(texts)
    modify_json(folder / "sentence_bert_config.json", max_seq_length=40, do_lower_case=True)
    model, peer = SentenceTransformer(folder), Peer(str(folder), device="cpu")
    assert np.abs(model.encode(texts) - cased).max() > 0.01
    assert_close(model.encode(texts), peer.encode(texts))
    model.save_pretrained(tmp_path / "ours")
    peer.save(str(tmp_path / "theirs"), create_model_card=False)
    for saved in (tmp_path / "ours", tmp_path / "theirs"):
        assert_close(SentenceTransformer(saved).encode(texts), peer.encode(texts))
    assert_close(Peer(str(tmp_path / "ours"), device="cpu").encode(texts), peer.encode(texts))


def test_the_encoder_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """The layout of the library's first versions."""
    model = Trio.make(tmp_path / "model")
    inner = model.folder / "0_Transformer"
    inner.mkdir()
    stay = {"modules.json", "config_sentence_transformers.json"}
    for path in [path for path in model.folder.iterdir() if path.is_file() and path.name not in stay]:
        path.rename(inner / path.name)
    modules = json.loads((model.folder / "modules.json").read_text())
    modules[0] |= {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    (model.folder / "modules.json").write_text(json.dumps(modules))
    assert_close(SentenceTransformer(model.folder).encode(TEXTS), model.peer.encode(TEXTS))


def test_half_precision_is_saved_as_it_is_computed(tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "model")
    model.peer.half().save(str(tmp_path / "half"), create_model_card=False)
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "float16"
    ours = SentenceTransformer(tmp_path / "half")
    ours.save_pretrained(tmp_path / "ours")
    peer = Peer(str(tmp_path / "ours"), device="cpu")
    assert peer.dtype == torch.float32
    assert_close(peer.encode(TEXTS), ours.encode(TEXTS))


# What can't be used


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a Dense module, to be damaged by tests."""
    make_sentence_folder("bert", tmp_path / "model", modules=[parts.Dense(32, 20)])
    return tmp_path / "model"


def add_module(folder: Path, kind: str, *, at: int = 3, **config: Any) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.insert(at, {"idx": at, "name": str(at), "path": "9_New", "type": kind})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "9_New").mkdir()
    modify_json(folder / "9_New/config.json", **config)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("sentence_transformers.models.WordWeights", "of type 'WordWeights' is not supported after pooling"),
        ("sentence_transformers.models.Pooling", "of type 'Pooling' is not supported after pooling"),
        ("custom_code.Dense", "the module 'custom_code.Dense' is code of the model's own"),
        ("Dense", "is code of the model's own"),
    ],
)
def test_unknown_modules(kind: str, message: str, folder: Path) -> None:
    add_module(folder, kind)
    with pytest.raises(UnsupportedModelError, match=message):
        SentenceTransformer(folder)


@pytest.mark.parametrize("at", [0, 1])
def test_a_module_before_pooling(at: int, folder: Path) -> None:
    add_module(folder, "sentence_transformers.models.Dropout", at=at)
    with pytest.raises(UnsupportedModelError, match="a sentence encoder begins with Transformer, Pooling"):
        SentenceTransformer(folder)


@pytest.mark.parametrize("kind", ["Normalize", "Dense"])
def test_a_module_for_other_values(kind: str, folder: Path) -> None:
    add_module(folder, f"sentence_transformers.models.{kind}", module_input_name="token_embeddings")
    with pytest.raises(UnsupportedModelError, match="module_input_name 'token_embeddings' is not supported"):
        SentenceTransformer(folder)


@pytest.mark.parametrize("activation", ["torch.nn.modules.activation.PReLU", "my.own.Tanh", "Tanh"])
def test_an_unknown_activation(activation: str, folder: Path) -> None:
    modify_json(folder / "2_Dense/config.json", activation_function=activation)
    with pytest.raises(UnsupportedModelError, match=f"'2_Dense': the activation '{activation}'"):
        SentenceTransformer(folder)


MESSAGES = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}, "message": {}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("transformer_task", "fill-mask"),
        ("module_output_name", "sentence_embedding"),
        ("modality_config", MESSAGES),
        ("modality_config", {"text": {"method": "forward", "method_output_name": "pooler_output"}}),
        ("processing_kwargs", {"text": {"max_length": 8}}),
        ("query_length", 32),
        ("document_length", 32),
        ("query_expansion", {"strategy": "fixed", "length": 32}),
        ("tokenizer_args", {"model_max_length": 8}),
        ("processor_kwargs", {"padding_side": "left"}),
        ("config_kwargs", {"num_hidden_layers": 1}),
        ("model_args", {"add_pooling_layer": False}),
        ("tokenizer_name_or_path", "another"),
        ("something_new", 1),
    ],
)
def test_keys_of_the_transformer_that_are_refused_by_name(key: str, value: Any, folder: Path) -> None:
    modify_json(folder / "sentence_bert_config.json", **{key: value})
    with pytest.raises(UnsupportedModelError, match=f"sentence_bert_config.json: '{key}' = .* not supported"):
        SentenceTransformer(folder)


def test_keys_of_the_transformer_that_are_obeyed(folder: Path) -> None:
    """Or that change nothing; the reference reads the same folder."""
    modify_json(
        folder / "sentence_bert_config.json",
        max_seq_length=7,
        do_lower_case=True,
        unpad_inputs=False,
        model_kwargs={"torch_dtype": "float32"},
        processor_kwargs={},
    )
    model = SentenceTransformer(folder, on_truncation="ignore")
    assert model.max_seq_length == 7
    assert_close(model.encode(TEXTS), Peer(str(folder), device="cpu").encode(TEXTS))
    modify_json(folder / "sentence_bert_config.json", do_lower_case="no")
    with pytest.raises(CheckpointError, match="'do_lower_case' = 'no' must be true or false"):
        SentenceTransformer(folder)


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder", "MultiVectorEncoder"])
def test_a_model_of_another_class(kind: str, folder: Path) -> None:
    modify_json(folder / "config_sentence_transformers.json", model_type=kind)
    advice = "; open it with munjang.CrossEncoder" if kind == "CrossEncoder" else ""
    with pytest.raises(
        UnsupportedModelError, match=f"the model_type '{kind}', not 'SentenceTransformer'{advice}"
    ):
        SentenceTransformer(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling_mode_new": True}, "Pooling by pooling_mode_new is not supported"),
        ({"include_prompt": "no"}, "include_prompt must be true or false, got 'no'"),
        ({"pooling_mode": "new"}, "Unknown pooling 'new'"),
    ],
)
def test_pooling_that_cannot_be_read(changes: dict[str, Any], message: str, folder: Path) -> None:
    modify_json(folder / "1_Pooling/config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        SentenceTransformer(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"out_features": 21},
            r"'2_Dense': the weights have the shape \(20, 32\), config.json says \(21, 32\)",
        ),
        ({"in_features": 31}, r"'2_Dense': the weights have the shape \(20, 32\)"),
        ({"bias": False}, "'2_Dense': the weights have a bias, config.json says 'bias' = False"),
        ({"bias": "no"}, "'2_Dense/config.json': 'bias' must be true or false"),
        ({"use_residual": "no"}, "'2_Dense/config.json': 'use_residual' must be true or false"),
    ],
)
def test_a_dense_layer_with_the_config_of_another(
    changes: dict[str, Any], message: str, folder: Path
) -> None:
    modify_json(folder / "2_Dense/config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        SentenceTransformer(folder)


def test_a_dense_layer_whose_bias_is_missing(tmp_path: Path) -> None:
    make_sentence_folder("bert", tmp_path / "model", modules=[parts.Dense(32, 20, bias=False)])
    modify_json(tmp_path / "model/2_Dense/config.json", bias=True)
    with pytest.raises(CheckpointError, match="'2_Dense': the weights have no bias"):
        SentenceTransformer(tmp_path / "model")


def test_routers_are_refused(folder: Path) -> None:
    add_module(folder, "sentence_transformers.base.modules.router.Router", at=0)
    with pytest.raises(UnsupportedModelError, match=r"modules.json lists Router, .* begins with Transformer"):
        SentenceTransformer(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": {"query": 5}}, "prompts must map names to texts, got 'query': 5"),
        ({"prompts": ["query: "]}, "prompts must map names to texts, got a list"),
        ({"default_prompt_name": "none"}, "no prompt named 'none'"),
        ({"similarity_fn_name": "maxsim"}, "Unknown similarity function 'maxsim'"),
        ({"truncate_dim": 0}, "truncate_dim must be at least 1, got 0"),
        ({"truncate_dim": 21}, "its files say truncate_dim 21, its vectors have 20 numbers"),
        ({"truncate_dim": "few"}, "truncate_dim must be a whole number, got 'few'"),
    ],
)
def test_unusable_settings(changes: dict[str, Any], message: str, folder: Path) -> None:
    modify_json(folder / "config_sentence_transformers.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        SentenceTransformer(folder)


def test_prompts_without_text_are_empty(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({"prompts": {"query": None}}))
    assert SentenceTransformer(folder).prompts == {"query": ""}
    assert Peer(str(folder), device="cpu").prompts["query"] == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "should hold a JSON list"),
        ("[{", "is not valid JSON"),
        ('[{"idx": 0, "type": "sentence_transformers.models.Transformer"}]', "with a type and a path"),
        ('["Transformer"]', "with a type and a path"),
        (
            '[{"path": "../x", "type": "sentence_transformers.models.Pooling"}]',
            "begins with Transformer, Pooling",
        ),
        ("[]", "modules.json lists nothing"),
    ],
)
def test_a_broken_list_of_modules(content: str, message: str, folder: Path) -> None:
    (folder / "modules.json").write_text(content)
    with pytest.raises((CheckpointError, UnsupportedModelError), match=message):
        SentenceTransformer(folder)


def test_broken_dense_modules(folder: Path, tmp_path: Path) -> None:
    def spoilt(change: Callable[[Path], object]) -> Path:
        copy = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folder, copy)
        change(copy / "2_Dense")
        return copy

    with pytest.raises(CheckpointError, match="2_Dense' holds no weights"):
        SentenceTransformer(spoilt(lambda path: (path / "model.safetensors").unlink()))
    with pytest.raises(CheckpointError, match=r"2_Dense/config.json' must have in_features"):
        SentenceTransformer(spoilt(lambda path: (path / "config.json").unlink()))
    with pytest.raises(CheckpointError, match="safetensors"):
        SentenceTransformer(spoilt(lambda path: (path / "model.safetensors").write_bytes(b"12345")))
    with pytest.raises(CheckpointError, match=r"2_Dense.linear.weight"):
        SentenceTransformer(spoilt(lambda path: shutil.copy(folder / "model.safetensors", path)))

    def pickle(path: Path) -> None:
        (path / "model.safetensors").unlink()
        torch.save(
            {"linear.weight": torch.zeros(20, 32), "linear.bias": torch.ones(20)}, path / "pytorch_model.bin"
        )

    with pytest.raises(UnsafeCheckpointError, match="pickle"):
        SentenceTransformer(spoilt(pickle))
    allowed = SentenceTransformer(spoilt(pickle), allow_pickle=True)
    np.testing.assert_allclose(allowed.encode("a"), np.tanh(np.ones(20)), rtol=1e-6)
