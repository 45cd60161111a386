"""The parameters of a model as an optimizer has them: the weights of layers, which decay, and all others, which do not.

Flat, each of the two groups is one vector, so that an optimizer updates it in one call. A checkpoint is not concerned: in it
every parameter has its own state, as torch's optimizers number them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cli.models.architectures import Classifier

State = dict[int, dict[str, Any]]  # the state that an optimizer has for each parameter, by its index


class ParameterGroups:
    """Two groups of a model's parameters: `groups` as the model has them, `updated` as the optimizer does."""

    def __init__(self, model: Classifier, flat: bool = False) -> None:
        """Gather the parameters; `flat` makes them and their gradients views of two vectors for each group."""
        parameters = list(model.parameters())
        weights = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        self.groups, self.flat = [weights, others], flat
        self.updated = [[_flattened(group)] for group in self.groups] if flat else self.groups

    @property
    def tensors(self) -> list[nn.Parameter]:
        """The tensors to update: those of the model, or the vectors that hold them."""
        return [parameter for group in self.updated for parameter in group]

    @property
    def gradients(self) -> list[Tensor]:
        """The existing gradients of these tensors."""
        return [tensor.grad for tensor in self.tensors if tensor.grad is not None]

    def split(self, state: State) -> State:
        """Return an optimizer's state of the tensors as that of the model's parameters."""
        if not self.flat or not state:
            return state
        parts = [_parts(group, state[number]) for number, group in enumerate(self.groups)]
        return dict(enumerate(of_parameter for of_group in parts for of_parameter in of_group))

    def join(self, state: State) -> State:
        """Return an optimizer's state of the model's parameters as that of the tensors.

        Raises KeyError or ValueError when the parameters of a group do not have the same kinds of state.
        """
        if not self.flat or not state:
            return state
        numbers = iter(range(sum(map(len, self.groups))))
        states = [[state[next(numbers)] for _ in group] for group in self.groups]
        return {number: _joined(of_group) for number, of_group in enumerate(states)}


def _flattened(group: Sequence[nn.Parameter]) -> nn.Parameter:
    """Return the parameters as one vector with a gradient, of both of which they become views."""
    vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in group]))
    vector.grad = torch.zeros_like(vector)
    for parameter, value, gradient in zip(
        group, _views(vector.detach(), group), _views(vector.grad, group), strict=True
    ):
        parameter.data, parameter.grad = value, gradient
    return vector


def _views(vector: Tensor, group: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    """Yield the part of a vector that is each parameter's, in its shape."""
    parts = vector.split([parameter.numel() for parameter in group])
    return (part.view_as(parameter) for part, parameter in zip(parts, group, strict=True))


def _is_vector(value: object) -> bool:
    """Return whether a value of an optimizer's state has an element for each weight of a parameter, unlike the step count."""
    return isinstance(value, Tensor) and value.ndim > 0


def _parts(group: Sequence[nn.Parameter], state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state of a vector as one for each parameter, which shares no memory with the others."""
    states: list[dict[str, Any]] = [{} for _ in group]
    for name, value in state.items():
        parts = _views(value, group) if _is_vector(value) else [value] * len(group)
        for of_parameter, part in zip(states, parts, strict=True):
            of_parameter[name] = part.clone() if isinstance(part, Tensor) else part
    return states


def _joined(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the states of the parameters of a group as that of their vector."""
    first = states[0]
    for other in states[1:]:
        if other.keys() != first.keys():
            raise ValueError("its optimizer keeps different things of parameters of one kind")
    return {
        name: torch.cat([state[name].flatten() for state in states]) if _is_vector(value) else value
        for name, value in first.items()
    }
