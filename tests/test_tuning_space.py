import pytest

from mnist_cli import config
from mnist_cli.errors import ConfigError
from mnist_cli.tuning import space
from mnist_cli.tuning.space import Choices, Range

BASE = config.resolve("default", None, {})


class Proposes:
    """Proposes the lowest number and the last choice."""

    def suggest_float(self, name, low, high, *, log=False):
        return low

    def suggest_int(self, name, low, high, *, log=False):
        return low

    def suggest_categorical(self, name, choices):
        return choices[-1]


def test_ranges_and_choices_are_parsed_and_described_alike():
    texts = ["augment=affine,elastic", "batch_size=32,64", "hidden=64,64/128", "learning_rate=0.0001..0.1,log"]
    parsed = space.parse(texts, BASE)
    assert parsed["learning_rate"] == Range(1e-4, 0.1, log=True)
    assert parsed["batch_size"] == Choices((32, 64))
    assert parsed["hidden"] == Choices(((64, 64), (128,)))
    assert space.describe(parsed) == texts
    assert space.parse(["--learning-rate=1e-4..0.1,log"], BASE)["learning_rate"] == parsed["learning_rate"]


def test_proposals_have_the_types_of_the_configuration():
    parsed = space.parse(["batch_size=32..64", "hidden=64,64/128", "dropout=0..0.5", "compile=true,false"][:3], BASE)
    values = {name: space.suggest(parsed, name, Proposes()) for name in parsed}
    assert values == {"batch_size": 32, "hidden": (128,), "dropout": 0.0}
    assert type(values["batch_size"]) is int
    config.resolve("default", None, values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learnin_rate=1..2", "not a hyperparameter; did you mean learning_rate?"),
        ("lr=1..2", "did you mean learning_rate?"),
        ("nothing_like_it=1..2", "see `mnist train --help`"),
        ("learning_rate", "has no values"),
        ("learning_rate=0.1..0.01", "is an empty range"),
        ("learning_rate=0.1..0.1", "is an empty range"),
        ("dropout=0..0.5,log", "no logarithm"),
        ("dropout=0..0.5,linear", "only `log` can follow"),
        ("dropout=0..1.5", "--dropout must be at least 0 and below 1"),
        ("dropout=0..much", "'much', which is not a number"),
        ("learning_rate=nan..1", "'nan', which is not a number"),
        ("batch_size=1.5..9", "'1.5', which is not a whole number"),
        ("augment=0..1", "augment is no number"),
        ("augment=affine,elastc", "did you mean elastic?"),
        ("augment=affine", "leaves no choice"),
        ("augment=affine,affine", "leaves no choice"),
        ("seed=1,2", "cannot vary seed"),
        ("epochs=1..9", "cannot vary epochs"),
        ("threads=1,2", "cannot vary threads"),
        ("momentum=0.5..0.9", "momentum has no effect with optimizer adamw"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_sentence(text, said):
    with pytest.raises(ConfigError) as error:
        space.parse([text], BASE)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_is_searched_once():
    with pytest.raises(ConfigError, match="names dropout twice"):
        space.parse(["dropout=0..0.1", "dropout=0..0.2"], BASE)


def test_a_value_may_depend_on_a_choice_that_is_searched_too():
    parsed = space.parse(["momentum=0.5..0.9", "optimizer=adamw,sgd"], BASE)
    assert space.in_order(parsed) == ["optimizer", "momentum"]
    with pytest.raises(ConfigError, match="momentum has no effect"):
        space.parse(["momentum=0.5..0.9", "optimizer=adamw,adam"], BASE)


@pytest.mark.parametrize("preset", config.PRESETS)
@pytest.mark.parametrize("model", ["linear", "mlp", "cnn"])
def test_the_default_space_holds_the_base_and_nothing_invalid(preset, model):
    options = {} if "hidden" in config.PRESETS[preset] else {"model": model}
    base = config.resolve(preset, None, options)
    found = space.default(base)
    assert space.parse(space.describe(found), base) == found
    values = space.values_in(found, base)
    assert {name: space.from_stored(found, name, value) for name, value in values.items()} == {
        name: getattr(base, name) for name in found
    }
    config.resolve(preset, None, {**options, **{name: space.suggest(found, name, Proposes()) for name in found}})


def test_a_model_that_is_fine_tuned_keeps_its_architecture():
    base = config.resolve(None, None, {"from_": "pretrained"})
    assert "dropout" not in space.default(base)
    for text, said in (
        ("dropout=0..0.5", "which is that of --from pretrained"),
        ("hidden=64,64/128", "which is that of --from pretrained"),
        ("from_=latest,pretrained", "which all trials have in common"),
    ):
        with pytest.raises(ConfigError, match=said):
            space.parse([text], base)


def test_images_that_are_no_digits_of_mnist_are_also_trained_on_without_augmentation():
    assert "none" not in space.default(BASE)["augment"].values
    assert "none" in space.default(config.resolve(None, None, {"data": ["fashion-mnist"]}))["augment"].values


def test_a_base_outside_the_space_has_no_values_in_it():
    assert space.values_in(space.parse(["dropout=0.1..0.2"], BASE), BASE) is None
