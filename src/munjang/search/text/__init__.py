"""Words, passages and snippets of texts."""
