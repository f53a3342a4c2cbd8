"""Measures as functions of weights of the examples, with bootstrap intervals."""
