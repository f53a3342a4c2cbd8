"""Pre-training on plain texts: masked tokens, next sentences, replaced tokens."""
