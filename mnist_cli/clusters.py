"""A cluster of Dask: workers on any machines, behind a scheduler with an address such as tcp://scheduler:8786."""

import gc
import logging
from typing import TYPE_CHECKING

from mnist_cli.errors import MnistError, first_line, missing

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 20  # for the scheduler to answer


def connect(address: str) -> "Client":
    """Return a client of the scheduler at `address`, which logs nothing: what is wrong is raised as well.

    Raises MnistError when the scheduler cannot be reached, or Dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise missing("--cluster", error, "cluster") from error
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("distributed", "tornado")):  # each has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # noqa: BLE001  (of the network, of an address without a meaning; they have no base class)
        # It asserts that its thread has started within 10 seconds.
        why = "its client did not start in time" if isinstance(error, AssertionError) else first_line(error)
    # The traceback kept the client that failed. Its end waits for a lock that every start of a client holds, and for ever
    # if the garbage collector happens to run in one: it has to end here.
    gc.collect()
    raise MnistError(f"the cluster at {address} cannot be reached: {why}")
