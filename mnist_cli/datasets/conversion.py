"""Writing a data set in a format that other programs read: IDX, folders of PNG files, .npz, CSV, Parquet."""

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli.arrays import FRAME, Frame
from mnist_cli.datasets import array_files, table_files
from mnist_cli.datasets.array_files import PIXELS
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages
from mnist_cli.errors import ConfigError, DataError
from mnist_cli.files import replacing
from mnist_cli.labels import DIGITS

Format = Literal["png", "idx", "npz", "csv", "parquet"]

RAW = Path("MNIST", "raw")  # where torchvision's MNIST looks for IDX files
MAX_IDX_CLASSES = 256  # a label is a byte
ROWS_AT_ONCE = 1_000
FORBIDDEN = set('/\\:*?"<>|')  # in the name of a folder, on one system or another


def format_for(dest: Path) -> Format:
    """Return the format of the suffix of `dest`, and of a folder PNG files."""
    suffix = dest.suffix.lower().removeprefix(".")
    return suffix if suffix in ("npz", "csv", "parquet") else "png"  # type: ignore[return-value]


def write(data: DataSet, dest: Path, kind: Format) -> list[Path]:
    """Write a data set to the file or folder `dest`, and return what was written: files, or the folders of its parts.

    Raises ConfigError when there is something at `dest`, DataError when the format cannot hold the data set.
    """
    if dest.exists() and not (dest.is_dir() and not any(dest.iterdir())):
        raise ConfigError(f"{dest} is there already; name another file or folder")
    if kind == "npz":
        return [_write_npz(data, dest)]
    if kind == "idx":
        return _write_idx(data, dest)
    if kind == "png":
        return _write_folders(data, dest)
    if kind == "parquet":
        table_files.import_pyarrow(dest)
    parts = {dest: data.train, **({dest.with_name(f"{dest.stem}-val{dest.suffix}"): data.val} if data.val else {})}
    for path, part in parts.items():
        _write_csv(data, part, path) if kind == "csv" else _write_parquet(data, part, path)
    return list(parts)


def _write_npz(data: DataSet, path: Path) -> Path:
    """Write the arrays that Keras' mnist.npz has, and `classes`."""
    arrays: dict[str, Any] = {"x_train": data.train.images[:, 0], "y_train": data.train.labels}
    if data.val:
        arrays |= {"x_test": data.val.images[:, 0], "y_test": data.val.labels}
    with replacing(path) as file:
        np.savez_compressed(file, classes=np.array(data.classes), **arrays)
    return path


def _write_idx(data: DataSet, dest: Path) -> list[Path]:
    """Write the files of MNIST, and the names of classes that are not digits beside them."""
    if len(data.classes) > MAX_IDX_CLASSES:
        raise DataError(f"{data.name} has {len(data.classes)} classes, and IDX files have room for {MAX_IDX_CLASSES}")
    written = []
    for name, part in (("train", data.train), ("t10k", data.val)):
        if part:
            arrays = {"images-idx3": part.images[:, 0], "labels-idx1": part.labels.astype(np.uint8)}
            for kind, array in arrays.items():
                written.append(dest / RAW / f"{name}-{kind}-ubyte")
                with replacing(written[-1]) as file:
                    file.write(_idx(array))
    if data.classes != DIGITS:
        written.append(dest / RAW / array_files.CLASSES)
        with replacing(written[-1]) as file:
            file.write("".join(f"{name}\n" for name in data.classes).encode())
    return written


def _idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _write_folders(data: DataSet, dest: Path) -> list[Path]:
    """Write a PNG file for each image, into a folder for each class, below `train` and `val` if there are both parts."""
    folders = ["".join("-" if letter in FORBIDDEN else letter for letter in name) for name in data.classes]
    if len(set(folders)) < len(folders) or any(name.startswith(".") for name in folders):
        raise DataError(f"{data.name} has classes whose names are no names of different folders; write another format")
    parts = {dest / "train": data.train, dest / "val": data.val} if data.val else {dest: data.train}
    for folder, part in parts.items():
        assert part
        for name in folders:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
            (folder / folders[label] / f"{number:06}.png").write_bytes(_png(image))
        for label in set(range(len(folders))) - set(part.labels.tolist()):
            (folder / folders[label]).rmdir()  # a class without pictures is none when it is read
    return list(parts)


def _png(image: Frame) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image[0]).save(content, "PNG")
    return content.getvalue()


def _write_csv(data: DataSet, part: LabelledImages, path: Path) -> None:
    """Write `label,pixel0,...` as Kaggle has it; a label that is no digit is the name of its class, in quotation marks."""
    names = [name if data.classes == DIGITS else f'"{name}"' for name in data.classes]
    if any('"' in name or "\n" in name for name in data.classes):
        raise DataError(
            f"{data.name} has a class with a quotation mark or a new line in its name; write another format"
        )
    texts = np.array([str(level) for level in range(256)])
    with replacing(path) as file:
        file.write(f"label,{','.join(f'pixel{number}' for number in range(PIXELS))}\n".encode())
        for image, label in zip(part.images.reshape(-1, FRAME**2), part.labels.tolist(), strict=True):
            file.write(f"{names[label]},{','.join(texts[image].tolist())}\n".encode())


def _write_parquet(data: DataSet, part: LabelledImages, path: Path) -> None:
    """Write the bytes of a PNG file for each image, with the metadata by which Hugging Face's library names the classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"image": {"_type": "Image"}, "label": {"names": list(data.classes), "_type": "ClassLabel"}}
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", picture), ("label", pa.int64())], {"huggingface": json.dumps({"info": {"features": features}})}
    )
    with replacing(path) as file, pq.ParquetWriter(file, schema) as writer:
        for some in _batches(part):
            pictures = [{"bytes": _png(image), "path": None} for image in some.images]
            writer.write_table(pa.table({"image": pictures, "label": some.labels}, schema))


def _batches(part: LabelledImages) -> Iterator[LabelledImages]:
    yield from (part[start : start + ROWS_AT_ONCE] for start in range(0, len(part), ROWS_AT_ONCE))
