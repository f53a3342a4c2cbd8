"""`munjang.transformers`: the checkpoints of its classes, errors, and outputs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import munjang.transformers as names
from munjang import Model, Tokenizer, pipeline
from munjang.errors import CheckpointError, InputError, InputTypeError, MunjangError
from munjang.models.registry import ARCHITECTURES
from munjang.runtime.notices import AssumptionWarning
from munjang.runtime.tensors import Tensor
from support.answers import make_answerer
from support.gpt2 import make_gpt2
from support.labelled import labelled_model
from support.processes import run_python
from support.wordpiece import model_with_words

MODELS = [name for name in names.__all__ if "Model" in name or "For" in name]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    model_with_words(folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    make_gpt2(folder)
    return folder


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("TF")])
def test_names(name: str) -> None:
    """Each is a class of the other library too, and every head of every family has its class."""
    assert hasattr(transformers, name)
    assert getattr(names, name).__name__ == name
    assert getattr(names, name).__doc__


def test_every_head_has_a_class() -> None:
    have = {(getattr(names, name).family, getattr(names, name).head) for name in MODELS}
    without_class = "relation-extraction"  # not a class of the other library
    for kind, architecture in ARCHITECTURES.items():
        assert {(kind, None), *((kind, head) for head in architecture.heads if head != without_class)} <= have


def test_the_head_of_the_class_is_opened(bert: Path) -> None:
    assert names.BertForMaskedLM.from_pretrained(bert).model.head == "masked-lm"
    assert (
        names.AutoModelForNextSentencePrediction.from_pretrained(bert).model.head
        == "next-sentence-prediction"
    )
    assert names.BertModel.from_pretrained(bert).model.head is None


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("ElectraForMaskedLM", InputError, "ElectraForMaskedLM can't open .*'bert': use BertForMaskedLM"),
        ("GPT2LMHeadModel", InputError, "can't open .* 'bert': there is no BertLMHeadModel"),
        ("ElectraModel", InputError, "use BertModel or the Auto class"),
        (
            "BertForTokenClassification",
            CheckpointError,
            "no trained token-class.*; it has masked-lm",
        ),
        ("AutoModelForCausalLM", InputError, "has no causal-lm head"),
    ],
)
def test_another_family_or_no_such_head(
    name: str, error: type[MunjangError], message: str, bert: Path
) -> None:
    with pytest.raises(error, match=message):
        getattr(names, name).from_pretrained(bert)


def test_unused_heads_are_reported(bert: Path, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.warns(AssumptionWarning, match=r"heads that it has \(masked-lm, next-sentence") as caught:
        assert Model.from_pretrained(bert).heads == ["masked-lm", "next-sentence-prediction"]
    assert caught[0].filename == __file__
    Model.from_pretrained(bert, None)
    Model.from_pretrained(bert, "masked-lm")
    assert not recwarn.list


# Tensors in, tensors out


def test_outputs_are_of_the_kind_of_the_input(bert: Path) -> None:
    tokenizer = names.AutoTokenizer.from_pretrained(bert)
    model = names.BertModel.from_pretrained(bert, output_attentions=True, output_hidden_states=True)
    for kind, made in (("pt", torch.Tensor), ("tf", Tensor), ("np", Tensor)):
        output = model(**tokenizer("i love paris", return_tensors=kind))
        values = [output.last_hidden_state, output.pooler_output, *output.hidden_states, *output.attentions]
        assert all(isinstance(value, made) for value in values)
    ids = tokenizer("i love paris")["input_ids"]
    assert isinstance(model([ids])[0], Tensor)
    assert isinstance(model(torch.tensor([ids]))[0], torch.Tensor)
    assert isinstance(model(np.array([ids]))[0], Tensor)
    batch = tokenizer("i love paris", return_tensors="pt").to("cpu")
    np.testing.assert_array_equal(model(batch)[0], model(**batch)[0])


def test_return_dict(bert: Path) -> None:
    model = names.BertModel.from_pretrained(bert, return_dict=False)
    first, pooled = model([[2, 7, 3]])
    again = model([[2, 7, 3]], return_dict=True)
    assert again.keys() == ["last_hidden_state", "pooler_output"]
    np.testing.assert_array_equal(again.to_tuple()[0], first)
    np.testing.assert_array_equal(again[-1], pooled)
    assert len(again) == 2
    assert "logits" not in again
    assert dict(again).keys() == {"last_hidden_state", "pooler_output"}
    with pytest.raises(KeyError, match="no 'logits'; it has last_hidden_state, pooler_output"):
        again["logits"]


def test_losses(bert: Path, tmp_path: Path) -> None:
    ids = torch.tensor([[2, 8, 9, 4, 3]])
    labels = torch.tensor([[-100, 8, -100, 10, -100]])
    for name, some in (("BertForMaskedLM", labels), ("BertForNextSentencePrediction", torch.tensor([1]))):
        ours = getattr(names, name).from_pretrained(bert)(ids, labels=some)
        with torch.no_grad():
            theirs = getattr(transformers, name).from_pretrained(bert)(ids, labels=some)
        assert ours.loss.item() == pytest.approx(theirs.loss.item(), rel=1e-5)
        assert ours[1] is ours.logits
    folder = labelled_model(tmp_path)
    ours = names.BertForSequenceClassification.from_pretrained(folder)(ids, labels=[2])
    with torch.no_grad():
        model = transformers.BertForSequenceClassification.from_pretrained(folder)
        assert float(ours.loss) == pytest.approx(model(ids, labels=torch.tensor([2])).loss.item(), rel=1e-5)
    with pytest.raises(InputError, match="do not fit logits"):
        names.BertForMaskedLM.from_pretrained(bert)(ids, labels=[[1]])
    with pytest.raises(InputError, match="BertModel has no loss"):
        names.BertModel.from_pretrained(bert)(ids, labels=[1])


def test_heads_that_a_model_lacks(bert: Path) -> None:
    model = names.BertModel.from_pretrained(bert, from_pt=True)
    assert model.eval() is model.train(False) is model.to("cpu") is model.to(torch.device("cpu")) is model
    with pytest.raises(InputError, match="can't be trained"):
        model.train()
    with pytest.raises(InputError, match="device must be None or 'cpu', got 'cuda'"):
        model.to("cuda")
    with pytest.raises(InputTypeError, match="not opened with 'load_in_8bit'"):
        names.BertModel.from_pretrained(bert, load_in_8bit=True)
    with pytest.raises(InputError, match="num_labels=5 is not what this checkpoint is"):
        names.BertModel.from_pretrained(bert, num_labels=5)
    with pytest.raises(InputError, match=r"torch_dtype=.* is not supported"):
        names.BertModel.from_pretrained(bert, torch_dtype=torch.float16)
    parameters = transformers.BertModel.from_pretrained(bert).num_parameters()
    assert sum(values.numel() for values in model.parameters()) >= parameters


def test_a_models_config_and_saving(bert: Path, tmp_path: Path) -> None:
    config = names.AutoConfig.from_pretrained(bert)
    theirs = transformers.AutoConfig.from_pretrained(bert)
    for name in ("hidden_size", "num_labels", "id2label", "label2id", "layer_norm_eps", "pad_token_id"):
        assert getattr(config, name) == getattr(theirs, name)
    with pytest.raises(AttributeError, match="no 'nothing'"):
        config.nothing  # noqa: B018 - the access is the test
    model = names.BertForMaskedLM.from_pretrained(bert)
    model.save_pretrained(tmp_path)
    ids = [[2, 8, 4, 3]]
    np.testing.assert_array_equal(names.BertForMaskedLM.from_pretrained(tmp_path)(ids)[0], model(ids)[0])


# Tokenizers


def test_settings_of_tokenizers(bert: Path) -> None:
    tokenizer = names.BertTokenizerFast.from_pretrained(
        bert,
        do_lower_case=False,
        pad_token="[unused0]",
        model_max_length=9,
        padding_side="left",
        use_fast=True,
    )
    assert tokenizer.tokenize("I love") == ["[UNK]", "love"]
    assert tokenizer("love", padding="max_length")["input_ids"][:2] == [5, 5]
    assert names.BertTokenizer.from_pretrained(bert, do_lower_case=True).tokenize("I love") == ["i", "love"]
    with pytest.raises(InputTypeError, match="not opened with 'colour'"):
        names.BertTokenizer.from_pretrained(bert, colour=1)
    with pytest.raises(InputError, match="Unknown return_tensors 'jax'"):
        tokenizer("love", return_tensors="jax")


def test_ids_may_be_tensors(bert: Path) -> None:
    tokenizer = names.AutoTokenizer.from_pretrained(bert)
    ids = tokenizer.encode("i love paris")
    for made in (torch.tensor(ids), np.array(ids), tokenizer.encode("i love paris", return_tensors="tf")[0]):
        assert tokenizer.decode(made) == tokenizer.decode(ids)
        assert tokenizer.convert_ids_to_tokens(made) == tokenizer.convert_ids_to_tokens(ids)
        assert tokenizer.decode(made[1]) == "i"
    assert tokenizer.vocab == tokenizer.get_vocab()


# Writing on


def test_prompts_that_cannot_be_continued(gpt2: Path) -> None:
    model = names.GPT2LMHeadModel.from_pretrained(gpt2)
    for settings, error, message in (
        ({"num_beams": 4}, InputError, "num_beams=4 is not supported"),
        ({"colour": 4}, InputTypeError, "generate has no 'colour'"),
        ({"num_return_sequences": 2}, InputError, "twice|2 times the same text"),
        ({"max_length": 2}, InputError, "max_length=2 counts the prompt, which has 3 tokens"),
        ({"attention_mask": [[0, 0, 0]]}, InputError, "no token that the attention mask leaves"),
        ({"attention_mask": [[1, 1]]}, InputError, "attention_mask has shape"),
        ({"do_sample": True, "temperature": 0}, InputError, "temperature 0"),
    ):
        with pytest.raises(error, match=message):
            model.generate([[5, 6, 7]], **settings)
    with pytest.raises(InputError, match="The prompts have 48 tokens, and the model takes 48"):
        model.generate([[5] * 48])
    with pytest.warns(AssumptionWarning, match="so temperature and top_p did nothing"):
        greedy = model.generate([[5, 6, 7]], temperature=0.5, top_p=0.9)
    np.testing.assert_array_equal(greedy, model.generate([[5, 6, 7]]))


def test_generation_config_and_beginnings(gpt2: Path, tmp_path: Path) -> None:
    peer = transformers.GPT2LMHeadModel.from_pretrained(gpt2)
    peer.generation_config.update(max_new_tokens=6, repetition_penalty=1.7)
    peer.save_pretrained(tmp_path)
    model = names.GPT2LMHeadModel.from_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7]])
    np.testing.assert_array_equal(model.generate(ids), peer.generate(ids, pad_token_id=0))
    assert model.generate().shape == (1, 7)
    assert (
        model.generate(ids, max_length=48).shape[1]
        == peer.generate(ids, max_length=48, pad_token_id=0).shape[1]
    )


SEEDED = """
import sys
sys.modules["torch"] = None
from munjang.transformers import AutoModelForCausalLM, set_seed
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
found = []
for seed in (1, 1, 2):
    set_seed(seed)
    found.append(model.generate([[5, 6, 7]], do_sample=True, max_length=30, num_return_sequences=2).tolist())
print(found[0] == found[1], found[0] == found[2], found[0][0] == found[0][1])
"""


def test_a_seed_without_torch(gpt2: Path, tmp_path: Path) -> None:
    assert run_python(SEEDED, gpt2, home=tmp_path) == "True False False\n"


# Pipelines


def test_pipelines_take_names_and_open_ones(bert: Path, tmp_path: Path) -> None:
    model, tokenizer = names.BertForMaskedLM.from_pretrained(bert), names.AutoTokenizer.from_pretrained(bert)
    text = "i love [MASK]."
    expected = pipeline("fill-mask", str(bert))(text, top_k=2)
    for made in (
        names.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=2),
        names.pipeline("fill-mask", model=str(bert), top_k=2, device="cpu"),
        names.pipeline("fill-mask", model=bert, tokenizer=str(bert), top_k=2),
        names.FillMaskPipeline(model, tokenizer, top_k=2),
    ):
        assert made(text) == expected
    assert (
        pipeline("fill-mask", Model.from_pretrained(bert, "masked-lm"), Tokenizer.from_pretrained(bert))(
            text, top_k=2
        )
        == expected
    )
    with pytest.raises(InputError, match="needs its tokenizer"):
        names.pipeline("fill-mask", model=model)
    with pytest.raises(InputError, match="with no head; this task needs one opened with head='masked-lm'"):
        names.pipeline("fill-mask", model=names.BertModel.from_pretrained(bert), tokenizer=tokenizer)
    with pytest.raises(InputError, match="needs a model"):
        names.pipeline("fill-mask")
    with pytest.raises(InputError, match="Unknown task 'translation'"):
        names.pipeline("translation", model=bert)


def test_question_answering_pipeline(tmp_path: Path) -> None:
    make_answerer("bert", tmp_path)
    question, context = "where is it?", "it is in the city, and the city is here."
    expected = pipeline("question-answering", str(tmp_path))(question, context)
    answer = names.pipeline("question-answering", model=tmp_path)
    assert answer(question=question, context=context) == expected
    assert answer({"question": question, "context": context}) == expected


def test_text_generation_pipelines_need_a_causal_model(bert: Path, gpt2: Path) -> None:
    model = names.BertModel.from_pretrained(bert)
    with pytest.raises(InputError, match="BertModel can't generate"):
        names.TextGenerationPipeline(model, names.AutoTokenizer.from_pretrained(bert))
    with pytest.raises(InputError, match="needs its tokenizer"):
        names.TextGenerationPipeline(names.AutoModelForCausalLM.from_pretrained(gpt2))


def test_torch_is_not_imported(bert: Path, tmp_path: Path) -> None:
    code = (
        "import sys, munjang.transformers as t; a = 'torch' in sys.modules;"
        "tokenizer = t.AutoTokenizer.from_pretrained(sys.argv[1]);"
        "t.BertModel.from_pretrained(sys.argv[1])(**tokenizer('a', return_tensors='np'));"
        "print(a, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    assert run_python(code, bert, home=tmp_path) == "False False False\n"
    assert "torch" in sys.modules  # of this process, where the other tests found it


@pytest.mark.parametrize("seed", [-1, 2**32, 10**400, "x", None])
def test_a_seed_that_numpy_cannot_take_is_refused(seed: object) -> None:
    with pytest.raises((InputError, InputTypeError), match="seed must be"):
        names.set_seed(seed)  # type: ignore[arg-type]
