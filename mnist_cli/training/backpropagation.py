"""Explicit backpropagation: the gradient of the loss for a stack of fully connected layers.

For a batch of N images and the layers l = 1 .. L, of n_l units each, with the activation function f:

    a_0   (N, 784)        the standardized pixels
    z_l   (N, n_l)        a_(l-1) W_l^T + b_l; those of the last layer, z_L, are the logits
    a_l   (N, n_l)        f(z_l) m_l, where the dropout mask m_l is 0 with probability d, and else 1 / (1 - d)
    p, t  (N, C)          softmax(z_L), and the target: s / C, plus 1 - s for the class of the label; s is the label smoothing;
                          with a teacher: s / C, plus 1 - s times the target probabilities
    e     (N, C)          p - t
    δ_l   (N, n_l)        the gradient of the loss with respect to z_l

From the last layer to the first, where a product without a dot is one of elements:

    cross-entropy         loss = -Σ t log p            δ_L = e
    mse                   loss = Σ e²                  δ_L = 2 p (e - Σ e p), the sum over the classes
    hidden layers                                      δ_l = (δ_(l+1) · W_(l+1)) m_l f'(z_l)
    parameters            ∂loss/∂W_l = δ_l^T · a_(l-1)  ∂loss/∂b_l = the sum of δ_l over the images

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mnist_cli.arrays import FRAME
from mnist_cli.models.architectures import Classifier

LEAK = 0.01  # slope of leaky_relu below 0, torch's default


class Activation(NamedTuple):
    """An activation function and its derivative, each written into an existing tensor."""

    value: Callable[[Tensor, Tensor], object]  # (z, out): out becomes f(z)
    slope: Callable[[Tensor, Tensor, Tensor], object]  # (z, f(z), out): out becomes f'(z)


def _gelu_slope(z: Tensor, value: Tensor, out: Tensor) -> None:
    """Write Φ(z) + z φ(z), with the distribution and the density of the normal distribution."""
    density = (z * z).mul_(-0.5).exp_().div_(math.sqrt(2 * math.pi))
    torch.special.ndtr(z, out=out).addcmul_(z, density)


ACTIVATIONS = {
    "relu": Activation(
        lambda z, out: torch.clamp(z, min=0, out=out),
        lambda z, value, out: torch.sign(value, out=out),
    ),
    "leaky_relu": Activation(
        lambda z, out: torch.maximum(z, torch.mul(z, LEAK, out=out), out=out),
        lambda z, value, out: torch.sign(value, out=out).clamp_(min=LEAK),
    ),
    "gelu": Activation(lambda z, out: torch.special.ndtr(z, out=out).mul_(z), _gelu_slope),
    "sigmoid": Activation(
        lambda z, out: torch.sigmoid(z, out=out),
        lambda z, value, out: torch.mul(value, value, out=out).neg_().add_(value),
    ),
    "tanh": Activation(
        lambda z, out: torch.tanh(z, out=out),
        lambda z, value, out: torch.mul(value, value, out=out).neg_().add_(1),
    ),
}


class Linear:
    """The weight (outputs, inputs) and bias (outputs,) of a fully connected layer, with their gradients.

    The operands of its products are rounded to `operands`, such as bfloat16, and its sums are in the format of the weights.
    """

    def __init__(self, layer: nn.Linear, operands: torch.dtype | None = None) -> None:
        """Allocate the gradients that the parameters of `layer` lack."""
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()
        self.weight_gradient, self.bias_gradient = _gradient(layer.weight), _gradient(layer.bias)
        self.operands = operands or self.weight.dtype

    def forward(self, inputs: Tensor, out: Tensor) -> Tensor:
        """Write and return z_l for a_(l-1)."""
        self.inputs, self.factor = inputs.to(self.operands), self.weight.to(self.operands)  # the same unless rounded
        if self.operands == out.dtype:
            torch.addmm(self.bias, inputs, self.weight.t(), out=out)
        else:
            torch.add(torch.mm(self.inputs, self.factor.t()), self.bias, out=out)
        return out

    def backward(self, delta: Tensor) -> None:
        """Write the gradients for δ_l and the a_(l-1) of the forward pass."""
        self.delta = delta.to(self.operands)
        _product(self.delta.t(), self.inputs, self.weight_gradient)
        torch.sum(delta, 0, out=self.bias_gradient)

    def backward_to_inputs(self, out: Tensor) -> None:
        """Write δ_l · W_l, for the δ_l of the backward pass."""
        _product(self.delta, self.factor, out)


def _product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Write a · b, which may be of another format than `out`."""
    if a.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(torch.mm(a, b))


def _gradient(parameter: Tensor) -> Tensor:
    """Return the tensor that is the gradient of a parameter."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


class Hidden:
    """A hidden layer: its parameters, and the tensors that the forward pass saves for the backward pass."""

    def __init__(self, linear: Linear, activation: Activation, dropout: float, images: int) -> None:
        """Allocate the tensors, each (N, units), for a batch of so many images."""
        self.linear, self.activation, self.dropout = linear, activation, dropout
        self.delta: Tensor
        self.z, self.value, self.slope, self.delta = linear.weight.new_empty(4, images, len(linear.bias))
        self.mask = torch.empty_like(self.z) if dropout else None
        self.a = torch.empty_like(self.z) if dropout else self.value

    def forward(self, inputs: Tensor) -> Tensor:
        """Return a_l for a_(l-1)."""
        self.linear.forward(inputs, self.z)
        self.activation.value(self.z, self.value)
        if self.mask is not None:
            self.mask.bernoulli_(1 - self.dropout).div_(1 - self.dropout)
            torch.mul(self.value, self.mask, out=self.a)
        return self.a

    def backward(self, following: Linear) -> Tensor:
        """Return δ_l, after the backward pass of the layer that follows."""
        following.backward_to_inputs(self.delta)
        if self.mask is not None:
            self.delta.mul_(self.mask)
        self.activation.slope(self.z, self.value, self.slope)
        self.delta.mul_(self.slope)
        return self.delta


class Pass:
    """The forward and the backward pass of a batch of N images, in memory that is allocated once."""

    def __init__(
        self, model: Classifier, images: int, loss: str, label_smoothing: float, operands: torch.dtype | None = None
    ) -> None:
        """Allocate it for `model` and so many images."""
        *hidden, self.last = (Linear(layer, operands) for layer in model.layers if isinstance(layer, nn.Linear))
        activation, dropout = ACTIVATIONS[model.arguments["activation"]], model.arguments["dropout"]
        self.hidden = [Hidden(linear, activation, dropout, images) for linear in hidden]
        self.mean, self.std = model.pixel_mean, model.pixel_std
        self.loss, self.label_smoothing = loss, label_smoothing
        like = self.last.weight
        self.pixels = like.new_empty(images, FRAME**2)
        self.logits, self.log_p, self.p, self.target, self.delta = like.new_empty(5, images, len(model.classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, C) of uint8 images (N, 1, 28, 28)."""
        a = self.pixels.copy_(images.flatten(1)).sub_(self.mean).div_(self.std)
        for layer in self.hidden:
            a = layer.forward(a)
        return self.last.forward(a, self.logits)

    def loss_of(self, labels: Tensor) -> Tensor:
        """Return the loss of the logits, summed over the images, and write δ_L."""
        smooth = self.label_smoothing / self.target.shape[1]
        if labels.is_floating_point():
            torch.mul(labels, 1 - self.label_smoothing, out=self.target).add_(smooth)
        else:
            self.target.fill_(smooth).scatter_(1, labels.unsqueeze(1), 1 - self.label_smoothing + smooth)
        torch.log_softmax(self.logits, 1, out=self.log_p)
        torch.exp(self.log_p, out=self.p)
        torch.sub(self.p, self.target, out=self.delta)
        if self.loss == "cross_entropy":
            return torch.vdot(self.target.flatten(), self.log_p.flatten()).neg()
        loss: Tensor = self.delta.square().sum()
        self.delta.sub_((self.delta * self.p).sum(1, keepdim=True)).mul_(self.p).mul_(2)
        return loss

    def backward(self, scale: float) -> None:
        """Write the gradient of the loss, times `scale`."""
        delta, linear = self.delta.mul_(scale), self.last
        for layer in reversed(self.hidden):
            linear.backward(delta)
            delta, linear = layer.backward(linear), layer.linear
        linear.backward(delta)


class Backpropagation:
    """Computes the loss and its gradient for a batch of any size, without autograd."""

    def __init__(
        self, model: Classifier, loss: str, label_smoothing: float, operands: torch.dtype | None = None
    ) -> None:
        """Prepare for a `linear` or `mlp` model, whose parameters have or get tensors for their gradients.

        The operands of matrix products are rounded to `operands`, if that is given: some processors multiply bfloat16 several
        times as fast.
        """
        self.model, self.loss, self.label_smoothing, self.operands = model, loss, label_smoothing, operands
        self.passes: dict[int, Pass] = {}  # by the number of images: a run has batches of one or two sizes

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, summed, and its logits (N, C); write the gradient of the loss times `scale`.

        The images are uint8 (N, 1, 28, 28), the labels int64 (N,) or target probabilities (N, C). The next call overwrites
        the logits.
        """
        if len(labels) not in self.passes:
            self.passes[len(labels)] = Pass(self.model, len(labels), self.loss, self.label_smoothing, self.operands)
        this = self.passes[len(labels)]
        logits = this.forward(images)
        loss = this.loss_of(labels)
        this.backward(scale)
        return loss, logits
