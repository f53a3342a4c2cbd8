"""Explanation of a model's computation for a text, step by step."""
