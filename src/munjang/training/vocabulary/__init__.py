"""Vocabularies: training one, trimming one, adding tokens to one."""
