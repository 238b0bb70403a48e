"""What a run costs, measured: against the machine's own matrix products and against the published procedure."""
