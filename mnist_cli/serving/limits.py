"""How much of the service one client may use, and the resources that all clients share."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a client may send, and how long it and its pictures may take."""

    requests: int = 128  # handled at once, at most half of them for one address
    memory_bytes: int = 256 * 1024**2  # of all bodies received and not answered yet, at most half of it for one address
    connections: int = 512  # fewer where the system allows fewer open files
    head_bytes: int = 64 * 1024  # of a request's first line and headers
    head_fields: int = 100  # headers of a request
    chunks: int = 1_000  # of a body; more only if they have 64 bytes each on average: each is work
    head_seconds: float = 10  # in which the head of a request must arrive, and a response must be received
    body_seconds: float = 30  # in which a body must arrive
    wait_seconds: float = 10  # that a picture may wait for a worker
    batch_seconds: float = 5  # in which a worker has to read a batch of pictures
    work_seconds: float = 10  # in which a worker has to read a page or a large picture
    grace_seconds: float = 5  # that requests in flight have to finish when the service is stopped


class Full(Exception):  # noqa: N818  (a state, not an error)
    """A client requests more of a resource than is left for it."""


class SharedPool:
    """A resource that the clients of all addresses share.

    An address may hold as many units as it leaves free: half of the pool when it is alone, a quarter beside another that
    holds half (dynamic thresholds, Choudhury and Hahne 1998).
    """

    def __init__(self, size: int) -> None:
        """Make `size` units available."""
        self.free = size
        self._held: Counter[str] = Counter()

    def has_room(self, address: str, amount: int = 1) -> bool:
        """Return whether an address may take `amount` more units; one that holds none may take all that are free."""
        free, held = self.free - amount, self._held[address]
        return free >= 0 and (held == 0 or held + amount <= free)

    @contextmanager
    def reserve(self, address: str) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes a number of units for an address; they are returned when the block ends.

        The function raises Full when that many are not available to this address.
        """
        taken = 0

        def take(amount: int) -> None:
            nonlocal taken
            if not self.has_room(address, amount):
                raise Full
            self.free -= amount
            self._held[address] += amount
            taken += amount

        try:
            yield take
        finally:
            self.free += taken
            self._held[address] -= taken
            self._held += Counter()  # forgets the addresses that hold nothing
