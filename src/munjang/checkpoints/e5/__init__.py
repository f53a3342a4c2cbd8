"""The format of multilingual-e5-small in its wheel: 4-bit blocks and a sentencepiece vocabulary."""
