"""The model that ships with the program, which the name `pretrained` stands for wherever a checkpoint is named."""

from pathlib import Path

from mnist_cli.config import means_pretrained

CHECKPOINT = Path(__file__).parents[1] / "bundled" / "pretrained.pt"
ONNX = CHECKPOINT.with_suffix(".onnx")  # the same model for onnxruntime, which needs no torch


def resolve(path: Path) -> Path:
    """Return the file that `path` names: for `pretrained`, unless the user has a file of that name, the checkpoint that ships."""
    return CHECKPOINT if means_pretrained(path) else path
