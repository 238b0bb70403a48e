"""What a run is: its config, and the grids of runs that are studies. Imports neither torch nor mlflow."""
