"""Drawings of an explanation: plain values for JSON, tables for a terminal, an HTML page."""
