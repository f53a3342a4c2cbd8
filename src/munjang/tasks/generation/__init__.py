"""Text generation with a causal language model."""
