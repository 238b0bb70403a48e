"""Arrays in, arrays out: spectra, features, repulsion, series. Knows no run."""
