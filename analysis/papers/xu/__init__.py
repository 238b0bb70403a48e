"""Xu (arXiv 2605.08119): claims, errata, tables."""
