import pytest
import torch
from torchvision_or_skip import import_torchvision

from mnist_cli.arrays import FRAME
from mnist_cli.training.augmentation import STRENGTHS, Augmenter, Strength

CPU = torch.device("cpu")


def augment(images, kind, seed=0):
    return Augmenter(kind, CPU)(images, torch.Generator().manual_seed(seed))


def test_augment_none_returns_the_images_unchanged(val):
    assert augment(val.images[:10], "none") is val.images[:10] or torch.equal(
        augment(val.images[:10], "none"), val.images[:10]
    )


def test_without_any_amount_an_image_is_sampled_where_it_is(val, monkeypatch):
    monkeypatch.setitem(STRENGTHS, "still", Strength(shift=1e-9))
    assert torch.equal(augment(val.images[:50], "still"), val.images[:50])


@pytest.mark.parametrize("kind", ["shift", "mirror", "affine", "elastic"])
def test_every_image_of_a_batch_is_changed_in_its_own_way(val, kind):
    same = val.images[:1].expand(100, 1, 28, 28)
    changed = augment(same, kind)
    assert changed.dtype == torch.uint8
    assert changed.shape == same.shape
    assert len({image.numpy().tobytes() for image in changed}) == 100


@pytest.mark.parametrize("kind", ["shift", "mirror", "affine", "elastic"])
def test_the_augmentation_is_determined_by_the_generator(val, kind):
    some = val.images[:20]
    assert torch.equal(augment(some, kind, seed=1), augment(some, kind, seed=1))
    assert not torch.equal(augment(some, kind, seed=1), augment(some, kind, seed=2))


def test_a_shift_by_two_pixels_moves_the_ink_by_two_pixels(val, monkeypatch):
    monkeypatch.setitem(STRENGTHS, "still", Strength(shift=2))
    augmenter = Augmenter("still", CPU)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.ones(size))  # the largest amount of everything
    moved = augmenter(val.images[:10], torch.Generator())
    assert torch.equal(moved[:, :, :26, :26], val.images[:10, :, 2:, 2:])


@pytest.mark.slow
def test_a_rotation_is_torchvisions(val, monkeypatch):
    torchvision = import_torchvision()
    monkeypatch.setitem(STRENGTHS, "turned", Strength(rotate=10))
    augmenter = Augmenter("turned", CPU)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.ones(size))
    turned = augmenter(val.images[:10], torch.Generator()).float()
    theirs = torchvision.transforms.functional.rotate(
        val.images[:10].float(), 10, torchvision.transforms.InterpolationMode.BILINEAR
    )
    assert (turned - theirs).abs().max() <= 1  # of 255, from rounding


def test_mirror_reflects_half_of_the_images(train, monkeypatch):
    monkeypatch.setitem(STRENGTHS, "still", Strength(mirror=0.5))
    some = train.images[:2_000]
    changed = augment(some, "still")
    reflected = (changed == some.flip(3)).flatten(1).all(dim=1)
    assert (reflected | (changed == some).flatten(1).all(dim=1)).all()
    assert 0.45 < reflected.float().mean() < 0.55


def test_no_augmentation_of_digits_mirrors_or_collapses_an_image():
    for kind in STRENGTHS.keys() - {"mirror"}:
        augmenter = Augmenter(kind, CPU)
        amounts = augmenter._draw(10_000, torch.Generator().manual_seed(0))
        determinant = amounts[:, 0, 0] * amounts[:, 1, 1] - amounts[:, 0, 1] * amounts[:, 1, 0]
        assert determinant.min() > 0.7
        assert determinant.max() < 1.4


def test_digits_stay_in_the_frame(train):
    changed = augment(train.images[:2_000], "elastic").float()
    kept = changed.sum() / train.images[:2_000].float().sum()
    assert 0.95 < kept < 1.05
    assert FRAME == 28
