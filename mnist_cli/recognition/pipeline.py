"""From pictures to results, for the commands, Python and the service alike: read, recognize in batches, keep the order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike
from pathlib import Path

from mnist_cli.errors import ConfigError, ImageError
from mnist_cli.models.interface import Model, knows_digits_only
from mnist_cli.pictures import decode
from mnist_cli.prefetch import one_ahead
from mnist_cli.recognition import attribution, classification, sources
from mnist_cli.recognition.patterns import Pattern
from mnist_cli.recognition.predictions import Prediction
from mnist_cli.recognition.result import Result
from mnist_cli.recognition.sources import Source

BATCH = 64  # pictures, of which at most two batches are held at a time


@dataclass(frozen=True)
class Options:
    """How pictures are read and recognized."""

    many: bool = False  # find all digits of each picture, of which all pixels are kept
    min_confidence: float = 0.0  # below this probability a digit is `unclear`
    keep_pixels: bool = False  # keep the picture and its ink in the result, to draw them; a third batch is then held
    max_pixels: int = decode.MAX_PIXELS  # of encoded bytes
    pattern: Pattern | None = None  # the form of the line to find, if `many`
    with_evidence: bool = False  # find where in the frame of a single digit the evidence lies: about 80 forward passes


def recognize(model: Model, pictures: Iterable[Source | ImageError], options: Options) -> Iterator[list[Result]]:
    """Yield the results of the pictures in batches, in the order of the pictures.

    While a batch is recognized, a thread reads the next one. The result of a picture that cannot be read has an `error`,
    whose message does not name the file; a picture that is an ImageError itself could not be read before.

    Raises ConfigError for `many` when the classes of the model are not the digits, of which alone pages are read.
    """
    if options.many and not knows_digits_only(model):
        raise ConfigError("only digits are found on a page, and this model has other classes; leave --many out")
    size = 1 if options.many else BATCH
    remaining = iter(pictures)
    batches = iter(lambda: list(islice(remaining, size)), [])
    read = one_ahead(lambda batch: [_read(source, options) for source in batch], batches)
    recognize_batch = _detect if options.many else _classify
    for results in read:
        yield recognize_batch(model, results, options)
        del results  # so that at most two batches are in memory


def _read(source: Source | ImageError, options: Options) -> Result:
    """Return a result with the picture of a source, or with the error of reading it."""
    if isinstance(source, ImageError):
        return Result(error=source)
    path = Path(source) if isinstance(source, str | PathLike) else None
    longest = None if options.many else decode.WORKING_SIZE  # a digit on a page is small
    try:
        return Result(path, picture=sources.read(source, longest, options.max_pixels))
    except ImageError as error:
        return Result(path, error=error)


def _classify(model: Model, results: list[Result], options: Options) -> list[Result]:
    """Return the results with the prediction for each picture's single digit; all pictures are classified together."""
    pictures = [result.picture for result in results if result.picture is not None]
    predictions = iter(classification.classify(model, pictures, options.min_confidence))
    if options.with_evidence:
        predictions = (_with_evidence(model, prediction) for prediction in predictions)
    return [
        result
        if result.picture is None
        else replace(
            result,
            prediction=_trimmed(next(predictions), options),
            picture=result.picture if options.keep_pixels else None,
        )
        for result in results
    ]


def _detect(model: Model, results: list[Result], options: Options) -> list[Result]:
    """Return the results with all digits of each picture; if there is only one, its prediction is that of the picture."""
    from mnist_cli.recognition import detection  # imports scipy, which is slow

    detected = []
    for result in results:
        if result.picture is not None:
            found = detection.find_digits(model, result.picture, options.min_confidence, options.pattern)
            digits = [replace(digit, prediction=_trimmed(digit.prediction, options)) for digit in found]
            only = digits[0].prediction if len(digits) == 1 else None
            picture = result.picture if options.keep_pixels else None
            result = replace(result, digits=digits, prediction=only, picture=picture)
            if options.pattern:
                result = replace(result, no_digits=f"nothing like {options.pattern.symbols}")
        detected.append(result)
    return detected


def _with_evidence(model: Model, prediction: Prediction) -> Prediction:
    """Return a prediction with where its evidence lies, unless there is no ink."""
    frame = prediction.frame
    return prediction if frame is None else replace(prediction, evidence=attribution.evidence(model, frame))


def _trimmed(prediction: Prediction, options: Options) -> Prediction:
    """Return a prediction without its ink, unless that is to be kept: it takes much memory."""
    return prediction if options.keep_pixels else replace(prediction, ink=None)
