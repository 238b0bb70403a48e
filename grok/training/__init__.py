"""The training loop, without I/O."""
