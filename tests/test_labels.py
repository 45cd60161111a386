from mnist_cli import labels


def test_digits_have_numbers_and_other_classes_names():
    assert [labels.digit_in(name) for name in ("7", "07", "seven", "\u0667")] == [7, None, None, None]
    assert [labels.short_name(name) for name in ("7", "Shirt")] == [7, "Shirt"]
