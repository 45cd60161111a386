import io
import os
import tarfile
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image

from mnist_cli.bulk import executors, plan, streams
from mnist_cli.config import PRETRAINED
from mnist_cli.models import backends
from mnist_cli.recognition import pipeline
from mnist_cli.recognition.pipeline import Options


@pytest.fixture(scope="module")
def loaded():
    return backends.load(PRETRAINED)


@pytest.fixture
def folder(tmp_path, monkeypatch, val):
    """A folder with eleven hundred pictures, of which one cannot be read."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("photos")
    for index, image in enumerate(val.images[:100, 0].numpy()):
        Image.fromarray(image).save(f"photos/{index:04}.png")
    for index in range(100, 1_100):
        os.link(f"photos/{index % 100:04}.png", f"photos/{index:04}.png")
    Path("photos/0700.png").unlink()
    Path("photos/0700.png").write_text("no picture")
    return "photos"


def recognize(loaded, *sources, size=streams.SHARD, **options):
    shards = list(plan.split(sources, size))
    return list(chain.from_iterable(streams.recognize(loaded, shards, Options(**options))))


@pytest.mark.slow
def test_the_results_of_many_pictures_are_those_of_one_process_to_the_last_bit(loaded, folder, monkeypatch):
    expected = list(
        chain.from_iterable(
            pipeline.recognize(loaded.model, [f"{folder}/{index:04}.png" for index in range(1_100)], Options())
        )
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = recognize(loaded, folder)
    assert [result.to_dict() for result in found] == [result.to_dict() for result in expected]
    assert [result.path for result in found] == [result.path for result in expected]
    assert [type(result.error) for result in found] == [type(result.error) for result in expected]


@pytest.mark.parametrize("options", [{}, {"many": True, "size": streams.PAGES}, {"keep_pixels": True}])
def test_few_pictures_start_no_process(loaded, folder, monkeypatch, options):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(executors, "local", None)
    assert len(recognize(loaded, *(f"{folder}/{index:04}.png" for index in range(9)), **options)) == 9


def test_pixels_are_kept_in_one_process(loaded, folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(executors, "local", None)
    results = recognize(loaded, *[f"{folder}/0000.png"] * 8, size=2, keep_pixels=True)
    assert len(results) == 8
    assert results[0].picture is not None


def test_the_pictures_of_an_archive_have_its_name_and_urls_are_kept(loaded, tmp_path, monkeypatch, val):
    monkeypatch.chdir(tmp_path)
    content = io.BytesIO()
    Image.fromarray(val.images[0, 0].numpy()).save(content, "PNG")
    with tarfile.open("some.tar", "w") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.size = len(content.getvalue())
        archive.addfile(entry, io.BytesIO(content.getvalue()))
    local, elsewhere = recognize(loaded, "some.tar", "memory://none.png")
    assert (str(local.path), local.digit) == ("some.tar/a.png", val.labels[0].item())
    assert (elsewhere.path, elsewhere.reason) == ("memory://none.png", "there is no such file")
