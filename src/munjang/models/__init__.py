"""The mathematics: each architecture once, as plain functions over a small set of operations."""
