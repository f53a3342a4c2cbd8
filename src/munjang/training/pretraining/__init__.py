"""Pre-training on plain texts: masked language modelling, next sentences, replaced-token detection."""
