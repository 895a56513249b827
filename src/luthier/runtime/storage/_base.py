"""The contract of a store: append-only logs, one a study, and the few small tables that several drivers need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from luthier.base.records import Event


@dataclass(frozen=True)
class StudyRow:
    """A study as the store knows it.

    Args:
        id: Number in this store.
        name: Name, unique in this store.
        seed: Its seed.
        problem: Its problem and settings, as JSON-able values.
        created: Seconds since the epoch.
        schema: Number of the schema it was written with.
    """

    id: int
    name: str
    seed: int
    problem: dict[str, Any]
    created: float
    schema: int


class Draft(NamedTuple):
    """An event that has no place in the order yet."""

    time: float
    kind: str
    trial: int | None = None
    seen: int | None = None
    data: dict[str, Any] = {}  # noqa: RUF012 (stores copy it, nobody changes it)


@dataclass(frozen=True)
class Driver:
    """A process that works on a study.

    Args:
        id: Unique text.
        host: Machine, boot and process namespace: equal texts can check each other's processes.
        pid: Process number there.
        born: Start time of that process, in the system's ticks: guards against a reused number.
        beat: Last heartbeat, seconds by the store's clock.
        lease: Seconds after the last heartbeat at which the driver counts as dead.
    """

    id: str
    host: str
    pid: int
    born: int
    beat: float
    lease: float


class Storage(ABC):
    """Keeps studies. Every method is one transaction, durable when it returns.

    Raises (all methods):
        StorageError: the store cannot be read or written (with the file or address and the reason);
            the caller may try again, nothing was half done.
    """

    name: ClassVar[str] = ""
    #: Whether several machines may share it: then a driver's heartbeat is all that others know of it.
    shared: ClassVar[bool] = False
    #: Opens this store again: what `open_storage` takes.
    url: str
    #: What messages call it, such as "store /data/study.db".
    where: str

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, *, create: bool = False) -> Self:
        """Open the store behind a URL whose scheme is this store's name.

        Args:
            url: The whole URL.
            create: Make the store if it is not there.
        """

    @abstractmethod
    def create(self, name: str, *, seed: int, problem: dict[str, Any]) -> StudyRow:
        """Make a study. Raises StudyExists."""

    @abstractmethod
    def open(self, name: str | None = None) -> StudyRow:
        """Find a study by name; without one, the only study of the store. Raises StudyNotFound."""

    @abstractmethod
    def studies(self) -> list[StudyRow]:
        """All studies, oldest first."""

    @abstractmethod
    def append(
        self, study: int, drafts: Sequence[Draft], *, release: Iterable[int] = (), expect: int | None = None
    ) -> int:
        """Append events in order, all or none.

        Args:
            study: The study's number.
            drafts: What happened.
            release: Reserved trial numbers that these events use up.
            expect: `seq` that the log must end with; where it ends elsewhere nothing is written, and 0 returned.

        Returns:
            `seq` of the first one; the others follow without a gap. (If it is not the caller's last known
            `seq` + 1, other drivers appended in between: read them first.)

        Raises:
            StudyNotFound: the store has no study of that number.
            StorageError: a trial would be asked a second time (`kind` "asked").
            ArgumentError: `data` has no JSON form.
        """

    @abstractmethod
    def read(self, study: int, *, after: int = 0, until: int | None = None) -> list[Event]:
        """Events with `after < seq <= until`, in order."""

    @abstractmethod
    def head(self, study: int) -> int:
        """`seq` of the last event, 0 for none."""

    @abstractmethod
    def reserve(self, study: int, driver: str, *, limit: int | None = None) -> int | None:
        """Take the next free trial number for a driver.

        Numbers that a dead driver (one no longer registered) reserved and never used are given out again first.
        A number that was asked already is never given.

        Args:
            study: The study's number.
            driver: Who takes it.
            limit: Trial numbers stay below this.

        Returns:
            The number, or None when the limit is reached.

        Raises:
            StorageError: the driver is not registered (it never was, or others took it for dead).
        """

    @abstractmethod
    def vacate(self, study: int, trial: int, driver: str) -> None:
        """Give a reserved number back unused: the next `reserve`, by whomever, takes it.

        Nothing happens when the number was used, or is no longer this driver's.
        """

    @abstractmethod
    def claim(self, study: int, trial: int, what: str, driver: str, *, head: int | None = None) -> bool:
        """Take something that only one driver may do (a promotion to a rung): True for the first to ask.

        Asking again as the same driver gives True again. A driver may die between its claim and the event that
        says the thing is done; so that the thing is not lost, a caller that knows the whole log takes over.

        Args:
            study: The study's number.
            trial: The trial concerned, or any other number that is agreed on.
            what: What is to be done with it.
            driver: Who asks.
            head: `seq` of the last event the caller has folded in. If the log ends there, and its claimant is no
                longer registered, the claim passes to the caller: whatever that driver did, the caller has seen.
                Without it a claim never passes.

        Returns:
            Whether the caller may do it.
        """

    @abstractmethod
    def register(self, study: int, driver: Driver) -> None:
        """Say that a driver works on the study (`beat` is set by the store's clock)."""

    @abstractmethod
    def beat(self, study: int, driver: str) -> None:
        """Renew a driver's lease. Raises StorageError when the driver is not registered, as `reserve` does."""

    @abstractmethod
    def drivers(self, study: int) -> list[tuple[Driver, float]]:
        """Registered drivers, each with the seconds since its last heartbeat by the store's clock."""

    @abstractmethod
    def leave(self, study: int, driver: str) -> None:
        """Take a driver off the list; what it reserved and did not use becomes free."""

    @abstractmethod
    def close(self) -> None:
        """Release connections. A second call does nothing; any other call raises StorageError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
