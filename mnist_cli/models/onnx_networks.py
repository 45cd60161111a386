"""The layers of a network in an ONNX file that `mnist export` wrote, as `networks` has them."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from mnist_cli.arrays import FRAME
from mnist_cli.models.networks import Floats, Layer, Network, from_pixels

ACTIVATIONS = {"Relu": "relu", "LeakyRelu": "leaky_relu", "Gelu": "gelu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
RESHAPES = {"Cast", "Reshape"}  # they leave the values as they are
QUANTIZED = {"QuantizeLinear", "DequantizeLinear"}


def network_of(content: bytes) -> Network:
    """Return the network in an ONNX file, whose nodes have to follow one another as `mnist export` writes them.

    Raises ValueError with the reason when they do not, for example because the weights are 8-bit integers.
    """
    graph = onnx.load_model_from_string(content).graph
    constants = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer}
    layers: list[Layer] = []
    scale = {"mean": 0.0, "std": 1.0, "temperature": 1.0}
    for node in graph.node:
        given = [constants[name] for name in node.input if name in constants]
        if node.op_type in QUANTIZED:
            raise ValueError("its weights are 8-bit integers")
        if node.op_type in {"Conv", "Gemm"}:
            layers.append(_weighted(node, given, layers[-1].output_side if layers else FRAME))
        elif node.op_type == "Sub":
            scale["mean"] = float(given[0])
        elif node.op_type == "Div":
            scale["temperature" if layers else "std"] = float(given[0])
        elif node.op_type == "Softmax":
            break
        elif node.op_type not in RESHAPES:
            layers[-1] = _with(layers[-1], node, given)
    return Network(from_pixels(layers, **scale), scale["temperature"])


def _weighted(node: NodeProto, given: list[Floats], side: int) -> Layer:
    """Return the layer of a node with weights, whose input has this side."""
    weight, *bias = given
    offset = bias[0] if bias else np.zeros(len(weight))
    factor = np.ones(len(weight))
    if node.op_type == "Gemm":
        return Layer(weight[:, :, np.newaxis, np.newaxis], 1, 0, 1, factor, offset, None, side=1)
    found = _attributes(node)
    padding = found.get("pads", [0])[0]
    return Layer(weight, found.get("strides", [1])[0], padding, 1, factor, offset, None, side)


def _with(layer: Layer, node: NodeProto, given: list[Floats]) -> Layer:
    """Return a layer with a node that follows it."""
    if node.op_type == "MaxPool":
        return replace(layer, pooling=_attributes(node)["kernel_shape"][0])
    if node.op_type == "BatchNormalization":
        weight, bias, mean, variance = given
        factor = weight / np.sqrt(variance + _attributes(node).get("epsilon", 1e-5))
        return replace(layer, factor=layer.factor * factor, offset=(layer.offset - mean) * factor + bias)
    return replace(layer, activation=ACTIVATIONS[node.op_type])


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
