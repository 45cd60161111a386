from dataclasses import replace

import numpy as np
import pytest

from mnist_cli.datasets.labelled_images import LabelledImages
from mnist_cli.labels import DIGITS
from mnist_cli.training import label_errors


def test_a_label_is_a_suspect_when_another_class_is_as_likely_as_it_usually_is_for_its_own():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.3, 0.7], [0.1, 0.9], [0.6, 0.4]])
    labels = np.array([0, 0, 0, 1, 1, 1])  # the mean confidence is 0.58 in 0 and 0.67 in 1
    assert label_errors.suspects(np.log(probabilities), labels).tolist() == [2, 5]


def test_a_class_without_images_makes_no_suspects():
    probabilities = np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    assert label_errors.suspects(np.log(probabilities), np.array([0, 0])).tolist() == []


@pytest.mark.slow
def test_labels_that_were_exchanged_are_found(val, monkeypatch):
    monkeypatch.setattr(label_errors, "EPOCH_IMAGES", 4_000)
    images, labels = val.images[:4_000].numpy(), val.labels[:4_000].numpy().copy()
    wrong = np.arange(0, 4_000, 100)
    labels[wrong] = (labels[wrong] + 1) % 10
    told = []
    found = label_errors.log_probabilities(
        LabelledImages(images, labels),
        DIGITS,
        lambda *numbers: told.append(numbers),
        replace(label_errors.CONFIG, epochs=1),
    )
    suspects = label_errors.suspects(found, labels).tolist()
    assert len(set(suspects[:40]) & set(wrong.tolist())) >= 32
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
