"""Distillation of layers: losses against transformers, projections, and invalid layer maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from munjang.errors import InputError, InputTypeError
from munjang.models.program import LAST_HIDDEN_STATE
from munjang.runtime.model import Model
from munjang.runtime.runner import pack
from munjang.tokenization import Tokenizer
from munjang.training.distillation.layers import LayerMatcher, uniform_map
from munjang.training.distillation.options import LayerMatching
from munjang.training.loop.network import Network
from munjang.training.options import TrainingOptions
from support.sentences import TEXTS, make_checkpoint, modify_json

NO_DROPOUT = {
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
LONG = [text for text in dict.fromkeys(TEXTS) if text]


class Both:
    """A student and a teacher, ours and the reference's."""

    def __init__(self, folder: Path, student: dict[str, Any], architecture: str = "bert") -> None:
        key = "n_layers" if architecture == "distilbert" else "num_hidden_layers"
        settings: dict[str, dict[str, Any]] = {"student": {key: 2, **student}, "teacher": {key: 4}}
        for name, chosen in settings.items():
            make_checkpoint(architecture, folder / name, seed=len(name), settings=chosen)
        modify_json(folder / "student" / "config.json", **NO_DROPOUT)
        self.student, self.teacher = (
            Model.from_pretrained(folder / name, backend="torch") for name in settings
        )
        self.peers = [
            transformers.AutoModel.from_pretrained(folder / name, attn_implementation="eager").eval()
            for name in settings
        ]
        self.tokenizer = Tokenizer.from_pretrained(folder / "teacher")

    def ours(self, matching: LayerMatching) -> tuple[Tensor, Network, LayerMatcher]:
        """The loss of each text, with gradients; all texts go through the model together."""
        matcher = LayerMatcher(matching, self.student, self.teacher, seed=1)
        network = Network(self.student, TrainingOptions(device="cpu"), more=matcher.tensors())
        batch = pack(self.tokenizer.encode_ids(LONG), self.student.runner.layout)
        program = self.student.program(frozenset({LAST_HIDDEN_STATE}), matcher.taps)
        return matcher(network.forward(program, batch), batch, network.more), network, matcher

    def reference(self, text: str) -> tuple[Any, Any]:
        """Return the outputs of the reference's student and teacher for a single text, without padding."""
        ids = torch.tensor([list(self.tokenizer.encode_ids([text])[0].input_ids)])
        wanted = {"output_hidden_states": True, "output_attentions": True}
        student = self.peers[0](ids, **wanted)
        with torch.no_grad():
            return student, self.peers[1](ids, **wanted)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
def test_losses_and_gradients_are_those_of_the_reference(architecture: str, tmp_path: Path) -> None:
    """Hidden states, attention and embeddings, with each text processed alone."""
    both = Both(tmp_path, {}, architecture)
    matching = LayerMatching(hidden_states=0.5, attention=2.0, embeddings=0.25)
    losses, network, _ = both.ours(matching)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    total = torch.zeros(())
    for place, text in enumerate(LONG):
        student, teacher = both.reference(text)
        map_ = uniform_map(len(student.attentions), len(teacher.attentions))
        hidden = [
            (student.hidden_states[i + 1] - teacher.hidden_states[j + 1]).square().mean()
            for i, j in enumerate(map_)
        ]
        attention = [
            (student.attentions[i] - teacher.attentions[j]).square().mean() for i, j in enumerate(map_)
        ]
        embedded = (student.hidden_states[0] - teacher.hidden_states[0]).square().mean()
        loss = 0.5 * torch.stack(hidden).mean() + 2.0 * torch.stack(attention).mean() + 0.25 * embedded
        assert losses[place].item() == pytest.approx(loss.item(), rel=1e-4)
        total = total + loss
    total.backward()  # type: ignore[no-untyped-call]
    found = {name: value.grad for name, value in network.trained.items() if value.grad is not None}
    compared = 0
    for name, parameter in both.peers[0].named_parameters():
        if parameter.grad is not None:
            scale = max(1.0, float(parameter.grad.abs().max()))
            np.testing.assert_allclose(found[name] / scale, parameter.grad / scale, atol=2e-5, err_msg=name)
            compared += 1
    assert compared > 30


@pytest.mark.parametrize("values", ["probabilities", "scores"])
def test_attention_ignores_padding(values: Literal["probabilities", "scores"], tmp_path: Path) -> None:
    """A text's loss does not depend on longer texts; the scores before the softmax are the layers'."""
    both = Both(tmp_path, {})
    matching = LayerMatching(hidden_states=0.0, attention=1.0, attention_values=values, layers=(0, 3))
    losses, _, matcher = both.ours(matching)
    for place, text in enumerate(LONG):
        batch = pack(both.tokenizer.encode_ids([text]), both.student.runner.layout)
        program = both.student.program(frozenset({LAST_HIDDEN_STATE}), matcher.taps)
        found = Network(both.student, TrainingOptions(device="cpu")).forward(program, batch)
        assert matcher(found, batch, {}).item() == pytest.approx(losses[place].item(), rel=1e-4)
    assert losses.min() > 0


def test_another_width_is_projected(tmp_path: Path) -> None:
    """The projections are trained too, and one for the layers serves them all."""
    both = Both(tmp_path, {"hidden_size": 16})
    losses, network, _ = both.ours(LayerMatching(embeddings=1.0))
    losses.sum().backward()  # type: ignore[no-untyped-call]
    shapes = {name: tuple(value.shape) for name, value in network.more.items()}
    assert shapes == {
        "projection.hidden_states.weight": (32, 16),
        "projection.embedded.weight": (32, 16),
    }
    weights = {name: value.detach() for name, value in network.more.items()}
    assert all(value.grad is not None and value.grad.any() for value in network.more.values())
    student, teacher = both.reference(LONG[0])
    hidden = [
        (
            student.hidden_states[i + 1] @ weights["projection.hidden_states.weight"].T
            - teacher.hidden_states[j]
        )
        .square()
        .mean()
        for i, j in enumerate((2, 4))
    ]
    embedded = student.hidden_states[0] @ weights["projection.embedded.weight"].T - teacher.hidden_states[0]
    wanted = torch.stack(hidden).mean() + embedded.square().mean()
    assert losses[0].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_a_student_like_its_teacher_has_no_loss(tmp_path: Path) -> None:
    """The teacher has no dropout, whatever its config says."""
    make_checkpoint("bert", tmp_path / "teacher", settings={"hidden_dropout_prob": 0.4})
    teacher = Model.from_pretrained(tmp_path / "teacher", backend="torch")
    matcher = LayerMatcher(LayerMatching(attention=1.0, embeddings=1.0), teacher, teacher, seed=1)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "teacher")
    batch = pack(tokenizer.encode_ids(LONG), teacher.runner.layout)
    network = Network(teacher, TrainingOptions(device="cpu"))
    program = teacher.program(frozenset({LAST_HIDDEN_STATE}), matcher.taps)
    found = network.forward(program, batch, training=False)
    np.testing.assert_allclose(matcher(found, batch, {}).detach(), 0, atol=1e-10)


def test_student_layers_represent_equal_numbers_of_teacher_layers() -> None:
    """The last layer is mapped to the teacher's last layer."""
    assert uniform_map(6, 12) == (1, 3, 5, 7, 9, 11)
    assert uniform_map(4, 6) == (0, 2, 3, 5)
    assert uniform_map(3, 3) == (0, 1, 2)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ((0, 4), "mapped to 4, but the teacher has 0 to 3"),
        ((-1, 3), "mapped to -1, but the teacher has 0 to 3"),
        ((3,), "has 2 layers, but 1 are mapped"),
    ],
)
def test_invalid_layer_maps(layers: tuple[int, ...], says: str, tmp_path: Path) -> None:
    """The message has the numbers of layers."""
    both = Both(tmp_path, {})
    with pytest.raises(InputError, match=says):
        LayerMatcher(LayerMatching(layers=layers), both.student, both.teacher, seed=1)


def test_students_that_cannot_be_compared(tmp_path: Path) -> None:
    """More layers than the teacher without a map, or other attention heads."""
    both = Both(tmp_path, {"num_attention_heads": 2})
    with pytest.raises(InputError, match="has 2 attention heads, the teacher 4"):
        LayerMatcher(LayerMatching(attention=1.0), both.student, both.teacher, seed=1)
    LayerMatcher(LayerMatching(), both.student, both.teacher, seed=1)  # hidden states may
    with pytest.raises(InputError, match="The student has 4 layers, the teacher only 2"):
        LayerMatcher(LayerMatching(), both.teacher, both.student, seed=1)


def test_weights_out_of_range() -> None:
    """Each is named with its value."""
    with pytest.raises(InputError, match="Nothing is matched"):
        LayerMatching(hidden_states=0.0)
    with pytest.raises(InputError, match="attention must be 0 or more, got -1"):
        LayerMatching(attention=-1)
    with pytest.raises(InputTypeError, match="embeddings must be a number, got 'much'"):
        LayerMatching(embeddings="much")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="layers must be a list of whole numbers"):
        LayerMatching(layers=("last",))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="attention_values must be one of"):
        LayerMatching(attention_values="weights")  # type: ignore[arg-type]
