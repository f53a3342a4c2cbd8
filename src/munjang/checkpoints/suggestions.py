"""Suggestions for mistyped model names."""

from __future__ import annotations

from munjang.checkpoints.catalogue import CATALOGUE
from munjang.errors import UnknownModelError

__all__ = ["closest", "shortened", "unknown_model"]

# Repositories that are most common in Korean and English lessons and programs; used only for suggestions.
_WELL_KNOWN = (
    "BAAI/bge-m3",
    "Dongjin-kr/ko-reranker",
    "beomi/kcbert-base",
    "bert-base-cased",
    "bert-base-multilingual-cased",
    "bert-base-multilingual-uncased",
    "bert-base-uncased",
    "clips/mfaq",
    "cross-encoder/ms-marco-MiniLM-L6-v2",
    "cross-encoder/stsb-roberta-base",
    "distilbert-base-multilingual-cased",
    "distilbert-base-uncased",
    "google/electra-base-discriminator",
    "google/electra-small-discriminator",
    "gpt2",
    "intfloat/multilingual-e5-base",
    "intfloat/multilingual-e5-large",
    "jhgan/ko-sroberta-multitask",
    "klue/bert-base",
    "klue/roberta-base",
    "klue/roberta-large",
    "klue/roberta-small",
    "kykim/bert-kor-base",
    "monologg/koelectra-base-v3-discriminator",
    "monologg/koelectra-small-v3-discriminator",
    "roberta-base",
    "sentence-transformers/all-mpnet-base-v2",
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "skt/kogpt2-base-v2",
    "snunlp/KR-SBERT-V40K-klueNLI-augSTS",
    "xlm-roberta-base",
)
_CUTOFF = 0.75


def shortened(name: str) -> str:
    """Return a name for an error message: printable, and truncated if it is very long."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


def closest(name: str) -> str | None:
    """Return the known name that is closest to an unknown name; never that name itself."""
    import difflib

    known = {alias.lower(): alias for entry in CATALOGUE for alias in (entry.name, *entry.aliases)}
    known |= {repository.lower(): repository for repository in _WELL_KNOWN}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_CUTOFF)
    # The unknown name may be correct, but missing on a private mirror.
    return known[close[0]] if close and known[close[0]] != name else None


def unknown_model(name: str, why: str) -> UnknownModelError:
    """Return the error for an unknown name: the reason ``why``, and the closest known name."""
    found = closest(name)
    hint = f" Did you mean '{found}'?" if found else ""
    return UnknownModelError(
        f"Model '{shortened(name)}' was not found: {why}.{hint} `munjang models` lists what is here."
    )
