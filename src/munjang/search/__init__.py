"""Searching and encoding what stands in a user's files."""
