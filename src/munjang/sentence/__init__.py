"""Sentences as vectors: encoding, comparing, mining."""
