"""Packing texts into batches and running programs over them."""
