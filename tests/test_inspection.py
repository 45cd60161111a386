import json

import numpy as np
import pytest
from test_exporting_networks import network, noise

from mnist_cli.errors import ConfigError
from mnist_cli.labels import DIGITS
from mnist_cli.models import torch_networks
from mnist_cli.models.networks import Unit
from mnist_cli.recognition import attribution, inspection

FRAME = noise(1)[0]


@pytest.fixture(params=[("linear", (), "relu"), ("mlp", (16, 8), "sigmoid"), ("cnn", (4, 6, 8), "relu")], ids=str)
def model(request):
    return network(*request.param)


def inspect(model, **options):
    return inspection.inspect(torch_networks.network_of(model), DIGITS, FRAME, **options)


def test_what_is_inside_ends_in_the_probabilities_and_the_evidence_of_the_model(model):
    found, logits = inspect(model), model.logits(FRAME[np.newaxis])[0]
    assert found.logits == pytest.approx(logits, abs=1e-4)
    assert found.score == pytest.approx(np.logaddexp.reduce(logits), abs=1e-4)
    assert found.probabilities == pytest.approx(np.exp(logits - np.logaddexp.reduce(logits)), abs=1e-4)
    evidence = attribution.evidence(model, FRAME)
    assert found.evidence.classes == evidence.classes
    assert found.evidence.maps == pytest.approx(evidence.maps, abs=1e-3)
    assert len(found.layers) == len(model.arguments["hidden"])


def test_a_contribution_is_what_the_logit_of_the_class_loses_when_the_unit_is_switched_off():
    model = network("cnn", (4, 6, 8), "relu")
    found = inspect(model, chosen=3)
    without = inspect(model, chosen=3, off=[Unit(1, 2)])
    assert found.layers[1].contributions[2] == pytest.approx(found.logits[3] - without.logits[3], abs=1e-4)
    assert not without.layers[1].maps[:, :, 2].any()
    assert without.layers[1].contributions[2] == 0
    assert found.evidence.classes[0] == "3"


def test_a_unit_of_the_first_layer_has_its_weights_and_the_part_of_the_frame_that_excites_it_most():
    model = network("cnn", (4, 6), "relu")
    found = inspect(model, unit=Unit(0, 2))
    left, top, width, height = found.unit.box
    patch = FRAME[0, top : top + height, left : left + width] / 255
    others = [
        (FRAME[0, y : y + 5, x : x + 5] / 255 * found.unit.weights).sum()
        for y in range(0, 24, 2)
        for x in range(0, 24, 2)
    ]
    assert found.unit.weights.shape == (width, height) == (5, 5)
    assert (patch * found.unit.weights).sum() == pytest.approx(max(others), rel=1e-5)
    assert inspect(network("mlp", (16,), "relu"), unit=Unit(0, 2)).unit.weights.shape == (28, 28)
    assert inspect(model, unit=Unit(1, 2)).unit.weights is None


def test_the_map_of_a_unit_shows_where_its_output_falls():
    model = network("mlp", (16,), "sigmoid")
    found, computed = inspect(model, unit=Unit(0, 5)), torch_networks.network_of(model)
    maps = attribution.occlusion(lambda frames: computed.trace(frames)[0][:, 0, 0], FRAME)
    assert found.unit.map == pytest.approx(maps[5], abs=1e-4)


def test_a_class_a_layer_or_a_unit_that_there_is_not_is_an_error():
    model = network("mlp", (16,), "relu")
    for options, reason in [
        ({"chosen": 10}, "no class 10"),
        ({"off": [Unit(2)]}, "no layer 2; the network has 2"),
        ({"off": [Unit(0, 16)]}, "no unit 16 in layer 0; it has 16"),
        ({"unit": Unit(1, 10)}, "no unit 10 in layer 1"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            inspect(model, **options)


def test_json_has_the_maps_of_each_unit_in_rows(model):
    values = json.loads(json.dumps(inspect(model, unit=Unit(0, 1)).to_dict()))
    assert np.array(values["frame"]).tolist() == FRAME[0].tolist()
    for layer, shown in zip(inspect(model).layers, values["layers"], strict=True):
        assert np.array(shown["maps"]) == pytest.approx(layer.maps.transpose(2, 0, 1), abs=1e-4)
    assert [len(one["map"]) for one in values["evidence"]] == [28, 28]
    assert (values["unit"]["layer"], values["unit"]["index"]) == (0, 1)
