"""Model definitions: each architecture is written once, as plain functions over a small set of operations."""
