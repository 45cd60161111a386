"""How much of the service a client may use, and what all clients share."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a client may send, and how long it and its pictures may take."""

    requests: int = 128  # answered at once, of one address at most half
    memory_bytes: int = 256 * 1024**2  # of the bodies that have arrived and are not answered yet; of one address half
    connections: int = 512  # fewer where the system allows fewer open files
    head_bytes: int = 64 * 1024  # of a request's first line and headers
    head_fields: int = 100  # headers of a request
    chunks: int = 1_000  # of a body; more only if they have 64 bytes each on average: each is work
    head_seconds: float = 10  # in which a head has to arrive, and a response has to be taken
    body_seconds: float = 30  # in which a body has to arrive
    wait_seconds: float = 10  # that a picture may wait for a worker
    batch_seconds: float = 5  # in which a worker has to read a batch of pictures
    work_seconds: float = 10  # in which a worker has to read a page or a large picture
    grace_seconds: float = 5  # that responses under way have when the service is stopped


class Full(Exception):  # noqa: N818  (a state, which is no fault)
    """A client asks for more than there is for it."""


class Shares:
    """A resource that the clients of all addresses share.

    An address may hold as much as it leaves free: alone half of it, beside one that has half a quarter (the dynamic
    thresholds of Choudhury and Hahne, 1998).
    """

    def __init__(self, size: int) -> None:
        """Share `size` units."""
        self.free = size
        self._held: Counter[str] = Counter()

    def has_room(self, address: str, amount: int = 1) -> bool:
        """Return whether an address may take so many units more; one that has none may take whatever is free."""
        free, held = self.free - amount, self._held[address]
        return free >= 0 and (held == 0 or held + amount <= free)

    @contextmanager
    def reserve(self, address: str) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes units for an address, which it holds while the block runs.

        The function raises Full when there are not so many for this address.
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
