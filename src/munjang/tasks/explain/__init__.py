"""What a model does with a text, step by step."""
