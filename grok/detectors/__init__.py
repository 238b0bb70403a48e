"""Rules that read an epoch off a series."""
