"""Between a run and its study: the way there, the answer, and the two exceptions that end a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from luthier.base.errors import ArgumentError, LuthierError, MetricError, SpaceError, UnsupportedError
from luthier.base.records import Decision, Status
from luthier.runtime.executors._base import Host, Launch, Message

#: What a host raises about a program, by what was asked: the program is told, and may live on.
REFUSALS: dict[str, tuple[type[LuthierError], ...]] = {
    "report": (MetricError,),
    "suggest": (SpaceError, ArgumentError, UnsupportedError),
}


class Channel(Protocol):
    """How a run talks to the study; every executor has its own."""

    def report(self, message: Message, /) -> Decision:
        """Pass a measurement on; returns when it is durable. Raises MetricError when the study cannot use it."""
        ...

    def suggest(self, name: str, domain: Any, /) -> Any:
        """Ask for a hyperparameter that is named while running."""
        ...


class Asking(ABC):
    """A channel that puts every question to the driver and waits for the answer."""

    __slots__ = ()

    def report(self, message: Message) -> Decision:
        """Pass a measurement on."""
        decision: Decision = self._ask("report", message)
        return decision

    def suggest(self, name: str, domain: Any) -> Any:
        """Ask for a hyperparameter."""
        return self._ask("suggest", (name, domain))

    @abstractmethod
    def _ask(self, kind: str, content: Any) -> Any:
        """Send a question, and give its answer or raise the error that came back."""


def opened(words: tuple[str, Any]) -> Any:
    """The answer in what `Reply.words` sent.

    Raises:
        LuthierError: the study refused what was asked.
    """
    verdict, content = words
    if verdict == "error":
        kind, text = content
        error: LuthierError = kind(text)
        raise error
    return content


class Reply(NamedTuple):
    """What the driver sends back to a run.

    Args:
        answer: A decision or a value; None where it was refused.
        error: Why it was refused.
        end: How the run is soon to end because of it: status and error; None when it goes on.
    """

    answer: Any
    error: BaseException | None = None
    end: tuple[Status, str | None] | None = None

    @property
    def words(self) -> tuple[str, Any]:
        """The same as plain objects that can be sent."""
        return ("answer", self.answer) if self.error is None else ("error", (type(self.error), str(self.error)))


_ENDS = {Decision.STOP: Status.STOPPED, Decision.PAUSE: Status.PAUSED}


def reply(host: Host, launch: Launch, kind: str, content: Any, now: float) -> Reply:
    """Put a question of a run ("report" or "suggest") to the study."""
    try:
        answer = host.reported(launch, content, now) if kind == "report" else host.suggested(launch, *content)
    except REFUSALS[kind] as error:  # the program's fault; any other error is the study's, and goes up
        return Reply(None, error, (Status.FAILED, str(error)) if kind == "report" else None)
    status = _ENDS.get(answer) if isinstance(answer, Decision) else None
    return Reply(answer, None, None if status is None else (status, None))


class TrialEnded(BaseException):
    """The study ends or pauses this run. No `Exception`, so that a program's `except Exception` lets it pass.

    Args:
        decision: STOP or PAUSE.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"the study decided to {decision.value} this trial")
        self.decision = decision


class RunFailed(Exception):
    """A program that is not a Python function failed; the text is the whole story.

    Args:
        text: One line.
        status: FAILED, or LOST when the machine is to blame.
    """

    def __init__(self, text: str, *, status: Status = Status.FAILED) -> None:
        super().__init__(text)
        self.status = status
