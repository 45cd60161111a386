"""Data augmentation: random affine and elastic transforms, drawn for each image.

torchvision's transforms draw once for a whole batch. Here every image has its own displacement field, a sum of fixed
fields with drawn amounts: so all fields of a batch are one matrix product, and all images one `grid_sample`. Only `mirror`
reflects images: a mirrored shoe is a shoe, a mirrored digit another sign or none.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mnist_cli.arrays import FRAME

KNOTS = 5  # per axis, of the elastic field


@dataclass(frozen=True)
class Strength:
    """The largest amounts of each transform, or, for `elastic`, the typical one."""

    shift: float = 0.0  # px along each axis
    rotate: float = 0.0  # degrees
    scale: float = 0.0  # natural logarithm of the factor, along each axis
    shear: float = 0.0  # px along the rows per px across them
    elastic: float = 0.0  # px, standard deviation at each knot
    mirror: float = 0.0  # fraction of the images that are reflected, left for right


STRENGTHS = {
    "none": Strength(),
    "shift": Strength(shift=2),
    "mirror": Strength(shift=2, mirror=0.5),
    "affine": Strength(shift=1, rotate=8, scale=0.1, shear=0.1),
    "elastic": Strength(shift=1.2, rotate=10, scale=0.12, shear=0.12, elastic=0.5),
}


class Augmenter:
    """Augments images at random."""

    def __init__(self, kind: str, device: torch.device) -> None:
        """Prepare the sampling fields for one of STRENGTHS."""
        self.strength = STRENGTHS[kind]
        self.device = device
        # Pixel centres in grid_sample's units, -1 to 1 from edge to edge.
        centres = (torch.arange(FRAME) * 2 + 1) / FRAME - 1
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        fields = torch.stack([x, y, torch.ones_like(x)])
        if self.strength.elastic:
            # One smooth bump per knot: the bicubic interpolation of a lattice that is 1 there and 0 elsewhere.
            lattice = torch.eye(KNOTS**2).reshape(KNOTS**2, 1, KNOTS, KNOTS)
            bumps = functional.interpolate(lattice, size=(FRAME, FRAME), mode="bicubic", align_corners=True)
            fields = torch.cat([fields, bumps[:, 0]])
        self.fields = fields.flatten(1).to(device)  # (3 or 3 + 25, 784)

    def __call__(self, images: Tensor, generator: torch.Generator, chosen: Tensor | slice = slice(None)) -> Tensor:
        """Return the `chosen` ones of `images`, uint8 (N, 1, 28, 28), each sampled through a random field of its own.

        `generator` is on the device of the images and decides the amounts of all of them, so that an image becomes the
        same whichever others are chosen with it.
        """
        if self.strength == Strength():
            return images[chosen]
        amounts = self._draw(len(images), generator)[chosen]  # (N, 2, fields): how much of each field moves x and y
        images = images[chosen]
        grid = (amounts @ self.fields).reshape(-1, 2, FRAME, FRAME).permute(0, 2, 3, 1)
        return functional.grid_sample(images.float(), grid, align_corners=False).round_().to(torch.uint8)

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw a random affine matrix for each image, and random displacements at its knots."""
        strength, pixel = self.strength, 2 / FRAME
        drawn = torch.rand(6, count, generator=generator, device=self.device) * 2 - 1
        angle = drawn[0] * math.radians(strength.rotate)
        scale_x, scale_y = (drawn[1:3] * strength.scale).exp()
        shear = drawn[3] * strength.shear
        shift_x, shift_y = drawn[4:6] * (strength.shift * pixel)
        cos, sin = angle.cos(), angle.sin()
        move_x = torch.stack([cos * scale_x, (shear * cos - sin) * scale_y, shift_x], dim=1)
        move_y = torch.stack([sin * scale_x, (shear * sin + cos) * scale_y, shift_y], dim=1)
        amounts = torch.stack([move_x, move_y], dim=1)
        if strength.mirror:
            is_mirrored = torch.rand(count, generator=generator, device=self.device) < strength.mirror
            amounts[is_mirrored, :, 0] *= -1
        if strength.elastic:
            pushes = torch.randn(count, 2, KNOTS**2, generator=generator, device=self.device)
            amounts = torch.cat([amounts, pushes * (strength.elastic * pixel)], dim=2)
        return amounts
