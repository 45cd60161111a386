import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--lr", "0.1"], "No such option: --lr; did you mean --learning-rate?"),
        (["train", "--lr=0.1"], "No such option: --lr; did you mean --learning-rate?"),
        (["train", "-lr", "0.1"], "No such option: -l; did you mean --learning-rate?"),
        (["train", "--lr-rate", "0.1"], "did you mean --learning-rate?"),
        (["train", "--learning_rate", "0.1"], "did you mean --learning-rate?"),
        (["train", "--bs", "64"], "did you mean --batch-size?"),
        (["train", "--wd", "0"], "did you mean --weight-decay?"),
        (["train", "--optimiser", "adam"], "did you mean --optimizer?"),
        (["train", "--gpu"], "did you mean --device?"),
        (["predict", "--threshold", "0.5", "a.png"], "did you mean --min-confidence?"),
        (["evaluate", "--lr", "0.1", "a.pt"], "--learning-rate is an option of train"),
        (["train", "--many"], "--many is an option of predict"),
        (["--many", "predict"], "--many is an option of predict"),
        (["evaluate", "--checkpoint", "a.pt"], "type the value alone: mnist evaluate "),
        (["train", "--debug"], "type it before the command: mnist --debug train"),
        (["train", "--zzz"], "No such option: --zzz; see `mnist train --help`"),
        (["train", "-e", "3"], "No such option: -e; see `mnist train --help`"),
        (["trian"], "Did you mean 'train'?"),
    ],
)
def test_the_error_for_an_unknown_option_suggests_a_similar_one(mnist, arguments, message):
    done = mnist(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--model", "CNN"], "'CNN' is not one of linear, mlp, cnn; did you mean cnn?"),
        (["train", "--activation", "LeakyReLU"], "did you mean leaky_relu?"),
        (["train", "--preset", "Best"], "did you mean best?"),
        (["train", "--model", "resnet"], "Invalid value for '--model': 'resnet' is not one of linear, mlp, cnn"),
        (["train", "--epochs", "many"], "Invalid value for '--epochs': 'many' is not a"),
        (["train", "--learning-rate", "fast"], "Invalid value for '--learning-rate': 'fast' is not a"),
        (["serve", "--port", "99999"], "Invalid value for '--port': "),
        (["export", "--format", "ONNX", "a.pt"], "did you mean onnx?"),
    ],
)
def test_the_error_for_an_invalid_value_lists_the_valid_ones(mnist, arguments, message):
    done = mnist(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Input should" not in done.stderr
    assert "Value error" not in done.stderr


def test_a_missing_argument_is_named(mnist):
    assert "Missing argument 'CHECKPOINT" in mnist("export").stderr


def test_an_option_alone_in_its_group_stands_with_the_others(mnist):
    text = mnist("evaluate", "--help").stdout
    assert "Hardware:" not in text
    assert text.index("Options:") < text.index("--json") < text.index("--device") < text.index("--help")
    assert text.index("Arguments:") < text.index("CHECKPOINT", text.index("Arguments:")) < text.index("Options:")


def test_a_default_in_words_is_shown_without_parentheses(mnist):
    assert "[default: 1; " in " ".join(mnist("predict", "--help").stdout.split())


@pytest.mark.parametrize(
    "typed", [["train", "--\u202ex"], ["train", "--epochs", "\x9b2J"], ["runs", "diff", "a", "b", "\x1b[2J"]]
)
def test_an_error_sends_no_control_characters_to_the_terminal(mnist, typed):
    result = mnist(*typed)
    assert result.exit_code == 2
    assert all(line.isprintable() for line in result.output.splitlines())
