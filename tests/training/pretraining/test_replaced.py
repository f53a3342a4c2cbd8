"""Replaced-token detection against the two models of the reference.

What can be wrong: the model (no ELECTRA), the generator (too wide, other embeddings), scores that are no
numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import munjang
from munjang import Tokenizer
from munjang.errors import InputError
from munjang.models.initialization import new_encoder
from munjang.training.loop.loop import train
from munjang.training.options import PretrainingTask
from munjang.training.pretraining import replaced as replaced_tokens
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.masking import Hider, Packed
from munjang.training.pretraining.replaced import ReplacedTokenObjective, generator_config, guesses
from munjang.training.pretraining.train import new_config
from support.pretraining import (
    OPTIONS,
    SIZES,
    assert_same_gradients,
    judged_outputs,
    labels_of,
    logits_here,
    losses,
    make_tokenizer,
    padded,
    roughen,
    saved,
    start_of,
    write_documents,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def corpus(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> TokenCorpus:
    folder = tmp_path_factory.mktemp("texts")
    return TokenCorpus.build(write_documents(folder / "a.txt"), tokenizer, folder / "corpus")


def config(tokenizer: Tokenizer, dropout: float = 0.0, **changes: Any) -> dict[str, Any]:
    made = new_config(tokenizer, model_type="electra", dropout=dropout, **SIZES)
    return {**made, "embedding_size": 16, **changes}


def objective(tokenizer: Tokenizer, corpus: TokenCorpus, **settings: Any) -> ReplacedTokenObjective:
    raw = config(tokenizer, settings.pop("dropout", 0.0))
    held_out = settings.pop("held_out", None)
    generator = settings.pop("generator", None)
    task = PretrainingTask(**{"generator_size": 0.5, **settings})
    start = start_of(raw, tokenizer)
    return ReplacedTokenObjective(start, corpus, held_out, task, OPTIONS, generator=generator)


def judged_loss(packed: Packed, judged: NDArray[Any], guessed: NDArray[Any], logits: Tensor) -> Tensor:
    labels = torch.from_numpy((guessed != packed.ids)[judged].astype(np.float32))
    return functional.binary_cross_entropy_with_logits(judged_outputs(packed, judged, logits), labels)


@pytest.mark.parametrize("whole_words", [False, True])
def test_the_loss_and_gradients_equal_the_reference(
    tokenizer: Tokenizer,
    corpus: TokenCorpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_words: bool,
) -> None:
    made = objective(tokenizer, corpus, whole_words=whole_words)
    roughen(made)
    discriminator = saved(made, tmp_path / "model", "ElectraForPreTraining")
    generator = saved(made, tmp_path / "model", "ElectraForMaskedLM", "generator")
    drawn: list[NDArray[np.int32]] = []

    def remembered(logits: Tensor, luck: torch.Generator | None = None) -> NDArray[np.int32]:
        drawn.append(guesses(logits, luck))
        return drawn[-1]

    monkeypatch.setattr(replaced_tokens, "guesses", remembered)
    examples = [made.examples[i] for i in range(30)]
    torch.manual_seed(3)
    tally = made.accumulate(examples, np.random.default_rng(4))
    packed = Packed.of(examples)
    hider = Hider(tokenizer, whole_words=whole_words, share_mask=1.0, share_random=0.0)
    masked = hider(packed, np.random.default_rng(4))
    assert (masked.input_ids[masked.positions] == tokenizer.mask_token_id).all()
    guessed = packed.ids.copy()
    guessed[masked.positions] = drawn[0]
    judged = np.flatnonzero(~np.isin(packed.ids, tokenizer.all_special_ids))
    assert 0 < (guessed != packed.ids).sum() < len(masked.positions) + 1
    loss = generator(**padded(packed, masked.input_ids), labels=labels_of(packed, masked)).loss
    logits = discriminator(**padded(packed, guessed)).logits
    wanted = loss + 50 * judged_loss(packed, judged, guessed, logits)
    wanted.backward()
    assert tally.count == len(judged)
    assert tally.total / tally.count == pytest.approx(wanted.item(), rel=1e-5)
    gradients = {name: p.grad for name, p in discriminator.named_parameters() if p.grad is not None}
    for name, value in generator.named_parameters():
        if name.startswith("electra.embeddings."):
            gradients[name] = gradients[name] + value.grad
        elif value.grad is not None:
            gradients[f"generator/{name}"] = value.grad
    assert_same_gradients(made.network.trained, tally.count, gradients)


def test_guesses_are_sampled_by_their_probability() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2, 0.0])
    luck = torch.Generator().manual_seed(0)
    found = guesses(probabilities.log().expand(20_000, 4), luck)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 20_000, probabilities, atol=0.015)
    assert guesses(torch.zeros(0, 4)).shape == (0,)
    assert guesses(torch.full((3, 4), float("nan"))).shape == (3,)  # the loss stops the run, not the draw


def test_a_right_guess_is_labelled_as_original(
    tokenizer: Tokenizer, corpus: TokenCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a generator that is always right, no token is replaced."""
    made = objective(tokenizer, corpus, held_out=corpus)
    packed = Packed.of(list(made.examples))
    hider = Hider(tokenizer, share_mask=1.0, share_random=0.0)
    right = hider(packed, np.random.default_rng([0, 0])).labels
    monkeypatch.setattr(replaced_tokens, "guesses", lambda logits, luck=None: right)
    found = made.evaluate()
    with torch.no_grad():
        name = "discriminator_predictions.dense_prediction.bias"
        made.network.trained[name] += 5.0  # calls everything replaced
    assert made.evaluate()["recall"] == found["recall"] == 0.0
    assert made.evaluate()["discriminator_accuracy"] < 0.01


def test_both_models_are_saved_and_served(tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path) -> None:
    made = objective(tokenizer, corpus, held_out=corpus, dropout=0.1)
    before = made.evaluate()
    assert made.evaluate() == before
    result = train(made, tmp_path / "run", OPTIONS)
    seen = losses(tmp_path / "run")
    assert np.mean(seen[-5:]) < 0.9 * np.mean(seen[:5])
    assert result.metrics["generator_loss"] < 0.8 * before["generator_loss"]
    assert result.metrics["discriminator_loss"] < before["discriminator_loss"]
    discriminator, about = transformers.ElectraForPreTraining.from_pretrained(
        tmp_path / "run", output_loading_info=True
    )
    assert not about["missing_keys"]
    generator = transformers.ElectraForMaskedLM.from_pretrained(tmp_path / "run" / "generator").eval()
    encoder = transformers.ElectraModel.from_pretrained(tmp_path / "run").eval()
    given = padded(Packed.of([made.examples[i] for i in range(6)]))
    here = given["attention_mask"].numpy() == 1
    with torch.no_grad():
        vectors, scores = encoder(**given).last_hidden_state.numpy(), generator(**given).logits.numpy()
    arrays: dict[str, Any] = {name: value.numpy() for name, value in given.items()}
    ours = munjang.Model.from_pretrained(tmp_path / "run")(**arrays)
    assert ours.last_hidden_state is not None
    np.testing.assert_allclose(ours.last_hidden_state[here], vectors[here], atol=2e-5)
    served = logits_here(tmp_path / "run" / "generator", "masked-lm", given)
    np.testing.assert_allclose(served[here], scores[here], atol=2e-5)
    shared = "electra.embeddings.word_embeddings.weight"
    assert torch.equal(discriminator.state_dict()[shared], generator.state_dict()[shared])
    assert munjang.pipeline("fill-mask", tmp_path / "run" / "generator")("서울에서 기차를 [MASK].")


def test_measures_equal_the_reference(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = objective(tokenizer, corpus, held_out=corpus)
    roughen(made)
    discriminator = saved(made, tmp_path / "model", "ElectraForPreTraining").eval()
    packed = Packed.of(list(made.examples))
    masked = Hider(tokenizer, share_mask=1.0, share_random=0.0)(packed, np.random.default_rng([0, 0]))
    some = np.where(np.arange(len(masked.labels)) % 3 == 0, masked.labels, 7).astype(np.int32)
    monkeypatch.setattr(replaced_tokens, "guesses", lambda logits, luck=None: some)
    found = made.evaluate()
    guessed = packed.ids.copy()
    guessed[masked.positions] = some
    judged = np.flatnonzero(~np.isin(packed.ids, tokenizer.all_special_ids))
    with torch.no_grad():
        logits = discriminator(**padded(packed, guessed)).logits
    loss = judged_loss(packed, judged, guessed, logits).item()
    assert found["discriminator_loss"] == pytest.approx(loss, rel=1e-5)
    assert found["loss"] == pytest.approx(found["generator_loss"] + 50 * loss, rel=1e-5)
    called = judged_outputs(packed, judged, logits).numpy() > 0
    replaced = (guessed != packed.ids)[judged]
    assert found["discriminator_accuracy"] == pytest.approx((called == replaced).mean())
    assert found["recall"] == pytest.approx((called & replaced).sum() / replaced.sum())
    assert found["precision"] == pytest.approx((called & replaced).sum() / max(called.sum(), 1))


def test_a_generator_is_a_smaller_model(tokenizer: Tokenizer) -> None:
    raw = generator_config(config(tokenizer), size=0.25)
    assert [raw[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size")] == [8, 1, 12]
    assert raw["embedding_size"] == 16
    for size in (0.0, 1.5, -1.0):
        with pytest.raises(InputError, match="generator_size must be above 0 and at most 1"):
            generator_config(config(tokenizer), size=size)


def test_unsuitable_models_are_refused(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    bert = new_config(tokenizer, **SIZES)
    with pytest.raises(InputError, match="by a model of type 'electra', not 'bert'"):
        ReplacedTokenObjective(start_of(bert, tokenizer), corpus, None, PretrainingTask(), OPTIONS)
    other = config(tokenizer, embedding_size=8)
    with pytest.raises(InputError, match="generator's embedding_size is 8, the discriminator's 16"):
        objective(tokenizer, corpus, generator=(other, new_encoder(other)))
