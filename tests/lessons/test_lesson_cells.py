"""Cells of lessons on `transformers`, with changed import lines only.

Each runs with the other library and with `munjang.transformers` on the same small random checkpoint, and must
print the same. Those that do not import torch themselves run a third time, in a process that has no torch.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.answers import make_answerer
from support.gpt2 import make_gpt2
from support.labelled import NER_LABELS, labelled_model
from support.processes import run_python
from support.wordpiece import VOCABULARY, model_with_words

FIRST = "In Italy, pizza served in formal settings is presented unsliced."
FOLLOWS = "pizza is eaten with the use of a knife and fork."
UNRELATED = "The sky is blue due to the shorter wavelength of blue light."
WORDS = sorted({*re.findall(r"\w+", f"{FIRST} {FOLLOWS} {UNRELATED}".lower()), "movie", "story"})


def make_words(class_name: str) -> Callable[[Path], object]:
    vocabulary = list(dict.fromkeys([*VOCABULARY, *WORDS]))
    return lambda folder: model_with_words(folder, class_name, vocabulary=vocabulary, num_hidden_layers=4)


def make_paraphrases(folder: Path) -> object:
    return labelled_model(folder, labels=("not paraphrase", "paraphrase"))


def make_tagger(folder: Path) -> object:
    return labelled_model(folder, "BertForTokenClassification", NER_LABELS)


MAKERS: dict[str, Callable[[Path], object]] = {
    "bert": make_words("BertForPreTraining"),
    "electra": make_words("ElectraForMaskedLM"),
    "distilbert": make_words("DistilBertForMaskedLM"),
    "paraphrases": make_paraphrases,
    "tagger": make_tagger,
    "answerer": lambda folder: make_answerer("bert", folder),
    "gpt2": make_gpt2,
}

# name -> (checkpoint, program)
CELLS: dict[str, tuple[str, str]] = {
    "tokens": (
        "bert",
        """
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(NAME)
tokens = tokenizer.tokenize("I love Paris!")
print(tokens, tokenizer.convert_tokens_to_ids(tokens))
ids = tokenizer.encode("I love Paris!")
print(ids, tokenizer.convert_ids_to_tokens(ids), tokenizer.decode(ids))
print(tokenizer.cls_token, tokenizer.cls_token_id, tokenizer.mask_token_id, tokenizer.vocab_size)
print(tokenizer("축구는 정말 재미있는 스포츠다.")["input_ids"])
""",
    ),
    "tokens of electra": (
        "electra",
        """
from transformers import ElectraTokenizer
tokenizer = ElectraTokenizer.from_pretrained(NAME, do_lower_case=True)
inputs = tokenizer("나는 오늘 아침에 축구를 했다.")
print(tokenizer.tokenize("나는 오늘 아침에 축구를 했다."))
for name in inputs:
    print(name, inputs[name])
""",
    ),
    "padding": (
        "bert",
        """
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(NAME)
texts = ["I love Paris", "축구는 정말 재미있는 스포츠다."]
inputs = tokenizer(texts, padding=True, truncation=True, max_length=8, return_tensors="pt")
print(inputs["input_ids"].shape, inputs.input_ids.tolist(), inputs["attention_mask"].tolist())
print(tokenizer("I love Paris", "the sky", padding="max_length", max_length=12)["token_type_ids"])
print(tokenizer.encode("I love Paris", return_tensors="pt").tolist())
print(tokenizer.batch_decode(inputs["input_ids"]))
""",
    ),
    "older padding": (
        "bert",
        """
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(NAME, do_lower_case=True)
encoded = tokenizer.encode_plus("I love Paris", add_special_tokens=True, max_length=4, pad_to_max_length=True,
                                return_attention_mask=True, return_tensors="pt")
print(encoded["input_ids"].tolist(), encoded["attention_mask"].tolist())
longer = tokenizer.batch_encode_plus(["I love Paris", "the sky"], max_length=9, padding="max_length")
print(longer["input_ids"], longer["token_type_ids"])
""",
    ),
    "features by hand": (
        "bert",
        """
from transformers import BertModel, BertTokenizer
import torch
model = BertModel.from_pretrained(NAME)
tokenizer = BertTokenizer.from_pretrained(NAME)
tokens = ["[CLS]"] + tokenizer.tokenize("I love Paris") + ["[SEP]"]
tokens = tokens + ["[PAD]"] + ["[PAD]"]
attention_mask = [1 if i != "[PAD]" else 0 for i in tokens]
print(tokens, attention_mask)
token_ids = tokenizer.convert_tokens_to_ids(tokens)
token_ids = torch.tensor(token_ids).unsqueeze(0)
attention_mask = torch.tensor(attention_mask).unsqueeze(0)
hidden_rep, cls_head = model(token_ids, attention_mask=attention_mask, return_dict=False)
print(hidden_rep.shape, cls_head.shape)
print(hidden_rep[0][0][:8].tolist(), hidden_rep[0, 4, :8].tolist(), cls_head[0][:8].tolist())
""",
    ),
    "all layers": (
        "bert",
        """
from transformers import BertModel, BertTokenizer
model = BertModel.from_pretrained(NAME, output_hidden_states=True)
tokenizer = BertTokenizer.from_pretrained(NAME)
inputs = tokenizer("I love Paris", padding="max_length", max_length=7, return_tensors="pt")
last_hidden_state, pooler_output, hidden_states = model(**inputs, return_dict=False)
print(last_hidden_state.shape, pooler_output.shape, len(hidden_states))
for layer in hidden_states:
    print(layer.shape, layer[0][1][:4].tolist())
print(list(model(**inputs).keys()))
""",
    ),
    "attentions": (
        "distilbert",
        """
from transformers import AutoModel, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModel.from_pretrained(NAME, attn_implementation="eager").eval()
inputs = tokenizer("I love Paris", return_tensors="pt")
output = model(**inputs, output_attentions=True, output_hidden_states=True)
print(output.last_hidden_state.shape, output[0].shape, output["last_hidden_state"].shape, output[:1][0].shape)
print(len(output.attentions), output.attentions[0].shape, output.attentions[-1][0, 0, 0].tolist())
print(len(output.hidden_states), "pooler_output" in output.keys())
print(output.last_hidden_state[:, 0, :4].detach().numpy().tolist())
""",
    ),
    "electra": (
        "electra",
        """
from transformers import ElectraModel, ElectraTokenizer
model = ElectraModel.from_pretrained(NAME)
tokenizer = ElectraTokenizer.from_pretrained(NAME)
output = model(**tokenizer("나는 오늘 아침에 축구를 했다.", return_tensors="pt"))
print(output[0].shape, output.last_hidden_state.mean(dim=1)[0][:5].tolist())
""",
    ),
    "mean pooling": (
        "bert",
        """
from transformers import AutoModel, AutoTokenizer
import torch
def mean_pooling(model_output, attention_mask):
    token_embeddings = model_output[0]
    expanded = attention_mask.unsqueeze(-1).expand(token_embeddings.size()).float()
    return torch.sum(token_embeddings * expanded, 1) / torch.clamp(expanded.sum(1), min=1e-9)
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModel.from_pretrained(NAME)
encoded = tokenizer(["I love Paris", "the sky is blue !"], padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    model_output = model(**encoded)
vectors = torch.nn.functional.normalize(mean_pooling(model_output, encoded["attention_mask"]), p=2, dim=1)
print(vectors.shape, vectors[:, :6].tolist(), (vectors @ vectors.T).tolist())
""",
    ),
    "mask by hand": (
        "bert",
        """
from transformers import AutoModelForMaskedLM, AutoTokenizer
import torch
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForMaskedLM.from_pretrained(NAME)
model.eval()
inputs = tokenizer("축구는 정말 재미있는 [MASK]다.", return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
mask = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
probs = torch.softmax(logits[0, mask], dim=-1)
top = torch.topk(probs, 5, dim=-1)
print(logits.shape, mask.item())
for score, token in zip(top.values[0], top.indices[0]):
    print(tokenizer.decode(token), tokenizer.convert_ids_to_tokens(token.item()), score.item())
""",
    ),
    "mask without torch's functions": (
        "electra",
        """
from transformers import ElectraForMaskedLM, ElectraTokenizer
tokenizer = ElectraTokenizer.from_pretrained(NAME)
model = ElectraForMaskedLM.from_pretrained(NAME).eval()
inputs = tokenizer("축구는 정말 재미있는 [MASK]다.", return_tensors="pt")
place = inputs["input_ids"].tolist()[0].index(tokenizer.mask_token_id)
logits = model(**inputs).logits
values, ids = logits[0, place].softmax(dim=-1).topk(5)
print(logits.size(), tokenizer.convert_ids_to_tokens(ids), values.tolist())
print(tokenizer.decode(logits[0, place].argmax(dim=-1)), logits.argmax(-1).tolist())
""",
    ),
    "fill-mask pipeline": (
        "bert",
        """
from transformers import BertForMaskedLM, BertTokenizer, FillMaskPipeline
model = BertForMaskedLM.from_pretrained(NAME)
tokenizer = BertTokenizer.from_pretrained(NAME)
pip = FillMaskPipeline(model=model, tokenizer=tokenizer)
for fill in pip("the sky is a really fun [MASK].", targets=["sport", "game", "movie", "story"]):
    print(fill["token_str"], fill["token"], fill["score"])
fills = pip("축구는 정말 재미있는 [MASK]다.", top_k=40)
for fill in [fill for fill in fills if tokenizer.convert_ids_to_tokens(fill["token"]).isalpha()][:5]:
    print(fill["token_str"], fill["token"], fill["score"])
""",
    ),
    "fill-mask with TensorFlow": (
        "bert",
        """
from transformers import TFBertForMaskedLM
from transformers import AutoTokenizer
from transformers import FillMaskPipeline
model = TFBertForMaskedLM.from_pretrained(NAME, from_pt=True)
tokenizer = AutoTokenizer.from_pretrained(NAME)
inputs = tokenizer("축구는 정말 재미있는 [MASK]다.", return_tensors="tf")
print((inputs["input_ids"] == tokenizer.mask_token_id)[0].nonzero(as_tuple=True)[0].item())
print(inputs["input_ids"].tolist(), inputs["token_type_ids"].tolist(), inputs["attention_mask"].tolist())
pip = FillMaskPipeline(model=model, tokenizer=tokenizer)
print([fill["score"] for fill in pip("어벤져스는 정말 재미있는 [MASK]다.", targets=["거", "스포츠"])])
""",
    ),
    "next sentence": (
        "bert",
        f"""
from transformers import BertForNextSentencePrediction, BertTokenizer
import torch
tokenizer = BertTokenizer.from_pretrained(NAME)
model = BertForNextSentencePrediction.from_pretrained(NAME)
for second in ({FOLLOWS!r}, {UNRELATED!r}):
    encoding = tokenizer({FIRST!r}, second, return_tensors="pt")
    print(encoding["input_ids"].tolist(), encoding["token_type_ids"].tolist())
    print(tokenizer.decode(encoding["input_ids"][0]))
    outputs = model(**encoding, labels=torch.LongTensor([1]))
    probs = torch.nn.Softmax(dim=1)(outputs.logits)
    print(outputs.loss.item(), probs.tolist(), torch.argmax(probs).item())
    print(torch.argmax(model(**encoding)[0], dim=1))
""",
    ),
    "next sentence with TensorFlow": (
        "bert",
        f"""
from transformers import TFBertForNextSentencePrediction
from transformers import AutoTokenizer
model = TFBertForNextSentencePrediction.from_pretrained(NAME, from_pt=True)
tokenizer = AutoTokenizer.from_pretrained(NAME)
encoding = tokenizer({FIRST!r}, {UNRELATED!r}, return_tensors="tf")
logits = model(encoding["input_ids"], token_type_ids=encoding["token_type_ids"])[0]
print(logits.shape, logits.softmax(dim=-1).tolist(), logits.argmax(-1).tolist())
""",
    ),
    "paraphrases": (
        "paraphrases",
        """
from transformers import AutoModelForSequenceClassification, AutoTokenizer
import torch
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForSequenceClassification.from_pretrained(NAME)
classes = ["not paraphrase", "is paraphrase"]
paraphrase = tokenizer.encode_plus("나는 기차가 좋다", "기차 여행", return_tensors="pt")
logits = model(**paraphrase)[0]
results = torch.softmax(logits, dim=1).tolist()[0]
for i in range(len(classes)):
    print(f"{classes[i]}: {results[i]:.4f}")
print(model.config.id2label[int(logits.argmax())], model.num_labels, model.config.num_labels)
""",
    ),
    "classes of texts": (
        "paraphrases",
        """
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = BertForSequenceClassification.from_pretrained(NAME, num_labels=2)
classify = pipeline("sentiment-analysis", model=model, tokenizer=tokenizer)
print(classify("나는 기차가 좋다"))
print(classify(["나는 기차가 좋다", "기차 여행"]))
print(classify("나는 기차가 좋다", top_k=2))
print(classify({"text": "나는 기차가 좋다", "text_pair": "기차 여행"})["score"])
print(classify([{"text": "나는 기차가 좋다", "text_pair": "기차 여행"}])[0]["label"])
print(len(classify({"text": "나는 기차가 좋다", "text_pair": "기차 여행"}, top_k=2)))
print(pipeline("text-classification", model=NAME, device=-1)("기차 여행"))
""",
    ),
    "entities": (
        "tagger",
        """
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForTokenClassification.from_pretrained(NAME)
inputs = tokenizer("나는 기차가 좋다", return_tensors="pt")
logits = model(**inputs).logits
print(logits.shape, [model.config.id2label[i] for i in logits.argmax(-1)[0].tolist()])
ner = pipeline("ner", model=model, tokenizer=tokenizer)
for entity in ner("나는 기차가 좋다"):
    print(entity["entity"], entity["index"], entity["word"], entity["start"], entity["end"])
    print(float(entity["score"]))
""",
    ),
    "answers": (
        "answerer",
        """
from transformers import AutoTokenizer, BertForQuestionAnswering
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = BertForQuestionAnswering.from_pretrained(NAME)
inputs = tokenizer("where is it?", "it is in the city, and the city is here.", return_tensors="pt",
                   return_token_type_ids=True)
outputs = model(**inputs)
start_scores, end_scores = model(**inputs, return_dict=False)
print(list(outputs.keys()), start_scores.shape)
print(outputs.start_logits[0].tolist(), outputs["end_logits"].tolist())
start, end = start_scores.argmax().item(), end_scores.argmax().item()
print(start, end, tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])[start : end + 1])
print(tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0][1:9])))
""",
    ),
    "generate": (
        "gpt2",
        """
from transformers import GPT2LMHeadModel, GPT2Tokenizer, set_seed
tokenizer = GPT2Tokenizer.from_pretrained(NAME)
model = GPT2LMHeadModel.from_pretrained(NAME).eval()
for prompt in ("The cat", "고양이가", "The dog sat on"):
    input_ids = tokenizer.encode(prompt, return_tensors="pt")
    print(tokenizer.convert_tokens_to_string(tokenizer.tokenize(prompt)))
    output = model.generate(input_ids, max_length=30, pad_token_id=tokenizer.eos_token_id)
    print(output.shape, output.tolist(), tokenizer.decode(output[0], skip_special_tokens=True) != prompt)
    print(model.generate(input_ids, max_new_tokens=12, repetition_penalty=2.0, use_cache=True)[0].tolist())
    print(model.generate(input_ids, max_new_tokens=12, no_repeat_ngram_size=2, num_beams=1)[0].tolist())
    print(model.generate(input_ids)[0].tolist())
""",
    ),
    "sampling": (
        "gpt2",
        """
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
import torch
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForCausalLM.from_pretrained(NAME)
inputs = tokenizer("The cat sat on the", return_tensors="pt")
set_seed(42)
output = model.generate(**inputs, max_length=30, temperature=0.8, top_k=50, top_p=0.95, do_sample=True,
                        pad_token_id=tokenizer.eos_token_id)
print(output.tolist())
torch.manual_seed(7)
outputs = model.generate(inputs["input_ids"], do_sample=True, max_length=25, top_k=0, top_p=0.9,
                         num_return_sequences=3, pad_token_id=0, eos_token_id=[298, 254])
for i, sample in enumerate(outputs):
    print(i, sample.tolist())
output = model.generate(inputs["input_ids"], do_sample=True, temperature=0.5, repetition_penalty=1.3)
print(output[0].tolist())
""",
    ),
    "next token by hand": (
        "gpt2",
        """
from transformers import GPT2LMHeadModel, GPT2Tokenizer
import torch
tokenizer = GPT2Tokenizer.from_pretrained(NAME)
model = GPT2LMHeadModel.from_pretrained(NAME)
generated = tokenizer.encode("The cat", return_tensors="pt")
for _ in range(8):
    with torch.no_grad():
        logits = model(generated).logits[:, -1, :]
    probs = torch.nn.functional.softmax(logits / 0.8, dim=-1)
    top = torch.topk(probs, 5)
    print(top.indices.tolist(), top.values.tolist())
    generated = torch.cat((generated, torch.argmax(probs, dim=-1, keepdim=True)), dim=1)
print(generated.tolist(), torch.exp(model(generated, labels=generated).loss).item())
""",
    ),
    "layers of GPT-2": (
        "gpt2",
        """
from transformers import GPT2Model, GPT2Tokenizer
tokenizer = GPT2Tokenizer.from_pretrained(NAME)
model = GPT2Model.from_pretrained(NAME, output_hidden_states=True)
output = model(**tokenizer("The cat", return_tensors="pt"))
print(output.last_hidden_state.shape, len(output.hidden_states))
for layer in output.hidden_states:
    print(layer[0, -1, :5].tolist())
""",
    ),
    "prompts of different lengths": (
        "gpt2",
        """
from transformers import GPT2LMHeadModel, GPT2Tokenizer
tokenizer = GPT2Tokenizer.from_pretrained(NAME, padding_side="left")
tokenizer.pad_token = tokenizer.eos_token
model = GPT2LMHeadModel.from_pretrained(NAME)
inputs = tokenizer(["The cat", "The dog sat on the roof"], return_tensors="pt", padding=True)
output = model.generate(**inputs, max_new_tokens=9, pad_token_id=tokenizer.eos_token_id)
print(inputs["input_ids"].tolist(), output.tolist())
""",
    ),
    "writing pipeline": (
        "gpt2",
        """
from transformers import GPT2LMHeadModel, GPT2Tokenizer, pipeline, set_seed
import torch
model, tokenizer = GPT2LMHeadModel.from_pretrained(NAME), GPT2Tokenizer.from_pretrained(NAME)
generator = pipeline("text-generation", model=model, tokenizer=tokenizer)
set_seed(42)
for written in generator("The cat", max_length=20, num_return_sequences=3, truncation=True):
    print(ascii(written["generated_text"]))
print(ascii(generator("The cat", max_new_tokens=5, do_sample=False, return_full_text=False)))
print(ascii(generator("The dog", max_new_tokens=4, temperature=0.8, top_k=50, top_p=0.95, do_sample=True)))
print(ascii(generator(["The cat", "The dog"], max_new_tokens=4, do_sample=False)))
""",
    ),
    "features pipeline": (
        "bert",
        """
from transformers import AutoModel, AutoTokenizer, pipeline
import numpy as np
model, tokenizer = AutoModel.from_pretrained(NAME), AutoTokenizer.from_pretrained(NAME)
extract = pipeline("feature-extraction", model=model, tokenizer=tokenizer)
features = np.array(extract("I love Paris"))
print(features.shape, features[0, 0, :6].tolist())
""",
    ),
    "config": (
        "bert",
        """
from transformers import AutoConfig, BertModel
config = AutoConfig.from_pretrained(NAME)
print(config.model_type, config.hidden_size, config.num_hidden_layers, config.vocab_size, config.hidden_act)
model = BertModel.from_pretrained(NAME, torch_dtype="float32").to("cpu")
print(model.config.num_attention_heads, model.training if hasattr(model, "training") else False)
""",
    ),
}
USE_TORCH = {name for name, (_, program) in CELLS.items() if "import torch" in program}


def ours(program: str) -> str:
    return re.sub(
        r"^from transformers import", "from munjang.transformers import", program, flags=re.MULTILINE
    )


def theirs(program: str) -> str:
    """Return the cell for the other library, which lacks TensorFlow's classes and some older names."""
    program = program.replace(", from_pt=True", "").replace('return_tensors="tf"', 'return_tensors="pt"')
    program = program.replace(".batch_encode_plus(", "(").replace(".encode_plus(", "(")
    program = program.replace("pad_to_max_length=True", 'padding="max_length", truncation=True')
    return re.sub(r"\bTF(?=Bert|GPT2)", "", program)


def printed(program: str, folder: Path) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "cell", "exec"), {"NAME": str(folder)})
    return out.getvalue()


NUMBER = r"-?\d+\.\d+(?:e-?\d+)?"


def assert_same(found: str, expected: str, tolerance: float = 2e-5) -> None:
    """Texts are equal but for the last digits of their numbers, and the type of a shape."""
    found, expected = (re.sub(r"torch\.Size\(\[(.*?)\]\)", r"(\1)", text) for text in (found, expected))
    assert re.sub(NUMBER, "#", found) == re.sub(NUMBER, "#", expected)
    numbers, wanted = ([float(number) for number in re.findall(NUMBER, text)] for text in (found, expected))
    np.testing.assert_allclose(numbers, wanted, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            MAKERS[name](made[name])
        return made[name]

    return get


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_prints_the_same(name: str, folder_of: Callable[[str], Path]) -> None:
    checkpoint, program = CELLS[name]
    folder = folder_of(checkpoint)
    found, expected = printed(ours(program), folder), printed(theirs(program), folder)
    assert_same(found, expected)
    assert len(found) > 20


IN_ONE_PROCESS = """
import contextlib, io, json, sys
sys.modules["torch"] = None
found = {}
for name, (folder, program) in json.loads(open(sys.argv[1], encoding="utf-8").read()).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, name, "exec"), {"NAME": folder})
    found[name] = out.getvalue()
print(json.dumps(found))
"""


def test_cells_print_the_same_without_torch(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    cells = {
        name: (str(folder_of(checkpoint)), ours(program))
        for name, (checkpoint, program) in CELLS.items()
        if name not in USE_TORCH
    }
    assert len(cells) > 15
    (tmp_path / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    found: dict[str, Any] = json.loads(
        run_python(IN_ONE_PROCESS, tmp_path / "cells.json", home=tmp_path).splitlines()[-1]
    )
    for name in cells:
        checkpoint, program = CELLS[name]
        assert_same(found[name], printed(theirs(program), folder_of(checkpoint)))


# What the lessons printed, with the models of the hub

HUB_TOKENS = """
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("monologg/koelectra-small-v3-discriminator")
inputs = tokenizer("아 배고픈데 짜장면 먹고싶다")
print(tokenizer.tokenize("아 배고픈데 짜장면 먹고싶다"))
print(inputs["input_ids"], inputs["token_type_ids"], inputs["attention_mask"])
"""
HUB_FILL = """
from transformers import TFBertForMaskedLM, AutoTokenizer, FillMaskPipeline
model = TFBertForMaskedLM.from_pretrained("bert-large-uncased")
tokenizer = AutoTokenizer.from_pretrained("bert-large-uncased")
pip = FillMaskPipeline(model=model, tokenizer=tokenizer)
for fill in pip("Soccer is a really fun [MASK]."):
    print(fill["token_str"], fill["token"], "{:.4f}".format(fill["score"]))
"""
HUB_NEXT = """
from transformers import TFBertForNextSentencePrediction, AutoTokenizer
model = TFBertForNextSentencePrediction.from_pretrained("klue/bert-base", from_pt=True)
tokenizer = AutoTokenizer.from_pretrained("klue/bert-base")
first = "2002년 월드컵 축구대회는 일본과 공동으로 개최되었던 세계적인 큰 잔치입니다."
follows = "여행을 가보니 한국의 2002년 월드컵 축구대회의 준비는 완벽했습니다."
for second in (follows, "극장가서 로맨스 영화를 보고싶어요"):
    encoding = tokenizer(first, second, return_tensors="tf")
    logits = model(encoding["input_ids"], token_type_ids=encoding["token_type_ids"])[0]
    print(logits.argmax(-1).tolist())
"""
HUB_PARAPHRASES = """
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("bert-base-cased-finetuned-mrpc")
model = AutoModelForSequenceClassification.from_pretrained("bert-base-cased-finetuned-mrpc")
pairs = [("The cat is on the mat", "A feline is sitting on a rug"), ("He runs fast", "She walks slowly")]
for first, second in pairs:
    logits = model(**tokenizer(first, second, return_tensors="pt")).logits
    print("{:.2f}".format(logits.softmax(dim=1)[0][1]))
"""
HUB_GPT2 = """
from transformers import GPT2LMHeadModel, GPT2Tokenizer
tokenizer = GPT2Tokenizer.from_pretrained("gpt2")
model = GPT2LMHeadModel.from_pretrained("gpt2")
for prompt in ("Once upon a time", "In the year 2050,", "The secret to happiness is"):
    input_ids = tokenizer.encode(prompt, return_tensors="pt")
    output = model.generate(input_ids, max_length=30, temperature=0.8, top_k=50, top_p=0.95, do_sample=True,
                            pad_token_id=tokenizer.eos_token_id)
    print(output.shape[1] <= 30, tokenizer.decode(output[0], skip_special_tokens=True).startswith(prompt))
"""
SOCCER = "sport 4368 0.7621\ngame 2208 0.2034\nthing 2518 0.0122\nactivity 4023 0.0019\nfield 2492 0.0013\n"
KOELECTRA = (
    "['아', '배고픈', '##데', '짜장면', '먹', '##고', '##싶', '##다']\n"
    "[2, 3079, 31420, 4244, 26766, 2654, 4219, 4451, 4176, 3] [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] "
    "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
)


@pytest.mark.hub
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (HUB_TOKENS, KOELECTRA),
        (HUB_FILL, SOCCER),
        (HUB_NEXT, "[0]\n[1]\n"),
        (HUB_PARAPHRASES, "0.90\n0.11\n"),
        (HUB_GPT2, "True True\n" * 3),
    ],
    ids=["tokens", "fill-mask", "next sentence", "paraphrases", "generate"],
)
def test_output_of_the_lessons(program: str, expected: str, tmp_path: Path) -> None:
    assert printed(ours(program), tmp_path) == expected


@pytest.mark.models
def test_the_english_vocabulary(tmp_path: Path) -> None:
    cell = """
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained("all-MiniLM-L6-v2")
print(tokenizer.tokenize("I love natural language processing!"))
ids = tokenizer.encode("I love natural language processing!")
print(ids, tokenizer.decode(ids))
print(tokenizer("I love Paris", padding="max_length", max_length=7)["attention_mask"])
print(tokenizer("Soccer is a really fun [MASK].", return_tensors="tf")["input_ids"].tolist())
"""
    assert printed(ours(cell), tmp_path) == (
        "['i', 'love', 'natural', 'language', 'processing', '!']\n"
        "[101, 1045, 2293, 3019, 2653, 6364, 999, 102] [CLS] i love natural language processing! [SEP]\n"
        "[1, 1, 1, 1, 1, 0, 0]\n"
        "[[101, 4715, 2003, 1037, 2428, 4569, 103, 1012, 102]]\n"
    )
