"""What is seen of a step and kept of a run."""
