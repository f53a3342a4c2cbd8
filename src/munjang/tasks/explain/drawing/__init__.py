"""Drawing what a model did: as plain values for JSON, as tables for a terminal, as a page."""
