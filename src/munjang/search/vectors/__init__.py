"""Exact and approximate search over a matrix of vectors."""
