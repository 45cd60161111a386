import numpy as np
import pytest
import torch

from mnist_cli import checkpoints, predictions
from mnist_cli.predictions import Prediction


def test_the_digit_is_the_likeliest_and_its_probability_the_confidence():
    prediction = Prediction([0.1, 0.0, 0.7, 0.2, 0, 0, 0, 0, 0, 0])
    assert (prediction.digit, prediction.confidence) == (2, 0.7)


def test_frames_are_classified_as_the_model_does_one_by_one(trained, val):
    model = checkpoints.load(trained).model
    answers = predictions.classify(model, list(val.images[:20].numpy()))
    for answer, image in zip(answers, val.images, strict=False):
        expected = model(image.unsqueeze(0)).softmax(dim=1)[0]
        assert answer.probabilities == pytest.approx(expected.tolist(), abs=1e-6)
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-6)
    digits = torch.tensor([answer.digit for answer in answers])
    assert (digits == val.labels[:20]).float().mean() > 0.7


def test_no_frames_give_no_answers(trained):
    assert predictions.classify(checkpoints.load(trained).model, []) == []
    assert len(predictions.classify(checkpoints.load(trained).model, [np.zeros((1, 28, 28), np.uint8)])) == 1
