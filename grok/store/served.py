"""The logged network as MLflow loads it: inputs in, class scores out. Read by MLflow, not imported by the library."""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from grok.networks.base import Predictor
from grok.spec.plugins import NETWORKS
from grok.store import files


class ServedNetwork(PythonModel):
    """`mlflow.pyfunc.load_model("models:/…").predict(inputs)`: (n, P) integers to (n, C) scores; pairs of modular addition."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read weights and facts from the model's safetensors file; the network that they are of makes scores of them."""
        tensors, facts = files.load(context.artifacts["network"])
        self.predictor: Predictor = NETWORKS.find(facts.get("network", "two_layer")).predictor(tensors, facts)

    def predict(self, context: PythonModelContext, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Scores of each class; their argmax is the answer."""
        return self.predictor(model_input)


set_model(ServedNetwork())
