"""A page for any browser with a model in it, which needs neither a server nor a network: the page of `mnist serve`.

The scripts of the page are modules, which browsers do not load from files, so they are joined into one script. Of them
`service.js`, the requests to the server, is replaced by `offline.js`, which computes the answers on the spot.
"""

import base64
import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import Frames
from mnist_cli.errors import ExportError
from mnist_cli.exporting import comparison, networks
from mnist_cli.exporting.comparison import Export
from mnist_cli.labels import DIGITS
from mnist_cli.models import interface, torch_networks
from mnist_cli.models.checkpoints import Checkpoint
from mnist_cli.models.networks import Floats, Layer
from mnist_cli.version import __version__

Precision = Literal["float32", "float16", "int8"]

MAX_BYTES = 2_000_000
SHARED = files("mnist_cli") / "serving" / "page"
OWN = files("mnist_cli") / "exporting" / "page"
# In an order in which each module follows those that it imports.
MODULES = {
    "strings.js": SHARED,
    "settings.js": SHARED,
    "sheet.js": SHARED,
    "pillow.js": OWN,
    "preparation.js": OWN,
    "network.js": OWN,
    "offline.js": OWN,
    "inside.js": SHARED,  # not shown: what it shows is computed by the server
    "app.js": SHARED,
}
# What a browser lets the page do: run its own script and show its own pictures, but contact nobody.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

# The weights as the page has them: rounded to what the format can hold.
ROUNDED: dict[Precision, Callable[[Floats], Floats]] = {
    "float32": lambda weight: weight.astype(np.float32).astype(np.float64),
    "float16": lambda weight: weight.astype(np.float16).astype(np.float64),
    "int8": lambda weight: networks.from_int8(*networks.as_int8(weight)),
}


def make(checkpoint: Checkpoint, images: Frames, labels: NDArray[np.integer[Any]], int8: bool = False) -> Export:
    """Return the page, whose model is compared with the checkpoint on labelled images, with the weights rounded as there.

    The weights are float32 where the page is then not larger than MAX_BYTES, else float16; with `int8`, 8-bit integers.

    Raises ExportError when a prediction differs from the checkpoint's, with `int8` when the accuracy is lower by more than
    allowed, and when the page would be too large.
    """
    precisions: tuple[Precision, ...] = ("int8",) if int8 else ("float32", "float16")
    for precision in precisions:
        content = page(checkpoint, precision)
        if len(content) <= MAX_BYTES:
            break
    else:
        hint = "; --int8 halves it" if not int8 else ""
        raise ExportError(
            f"{checkpoint.path} was not exported: with {checkpoint.parameters:,} parameters the page would have "
            f"{len(content):,} bytes, at most {MAX_BYTES:,} are written{hint}"
        )
    model = networks.with_weights(checkpoint.model, ROUNDED[precision])
    found = comparison.compare(interface.logits_of(model, images), checkpoint, images, labels)
    comparison.require(found.is_as_good if int8 else found.has_same_predictions, checkpoint, found)
    return Export(content, found, f"A page of {len(content) / 1e6:.2f} MB, with the weights in {precision}")


def page(checkpoint: Checkpoint, precision: Precision) -> bytes:
    """Return the page with everything that it needs in it, as UTF-8."""
    html = (SHARED / "index.html").read_text(encoding="utf-8")
    style = (SHARED / "style.css").read_text(encoding="utf-8")
    icon = base64.b64encode((SHARED / "icon.svg").read_bytes()).decode()
    parts = {
        '<meta name="color-scheme"': f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n    '
        '<meta name="color-scheme"',
        'href="icon.svg"': f'href="data:image/svg+xml;base64,{icon}"',
        '<link rel="stylesheet" href="style.css">': f"<style>\n{style}</style>",
        '<script type="module" src="app.js" blocking="render"></script>': "",
        "</body>": f'<script type="module">\n{script(checkpoint, precision)}</script>\n  </body>',
    }
    for old, new in parts.items():
        assert html.count(old) == 1, f"the page of the service has changed: {old}"
        html = html.replace(old, new)
    return html.encode()


def script(checkpoint: Checkpoint, precision: Precision) -> str:
    """Return the modules of the page as one script, with the model before them."""
    model = json.dumps(_model(checkpoint, precision)).replace("<", "\\u003c")  # no </script> can be in it
    modules = [_as_function(name, (folder / name).read_text(encoding="utf-8")) for name, folder in MODULES.items()]
    return "\n".join([f"const MODEL = {model};", *modules])


def _as_function(name: str, source: str) -> str:
    """Return a module as a constant with what it exports; imports become uses of such constants."""
    exports = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", source, re.MULTILINE)
    body = re.sub(r"^export ", "", source, flags=re.MULTILINE)
    body = re.sub(
        r'^import \* as (\w+) from "\./([\w.]+)";',
        lambda it: f"const {it[1]} = {_variable(it[2])};",
        body,
        flags=re.MULTILINE,
    )
    body = re.sub(
        r'^import (\{.*?\}) from "\./([\w.]+)";',
        lambda it: f"const {it[1]} = {_variable(it[2])};",
        body,
        flags=re.MULTILINE,
    )
    return f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {', '.join(exports)} }};\n}})();\n"


def _variable(name: str) -> str:
    """Return the constant for a module of the page; what the service has in one, another has here."""
    return "module_" + {"service.js": "offline.js"}.get(name, name).removesuffix(".js")


def _model(checkpoint: Checkpoint, precision: Precision) -> dict[str, object]:
    """Return the model as the page has it: facts, layers, and the numbers of all layers in one string of base64."""
    layers = torch_networks.layers_of(networks.with_weights(checkpoint.model, ROUNDED[precision]))
    return {
        "version": __version__,
        "parameters": checkpoint.parameters,
        "val_accuracy": checkpoint.val_accuracy,
        "rejection_threshold": float(checkpoint.model.rejection_threshold),
        "examples": [base64.b64encode((SHARED / f"examples/{digit}.png").read_bytes()).decode() for digit in DIGITS],
        "precision": precision,
        "layers": [
            {
                "outputs": layer.weight.shape[0],
                "inputs": layer.weight.shape[1],
                "kernel": layer.weight.shape[2],
                "stride": layer.stride,
                "padding": layer.padding,
                "pooling": layer.pooling,
                "side": layer.side,
                "activation": layer.activation,
            }
            for layer in layers
        ],
        "numbers": base64.b64encode(b"".join(_numbers(layer, precision) for layer in layers)).decode(),
    }


def _numbers(layer: Layer, precision: Precision) -> bytes:
    """Return the weights, factors and offsets of a layer, little-endian; the latter two are float32."""
    weight, factor = layer.weight, layer.factor
    if precision == "int8":
        integers, step = networks.as_int8(weight)
        weight, factor = integers.astype(np.float64), factor * step
    kind = {"float32": "<f4", "float16": "<f2", "int8": "i1"}[precision]
    return weight.astype(kind).tobytes() + factor.astype("<f4").tobytes() + layer.offset.astype("<f4").tobytes()
