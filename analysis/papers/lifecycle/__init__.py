"""Xu, "The Lifecycle of the Spectral Edge" (arXiv 2604.07380): its numbers, its sentences, and what the flip follows."""
