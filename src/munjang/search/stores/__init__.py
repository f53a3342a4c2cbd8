"""Stores of an index: the contract, and SQLite and PostgreSQL."""
