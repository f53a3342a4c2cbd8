"""Fill-mask."""
