import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import draw_seven
from PIL import ExifTags, Image

from mnist_cli.errors import FormatError, ImageError, TooLargeError
from mnist_cli.pictures import decode, rare_formats


def pack(name, picture=None, **options):
    """Return a picture as a file of one of the formats, which this installation can write."""
    if name == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if not rare_formats.is_readable(name):
        pytest.skip(f"no {name} here")
    file = io.BytesIO()
    (picture or draw_seven()).save(file, {"HEIC": "HEIF"}.get(name, name), **options)
    return file.getvalue()


@pytest.mark.parametrize("name", ["HEIC", "AVIF"])
def test_the_picture_is_read_as_from_any_other_format(name):
    expected = decode.to_array(draw_seven())
    read = decode.decode(io.BytesIO(pack(name)))
    assert read.shape[:2] == expected.shape[:2]
    assert np.abs(read - expected).mean() < 3  # levels, of lossy compression


@pytest.mark.parametrize("name", ["HEIC", "AVIF"])
def test_the_picture_is_turned_as_the_camera_was_held(name):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright = decode.to_array(draw_seven().crop((0, 0, 200, 100)))
    turned = Image.fromarray(np.rot90(upright[:, :, 0].round().astype(np.uint8)).copy()).convert("RGB")
    read = decode.decode(io.BytesIO(pack(name, turned, exif=exif.tobytes())))
    assert np.abs(read - upright).mean() < 3


def test_a_heic_with_more_pixels_than_its_header_states_is_refused():
    content = pack("HEIC", draw_seven(600))
    claim = content.replace(struct.pack(">II", 600, 600), struct.pack(">II", 10, 10))
    assert claim != content
    with pytest.raises(ImageError, match="limit exceeded"):
        decode.decode(io.BytesIO(claim))


@pytest.mark.parametrize("name", ["HEIC", "AVIF"])
def test_the_limits_are_those_of_other_formats(name):
    content = pack(name)
    with pytest.raises(TooLargeError, match="too many pixels"):
        decode.decode(io.BytesIO(content), max_pixels=30_000)
    for broken in (content[: len(content) // 2], content[:200], content[:40]):
        with pytest.raises(ImageError) as refused:
            decode.decode(io.BytesIO(broken))
        assert "\n" not in str(refused.value)  # of which libheif has one at the end of its errors


@pytest.mark.parametrize(
    ("name", "bits", "millions"),
    [("HEIF", 8, 50), ("HEIF", 10, 23), ("HEIF", 12, 23), ("AVIF", 8, 23), ("PNG", 8, None)],
)
def test_a_format_may_have_fewer_pixels_the_more_memory_its_decoder_takes(name, bits, millions):
    image = Image.new("RGB", (1, 1))
    image.format, image.info = name, {"bit_depth": bits}
    assert rare_formats.max_pixels(image) == (millions * 1_000_000 if millions else sys.maxsize)


def test_a_picture_with_more_pixels_is_refused_before_it_is_decoded():
    content = pack("AVIF", Image.new("RGB", (64, 64)))
    large = content.replace(struct.pack(">II", 64, 64), struct.pack(">II", 4_800, 4_800))
    assert large != content
    with pytest.raises(TooLargeError, match="at most 23,000,000"):
        decode.decode(io.BytesIO(large))


START = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "HEIC by a further brand": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    "AVIF by a further brand": b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif",
}


@pytest.mark.parametrize(("name", "start"), START.items())
def test_without_a_decoder_the_error_says_what_to_install(monkeypatch, name, start):
    monkeypatch.setattr(rare_formats, "find_spec", lambda module: None)
    monkeypatch.setattr(rare_formats.features, "check", lambda feature: False)
    with pytest.raises(FormatError, match=f"in the format {name[:4]}; to read it, .*(mnist-cli.heic|Pillow 11.3)"):
        decode.decode(io.BytesIO(start + bytes(1000)))
    assert rare_formats.suffixes() == set()
    assert rare_formats.left_out("photo.HEIC") == "HEIC"


@pytest.mark.parametrize(
    "start", [b"", b"\0", b"\0\0\0\x14ftypisom\0\0\0\0mp42", b"\xff\xff\xff\xffftyp", b"\x89PNG\r\n"]
)
def test_other_files_register_no_decoder(start):
    file = io.BytesIO(start)
    assert rare_formats.openers(file) == ()
    assert file.tell() == 0


def test_the_heic_decoder_is_loaded_for_a_heic_file_only():
    code = (
        "import io, sys; from mnist_cli.pictures import decode; from PIL import Image\n"
        "file = io.BytesIO(); Image.new('L', (9, 9)).save(file, 'PNG'); file.seek(0)\n"
        "decode.decode(file); print('pillow_heif' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
