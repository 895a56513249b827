"""A heartbeat beside the work: an evaluation of an hour must not look like a machine that is gone."""

from __future__ import annotations

import threading
import weakref

from luthier.base.errors import StorageError
from luthier.runtime.storage import Driver, Storage


class Heart:
    """A thread that renews a driver's lease as long as its process lives and its session has not left.

    Only for a store that several machines share: on one machine the process itself is asked (`dead`). It shows that
    the process is there, no more; a process that is frozen, or that cannot reach the store, has no heartbeat.

    Args:
        storage: The store.
        study: The study's number there.
        driver: Who lives.
    """

    def __init__(self, storage: Storage, study: int, driver: Driver) -> None:
        self._over = threading.Event()
        # the thread must not keep a store alive that its study has forgotten
        work = (weakref.ref(storage), study, driver, self._over)
        threading.Thread(target=_beat, args=work, daemon=True, name="luthier-heart").start()

    def stop(self) -> None:
        """Beat no more; one heartbeat may be on its way, and does no harm to a driver that has left."""
        self._over.set()


def _beat(store: weakref.ref[Storage], study: int, driver: Driver, over: threading.Event) -> None:
    while not over.wait(driver.lease / 4):  # three may fail before anybody takes it for dead
        storage = store()
        if storage is None:
            return
        try:
            storage.beat(study, driver.id)
        except StorageError:
            continue  # the driver itself finds out, and knows what to do: join again, or give up
        finally:
            del storage
