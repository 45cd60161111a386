"""Files of `torch.save`, read without torch: a zip with one pickle and the data of each tensor.

Only what `torch.save` writes for plain values and tensors is accepted, so that all programs read a file the same way and
no count in it exceeds its size. Nothing in a file is called. Formats: PKWARE's APPNOTE.TXT and Python's pickletools.
"""

import re
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

MAX_FILE_BYTES = 4_000_000_000  # the largest network of a TrainConfig takes 2.2 GB; a larger zip has other records
MAX_MEMBERS = 10_000  # files in the zip; 100 layers with their optimizer have less than 2,000
MAX_PICKLE_BYTES = 10_000_000
MAX_OPCODES = 1_000_000  # of the pickle; a run of 50,000 epochs has 900,000
MAX_STACK = 10_000  # items of the pickle that are not in a list or dict yet; Python writes at most 2,000
MAX_TUPLES_AND_NAMES = (
    20_000  # in the pickle; a tensor has 7, and 100 layers with their optimizer less than 2,000 tensors
)
MAX_STRING_BYTES = 8_192  # a path has at most 4,096 bytes
MAX_DEPTH = 10  # of nested dicts and lists
MAX_DIMENSIONS = 8
MAX_SIDE = 1 << 40  # the size of one dimension of a tensor

# The types of storages: their dtype, and the bytes of an element.
STORAGES = {
    "ByteStorage": ("uint8", 1),
    "IntStorage": ("int32", 4),
    "LongStorage": ("int64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
}
REBUILD = ("torch._utils", "_rebuild_tensor_v2")
ORDERED_DICT = ("collections", "OrderedDict")

END = struct.Struct("<4s4H2LH")  # the end record of a zip
END64 = struct.Struct("<4sQ2H2L4Q4sLQL")  # the end record for large zips and its locator, which torch always writes
ENTRY = struct.Struct("<4s6H3L5H2L")  # an entry of the central directory
LOCAL = struct.Struct("<4s5H3L2H")  # the local header before each member
NAME = re.compile(r"[^/]+/(data\.pkl|data/\d+|byteorder|version|\.[\w/]+)", re.ASCII)
DESCRIPTOR = 24  # bytes that may follow a member: its checksum and sizes, if they were not known before
FLAGS = 1 << 3 | 1 << 11  # a descriptor follows; the name is UTF-8


class ForeignCodeError(Exception):
    """A pickle refers to a function or class that is in no checkpoint of this program."""


class Storage(NamedTuple):
    """The data of tensors in a file."""

    member: str  # of the zip
    kind: str  # the dtype, such as `float32`
    length: int  # number of elements


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file, within the bounds of its storage; its shape is (), (n,), (n, m) ..."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Member(NamedTuple):
    start: int
    size: int
    checksum: int


class TorchFile:
    """An open file that `torch.save` wrote."""

    content: Any  # nested dicts, lists and tuples of plain values, with a StoredTensor in place of each tensor

    def __init__(self, file: BinaryIO) -> None:
        """Read all but the data of the tensors.

        Raises ValueError, or what Python raises for a file that ends too early, when `torch.save` did not write it, and
        ForeignCodeError when loading it with pickle could run code.
        """
        self._file = file
        self._members = _find_members(file)
        (self._prefix,) = {name.partition("/")[0] for name in self._members}
        if self._members[f"{self._prefix}/data.pkl"].size > MAX_PICKLE_BYTES:
            raise ValueError(f"it has more than {MAX_PICKLE_BYTES:,} bytes in addition to its weights")
        order = f"{self._prefix}/byteorder"
        if order in self._members and self._read(order) != sys.byteorder.encode():
            raise ValueError("its byte order is not that of this processor")
        sizes = {name.partition("/")[2]: member.size for name, member in self._members.items()}
        self.content = _Unpickler(bytes(self._read(f"{self._prefix}/data.pkl")), sizes).load()

    def numbers(self, storage: Storage) -> bytearray:
        """Return the bytes of a storage; raises ValueError when their checksum is wrong."""
        return self._read(f"{self._prefix}/{storage.member}")

    def _read(self, name: str) -> bytearray:
        member = self._members[name]
        self._file.seek(member.start)
        content = bytearray(self._file.read(member.size))
        if len(content) != member.size or zlib.crc32(content) != member.checksum:
            raise ValueError(f"the checksum of {name} is wrong")
        return content


def _find_members(file: BinaryIO) -> dict[str, _Member]:
    """Return the members of a zip; raises ValueError for unexpected data before, between or after them."""
    size = file.seek(0, 2)
    if not END.size <= size <= MAX_FILE_BYTES:
        raise ValueError(f"it has {size:,} bytes")
    end = _unpack(END, file, size - END.size)
    count, length, start = end[4:7]
    if end != (b"PK\5\6", 0, 0, count, count, length, start, 0):
        raise ValueError("it does not end like a zip file")
    tail = size - END.size - start - length
    if tail and (tail != END64.size or not _is_same_end(_unpack(END64, file, start + length), count, length, start)):
        raise ValueError("it has more than one central directory")
    if count > MAX_MEMBERS:
        raise ValueError(f"it has {count:,} members")
    file.seek(start)
    members = _read_directory(file.read(length), count)
    place = 0
    for name, (offset, member) in members.items():
        if not 0 <= offset - place <= DESCRIPTOR or (place == 0 and offset):
            raise ValueError("its members are not contiguous")
        members[name] = offset, member._replace(start=_find_data(file, offset, name, member))
        place = members[name][1].start + member.size
    if not 0 <= start - place <= DESCRIPTOR:
        raise ValueError("its members do not end where its central directory begins")
    return {name: member for name, (_, member) in members.items()}


def _read_directory(directory: bytes, count: int) -> dict[str, tuple[int, _Member]]:
    """Return the offset of each member and its entry in the central directory, in the order of the file."""
    found = {}
    place = 0
    for _ in range(count):
        entry = ENTRY.unpack_from(directory, place)
        signature, _, _, flags, method, _, _, checksum, packed, size, length, extra, comment, disk, _, _, offset = entry
        name = directory[place + ENTRY.size : place + ENTRY.size + length].decode()
        place += ENTRY.size + length
        if signature != b"PK\1\2" or flags & ~FLAGS or extra or comment or disk or name in found:
            raise ValueError("its central directory is not one that torch writes")
        if method or packed != size:
            raise ValueError("it is compressed, which no checkpoint is")
        if not NAME.fullmatch(name):
            raise ValueError(f"it has a member {name!r}, which no checkpoint has")
        found[name] = offset, _Member(0, size, checksum)
    if place != len(directory):
        raise ValueError("its central directory has another length")
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


def _find_data(file: BinaryIO, offset: int, name: str, member: _Member) -> int:
    """Return the offset of the data of a member, after its local header, which must agree with the directory."""
    signature, _, flags, method, _, _, checksum, packed, size, length, extra = _unpack(LOCAL, file, offset)
    known = (checksum, packed, size) == (member.checksum, member.size, member.size)
    follows = flags & 1 << 3 and (checksum, packed, size) == (0, 0, 0)
    if (
        signature != b"PK\3\4"
        or flags & ~FLAGS
        or method
        or not (known or follows)
        or file.read(length) != name.encode()
    ):
        raise ValueError(f"its central directory and its member {name} contradict each other")
    return offset + LOCAL.size + int(length) + int(extra)


def _is_same_end(large: tuple[Any, ...], count: int, length: int, start: int) -> bool:
    """Return whether the end record for large zips agrees with the other one."""
    signature, size, _, _, *rest = large  # the versions of the format do not matter
    expected = [0, 0, count, count, length, start, b"PK\6\7", 0, start + length, 1]
    return (signature, size, rest) == (b"PK\6\6", 44, expected)


def _unpack(record: struct.Struct, file: BinaryIO, place: int) -> tuple[Any, ...]:
    file.seek(place)
    return record.unpack(file.read(record.size))


class _Unpickler:
    """Executes the opcodes of pickle protocol 2 that plain values and tensors need. Nothing can be called."""

    def __init__(self, pickled: bytes, sizes: dict[str, int]) -> None:
        self._pickled, self._sizes = pickled, sizes  # of the members of the zip
        self._position = 0
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # the stacks below each mark
        self._memo: list[Any] = []
        self._tuples_and_names = 0

    def load(self) -> Any:
        """Return the unpickled content."""
        for _ in range(MAX_OPCODES):
            opcode = self._pickled[self._position]
            self._position += 1
            if opcode == ord("."):
                break
            if opcode not in _OPCODES:
                raise ValueError(f"its pickle has the opcode {opcode:#04x}, which no checkpoint has")
            _OPCODES[opcode](self)
        else:
            raise ValueError(f"its pickle has more than {MAX_OPCODES:,} opcodes")
        (content,) = self._stack
        if self._marked or self._position != len(self._pickled):
            raise ValueError("its pickle does not end where it should")
        _check_depth(content)
        return content

    def push(self, item: Any) -> None:
        """Put an item on the stack."""
        self._stack.append(item)
        if len(self._stack) > MAX_STACK:
            raise ValueError(f"its pickle has more than {MAX_STACK:,} items outside of lists and dicts")

    def count_tuple_or_name(self) -> None:
        """Raise ValueError when there are more of them than any number of layers needs."""
        self._tuples_and_names += 1
        if self._tuples_and_names > MAX_TUPLES_AND_NAMES:
            raise ValueError(f"its pickle has more than {MAX_TUPLES_AND_NAMES:,} tuples and names")

    def take(self, form: struct.Struct) -> Any:
        """Return the number that follows in the pickle."""
        (number,) = form.unpack_from(self._pickled, self._position)
        self._position += form.size
        return number

    def line(self) -> str:
        """Return the line that follows in the pickle."""
        end = self._pickled.index(b"\n", self._position)
        text = self._pickled[self._position : end].decode()
        self._position = end + 1
        return text

    def string(self) -> None:
        """Push a string."""
        size = self.take(_UINT32)
        if size > MAX_STRING_BYTES:
            raise ValueError(f"it has a string of {size:,} bytes")
        text = self._pickled[self._position : self._position + size].decode("utf-8", "surrogatepass")
        self._position += size
        self._stack.append(text)

    def mark(self) -> None:
        """Begin a list of items."""
        if len(self._marked) > 2 * MAX_DEPTH:  # at every depth a call, its arguments, and a shape in them
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        self._marked.append(self._stack)
        self._stack = []

    def items(self) -> list[Any]:
        """End a list of items and return it."""
        items, self._stack = self._stack, self._marked.pop()
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        """Take the last items from the stack."""
        items = tuple(self._stack[-count:])
        if len(items) != count:
            raise ValueError("its pickle takes more items than there are")
        del self._stack[-count:]
        return items

    def append(self, items: list[Any] | tuple[Any, ...]) -> None:
        """Add items to the list on the stack."""
        if type(self._stack[-1]) is not list:
            raise TypeError("its pickle appends to something that is not a list")
        self._stack[-1].extend(items)

    def update(self, items: list[Any] | tuple[Any, ...]) -> None:
        """Add keys and values, one after the other, to the dict on the stack."""
        keys = items[::2]
        if type(self._stack[-1]) is not dict or len(items) % 2 or any(type(key) not in (str, int) for key in keys):
            raise TypeError("its pickle has a key that is neither a string nor a number")
        self._stack[-1].update(zip(keys, items[1::2], strict=True))

    def memorize(self, number: int) -> None:
        """Store the last item in the memo; pickle numbers them from 0."""
        if number != len(self._memo):
            raise ValueError("its pickle does not number its memo consecutively")
        self._memo.append(self._stack[-1])

    def recall(self, number: int) -> None:
        """Push an item from the memo, if it is a string, tensor or shape: nested items could expand without end."""
        item = self._memo[number]
        is_short = type(item) is tuple and len(item) <= MAX_DIMENSIONS and all(type(n) in (int, float) for n in item)
        if not (isinstance(item, str | _Name | StoredTensor) or is_short):
            raise ValueError("its pickle refers to a nested item twice")
        self._stack.append(item)

    def name(self) -> None:
        """Push a reference to a function or class."""
        self.count_tuple_or_name()
        name = _Name(self.line(), self.line())
        if name not in (REBUILD, ORDERED_DICT) and not (name.module == "torch" and name.name.endswith("Storage")):
            raise ForeignCodeError(f"{name.module}.{name.name}")
        self._stack.append(name)

    def call(self) -> None:
        """Push the tensor or dict that a call would return."""
        function, arguments = self.last(2)
        if function == ORDERED_DICT and arguments == ():
            self._stack.append({})  # of hooks, which no tensor here has
        elif function == REBUILD:
            self._stack.append(_tensor(*arguments))
        else:
            raise TypeError("its pickle calls something that is not callable")

    def build(self) -> None:
        """Ignore the attributes of a dict, which the OrderedDicts of other programs have."""
        target, _ = self.last(2)
        if type(target) is not dict:
            raise TypeError("its pickle sets attributes of something that has none")
        self.push(target)

    def storage(self) -> None:
        """Push the storage that a tuple describes."""
        word, kind, key, location, count = self._stack.pop()
        if (
            word != "storage"
            or kind not in _STORAGE_NAMES
            or not all(isinstance(text, str) for text in (key, location))
        ):
            raise ValueError("it has tensors of a type that no checkpoint has")
        name, size = STORAGES[kind.name]
        if type(count) is not int or self._sizes.get(f"data/{key}") != count * size:
            raise ValueError(f"the size of its tensor {key[:20]} does not match its data")
        self._stack.append(Storage(f"data/{key}", name, count))


class _Name(NamedTuple):
    """A reference to a function or class, which is never resolved."""

    module: str
    name: str


_STORAGE_NAMES = {_Name("torch", name) for name in STORAGES}


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, needs_gradient: Any, hooks: Any) -> StoredTensor:
    """Return a tensor that is checked to lie within its storage."""
    if not (isinstance(storage, Storage) and type(shape) is type(stride) is tuple):
        raise TypeError("a tensor in it has no shape")
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor in it has {len(shape):,} dimensions")
    if not all(type(number) is int and 0 <= number < MAX_SIDE for number in numbers):
        raise ValueError("a tensor in it has an invalid shape")
    if 0 not in shape:
        last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
        if last >= storage.length:
            raise ValueError("a tensor in it has fewer numbers than its shape requires")
    return StoredTensor(storage, offset, shape, stride)


def _check_depth(content: Any) -> None:
    """Raise ValueError for content nested so deeply that traversing it could exceed the recursion limit."""
    level = [content]
    for _ in range(MAX_DEPTH):
        nested = [
            value.values() if type(value) is dict else value for value in level if type(value) in (dict, list, tuple)
        ]
        level = [item for items in nested for item in items]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


_BYTE, _UINT16, _INT32, _UINT32, _DOUBLE = map(struct.Struct, ("<B", "<H", "<i", "<I", ">d"))


def _pushes(form: struct.Struct) -> Callable[[_Unpickler], None]:
    return lambda pickle: pickle.push(pickle.take(form))


def _pushes_new(make: Callable[[], Any]) -> Callable[[_Unpickler], None]:
    return lambda pickle: pickle.push(make())


def _joins(count: int) -> Callable[[_Unpickler], None]:
    def join(pickle: _Unpickler) -> None:
        pickle.count_tuple_or_name()
        pickle.push(pickle.last(count))

    return join


def _begin(pickle: _Unpickler) -> None:
    if pickle.take(_BYTE) != 2:
        raise ValueError("its pickle protocol is not the one that torch writes")


_OPCODES: dict[int, Callable[[_Unpickler], None]] = {
    0x80: _begin,
    ord("}"): _pushes_new(dict),
    ord("]"): _pushes_new(list),
    ord(")"): _pushes_new(tuple),
    ord("N"): _pushes_new(lambda: None),
    0x88: _pushes_new(lambda: True),
    0x89: _pushes_new(lambda: False),
    ord("K"): _pushes(_BYTE),
    ord("M"): _pushes(_UINT16),
    ord("J"): _pushes(_INT32),
    ord("G"): _pushes(_DOUBLE),
    ord("X"): _Unpickler.string,
    ord("("): _Unpickler.mark,
    ord("t"): lambda pickle: pickle.push(tuple(pickle.items())),
    0x85: _joins(1),
    0x86: _joins(2),
    0x87: _joins(3),
    ord("a"): lambda pickle: pickle.append(pickle.last(1)),
    ord("e"): lambda pickle: pickle.append(pickle.items()),
    ord("s"): lambda pickle: pickle.update(pickle.last(2)),
    ord("u"): lambda pickle: pickle.update(pickle.items()),
    ord("q"): lambda pickle: pickle.memorize(pickle.take(_BYTE)),
    ord("r"): lambda pickle: pickle.memorize(pickle.take(_UINT32)),
    ord("h"): lambda pickle: pickle.recall(pickle.take(_BYTE)),
    ord("j"): lambda pickle: pickle.recall(pickle.take(_UINT32)),
    ord("c"): _Unpickler.name,
    ord("R"): _Unpickler.call,
    ord("b"): _Unpickler.build,
    ord("Q"): _Unpickler.storage,
}
