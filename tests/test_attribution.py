from dataclasses import dataclass

import numpy as np
import pytest

from mnist_cli.recognition import attribution

FRAME = np.zeros((1, 28, 28), np.uint8)
FRAME[0, 4:24, 10:18] = 255


@dataclass
class TopAndBottom:
    """A model whose first class is supported by ink in the upper half, the second by ink in the lower half."""

    classes = ("top", "bottom", "neither")
    batches: int = 0

    def logits(self, frames):
        self.batches = max(self.batches, len(frames))
        ink = frames.astype(np.float32)[:, 0] / 255
        return np.stack([2 * ink[:, :14].sum((1, 2)), ink[:, 14:].sum((1, 2)), 0 * ink[:, 0, 0]], axis=1)


def test_the_evidence_lies_where_the_ink_is_that_supports_a_class():
    model = TopAndBottom()
    found = attribution.evidence(model, FRAME)
    assert found.classes == ("top", "bottom")
    top, bottom = found.maps
    assert top[6:10, 12:16].min() > 0 > top[18:22, 12:16].max()
    assert bottom[18:22, 12:16].min() > 0 > bottom[6:10, 12:16].max()
    assert model.batches <= attribution.BATCH


def test_a_square_of_ink_counts_by_how_much_the_logit_falls_without_it():
    maps = attribution.occlusion(TopAndBottom().logits, FRAME)
    assert maps.shape == (3, 28, 28)
    assert maps[0, 8, 13] == pytest.approx(
        2 * attribution.SQUARE**2
    )  # all of the squares on this pixel are full of ink
    assert not maps[:, :, :6].any()  # nothing is covered there
    assert not maps[2].any()


def test_what_falls_for_all_classes_alike_is_evidence_for_none():
    maps = attribution.occlusion(
        lambda frames: attribution.centred(np.float32(frames.sum((2, 3))) * np.ones(3, np.float32)), FRAME
    )
    assert not maps.any()


def test_without_ink_there_is_no_evidence():
    assert not attribution.evidence(TopAndBottom(), np.zeros_like(FRAME)).maps.any()


def test_the_rival_of_the_likeliest_class_is_the_runner_up_and_of_another_the_likeliest():
    logits = np.array([0.1, 3.0, 2.0])
    assert attribution.rivals(logits) == (1, 2)
    assert attribution.rivals(logits, 0) == (0, 1)
