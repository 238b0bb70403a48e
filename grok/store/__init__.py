"""The only importer of mlflow: runs, their tags, files and leases."""
