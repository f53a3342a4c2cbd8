"""Models of a Hugging Face hub: download, checks and local records."""
