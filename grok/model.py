"""`grok.networks.two_layer` by its name in the code that networks were stored with: MLflow runs that code with the `grok` at
hand.
"""

from grok.networks.two_layer import Batch, TwoLayerNetwork

__all__ = ["Batch", "TwoLayerNetwork"]
