"""Readers of labelled examples, one module for each kind of example."""
