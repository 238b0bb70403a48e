"""Monitors of a training loop that is not ours."""
