"""Train, evaluate and use a classifier of handwritten digits.

The letters used for shapes throughout:

    N   number of images
    10  one value per digit, 0 to 9

An image is always uint8 (1, 28, 28) with 0 = paper and 255 = ink, the way MNIST stores it; several are (N, 1, 28, 28).
Only a model's `forward` turns them into floats.

From Python, `load(...).predict(picture)`, `train` and `evaluate` are what the commands of these names do;
`predict_batches` is for tables of pictures in Spark, Ray and other engines, and `train(reporter=watched)` shows a training
live on a page.
"""

from typing import TYPE_CHECKING, Any

from mnist_cli.version import __version__

if TYPE_CHECKING:
    from mnist_cli.api import evaluate, load, predict_batches, train
    from mnist_cli.serving.watch import watched

__all__ = ["__version__", "evaluate", "load", "predict_batches", "train", "watched"]


def __getattr__(name: str) -> Any:
    """Import `api`, and with it numpy and Pillow, when one of its functions is first used, and so `watched`."""
    if name == "watched":
        from mnist_cli.errors import missing

        try:
            from mnist_cli.serving.watch import watched
        except ModuleNotFoundError as error:
            raise missing("mnist_cli.watched", error, "serve") from error
        return watched
    if name in __all__:
        from mnist_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
