"""`grok.store.files` by its name in the code that networks were stored with: MLflow runs that code with the `grok` at hand."""

from grok.store.files import load

__all__ = ["load"]
