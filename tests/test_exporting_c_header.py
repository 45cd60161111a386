"""The C code, compiled with the warnings of a careful compiler, against the same arithmetic in NumPy."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from test_exporting_networks import NETWORKS, network, noise

from mnist_cli.errors import ExportError
from mnist_cli.exporting import c_header, quantization
from mnist_cli.models import architectures, checkpoints

COMPILER = next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1"]
PROGRAM = """
#include <stdio.h>
#include "mnist.h"

int main(void) {
    uint8_t image[784];
    int32_t logits[10];
    while (fread(image, 1, 784, stdin) == 784) {
        printf("%d %d", mnist_classify(image, NULL), mnist_classify(image, logits));
        for (int i = 0; i < 10; i++) {
            printf(" %ld", (long)logits[i]);
        }
        printf("\\n");
    }
    return 0;
}
"""


def run(folder, code, images):
    """What the function returned without and with logits, and the logits (N, 10)."""
    (folder / "mnist.h").write_text(code, encoding="utf-8")
    (folder / "main.c").write_text(PROGRAM, encoding="utf-8")
    subprocess.run([COMPILER, *STRICT, "main.c", "-o", "main"], cwd=folder, check=True)
    done = subprocess.run([folder / "main"], input=images.tobytes(), capture_output=True, check=True)
    rows = np.array([line.split() for line in done.stdout.decode().splitlines()], dtype=np.int64)
    return rows[:, 0], rows[:, 1], rows[:, 2:] / quantization.LOGIT


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("name", "hidden", "activation"), NETWORKS)
def test_compiled_code_computes_the_same_integers(tmp_path, name, hidden, activation):
    images = noise(30)
    layers = quantization.quantize(network(name, hidden, activation), images)
    code = c_header.header(layers, -1e9, 1_000, "untrained")
    returned, again, logits = run(tmp_path, code, images)
    assert (logits == quantization.logits_of(layers, images).astype(np.float64)).all()
    assert (returned == logits.argmax(axis=1)).all()
    assert (returned == again).all()


@needs_compiler
@pytest.mark.slow
def test_a_header_is_as_accurate_as_its_checkpoint_and_rejects_what_has_a_low_energy_score(
    tmp_path, trained, train, val
):
    checkpoint = checkpoints.load(trained)
    images, labels = val[:2_000].arrays()
    scores = np.logaddexp.reduce(checkpoint.model.logits(images), axis=1)
    checkpoint.model.least_score.fill_(float(np.quantile(scores, 0.1)))
    export = c_header.make(checkpoint, images, labels, train.images[:500].numpy())
    returned, _, logits = run(tmp_path, export.content.decode(), images)
    correct = (logits.argmax(axis=1) == labels).mean()
    assert correct == export.comparison.accuracy
    assert correct == pytest.approx(export.comparison.accuracy_before, abs=0.001)
    energy = np.logaddexp.reduce(logits, axis=1)
    clear = np.abs(energy - float(checkpoint.model.least_score)) > 1 / 32  # beyond the steps of the table
    rejected = energy < float(checkpoint.model.least_score)
    assert 150 < rejected.sum() < 250
    assert ((returned == -1) == rejected)[clear].all()
    assert (returned == logits.argmax(axis=1))[~rejected & clear].all()


@needs_compiler
@pytest.mark.slow
def test_the_sizes_at_the_top_are_those_of_the_compiled_constants(tmp_path):
    layers = quantization.quantize(network("cnn", (4, 6, 8), "tanh"), noise(10))
    code = c_header.header(layers, -2.0, 1_000, "untrained")
    run(tmp_path, code, noise(1))
    constants, buffers = (
        int(number.replace(",", "")) for number in re.findall(r"([\d,]+)(?= bytes,|; the stack)", code)
    )
    arrays = re.findall(r"static const u?int(\d+)_t \w+\[(\d+)\]", code)
    assert constants == sum(int(bits) // 8 * int(count) for bits, count in arrays)
    assert buffers == sum(map(int, re.findall(r"static uint8_t [ab]\[(\d+)\]", code))) == 4 * 12**2 + 6 * 6**2


def test_a_header_that_would_predict_worse_is_refused(trained, train, val):
    checkpoint = checkpoints.load(trained)
    images, labels = val[:500].arrays()
    with pytest.raises(ExportError, match=r"predictions differ, .* instead of"):
        c_header.make(checkpoint, images, labels, np.zeros((10, 1, 28, 28), np.uint8))  # no range of activations


def test_a_threshold_that_accepts_all_needs_no_code():
    layers = quantization.quantize(architectures.build("linear", 0), noise(10))
    assert "mnist_accepts" not in c_header.header(layers, -1e9, 7_850, "untrained")


def test_the_comment_has_no_end_before_its_end(trained, train, val):
    code = c_header.make(checkpoints.load(trained), *val[:100].arrays(), train.images[:100].numpy()).content.decode()
    assert code.startswith("/* A classifier of handwritten digits, written by mnist ")
    assert code.index("*/") < code.index("#ifndef")
