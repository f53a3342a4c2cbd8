"""Training, trimming and extension of vocabularies."""
