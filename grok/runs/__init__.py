"""Brings runs to their end: training, studies, replay."""
