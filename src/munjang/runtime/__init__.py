"""Packing of texts into batches, and running programs on them."""
