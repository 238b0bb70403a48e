"""Signals: each is one published series, a pure function of arrays."""
