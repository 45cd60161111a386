"""The Python API for notebooks and other programs: what the commands do, with their names and defaults.

>>> import mnist_cli as mnist
>>> model = mnist.load("pretrained")
>>> model.predict("digit.png").digit
7
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray

from mnist_cli.bulk import batches
from mnist_cli.config import PRETRAINED, TrainConfig, TrainOptions
from mnist_cli.datasets import data_folder, data_sources, labelled_images, mnist_files
from mnist_cli.datasets.data_folder import DataFolder
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages
from mnist_cli.errors import ConfigError, StoppedError
from mnist_cli.evaluation import metrics
from mnist_cli.evaluation.metrics import ModelEvaluation, Predictions
from mnist_cli.models import backends, interface
from mnist_cli.models.backends import LoadedModel
from mnist_cli.pictures import decode
from mnist_cli.recognition import pipeline, sources
from mnist_cli.recognition.patterns import Pattern
from mnist_cli.recognition.pipeline import Options
from mnist_cli.recognition.result import Result
from mnist_cli.recognition.sources import AnyPath, Source
from mnist_cli.results import EpochResult
from mnist_cli.training import fine_tuning, runs
from mnist_cli.training.runs import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from mnist_cli.training.loop import Trainer
    from mnist_cli.training.session import Reporter


class PictureResult(Result):
    """A result that displays itself in a notebook, as its picture; results of many pictures do not keep them."""

    def _repr_png_(self) -> bytes | None:
        """Return the picture with its ink, the input of the model and the probabilities, or with the boxes of its digits."""
        from mnist_cli.reporting import explanations

        if self.picture is None:
            return None
        if self.prediction and not self.digits:
            return explanations.to_png(explanations.draw(self.picture, self.prediction))
        return explanations.to_png(explanations.draw_page(self.picture, self.digits))


@dataclass(frozen=True)
class Recognizer(LoadedModel):
    """A model that reads pictures.

    A picture is a path (`-` is standard input), the bytes of a file, a Pillow image, or an array or tensor as
    `sources.read` takes them: (height, width), (height, width, 3) or (1, 28, 28) for example. Many pictures are a folder,
    an iterable of pictures (in which a folder stands for the pictures below it), or an array (N, 1, 28, 28).
    """

    @overload
    def predict(  # type: ignore[overload-overlap]  # a path is an iterable, too
        self, pictures: Source, *, min_confidence: float = ..., evidence: bool = ...
    ) -> PictureResult: ...
    @overload
    def predict(
        self, pictures: Iterable[Source], *, min_confidence: float = ..., evidence: bool = ...
    ) -> list[PictureResult]: ...

    def predict(
        self, pictures: Source | Iterable[Source], *, min_confidence: float = 0.0, evidence: bool = False
    ) -> PictureResult | list[PictureResult]:
        """Return the digit of a picture as `digit`, or a list of such results for many pictures, in their order.

        With `evidence` each result has, as `evidence.maps`, an array (2, 28, 28): by how much the logits of the likeliest
        class and of the runner-up, `evidence.classes`, fall where the ink is covered, compared with the mean of all logits.
        It takes about 80 forward passes.

        Raises ImageError when a single picture cannot be read; among many, it has a result with an `error`.
        """
        return self._recognize(pictures, many=False, min_confidence=min_confidence, with_evidence=evidence)

    @overload
    def find_digits(  # type: ignore[overload-overlap]
        self, pictures: Source, *, min_confidence: float = ..., pattern: str | None = ...
    ) -> PictureResult: ...
    @overload
    def find_digits(
        self, pictures: Iterable[Source], *, min_confidence: float = ..., pattern: str | None = ...
    ) -> list[PictureResult]: ...

    def find_digits(
        self, pictures: Source | Iterable[Source], *, min_confidence: float = 0.0, pattern: str | None = None
    ) -> PictureResult | list[PictureResult]:
        """Return all digits of a picture as `digits`, `text`, `numbers` and `lines`, or a list of such results for many pictures.

        With a `pattern` such as `dddd-dd` they are those of the line that has this form.

        Raises ImageError when a single picture cannot be read; among many, it has a result with an `error`. Raises
        ConfigError for what is not a pattern.
        """
        form = None if pattern is None else Pattern(pattern)
        return self._recognize(pictures, many=True, min_confidence=min_confidence, pattern=form)

    def _recognize(
        self,
        pictures: Source | Iterable[Source],
        many: bool,
        min_confidence: float,
        pattern: Pattern | None = None,
        with_evidence: bool = False,
    ) -> PictureResult | list[PictureResult]:
        is_one = sources.is_one(pictures)
        options = Options(many, min_confidence, is_one, pattern=pattern, with_evidence=with_evidence)
        is_list = not (is_one or isinstance(pictures, str | PathLike))
        several = cast("Iterable[Source]", pictures if is_list else [pictures])
        batches = pipeline.recognize(self.model, sources.expand(several), options)
        results = [PictureResult(**vars(result)) for result in chain.from_iterable(batches)]
        if not is_one:
            return results
        (result,) = results
        if result.error:
            raise type(result.error)(f"{result.path}: {result.error}" if result.path else str(result.error))
        return result


@dataclass(frozen=True)
class EvaluationResult(ModelEvaluation):
    """The predictions of a model for the val images, and their scores."""

    @property
    def answers(self) -> Predictions:
        """The former name of `val_predictions`, which older notebooks use."""
        return self.val_predictions

    @property
    def labels(self) -> NDArray[np.int64]:
        """The digit in each image, (N,)."""
        return self.val_predictions.labels

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The predicted digit of each image, (N,)."""
        return self.val_predictions.digits

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The probability of each digit for each image, (N, 10)."""
        return self.val_predictions.probabilities

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """The confusion matrix (10, 10), true digits in rows and predicted digits in columns."""
        return self.val_predictions.confusion_matrix()

    def _repr_png_(self) -> bytes:
        """Return the confusion matrix, for display in a notebook."""
        from mnist_cli.reporting import figures

        return figures.to_png(figures.confusion_matrix(self.val_predictions))


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run."""

    path: Path  # of the checkpoint to use
    results: list[EpochResult]  # one for each epoch
    config: TrainConfig
    run: Run  # its name and folders

    @property
    def val_accuracy(self) -> float:
        """The accuracy on the val images after the last epoch, 0 to 1."""
        return self.results[-1].val_accuracy

    def _repr_png_(self) -> bytes:
        """Return the curves of the loss, for display in a notebook."""
        from mnist_cli.reporting import figures

        return figures.to_png(figures.losses(self.results, self.config))


def load(checkpoint: AnyPath = PRETRAINED, *, device: str | None = None) -> Recognizer:
    """Return the model in a checkpoint or an ONNX file, by default the one that ships with the program.

    The name of a run and `latest` are accepted, as by the commands; the variable MNIST_CHECKPOINT, which sets the default of
    the commands, is ignored. From here on Pillow logs nothing: an error in a picture is reported once, as ImageError.

    Raises CheckpointError for a file that is not a model, ConfigError when there is no such device.
    """
    decode.silence_libraries()
    return Recognizer(**vars(backends.load(runs.find_checkpoint(Path(checkpoint)), device)))


def predict_batches(
    tables: "Iterable[pa.RecordBatch]",
    *,
    checkpoint: AnyPath = PRETRAINED,
    many: bool = False,
    min_confidence: float = 0.0,
) -> "Iterator[pa.RecordBatch]":
    """Yield, for each batch of a table with pictures, its other columns and those of `mnist predict --json`, without the path.

    The pictures are in a column of encoded bytes, binary or a struct with `bytes`; where several columns hold bytes, in
    `image`. A picture that cannot be read has the reason. A process loads the model once, and computes on the CPU.

    Raises DataError for a table without such a column, or one that has a column of the results already.
    """
    model = _loaded(str(checkpoint)).model
    return batches.predict(model, tables, Options(many, min_confidence))


@lru_cache(1)
def _loaded(checkpoint: str) -> Recognizer:
    return load(checkpoint, device="cpu")


def train(
    *,
    preset: str | None = None,
    config: AnyPath | TrainConfig | None = None,
    resume: AnyPath | None = None,
    name: str | None = None,
    overwrite: bool = False,
    device: str | None = None,
    data_dir: AnyPath | DataFolder | None = None,
    reporter: "Callable[[Run, Trainer], Reporter] | None" = None,
    **options: Unpack[TrainOptions],
) -> TrainingResult:
    """Train a classifier and save it after every epoch, as `mnist train` does.

    `options` are the hyperparameters, the fields of TrainConfig. Nothing is printed unless a `reporter` does; also without one, curves and tables are written to the run's folder.
    Ctrl-C and SIGTERM save the run before they end it. Of the processes that torchrun started, only the first one writes,
    and each returns the result.

    Raises ConfigError for an invalid option or value, DivergenceError when the loss is not finite any more, StoppedError, a
    KeyboardInterrupt, after a signal, and ProcessError when another process has ended.
    """
    from mnist_cli.models import devices  # imports torch, which recognition on onnxruntime does not need
    from mnist_cli.training import distributed, session

    decode.silence_libraries()  # as `load` does, for the pictures of `extra`
    runs.check_name(name)
    if resume is not None and (preset or config or name or overwrite or options.keys() - {"epochs"}):
        raise ConfigError("resume continues with the configuration of the run; only epochs can be combined with it")
    settings = _resolve(preset, config, options) if resume is None else None
    torch_device = devices.choose(device)
    data = _data_for(settings, data_dir)
    with distributed.joined(torch_device) as group:
        if settings:
            run, trainer = session.begin(settings, name, overwrite, torch_device, data, group)
        else:
            path = runs.find_checkpoint(Path(resume or ""), to_resume=True)
            run, trainer = session.take_up(path, options.get("epochs"), torch_device, data, group)
        with (
            devices.deterministic_operations(trainer.config.deterministic),
            devices.computing_threads(trainer.config.threads),
            session.stopping_on_signals(trainer) as signals,
        ):
            session.train_and_save(trainer, run, reporter or _silent)
    if trainer.is_stopped:  # by a signal to this process or another one of them, or by the reporter, as Ctrl-C would
        other = signal.SIGTERM if trainer.group.size > 1 else signal.SIGINT
        raise StoppedError(run.last_path, trainer.epoch + 1, signals[0] if signals else other)
    return TrainingResult(run.result_path, trainer.results, trainer.config, run)


def _data_for(settings: TrainConfig | None, data_dir: AnyPath | DataFolder | None) -> Path | None:
    """Return the folder of the data of a run, with MNIST in it if the run, or one that is resumed, may read that."""
    from mnist_cli.training import fine_tuning

    needs_mnist = settings is None or fine_tuning.needs_mnist(settings)
    return _prepared(data_dir, (data_sources.MNIST,) if needs_mnist else ())


def _resolve(preset: str | None, config: AnyPath | TrainConfig | None, options: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration of a new run."""
    if not isinstance(config, TrainConfig):
        from mnist_cli.training import fine_tuning

        return fine_tuning.resolve(preset, Path(config) if config else None, options)
    if preset or options:
        raise ConfigError("a whole TrainConfig takes no preset and no other values")
    return config


def _silent(run: Run, trainer: "Trainer") -> "Reporter":
    """Return a reporter that writes the run's folder and prints nothing."""
    from mnist_cli.reporting.run import RunReport

    return RunReport(run.log_dir, trainer, quiet=True)


def evaluate(
    checkpoint: AnyPath | LoadedModel | Sequence[AnyPath | LoadedModel] = PRETRAINED,
    *,
    tta: bool = False,
    corruptions: bool | Iterable[str] = False,
    device: str | None = None,
    data_dir: AnyPath | DataFolder | None = None,
    data: Sequence[str] | None = None,
    max_unreadable: float = 0.0,
) -> EvaluationResult:
    """Evaluate a model on the 10,000 val images, or several as an ensemble, as `mnist evaluate --ensemble` does.

    A model is the result of `load`, which stays on its device, or an argument of `load`. `data` are other data sets, as for
    `mnist evaluate --data`.

    Raises CheckpointError for a file that is not a model, ConfigError when none is named or there is no such device.
    """
    named = [checkpoint] if isinstance(checkpoint, str | PathLike | LoadedModel) else list(checkpoint)
    if not named:
        raise ConfigError("there is nothing to evaluate; name a checkpoint")
    return _measure([named], tta, corruptions, device, data_dir, data, max_unreadable)[0]


def compare(
    checkpoints: Sequence[AnyPath | LoadedModel],
    *,
    tta: bool = False,
    corruptions: bool | Iterable[str] = False,
    device: str | None = None,
    data_dir: AnyPath | DataFolder | None = None,
    data: Sequence[str] | None = None,
    max_unreadable: float = 0.0,
) -> list[EvaluationResult]:
    """Evaluate each of several models on the 10,000 val images, as `mnist evaluate` does; corrupted images are made once.

    Raises what `evaluate` does.
    """
    return _measure([[one] for one in checkpoints], tta, corruptions, device, data_dir, data, max_unreadable)


def _measure(
    groups: Sequence[Sequence[AnyPath | LoadedModel]],
    tta: bool,
    corruptions: bool | Iterable[str],
    device: str | None,
    data_dir: AnyPath | DataFolder | None,
    data: Sequence[str] | None,
    max_unreadable: float,
) -> list[EvaluationResult]:
    """Evaluate the models of each group as an ensemble."""
    from mnist_cli.evaluation.corruptions import CORRUPTIONS, measure  # imports scipy, which is slow

    loaded = [[one if isinstance(one, LoadedModel) else load(one, device=device) for one in group] for group in groups]
    models = [interface.as_one([member.model for member in members], tta) for members in loaded]
    members = list(chain.from_iterable(loaded))
    sources = tuple(data or _data_of(members[0]))
    kinds = (CORRUPTIONS if corruptions else ()) if isinstance(corruptions, bool) else tuple(corruptions)
    if kinds and sources != (data_sources.MNIST,):
        raise ConfigError("the corruptions are those of MNIST-C, made for MNIST; leave --data or --corruptions out")
    measured, part = _to_measure(sources, members, data_dir, max_unreadable)
    names = [", ".join(str(member.path) for member in members) for members in loaded]
    results = []
    for name, model in zip(names, models, strict=True):
        images = measured.labelled_as(model.classes).train
        predictions = metrics.predict(model, images.images, images.labels)
        results.append(EvaluationResult(name, predictions, {}, measured.name, part, images.images))
    if kinds:
        errors = measure(models, measured.train.images, measured.train.labels, kinds)
        results = [replace(result, corrupted=error) for result, error in zip(results, errors, strict=True)]
    return results


def _data_of(model: LoadedModel) -> Sequence[str]:
    """Return what a model is measured on where no data set is named: MNIST, or for other classes what it was trained on."""
    return (data_sources.MNIST,) if interface.knows_digits_only(model.model) else model.data


def _to_measure(
    sources: Sequence[str], models: Sequence[LoadedModel], data_dir: AnyPath | DataFolder | None, max_unreadable: float
) -> tuple[DataSet, str]:
    """Return the images to measure models on, as the training part of a data set, and what they are.

    They are the validation part of a data set, or, where it has none, all its images; but where one of the models was
    trained on it, those that were held out, if any were.
    """
    if tuple(sources) == (data_sources.MNIST,):
        folder = _prepared(data_dir, sources, mnist_files.SPLITS["val"])
        return data_sources.load_mnist_val(folder), "val images"
    folder = _prepared(data_dir, sources)
    parts, kinds = [], []
    learned = [fine_tuning.learned_by(model.path) for model in models]
    in_part = {*chain.from_iterable(some for some, _ in learned), *chain.from_iterable(one.data for one in models)}
    wholly = set(chain.from_iterable(some for _, some in learned))
    for source in sources:
        found = data_sources.load(source, folder, max_unreadable)
        is_learned = (any(data_sources.is_same(source, other) for other in some) for some in (in_part, wholly))
        images, kind = _part_to_measure(found, *is_learned)
        parts.append(replace(found, train=images, val=None))
        kinds.append(kind)
    whole = parts[0] if len(parts) == 1 else labelled_images.joined_wholes(parts)
    return whole, kinds[0] if len(set(kinds)) == 1 else "images"


def _part_to_measure(found: DataSet, is_learned_in_part: bool, is_learned_wholly: bool) -> tuple[LabelledImages, str]:
    """Return the images of a data set to measure models on, and what they are."""
    if found.val:
        return found.val, "val images"
    if is_learned_wholly:
        return found.train, "training images"
    if not is_learned_in_part:
        return found.train, "images"
    held_out = found.split().val or found.train
    return held_out, "training images" if held_out is found.train else "held-out images"


def _prepared(
    data_dir: AnyPath | DataFolder | None,
    sources: Sequence[str],
    files: Sequence[mnist_files.IdxFile] = mnist_files.FILES,
) -> Path | None:
    """Return the folder to read data from, with verified MNIST `files` in it if MNIST is one of the sources.

    To verify them takes 55 MB of hashing, unless the folder was prepared before.
    """
    if isinstance(data_dir, DataFolder):
        return data_dir.path
    folder = None if data_dir is None else Path(data_dir)
    return data_folder.prepare(folder, files).path if data_sources.MNIST in sources else folder
