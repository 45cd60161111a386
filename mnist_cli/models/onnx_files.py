"""Validation of untrusted ONNX files: only the operators, attributes and types that `mnist export` writes, within limits.

Nothing else reaches onnxruntime.
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto

MAX_FIELDS = 200_000  # in all messages of the file; a quantized network of 100 layers has half as many
MAX_NODES = 3_000  # a quantized network of 100 layers has 1,500
MAX_VALUES = 200_000  # of an intermediate tensor, for one image; those of 1,388 channels of 12x12
MAX_OPERATIONS = 1_000_000_000  # multiplications for one image; the model that ships has 5,000,000
OPSET = 22

# The allowed fields of each message. Refused are functions, training, external data, sparse tensors and subgraphs.
FIELDS = {
    "ModelProto": "ir_version opset_import producer_name producer_version domain model_version doc_string graph "
    "metadata_props",
    "OperatorSetIdProto": "domain version",
    "StringStringEntryProto": "key value",
    "GraphProto": "node name initializer doc_string input output value_info metadata_props",
    "NodeProto": "input output name op_type domain attribute doc_string metadata_props",
    "AttributeProto": "name doc_string type f i s floats ints",
    "TensorProto": "dims data_type float_data int32_data int64_data raw_data name doc_string metadata_props",
    "ValueInfoProto": "name type doc_string metadata_props",
    "TypeProto": "tensor_type denotation",
    "Tensor": "elem_type shape",
    "TensorShapeProto": "dim",
    "Dimension": "dim_value dim_param denotation",
}
ALLOWED = {message: frozenset(names.split()) for message, names in FIELDS.items()}
REASONS = {
    **dict.fromkeys(("external_data", "data_location"), "its weights are in other files"),
    **dict.fromkeys(
        ("g", "graphs", "functions", "ref_attr_name"), "it has loops or functions, which no classifier needs"
    ),
}

WINDOW = "auto_pad dilations group kernel_shape pads strides"
OPERATORS = {  # with their attributes
    "BatchNormalization": "epsilon momentum training_mode",
    "Cast": "to saturate",
    "Conv": WINDOW,
    "DequantizeLinear": "axis block_size",
    "Div": "",
    "Gelu": "approximate",
    "Gemm": "alpha beta transA transB",
    "LeakyRelu": "alpha",
    "MaxPool": f"{WINDOW} ceil_mode storage_order",
    "QuantizeLinear": "axis block_size saturate output_dtype precision",
    "Relu": "",
    "Reshape": "allowzero",
    "Sigmoid": "",
    "Softmax": "axis",
    "Sub": "",
    "Tanh": "",
}
BYTES: dict[int, int] = {  # per number, for each type of weights and shapes
    TensorProto.FLOAT: 4,
    TensorProto.INT8: 1,
    TensorProto.UINT8: 1,
    TensorProto.INT32: 4,
    TensorProto.INT64: 8,
}


def check(content: bytes) -> None:
    """Raise ValueError, or what protobuf and onnx raise for corrupted files, unless `mnist export` could have written this."""
    fields = islice(_fields(memoryview(content), ModelProto.DESCRIPTOR), MAX_FIELDS + 1)
    if sum(1 for _ in fields) > MAX_FIELDS:
        raise ValueError(f"it has more than {MAX_FIELDS:,} fields")
    model = onnx.load_model_from_string(content)
    if [(entry.domain, entry.version) for entry in model.opset_import] != [("", OPSET)]:
        raise ValueError(f"its operator set is not version {OPSET}")
    if len(model.graph.node) > MAX_NODES:
        raise ValueError(f"it has {len(model.graph.node):,} nodes")
    for node in model.graph.node:
        allowed = OPERATORS.get(node.op_type)
        if node.domain or allowed is None or not {one.name for one in node.attribute} <= set(allowed.split()):
            raise ValueError(f"it has an operator {node.op_type!r} that no exported model has")
    for tensor in model.graph.initializer:
        _check_tensor(tensor)
    _check_work(model)


def _fields(data: memoryview, message: Any) -> Iterator[None]:
    """Yield once for each field of an encoded message and of those in it; raise ValueError for one that is not allowed.

    Format: https://protobuf.dev/programming-guides/encoding/.
    """
    offset = 0
    while offset < len(data):
        key, offset = _varint(data, offset)
        kind = key & 7
        if kind not in {0, 1, 2, 5}:
            raise ValueError("it is not in protobuf's format")
        size, offset = {1: (8, offset), 5: (4, offset)}.get(kind) or _varint(data, offset)
        inside = data[offset : offset + size] if kind else None  # a varint has been read already
        if inside is not None and len(inside) != size:
            raise ValueError("it ends too early")
        offset += size if kind else 0
        field = message.fields_by_number.get(key >> 3)
        if field is None or field.name not in ALLOWED[message.name]:
            name = field.name if field else f"field {key >> 3}"
            raise ValueError(REASONS.get(name, f"it has {name} in a {message.name}, which no exported model has"))
        yield
        if field.message_type and inside is not None:
            yield from _fields(inside, field.message_type)


def _varint(data: memoryview, offset: int) -> tuple[int, int]:
    """Return the varint at an offset, seven bits a byte, and the offset after it."""
    number = 0
    for shift in range(0, 70, 7):
        if offset >= len(data):
            raise ValueError("it ends too early")
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, offset
    raise ValueError("it is not in protobuf's format")


def _check_tensor(tensor: TensorProto) -> None:
    """Raise ValueError unless a tensor has as many numbers as its shape requires."""
    if tensor.data_type not in BYTES or len(tensor.dims) > 4 or any(side < 0 for side in tensor.dims):
        raise ValueError(f"its tensor {tensor.name!r} has a type or shape that no exported model has")
    stored = len(tensor.raw_data) / BYTES[tensor.data_type]
    stored += len(tensor.float_data) + len(tensor.int32_data) + len(tensor.int64_data)
    if stored != math.prod(tensor.dims):
        raise ValueError(f"its tensor {tensor.name!r} does not have as many numbers as its shape requires")


def _check_work(model: ModelProto) -> None:
    """Raise ValueError for a model that needs more memory or work than a few million weights do.

    Its shapes are inferred for two and for three images: every intermediate tensor must grow with them or be constant.
    """
    two, three = _shapes(model, 2), _shapes(model, 3)
    weights = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    constants = operations = 0
    for node in model.graph.node:
        for name in node.output:
            if name not in two or name not in three:
                raise ValueError(f"the shape of {name!r} in it cannot be inferred")
            values, more = math.prod(two[name]), math.prod(three[name])
            if values == more:
                constants += values
            elif 3 * values != 2 * more or values > 2 * MAX_VALUES:
                raise ValueError(f"it computes {values // 2:,} values at once, more than any exported model")
        operations += math.prod(two[node.output[0]]) * _operations(node, two)
    if constants > 2 * weights:
        raise ValueError("it computes more constants than it has weights")
    if operations > 2 * MAX_OPERATIONS:
        raise ValueError(f"it needs {operations // 2:,} multiplications for an image")


def _operations(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    """Return about how many multiplications a node needs for each value that it computes."""
    if node.op_type == "Conv":
        return math.prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":
        return max(shapes[node.input[0]])
    return math.prod(math.prod(attribute.ints) for attribute in node.attribute if attribute.name == "kernel_shape")


def _shapes(model: ModelProto, images: int) -> dict[str, list[int]]:
    """Return the shape of every tensor that is computed from `images` images.

    The shapes stated in the file are ignored; of the weights only the shapes are used.
    """
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = "shapes"
    bare.graph.node.extend(model.graph.node)
    for value in model.graph.input:
        shape = [images, *(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])]
        bare.graph.input.append(onnx.helper.make_tensor_value_info(value.name, TensorProto.UINT8, shape))
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT64:  # the target shape of a Reshape
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in model.graph.output:
        bare.graph.output.append(onnx.helper.make_tensor_value_info(value.name, TensorProto.FLOAT, None))
    inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    shapes = {
        value.name: value.type.tensor_type.shape.dim for value in values if value.type.tensor_type.HasField("shape")
    }
    return {
        name: [dim.dim_value for dim in dims]
        for name, dims in shapes.items()
        if all(dim.HasField("dim_value") for dim in dims)
    }
