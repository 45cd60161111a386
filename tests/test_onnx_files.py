"""Each model here would answer from another file, or is small and takes gigabytes or minutes: it is refused before."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mnist_cli.exporting import torch_export
from mnist_cli.models import architectures, onnx_files, pretrained


def exported(name, hidden, activation="relu", int8=False):
    network = architectures.build(name, 0, hidden=hidden, activation=activation, dropout=0.1).eval()
    model = torch_export.to_onnx(SimpleNamespace(model=network))
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 28, 28)).astype(np.uint8)
    return (torch_export.quantized(model, images) if int8 else model).SerializeToString()


@pytest.mark.parametrize(
    ("name", "hidden", "activation", "int8"),
    [
        ("linear", (), "relu", False),
        ("mlp", (16, 8), "tanh", False),
        ("mlp", (16,), "sigmoid", True),
        ("cnn", (4, 8), "leaky_relu", False),
        ("cnn", (4, 4, 4, 4), "gelu", True),
    ],
)
def test_what_is_exported_may_be_read(name, hidden, activation, int8):
    with warnings.catch_warnings(action="ignore"):
        onnx_files.check(exported(name, hidden, activation, int8))


def test_the_model_that_ships_may_be_read():
    onnx_files.check(pretrained.ONNX.read_bytes())


def model_of(*nodes, weights=()):
    """Return a model that takes images, casts them to floats and goes through `nodes`."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT), *nodes],
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_files.OPSET)])


def floats(*shape):
    return np.zeros(shape, np.float32)


def many_channels():
    """10 KB of weights make 2 million values of every image."""
    return model_of(helper.make_node("Conv", ["x", "w"], ["logits"]), weights=[("w", floats(2_560, 1, 1, 1))])


def wide_margins():
    node = helper.make_node("Conv", ["x", "w"], ["logits"], pads=[9_999] * 4)
    return model_of(node, weights=[("w", floats(1, 1, 1, 1))])


def the_same_weights_again_and_again():
    nodes = [
        helper.make_node("Conv", [f"v{n}" if n else "x", "w" if n else "first"], [f"v{n + 1}"], pads=[1, 1, 1, 1])
        for n in range(200)
    ]
    return model_of(*nodes, weights=[("first", floats(100, 1, 3, 3)), ("w", floats(100, 100, 3, 3))])


def images_times_images():
    """As many values as images times images."""
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["a"]),
        helper.make_node("Gemm", ["a", "a"], ["logits"], transB=1),
    ]
    return model_of(*nodes, weights=[("rows", np.array([-1, 784]))])


def constants_without_end():
    nodes = [helper.make_node("Sub", ["column", "row"], [f"v{n}"]) for n in range(3)]
    return model_of(*nodes, weights=[("column", floats(10_000, 1)), ("row", floats(1, 10_000))])


def a_window_of_millions():
    node = helper.make_node("MaxPool", ["x"], ["logits"], kernel_shape=[20_000, 20_000], pads=[9_990] * 4)
    return model_of(node)


def another_operator():
    return model_of(
        helper.make_node("Expand", ["x", "shape"], ["logits"]), weights=[("shape", np.array([10**6, 10**6]))]
    )


def another_domain():
    return model_of(helper.make_node("Relu", ["x"], ["logits"], domain="com.microsoft"))


def another_attribute():
    return model_of(helper.make_node("Relu", ["x"], ["logits"], alpha=1.0))


def another_version():
    model = model_of(helper.make_node("Relu", ["x"], ["logits"]))
    model.opset_import[0].version = 7
    return model


def a_number_of_numbers():
    model = model_of(helper.make_node("Relu", ["x"], ["logits"]), weights=[("w", floats(3))])
    model.graph.initializer[0].dims[0] = 1 << 40
    return model


def sparse_indices_in_another_file():
    model = model_of(helper.make_node("Relu", ["x"], ["logits"]))
    sparse = model.graph.sparse_initializer.add(dims=[10])
    sparse.indices.external_data.add(key="location", value="/etc/passwd")
    return model


def a_constant_in_another_file():
    model = model_of(helper.make_node("Constant", [], ["logits"], value=numpy_helper.from_array(floats(3))))
    model.graph.node[1].attribute[0].t.data_location = TensorProto.EXTERNAL
    return model


def too_many_nodes():
    return model_of(*[helper.make_node("Relu", ["x"], [f"v{n}"]) for n in range(onnx_files.MAX_NODES)])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (many_channels, "computes 2,007,040 values at once"),
        (wide_margins, "values at once"),
        (the_same_weights_again_and_again, "multiplications for an image"),
        (images_times_images, "values at once"),
        (constants_without_end, "more constants than it has weights"),
        (a_window_of_millions, "multiplications for an image"),
        (another_operator, "an operator 'Expand'"),
        (another_domain, "an operator 'Relu'"),
        (another_attribute, "an operator 'Relu'"),
        (another_version, "its operator set is not version"),
        (a_number_of_numbers, "as many numbers as its shape requires"),
        (sparse_indices_in_another_file, "it has sparse_initializer in a GraphProto"),
        (a_constant_in_another_file, "it has t in a AttributeProto"),
        (too_many_nodes, "3,001 nodes"),
    ],
)
def test_a_model_that_no_export_made_is_refused(make, why):
    content = make().SerializeToString()
    assert len(content) < 500_000
    with pytest.raises(ValueError, match=why):
        onnx_files.check(content)


def message(number, content):
    """Return a field of protobuf that holds a message."""
    size = bytes([len(content) & 0x7F | 0x80, len(content) >> 7 & 0x7F | 0x80, len(content) >> 14])
    return bytes([number << 3 | 2]) + size + content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            message(7, b"\x0a\x00" * 300_000),
            "more than 200,000 fields",
        ),
        (message(7, b"\x0b"), "protobuf's format"),
        (message(7, b"\x0a\x05"), "ends too early"),
        (b"\xff" * 20, "protobuf's format"),
        (b"\xff", "ends too early"),
        (b"\x9a\x01\x00", "field 19 in a ModelProto"),
    ],
)
def test_a_file_that_exhausts_protobuf_is_refused_first(content, why):
    with pytest.raises(ValueError, match=why):
        onnx_files.check(content)
