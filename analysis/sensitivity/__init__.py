"""Does the detector's setting make the result? Settings tried on finished runs; the only package that imports optuna."""
