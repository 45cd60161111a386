"""The model that ships with the program, which the name `pretrained` stands for wherever a checkpoint is named."""

from pathlib import Path

from mnist_cli.config import PRETRAINED

CHECKPOINT = Path(__file__).parents[1] / "bundled" / "pretrained.pt"
ONNX = CHECKPOINT.with_suffix(".onnx")  # the same model for onnxruntime, which needs no torch


def resolve(path: Path) -> Path:
    """Return the checkpoint that ships if `path` is `pretrained`, unless the user has a file of that name; else `path`."""
    return CHECKPOINT if path == PRETRAINED and not path.is_file() else path
