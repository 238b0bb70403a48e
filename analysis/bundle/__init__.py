"""A registry in a folder: runs of a store as a few files, and back into another store."""
