"""Published signals of grokking on the same runs: which one knows."""
