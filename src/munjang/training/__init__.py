"""Training: one visible loop, and what can be learned in it.

Everything here needs PyTorch, the extra ``train``; the names are loaded when they are first used.
"""
