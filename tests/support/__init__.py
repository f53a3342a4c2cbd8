"""Functions and classes that several tests share."""
