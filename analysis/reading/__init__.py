"""The one way from a store to tables."""
