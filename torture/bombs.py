"""Small files that are expensive to read: each is read or refused within the limits that SECURITY.md promises."""

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from mnist_cli import config
from mnist_cli.errors import MnistError
from mnist_cli.models import backends, checkpoint_info, checkpoints, onnx_files
from mnist_cli.pictures import decode, limits
from mnist_cli.recognition import classification, detection
from torture import Outcomes
from torture.pictures import model
from torture.strangers import good
from torture.workers import Limit, check_all

FILE = Limit(seconds=2, memory=200_000_000)
PICTURE = Limit(seconds=5, memory=500_000_000)
PAGE = Limit(
    seconds=20, memory=1_000_000_000
)  # of which all digits are to be found; SECURITY.md promises nothing of it

# Opcodes of pickles: containers, references, names, incomplete numbers.
PIECES = (
    b"}", b"]", b")", b"(", b"N", b"\x85", b"\x86", b"a", b"s", b"t", b"u", b"e", b"q\0", b"h\0", b"}q\0", b"]q\1", b"h\1", b"h\1h\1\x86",
    b"K\1", b"G" + bytes(8), b"X\4\0\0\0name", b"X\xff\xff\xff\x7f", b"\x8f", b"\x8b\0\xff\xff\0", b"0", b"2", b"ccollections\nOrderedDict\n", b"R",
    b"r\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"Q", b"b", b"\x8c\1x", b"\x94",
)  # fmt: skip


def pickled(generator: random.Random) -> bytes:
    """Return pieces, each repeated up to a million times."""
    parts = [
        generator.choice(PIECES) * generator.choice((1, 1, 2, 100, 10_000, 1_000_000))
        for _ in range(generator.randrange(1, 12))
    ]
    return b"\x80\x02" + b"".join(parts)[:9_000_000] + b"."


def ambiguous(generator: random.Random) -> bytes:
    """Return two checkpoints in one file, or one with other bytes before, between or after its parts."""
    one, other = good("linear"), good("mlp")
    place = generator.randrange(len(one))
    end = one[-22:]
    return generator.choice(
        (
            one + other,
            one + other[: generator.randrange(22, len(other))] + end,
            other[:-22] + one,
            one[:place] + bytes(generator.randrange(1, 10_000)) + one[place:],
            one[:-6] + struct.pack("<L", generator.randrange(len(one))) + one[-2:],
            one[:-98] + other[-98:],
        )
    )


def checkpoint(generator: random.Random) -> bytes:
    """Return a checkpoint that has to be refused."""
    if generator.random() < 0.5:
        return ambiguous(generator)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("last/data.pkl", pickled(generator))
        archive.writestr("last/data/0", bytes(4))
    return file.getvalue()


def check_checkpoint(seed: int, number: int, folder: Path) -> str | None:
    """Read such a checkpoint: its metadata, and then all of it."""
    for name in ("linear", "mlp"):
        good(name)  # trained once, in the first call, whose time has no limit
    path = folder / "last.pt"
    path.write_bytes(checkpoint(random.Random(f"{seed}/{number}")))
    for read in (checkpoint_info.read, checkpoints.load):
        try:
            read(path)
            return "it was read"
        except MnistError as error:
            if str(path) not in str(error) or "weights_only" in str(error):
                return f"its message is {str(error)[:300]!r}"
    return None


def node(generator: random.Random, number: int) -> object:
    """Return a node of an operator that is allowed, with any inputs and attributes."""
    kind = generator.choice(list(onnx_files.OPERATORS))
    sizes = [generator.choice((0, 1, 2, 3, 28, 1_000, 1 << 20, 1 << 40)) for _ in range(4)]
    choices = {
        **dict.fromkeys(("kernel_shape", "strides", "dilations"), sizes[:2]),
        "pads": sizes,
        "group": sizes[0],
        "axis": generator.choice((-1, 0, 1, 9)),
        "to": generator.choice((1, 2, 7)),
        **dict.fromkeys(("alpha", "beta"), 1.0),
        **dict.fromkeys(("transA", "transB", "allowzero"), generator.randrange(2)),
    }
    names = [name for name in onnx_files.OPERATORS[kind].split() if name in choices and generator.random() < 0.7]
    inputs = [generator.choice(("x", "w", "v", "shape", f"y{number - 1}")) for _ in range(generator.randrange(1, 4))]
    return helper.make_node(kind, inputs, [f"y{number}"], **{name: choices[name] for name in names})


def onnx(generator: random.Random) -> bytes:
    """Return an ONNX file of random allowed operators."""
    count = generator.choice((1, 2, 5, 300))
    weights = {
        "w": np.ones(generator.choice(((2_000, 1, 1, 1), (10, 784), (2_000, 1), (1, 2_000))), np.float32),
        "v": np.ones(generator.choice(((1, 2_000), (10,), (50, 50, 1, 1))), np.float32),
        "shape": np.array(generator.choice(([-1, 784], [-1, 1, 1], [1, -1], [0, 1 << 30]))),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
            *(node(generator, number) for number in range(count)),
            helper.make_node("Relu", [f"y{count - 1}"], ["logits"]),
        ],
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", onnx_files.OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def check_onnx(seed: int, number: int, folder: Path) -> str | None:
    """Read such an ONNX file; one that is opened has to predict something."""
    path = folder / "model.onnx"
    path.write_bytes(onnx(random.Random(f"{seed}/{number}")))
    try:
        logits = backends.load(path).model.logits(np.zeros((64, 1, 28, 28), np.uint8))
    except MnistError as error:
        return None if str(path) in str(error) or "logits" in str(error) else f"its message is {str(error)[:300]!r}"
    return None if logits.shape == (64, 10) else f"its logits are {logits.shape}"


def tiff(generator: random.Random) -> bytes:
    """Return a TIFF with random values of its tags."""
    numbers = (0, 1, 2, 16, 300, 10_000, 32_768, 10_000_000, (1 << 32) - 1)
    tags = (256, 257, 258, 259, 262, 273, 277, 278, 279, 322, 323, 324, 325)
    entries = [
        struct.pack("<HHLL", tag, generator.choice((3, 4)), 1, generator.choice(numbers) & 0xFFFFFFFF) for tag in tags
    ]
    if generator.random() < 0.3:
        entries[5] = struct.pack("<HHLL", 273, 4, generator.choice((100_000, 2_000_000)), 8)
    return (
        struct.pack("<2sHLH", b"II", 42, 8, len(entries)) + b"".join(entries) + bytes(generator.choice((4, 9_000_000)))
    )


def jpeg(generator: random.Random) -> bytes:
    """Return a progressive JPEG with many scans."""
    side = generator.choice((16, 400, 3_000))
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).save(file, "JPEG", progressive=True, quality=5)
    content = file.getvalue()
    place = content.rindex(limits.START_OF_SCAN)
    times = generator.choice((1, 10, 50, 1_000, 100_000))
    scan = content[place:-2]
    return content[:-2] + scan * min(times, 9_000_000 // len(scan)) + content[-2:]


def check_picture(seed: int, number: int, folder: Path) -> str | None:
    """Read such a picture."""
    generator = random.Random(f"{seed}/{number}")
    path = folder / "picture.bin"
    path.write_bytes((tiff, jpeg)[number % 2](generator))
    decode.silence_libraries()
    try:
        decode.read(path)
    except MnistError as error:
        return None if str(path) in str(error) else f"its message is {str(error)[:300]!r}"
    return None


def page(generator: random.Random) -> NDArray[np.uint8]:
    """Return a page of much ink that may be digits, lines or noise, (height, width, 1 or 3), under some light."""
    noise = np.random.default_rng(generator.randrange(1 << 30))
    width = generator.choice((200, 400, 1_600, 2_500))
    height = generator.choice((width, width, width // 10))
    pitch = generator.choice((2, 3, 4, 6, 9, 16, 40, 80))  # px from one thing to the next
    y, x = np.mgrid[:height, :width].astype(np.float32)
    squares = noise.random((height // pitch + 1, width // pitch + 1)) < generator.choice((0.2, 0.5))
    ink = generator.choice(
        (
            lambda: (x % pitch < 0.6 * pitch) & (y % pitch < 0.7 * pitch),  # blocks
            lambda: y % pitch < 0.7 * pitch,  # rules
            lambda: (x + y) % pitch < pitch / 2,  # slanting lines
            lambda: np.hypot(x - width / 2, y - height / 2) % pitch < pitch / 2,  # rings
            lambda: np.kron(squares, np.ones((pitch, pitch), bool))[:height, :width],
            lambda: noise.random((height, width)) < 0.1,
        )
    )()
    light = generator.choice(
        (
            lambda: 230.0 + 0 * x,
            lambda: 120 + 100 * x / width,  # a slope
            lambda: np.where(x + y / 3 > width / 2, 230, 120),  # a shadow
            lambda: 230 + noise.normal(0, 8, (height, width)),
        )
    )()
    levels = np.where(ink, light * generator.choice((0.2, 0.5, 0.9)), light).clip(0, 255).astype(np.float32)
    colour = generator.choice(([1], [1, 0.8, 0.5]))
    return np.stack([(part * levels).astype(np.uint8) for part in colour], axis=2)


def check_page(seed: int, number: int, folder: Path) -> str | None:
    """Find all digits of such a page, or its only one; each that is found is within it."""
    picture = page(random.Random(f"{seed}/{number}"))
    if max(picture.shape) <= decode.WORKING_SIZE and number % 2:
        classification.classify(model(), [picture])
        return None
    height, width = picture.shape[:2]
    boxes = [found.box for found in detection.find_digits(model(), picture)]
    outside = [box for box in boxes if min(box) < 0 or box[0] + box[2] > width or box[1] + box[3] > height]
    return f"there are digits at {outside}" if outside else None


def toml(generator: random.Random) -> str:
    """Return a configuration of few pieces, each repeated many times."""
    pieces = ("a.", "[", "{a=", "[[a]]\n", "[a]\n", "'''", "9", "\\u0041", "a = 1\n", '"".', "#\n", " ", "\n", "x=[1,")
    parts = [generator.choice(pieces) * generator.choice((1, 10, 1_000, 9_000, 1_000_000)) for _ in range(5)]
    return "".join(parts)[:9_000_000]


def check_toml(seed: int, number: int, folder: Path) -> str | None:
    """Read such a configuration."""
    path = folder / "config.toml"
    path.write_text(toml(random.Random(f"{seed}/{number}")))
    try:
        config.resolve(None, path, {})
    except MnistError as error:
        return None if str(path) in str(error) or "--" in str(error) else f"its message is {str(error)[:300]!r}"
    return None


def costly_checkpoints(count: int, seed: int, folder: Path) -> Outcomes:
    """Checkpoints of odd pickles and odd zips."""
    yield from check_all(check_checkpoint, count, seed, folder, FILE)


def costly_onnx(count: int, seed: int, folder: Path) -> Outcomes:
    """ONNX files of random allowed operators."""
    yield from check_all(check_onnx, count, seed, folder, FILE)


def costly_pictures(count: int, seed: int, folder: Path) -> Outcomes:
    """TIFFs with odd tags and JPEGs with many scans."""
    yield from check_all(check_picture, count, seed, folder, PICTURE)


def costly_pages(count: int, seed: int, folder: Path) -> Outcomes:
    """Pages of much ink, in which all digits are to be found."""
    yield from check_all(check_page, count, seed, folder, PAGE)


def costly_toml(count: int, seed: int, folder: Path) -> Outcomes:
    """Configurations of few pieces, each repeated many times."""
    yield from check_all(check_toml, count, seed, folder, FILE)
