"""Indexes of documents, and semantic, lexical and hybrid search."""
