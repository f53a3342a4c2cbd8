"""Benchmarks against the libraries that people use: run `python -m benchmarks`, see docs/performance.md.

Every peer works in a process of its own (`worker.py`), so that no library's threads or memory disturb
another's; only one works at a time, and they take turns, so that a busy machine slows all of them alike.
"""
