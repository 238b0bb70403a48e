"""The closed form of minibatch gradients and Hessian products against autograd, activation by activation."""

import pytest
import torch

from grok.networks._activations import ACTIVATION_FUNCTIONS, activation
from grok.numerics.dynamics import DISPLACEMENT
from grok.recorders import _minibatches
from grok.recorders._battery import built
from grok.spec.config import RunConfig
from grok.training.parts import network_of, task_of


@pytest.mark.parametrize("name", ["square", "relu", "relu2", "abs", "gelu", "tanh", "torch.nn.functional:softplus"])
def test_closed_form_is_what_autograd_gives(name: str) -> None:
    config = RunConfig(activation=name, modulus=7, width=12, n_train=30, top_pairs=10, epochs=1, precision="float64").resolved()
    problem, stack = task_of(config).problem(config), built(config, network_of(config), task_of(config))
    (w, v), generator = (layer[0] for layer in stack.layers.values()), torch.Generator().manual_seed(1)
    one, two = (torch.randint(0, 30, (40,), generator=generator) for _ in range(2))
    found = torch.full((6, w.numel() + v.numel()), torch.nan, dtype=torch.float64)
    _minibatches._in_closed_form(found, activation(name), stack, problem, one, two)
    theta, sigma = torch.cat([w.flatten(), v.flatten()]), activation(name).value

    def gradient(at: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        point = at.detach().requires_grad_()
        first, second = point[: w.numel()].view_as(w), point[w.numel() :].view_as(v)
        places = problem.train_inputs[rows].T
        z = first[places[0]] + first[places[1] + 7]
        # the loss of the definition: the sum of squares of ŷ − y, both without their mean over classes
        outputs = (sigma(z) if ":" not in name else torch.nn.functional.softplus(z)) @ second
        wanted = torch.nn.functional.one_hot(problem.train_labels[rows], 7).double()
        apart = (outputs - outputs.mean(dim=1, keepdim=True)) - (wanted - wanted.mean(dim=1, keepdim=True))
        return point, torch.autograd.grad(apart.square().sum() / len(rows), point, create_graph=True)[0]

    (at_a, graph_a), (at_b, graph_b) = gradient(theta, one), gradient(theta, two)
    a, b = graph_a.detach(), graph_b.detach()
    expected = [
        a,
        b,
        gradient(theta - DISPLACEMENT * a, two)[1].detach(),
        gradient(theta - DISPLACEMENT * b, one)[1].detach(),
        torch.autograd.grad(graph_b @ a, at_b)[0],
        torch.autograd.grad(graph_a @ b, at_a)[0],
    ]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-11, atol=1e-13)
    assert float(found[4].norm()) > 0


@pytest.mark.parametrize("name", ACTIVATION_FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_closed_second_derivative_has_the_bits_of_autograd(name: str, dtype: torch.dtype) -> None:
    """At 0 too; where it is 0 but at kinks there is none."""
    sigma = ACTIVATION_FUNCTIONS[name]
    h = torch.cat((torch.linspace(-3, 3, 601, dtype=dtype), torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e10], dtype=dtype)))
    expected, found = sigma._replace(second=None).curvature(h), sigma.curvature(h)
    if found is None:
        assert expected is None or not expected.any()
    else:
        assert expected is not None
        assert torch.equal(found.expand_as(h), expected)


def test_the_square_asks_autograd_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "grad", None)
    assert activation("square").curvature(torch.ones(3)) == 2
    with pytest.raises(TypeError):
        activation("gelu").curvature(torch.ones(3))
