"""A C header with a model in integers and one function, for microcontrollers: no malloc, no floats, no libraries."""

import math
from collections.abc import Iterable
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import ACCEPT_ALL, Frames
from mnist_cli.exporting import comparison, quantization
from mnist_cli.exporting.comparison import Export
from mnist_cli.exporting.quantization import LOGIT, IntegerLayer
from mnist_cli.models.checkpoints import Checkpoint
from mnist_cli.version import __version__

WIDTH = 116  # characters of a line of numbers
EXPONENTIALS = 256  # entries of the table of exp(-x), 32 for each 1

CODE = Template("""\
/* A classifier of handwritten digits, written by mnist $version: $parameters parameters, $accuracy.

   #include this file in one C file, C99 or later, and call

     int digit = mnist_classify(image, NULL);

   image: 28 rows of 28 pixels, 0 = paper to 255 = ink, with the digit as in MNIST: scaled to 20 pixels in height or width,
   and moved so that its centre of mass is in the middle.
   Returns the digit, 0 to 9, or -1 for an image that is not similar enough to any.
   logits: NULL, or room for ten numbers: the score of each digit times $logit. The probabilities of the digits are
   exp(logit / $logit), divided by their sum.

   The weights and tables, which are constants, take $constants bytes, and the static buffers $buffers; the stack needs less than
   500. Nothing is allocated, and all arithmetic is that of integers. The buffers are shared, so that one call has to
   end before the next one begins. */

#ifndef MNIST_CLASSIFY_H
#define MNIST_CLASSIFY_H

#include <stddef.h>
#include <stdint.h>

/* A layer: a convolution, the maximum of squares, a multiplication and an addition for each output, and a table.
   Fully connected layers are convolutions of images of one pixel. */
typedef struct {
    const int8_t *weights;      /* outputs x inputs x kernel x kernel */
    const int32_t *multipliers; /* outputs */
    const int64_t *offsets;     /* outputs */
    const uint8_t *table;       /* 256 values of the activation function; NULL for those of relu */
    int inputs, outputs, side, output_side, kernel, stride, padding, pooling, shift, zero;
} mnist_layer;

$arrays

static const mnist_layer mnist_layers[$count] = {
$layers
};

/* The sum of products of an output's weights with the square of the inputs that begins at a row and a column. */
static inline int32_t mnist_sum(const mnist_layer *layer, const uint8_t *in, int output, int row, int column) {
    const int side = layer->side, kernel = layer->kernel;
    const int8_t *weight = layer->weights + (size_t)output * (size_t)(layer->inputs * kernel * kernel);
    int32_t sum = 0;
    for (int input = 0; input < layer->inputs; input++, in += side * side) {
        for (int y = row; y < row + kernel; y++) {
            for (int x = column; x < column + kernel; x++, weight++) {
                if (y >= 0 && y < side && x >= 0 && x < side) {
                    sum += *weight * (in[y * side + x] - layer->zero);
                }
            }
        }
    }
    return sum;
}

/* An output before its division by 2^shift: the maximum of a square of sums, multiplied and added to. */
static inline int64_t mnist_output(const mnist_layer *layer, const uint8_t *in, int output, int row, int column) {
    int32_t most = INT32_MIN;
    for (int y = row * layer->pooling; y < (row + 1) * layer->pooling; y++) {
        for (int x = column * layer->pooling; x < (column + 1) * layer->pooling; x++) {
            const int top = y * layer->stride - layer->padding, left = x * layer->stride - layer->padding;
            const int32_t sum = mnist_sum(layer, in, output, top, left);
            most = sum > most ? sum : most;
        }
    }
    return (int64_t)most * layer->multipliers[output] + layer->offsets[output];
}

static inline void mnist_run(const mnist_layer *layer, const uint8_t *in, uint8_t *out) {
    for (int output = 0; output < layer->outputs; output++) {
        for (int row = 0; row < layer->output_side; row++) {
            for (int column = 0; column < layer->output_side; column++) {
                int64_t value = mnist_output(layer, in, output, row, column);
                value = value < 0 ? 0 : value >> layer->shift;
                value = value > 255 ? 255 : value;
                *out++ = layer->table ? layer->table[value] : (uint8_t)value;
            }
        }
    }
}

$accepts
static inline int mnist_classify(const uint8_t image[784], int32_t logits[10]) {
$buffer_lines
    int32_t own[10];
    const uint8_t *in = image;
    const mnist_layer *last = &mnist_layers[$last];
    int digit = 0;
    if (logits == NULL) {
        logits = own;
    }
$steps
    for (int i = 0; i < 10; i++) {
        logits[i] = (int32_t)(mnist_output(last, in, i, 0, 0) / ((int64_t)1 << last->shift));
        digit = logits[i] > logits[digit] ? i : digit;
    }
    return $answer;
}

#endif
""")

ACCEPTS = Template("""\
/* exp(-x) * 65536 for x = 1/64, 3/64, 5/64, ... */
static const uint16_t mnist_exponentials[$count] = {
$exponentials
};

/* Whether the energy score, log(sum(exp(logit))), is at least the rejection threshold. */
static inline int mnist_accepts(const int32_t logits[10]) {
    uint32_t sum = 0;
    for (int i = 0; i < 10; i++) {
        const int64_t below = (int64_t)($threshold) - logits[i];
        if (below <= 0) {
            return 1;
        }
        if (below >> 11 < $count) {
            sum += mnist_exponentials[below >> 11];
        }
    }
    return sum >= 65536;
}
""")


def make(checkpoint: Checkpoint, images: Frames, labels: NDArray[np.integer[Any]], calibration: Frames) -> Export:
    """Return the header; the same integer arithmetic is compared with the checkpoint on labelled images.

    The ranges of the activations are those of the training images `calibration`.

    Raises ExportError when the accuracy is lower by more than allowed, or a layer is too wide for sums of 32 bits.
    """
    layers = quantization.quantize(checkpoint.model, calibration)
    found = comparison.compare(quantization.logits_of(layers, images), checkpoint, images, labels)
    comparison.require(found.is_as_good, checkpoint, found)
    threshold = float(checkpoint.model.rejection_threshold)
    content = header(layers, threshold, checkpoint.parameters, f"{found.accuracy:.2%} of MNIST's test images correct")
    size = f"{_constants(layers, threshold):,} bytes of constants, {sum(_buffers(layers)):,} bytes of buffers"
    return Export(content.encode(), found, size)


def header(layers: list[IntegerLayer], threshold: float, parameters: int, accuracy: str) -> str:
    """Return the C code of a network in integers, which rejects images with an energy score below a threshold."""
    rejects = threshold > ACCEPT_ALL
    return CODE.substitute(
        version=__version__,
        parameters=f"{parameters:,}",
        accuracy=accuracy,
        logit=LOGIT,
        constants=f"{_constants(layers, threshold):,}",
        buffers=f"{sum(_buffers(layers)):,}",
        arrays="\n\n".join(array for number, layer in enumerate(layers) for array in _arrays(number, layer)),
        count=len(layers),
        last=len(layers) - 1,
        layers=",\n".join(_layer(number, layer) for number, layer in enumerate(layers)),
        accepts=_accepts(threshold) if rejects else "",
        buffer_lines="\n".join(
            f"    static uint8_t {name}[{size}];" for name, size in zip("ab", _buffers(layers), strict=True) if size
        ),
        steps="\n".join(
            f"    mnist_run(&mnist_layers[{number}], in, {'ab'[number % 2]});\n    in = {'ab'[number % 2]};"
            for number in range(len(layers) - 1)
        ),
        answer="mnist_accepts(logits) ? digit : -1" if rejects else "digit",
    )


def _arrays(number: int, it: IntegerLayer) -> list[str]:
    """Return the arrays of a layer in C."""
    arrays = [
        _array("int8_t", f"mnist_weights_{number}", it.layer.weight.astype(int).ravel()),
        _array("int32_t", f"mnist_multipliers_{number}", it.multiplier),
        _array("int64_t", f"mnist_offsets_{number}", it.offset, suffix="LL"),
    ]
    return arrays if it.table is None else [*arrays, _array("uint8_t", f"mnist_table_{number}", it.table)]


def _array(kind: str, name: str, values: NDArray[np.generic], suffix: str = "") -> str:
    return f"static const {kind} {name}[{len(values)}] = {{\n{_lines(f'{value}{suffix}' for value in values)}\n}};"


def _lines(values: Iterable[str]) -> str:
    """Return numbers in lines of about WIDTH characters."""
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {value},"
    return "\n".join([*lines, line])


def _layer(number: int, it: IntegerLayer) -> str:
    """Return a layer's value in C."""
    layer = it.layer
    outputs, inputs, kernel, _ = layer.weight.shape
    table = "NULL" if it.table is None else f"mnist_table_{number}"
    arrays = f"mnist_weights_{number}, mnist_multipliers_{number}, mnist_offsets_{number}, {table}"
    numbers = (inputs, outputs, layer.side, layer.output_side, kernel, layer.stride, layer.padding, layer.pooling)
    return f"    {{{arrays}, {', '.join(map(str, (*numbers, it.shift, it.zero)))}}}"


def _accepts(threshold: float) -> str:
    entries = [round(65_536 * math.exp(-(index + 0.5) / 32)) for index in range(EXPONENTIALS)]
    return ACCEPTS.substitute(
        count=EXPONENTIALS, exponentials=_lines(map(str, entries)), threshold=round(threshold * LOGIT)
    )


def _buffers(layers: list[IntegerLayer]) -> tuple[int, int]:
    """Return the sizes of the two buffers, in bytes, which the outputs of the layers take in turns."""
    sizes = [it.layer.output_size for it in layers[:-1]]
    return max(sizes[0::2], default=0), max(sizes[1::2], default=0)


def _constants(layers: list[IntegerLayer], threshold: float) -> int:
    """Return how many bytes the constants of a network take, without the code."""
    arrays = sum(it.layer.weight.size + 12 * len(it.offset) + (0 if it.table is None else 256) for it in layers)
    return arrays + (2 * EXPONENTIALS if threshold > ACCEPT_ALL else 0)
