"""multilingual-e5-small as its wheel holds it: four-bit blocks and a sentencepiece vocabulary."""
