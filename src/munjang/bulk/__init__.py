"""Encoding a file of texts into a file of vectors, resumable."""
