import gc
import threading

import pytest

from mnist_cli import clusters
from mnist_cli.errors import MnistError

distributed = pytest.importorskip("distributed")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "no address", "http://127.0.0.1:9", "nonsense://x", ""])
def test_a_cluster_that_is_not_there_is_said_in_one_sentence(monkeypatch, address):
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.3)
    with pytest.raises(MnistError, match=rf"^the cluster at {address} cannot be reached: .") as error:
        clusters.connect(address)
    assert "\n" not in str(error.value)
    assert not [thing for thing in gc.get_objects() if type(thing) is distributed.Client and thing.status != "closed"]


def test_a_client_whose_thread_does_not_start_on_a_busy_machine_is_said_in_one_sentence(monkeypatch):
    class NeverSet(threading.Event):
        def wait(self, timeout=None):
            return False

    monkeypatch.setattr(distributed.utils, "asyncio_run", lambda main, **more: main.close())
    monkeypatch.setattr(distributed.utils.threading, "Event", NeverSet)
    with pytest.raises(MnistError, match=r"^the cluster at tcp://127\.0\.0\.1:9 cannot be reached: its client did not"):
        clusters.connect("tcp://127.0.0.1:9")
