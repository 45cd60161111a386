"""From the sources that a user names to shards, in a fixed order."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, product

from mnist_cli.bulk import places
from mnist_cli.bulk.shards import Archive, Files, Shard, described, split_images, split_table
from mnist_cli.pictures import decode, folders, rare_formats
from mnist_cli.recognition import sources

SIZES, SIZES_OF_PAGES = (64, 4_096), (4, 64)  # pictures of a shard, at least and at most; pages have many digits each
SHARDS = 64  # that there are before they grow, so that all cores have some to work on
ARCHIVES = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
TABLES = re.compile(r"\.(parquet|pq)$", re.IGNORECASE)
IDX_IMAGES = re.compile(r"[.-]idx3-ubyte(\.gz|\.xz)?$")
LISTS = re.compile(r"\.txt$", re.IGNORECASE)
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # such as {000..999}
WILDCARDS = re.compile(r"[*?\[]")


def split_evenly(named: Iterable[str], many: bool = False) -> list[Shard]:
    """Return the shards of the sources as `split` does, the files in as many shards as suit their number.

    Which these are does not depend on the machine, so that another one can go on with the work.
    """
    least, most = SIZES_OF_PAGES if many else SIZES
    shards = list(split(named, least, most))
    together = min(most // least, -(-sum(isinstance(shard, Files) for shard in shards) // SHARDS))
    grouped: list[Shard] = []
    for is_files, some in groupby(shards, lambda shard: isinstance(shard, Files)):
        if is_files and together > 1:
            files = [shard for shard in some if isinstance(shard, Files)]
            starts = range(0, len(files), together)
            grouped += [Files.joined(files[start : start + together]) for start in starts]
        else:
            grouped += some
    return grouped


def split(named: Iterable[str], size: int, most: int | None = None) -> Iterator[Shard]:
    """Yield the shards of the sources: picture files are grouped, `size` a shard, and tables are split, `most` a shard.

    A source is a picture, a folder of pictures, a text file of paths, a tar archive, a Parquet file, an IDX file of images,
    or a URL of one of these; it may have wildcards and ranges such as {000..999}. The order is that of the sources, with
    folders and wildcards sorted by name.

    Raises DataError for a source of shards that is missing, or holds no pictures; a missing picture raises when it is read.
    """
    root = os.getcwd()
    waiting: list[str] = []
    for source in named:
        for name in _expand(source):
            for found in _find(name, root, most or size):
                if isinstance(found, str):
                    waiting.append(found)
                if len(waiting) == size or (waiting and not isinstance(found, str)):
                    yield Files.of(waiting, root)
                    waiting = []
                if not isinstance(found, str):
                    yield found
    if waiting:
        yield Files.of(waiting, root)


def _expand(source: str) -> Iterator[str]:
    """Yield the names that a source with ranges and wildcards stands for; a file of this very name is meant itself."""
    is_url = places.is_url(source)
    if not is_url and os.path.lexists(source):
        yield source
        return
    for name in _ranges(source):
        matches = []
        if WILDCARDS.search(name):
            matches = places.glob(name) if is_url else sorted(glob.glob(name, recursive=True))
        yield from matches or [name]


def _ranges(source: str) -> Iterator[str]:
    """Yield the names for each number of the ranges, with as many digits as the first one has; an empty one is no range."""
    texts = RANGE.split(source)  # text, first, last, text ...
    pairs = zip(texts[1::3], texts[2::3], strict=True)
    numbers = [[f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)] for first, last in pairs]
    if not all(numbers):
        yield source
        return
    for chosen in product(*numbers):
        yield texts[0] + "".join(number + text for number, text in zip(chosen, texts[3::3], strict=True))


def _find(name: str, root: str, size: int) -> Iterable[str | Shard]:
    """Return the pictures and shards of one name."""
    if not places.is_url(name) and os.path.isdir(name):
        return map(str, sources.expand([name]))
    kinds: dict[re.Pattern[str], Callable[[], Iterable[str | Shard]]] = {
        ARCHIVES: lambda: _archive(name, root),
        TABLES: lambda: split_table(name, root, size),
        IDX_IMAGES: lambda: split_images(name, root, size),
        LISTS: lambda: _listed(name),
    }
    for pattern, find in kinds.items():
        if pattern.search(name):
            return find()
    return [name] if not places.is_url(name) else _pictures_at(name)


def _archive(name: str, root: str) -> Iterator[Shard]:
    if not places.is_url(name):
        with described(name), places.open_file(name):
            pass  # a missing one is an error before anything is read
    yield Archive(name, root)


def _listed(name: str) -> Iterator[str]:
    """Yield the lines of a text file, each the path or the URL of a picture."""
    with described(name), places.open_file(name) as file:
        for number, line in enumerate(file):
            text = line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape").strip("\r\n")
            if text:
                yield text


def _pictures_at(url: str) -> Iterable[str]:
    """Return the pictures below a URL, hidden ones left out, or the URL itself when it is no folder."""
    readable = decode.SUFFIXES | rare_formats.suffixes()
    if folders.suffix(url) in readable:
        return [url]
    with described(url):
        found = places.find(url)
    if found is None:
        return [url]
    start = len(url.rstrip("/"))
    pictures = [name for name in found if folders.suffix(name) in readable and "/." not in name[start:]]
    return pictures or [url]
