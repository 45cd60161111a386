// The network: from the 784 pixels of a frame, 0 = paper to 255 = ink, to ten logits. MODEL precedes the modules.

/** The activation functions, by the names in the checkpoint. */
const ACTIVATIONS = {
  relu: (x) => Math.max(0, x),
  leaky_relu: (x) => (x < 0 ? 0.01 * x : x),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

const LAYERS = decode(MODEL);

/** Return the ten logits of a frame. */
export function logits(frame) {
  return trace(frame).at(-1);
}

/** Return the output of each layer for a frame: one channel after another, each row by row. */
export function trace(frame) {
  const outputs = [];
  for (const layer of LAYERS) outputs.push(run(layer, outputs.at(-1) ?? frame));
  return outputs;
}

/** Return the output of a layer: convolution, max pooling, factor and offset, activation function. */
function run(layer, values) {
  const { outputs, factor, offset, pooling } = layer;
  const side = Math.floor((layer.side + 2 * layer.padding - layer.kernel) / layer.stride) + 1;
  const pooled = Math.floor(side / pooling);
  const output = new Float64Array(outputs * pooled * pooled);
  const activate = ACTIVATIONS[layer.activation] ?? ((x) => x);
  const inputs = patches(layer, values, side);
  for (let channel = 0, at = 0; channel < outputs; channel++) {
    const sums = products(layer.weight, inputs, channel, side * side);
    for (let row = 0; row < pooled; row++) {
      for (let column = 0; column < pooled; column++, at++) {
        output[at] = activate(largest(sums, side, pooling, row, column) * factor[channel] + offset[channel]);
      }
    }
  }
  return output;
}

/** Return the squares of the input that the kernel covers, one after another; what lies beyond the edge is 0. */
function patches({ inputs, kernel, stride, padding, side: width }, values, side) {
  const covered = new Float64Array(side * side * inputs * kernel * kernel);
  let at = 0;
  for (let top = -padding; top < side * stride - padding; top += stride) {
    for (let left = -padding; left < side * stride - padding; left += stride) {
      for (let input = 0; input < inputs; input++) {
        for (let y = top; y < top + kernel; y++) {
          for (let x = left; x < left + kernel; x++, at++) {
            if (y >= 0 && y < width && x >= 0 && x < width) covered[at] = values[(input * width + y) * width + x];
          }
        }
      }
    }
  }
  return covered;
}

/** Return the scalar product of each patch with the weights of one channel. */
function products(weight, inputs, channel, count) {
  const length = inputs.length / count;
  const sums = new Float64Array(count);
  for (let patch = 0, input = 0; patch < count; patch++) {
    let sum = 0;
    for (let at = channel * length; at < (channel + 1) * length; at++, input++) sum += weight[at] * inputs[input];
    sums[patch] = sum;
  }
  return sums;
}

function largest(sums, side, pooling, row, column) {
  let most = -Infinity;
  for (let y = row * pooling; y < (row + 1) * pooling; y++) {
    for (let x = column * pooling; x < (column + 1) * pooling; x++) most = Math.max(most, sums[y * side + x]);
  }
  return most;
}

/** The error function, within 1.5e-7: Abramowitz and Stegun, formula 7.1.26. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x));
}

/** Return the layers with their numbers as arrays. */
function decode({ layers, numbers, precision }) {
  const bytes = Uint8Array.from(atob(numbers), (character) => character.charCodeAt(0));
  let at = 0;
  const take = (count, [size, convert]) => {
    const part = bytes.slice(at, (at += count * size)).buffer; // a copy, which begins at a multiple of any size
    return convert(part);
  };
  const formats = {
    float32: [4, (buffer) => new Float32Array(buffer)],
    float16: [2, (buffer) => Float32Array.from(new Uint16Array(buffer), fromHalf)],
    int8: [1, (buffer) => Float32Array.from(new Int8Array(buffer))],
  };
  return layers.map((layer) => ({
    ...layer,
    weight: take(layer.outputs * layer.inputs * layer.kernel ** 2, formats[precision]),
    factor: take(layer.outputs, formats.float32),
    offset: take(layer.outputs, formats.float32),
  }));
}

/** Return the number whose 16 bits as IEEE 754 binary16 are given: a sign, 5 of an exponent, 10 of a fraction. */
function fromHalf(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
