"""The logged network as MLflow loads it: pairs in, class scores out. Read by MLflow, not imported by the library."""

from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from grok.networks.two_layer import Batch, TwoLayerNetwork
from grok.store import files as checkpoint


class ServedNetwork(PythonModel):
    """`mlflow.pyfunc.load_model("models:/…").predict(pairs)`: (n, 2) integers in [0, M) to (n, M) scores."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read weights and activation from the model's safetensors file."""
        tensors, facts = checkpoint.load(context.artifacts["network"])
        self.network = TwoLayerNetwork(tensors["w"][None], tensors["v"][None], facts["activation"])
        self.modulus = tensors["v"].shape[1]

    def predict(self, context: PythonModelContext, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Scores of each class; their argmax is the answer."""
        pairs = torch.from_numpy(np.array(model_input, dtype=np.int64))[None]
        if pairs.numel() and not 0 <= int(pairs.min()) <= int(pairs.max()) < self.modulus:
            raise ValueError(
                f"pairs must be whole numbers in [0, {self.modulus - 1}], got others. Take them modulo {self.modulus}."
            )
        batch = Batch(pairs, torch.zeros(pairs.shape[:2], dtype=torch.int64), self.modulus, torch.device("cpu"))
        with torch.no_grad():
            return (self.network.features(batch)[0] @ self.network.v[0]).numpy()


set_model(ServedNetwork())
