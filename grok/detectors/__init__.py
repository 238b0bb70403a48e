"""Detectors: each reads an epoch off a series."""
