"""Benchmarks that compare munjang with other libraries: run `python -m benchmarks`, see docs/performance.md.

Every peer (a library that is compared) runs in its own process (`worker.py`), so that the threads and memory
of one do not disturb another. Only one runs at a time and they alternate, so that a busy machine slows all.
"""
