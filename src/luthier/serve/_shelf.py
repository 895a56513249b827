"""The studies that are shown: each known by a mark made of where it is and its name."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

from luthier.base.errors import LuthierError
from luthier.serve._telling import tell
from luthier.serve._watch import Brief, Watch
from luthier.study.listing import Entry, studies

#: Studies kept open at once; the one not looked at for longest is closed.
MOST_OPEN = 16
#: Seconds for which the list of studies is taken as it is: new ones appear this late. Ten times what reading it took,
#: where that is more: a folder of a thousand studies is not read at every look.
FRESH, TIMES = 2.0, 10.0
#: Seconds that one answer spends on looking into studies; the rest follow with the next.
PATIENCE = 0.5
#: Seconds after which a study that had to be closed again is looked into for the list.
RARELY = 30.0


class Shelf:
    """All studies of a place.

    Args:
        where: As `luthier.study.listing.studies` takes it.

    Raises:
        StudyNotFound, StorageError: nothing can be shown.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._lock = threading.RLock()
        self._open: OrderedDict[str, Watch] = OrderedDict()
        self._briefs: dict[str, Brief] = {}
        self._looked: dict[str, float] = {}
        self._entries: dict[str, Entry] = {}
        self._until = 0.0
        self._read()

    def _read(self) -> None:
        begun = time.monotonic()
        self._entries = {mark(entry): entry for entry in studies(self.where)}
        ended = time.monotonic()
        self._until = ended + max(FRESH, TIMES * (ended - begun))

    def entries(self) -> dict[str, Entry]:
        """Studies by their marks, oldest first."""
        with self._lock:
            if time.monotonic() > self._until:
                self._read()
            return dict(self._entries)

    def watch(self, key: str) -> Watch | None:
        """The study of a mark, opened; None when there is none."""
        entry = self.entries().get(key)
        if entry is None:
            return None
        with self._lock:
            found = self._open.get(key)
            if found is None:
                found = self._open[key] = Watch(entry)
            self._open.move_to_end(key)
            gone = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MOST_OPEN)]
        for one in gone:
            one.close()
        return found

    def briefs(self) -> list[tuple[str, Entry, Brief | None]]:
        """Each study with what there is to say of it in a line, newest first; None while that is being found out."""
        until = time.monotonic() + PATIENCE
        found: list[tuple[str, Entry, Brief | None]] = []
        for key, entry in reversed(self.entries().items()):
            if time.monotonic() < until and self._due(key):
                self._look(key)
            found.append((key, entry, self._briefs.get(key)))
        return found

    def _due(self, key: str) -> bool:
        """Whether a study should be looked at: one that is open costs little, another has to be opened first."""
        return key not in self._briefs or key in self._open or time.monotonic() - self._looked[key] > RARELY

    def warm(self) -> None:
        """Read the newest study, so that the first look at it is quick."""
        try:
            for key in reversed(self.entries()):
                watch = self.watch(key)
                if watch is not None:
                    watch.parts()
                return
        except LuthierError as error:
            tell(error)

    def _look(self, key: str) -> None:
        self._looked[key] = time.monotonic()
        try:
            watch = self.watch(key)
            if watch is not None:
                self._briefs[key] = watch.brief()
        except LuthierError as error:
            self._briefs[key] = Brief("cannot be read", 0, {}, "", 0.0, False)
            tell(error)

    def close(self) -> None:
        """Close every study."""
        with self._lock:
            gone = list(self._open.values())
            self._open.clear()
        for one in gone:
            one.close()


def mark(entry: Entry) -> str:
    """What a study is called in addresses: no name of a user, no path, and the same after a restart."""
    return hashlib.blake2b(
        f"{entry.where}\0{entry.name}".encode("utf-8", "backslashreplace"), digest_size=8
    ).hexdigest()
