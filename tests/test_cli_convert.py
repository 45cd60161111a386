import numpy as np
import pytest


@pytest.fixture
def mine(tmp_path, val):
    np.savez(tmp_path / "mine.npz", images=val.images[:20].numpy(), labels=val.labels[:20].numpy())


def test_a_data_set_is_written_as_pictures_and_only_their_folder_is_printed(mnist, tmp_path, mine):
    done = mnist("convert", "mine.npz", "pictures")
    assert (done.exit_code, done.stdout) == (0, "pictures\n")
    assert "20 images, 10 classes.\n" in done.stderr
    assert len(list((tmp_path / "pictures").glob("*/*.png"))) == 20


def test_the_format_may_be_named(mnist, tmp_path, mine):
    done = mnist("convert", "mine.npz", "other", "--format", "idx")
    names = [line.split("/")[-1] for line in done.stdout.splitlines()]
    assert names == ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]


def test_what_is_there_is_not_overwritten(mnist, tmp_path, mine):
    done = mnist("convert", "mine.npz", "mine.npz")
    assert (done.exit_code, "mine.npz is there already" in done.stderr) == (2, True)
