"""The names that arguments of the library and options of the command line accept.

This module loads nothing else, so that help pages are shown without the engines. The
modules that implement the choices import them and export them.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

# How a model computes.
DType: TypeAlias = Literal["float32", "int8"]
# How tokens are joined to entities.
Grouping: TypeAlias = Literal["simple", "first", "average", "max"]
# What a vector of features stands for: a token, a word, or the whole text in one of three ways.
Level: TypeAlias = Literal["token", "word", "cls", "mean", "pooler"]
# The tokens that mark the two entities of a relation.
MarkerKind: TypeAlias = Literal["plain", "typed", "klue"]
# How a chatbot finds stored questions.
Method: TypeAlias = Literal["hybrid", "nearest"]
# How an index is searched: by meaning, by word, or by both.
Mode: TypeAlias = Literal["hybrid", "semantic", "lexical"]
# Whose rules make answers comparable.
Normalization: TypeAlias = Literal["korquad", "squad"]
# How the components of sentence vectors are stored.
Precision: TypeAlias = Literal["float32", "int8", "uint8", "binary", "ubinary"]
# How tokens are grouped to entities.
Strategy: TypeAlias = Literal["none", "simple", "first", "average", "max"]
# What can be explained.
Task: TypeAlias = Literal["tokenize", "features", "fill-mask", "next-sentence", "classify", "next-token"]
# How the weights of a model that generates are stored.
Weights: TypeAlias = Literal["float32", "int8"]
