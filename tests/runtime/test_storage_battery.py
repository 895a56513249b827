"""The battery finds what is wrong: each of these stores breaks one promise."""

import itertools

import pytest

from luthier.base.errors import StorageError
from luthier.runtime.storage import Memory
from luthier.testing.storage import check_storage

_places = itertools.count()


class ClaimsTwice(Memory):
    def claim(self, study, trial, what, driver, *, head=None):
        super().claim(study, trial, what, driver)
        return True


class TakesOverBlindly(Memory):
    def claim(self, study, trial, what, driver, *, head=None):
        return super().claim(study, trial, what, driver, head=self.head(study))


class NeverTakesOver(Memory):
    def claim(self, study, trial, what, driver, *, head=None):
        return super().claim(study, trial, what, driver)


class GivesReleased(Memory):
    def append(self, study, drafts, *, release=(), expect=None):
        return super().append(study, drafts, release=[] if not drafts else release, expect=expect)


class GivesAgain(Memory):
    def reserve(self, study, driver, *, limit=None):
        number = super().reserve(study, driver, limit=limit)
        return None if number is None else number // 2


class ForgetsTheLimit(Memory):
    def reserve(self, study, driver, *, limit=None):
        return super().reserve(study, driver)


class WritesHalf(Memory):
    def append(self, study, drafts, *, release=(), expect=None):
        first = self.head(study) + 1
        for draft in drafts:
            super().append(study, [draft])
        super().append(study, [], release=release)
        return first


class KeepsReservations(Memory):
    def append(self, study, drafts, *, release=(), expect=None):
        try:
            return super().append(study, drafts, release=release)
        except StorageError:
            super().append(study, [], release=release)
            raise


class SharesItsData(Memory):
    def read(self, study, *, after=0, until=None):
        super().read(study)
        return self._place.logs[study - 1].events[after:until]


class NoLimits(Memory):
    def read(self, study, *, after=0, until=None):
        return super().read(study)


class NeverCloses(Memory):
    def close(self):
        pass


class ExpectsNothing(Memory):
    def append(self, study, drafts, *, release=(), expect=None):
        return super().append(study, drafts, release=release)


class Alone(Memory):
    def __init__(self, place=""):
        super().__init__()


BROKEN = [
    ClaimsTwice,
    TakesOverBlindly,
    NeverTakesOver,
    GivesReleased,
    GivesAgain,
    ForgetsTheLimit,
    WritesHalf,
    KeepsReservations,
    SharesItsData,
    NoLimits,
    ExpectsNothing,
]


@pytest.mark.parametrize("cls", [*BROKEN, NeverCloses, Alone], ids=lambda cls: cls.__name__)
def test_battery_refuses(cls):
    place = f"battery-{next(_places)}"
    with pytest.raises((AssertionError, StorageError)):
        check_storage(lambda: cls(place), durable=False)


def test_battery_accepts_the_original():
    place = f"battery-{next(_places)}"
    check_storage(lambda: Memory(place), durable=False)


def test_durability_is_checked():
    place = f"battery-{next(_places)}"
    with pytest.raises(StorageError, match="holds no study"):
        check_storage(lambda: Memory(place), durable=True)
