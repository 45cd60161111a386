import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from mnist_cli.evaluation import metrics
from mnist_cli.evaluation.metrics import Predictions
from mnist_cli.models import checkpoints
from mnist_cli.training import loop


def made(labels, digits, confidence=0.9):
    """Answers with these digits, each with the same confidence or its own."""
    labels, digits = np.array(labels), np.array(digits)
    confidence = np.broadcast_to(confidence, labels.shape)
    shares = np.repeat((1 - confidence[:, None]) / 9, 10, axis=1)
    shares[np.arange(len(labels)), digits] = confidence
    return Predictions(np.log(shares), labels)


@pytest.fixture
def random_predictions():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 10))
    labels = rng.integers(0, 10, 500)
    logits[np.arange(500), labels] += 1.5
    return Predictions(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), labels)


def test_the_scores_are_those_of_scikit_learn(random_predictions):
    predictions = random_predictions
    assert predictions.evaluation.loss == pytest.approx(log_loss(predictions.labels, predictions.probabilities))
    assert (predictions.confusion_matrix() == confusion_matrix(predictions.labels, predictions.digits)).all()
    expected = precision_recall_fscore_support(predictions.labels, predictions.digits)
    found = [(one.precision, one.recall, one.f1, one.images) for one in predictions.classes()]
    assert np.allclose(found, np.transpose(expected))


def test_predict_agrees_with_evaluate(trained, val):
    model = checkpoints.load(trained).model
    evaluation, expected = metrics.predict(model, *val.arrays()).evaluation, loop.evaluate(model, val)
    assert evaluation.errors == expected.errors
    assert evaluation.loss == pytest.approx(expected.loss, rel=1e-5)


def test_a_digit_that_is_never_predicted_nor_shown_scores_zero():
    nine = made([0, 1], [0, 1]).classes()[9]
    assert (nine.precision, nine.recall, nine.f1, nine.images) == (0, 0, 0, 0)


def test_the_most_common_confusions_come_first_without_correct_predictions():
    predictions = made([4, 4, 4, 7, 7, 1], [9, 9, 4, 1, 7, 1])
    found = [(one.truth, one.answer, one.times) for one in predictions.most_common_confusions()]
    assert found == [(4, 9, 2), (7, 1, 1)]


def test_mistakes_are_sorted_by_confidence():
    predictions = made([1, 2, 3, 4], [7, 2, 5, 9], [0.6, 0.99, 0.95, 0.7])
    assert predictions.mistakes().tolist() == [2, 3, 0]


def test_calibration_is_the_mean_gap_between_confidence_and_accuracy():
    predictions = made([1] * 10, [1] * 5 + [2] * 5, 0.9)
    (only,) = predictions.calibration()
    assert (only.confidence, only.accuracy, only.images) == pytest.approx((0.9, 0.5, 10))
    assert predictions.calibration_error() == pytest.approx(0.4)
    mixed = made([1, 1, 1, 1], [1, 1, 1, 2], [0.99, 0.99, 0.51, 0.51])
    assert mixed.calibration_error() == pytest.approx((0.01 + 0.01) / 2)


def test_coverage_accepts_the_most_confident_first():
    shares, accuracy = made([1, 1, 1, 1], [1, 2, 1, 1], [0.9, 0.5, 0.8, 0.7]).coverage()
    assert shares.tolist() == [0.25, 0.5, 0.75, 1]
    assert accuracy.tolist() == [1, 1, 1, 0.75]


def test_mcnemar_counts_images_that_one_model_alone_predicts_correctly():
    labels = [0] * 20
    better, worse = made(labels, [0] * 18 + [1] * 2), made(labels, [0] * 8 + [1] * 12)
    assert metrics.mcnemar(better, worse) == pytest.approx(2 / 2**10)  # ten to none, on either side
    assert metrics.mcnemar(better, better) == 1


def test_the_summary_has_plain_values_only(random_predictions):
    summary = random_predictions.summary()
    assert summary["images"] == 500
    assert len(summary["confusion_matrix"]) == 10
    assert {type(value) for value in summary["classes"][0].values()} <= {int, float, str}
