"""Small random GPT-2 checkpoints with a byte-level tokenizer, made by the reference implementation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

__all__ = ["END", "Gpt2", "byte_level", "make_gpt2"]

END = "<|endoftext|>"
_TEXTS = [
    "The cat sat on the mat. The dog sat on the roof, and the bird on the chair.",
    "고양이가 지붕 위에 앉아 있다. 오늘은 날씨가 참 좋네요.",
]


@cache
def byte_level(vocabulary: int = 340) -> Tokenizer:
    """Return a byte-level BPE tokenizer as GPT-2's; most syllables take several tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        _TEXTS,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return backend


@dataclass(frozen=True, slots=True)
class Gpt2:
    """A checkpoint's folder, and the reference implementation's model and tokenizer."""

    folder: Path
    model: Any
    tokenizer: Any

    def generate(self, prompt: str, **settings: Any) -> str:
        """Continue prompts with the reference implementation, one at a time; return the whole texts."""
        ids = self.tokenizer(prompt or END, return_tensors="pt")
        out = self.model.generate(**ids, pad_token_id=0, **settings)[0]
        new = self.tokenizer.decode(out[ids["input_ids"].shape[1] :], skip_special_tokens=True)
        return f"{prompt}{new}"


def make_gpt2(folder: Path, *, end: int = 0, positions: int = 48, seed: int = 4) -> Gpt2:
    """Write a random checkpoint; ``end`` is the id of its end token."""
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(byte_level().to_str()),
        bos_token=END,
        eos_token=END,
        unk_token=END,
        model_max_length=positions,
    )
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=positions,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=end,
    )
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Gpt2(folder, model, tokenizer)
