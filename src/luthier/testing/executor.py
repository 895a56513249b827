"""The contract battery of executors: what every executor must do, wherever it runs trials.

from luthier.testing.executor import check_executor

def test_my_executor():
    check_executor(MyExecutor)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from luthier.base.errors import MetricError, UnsupportedError
from luthier.base.records import Configuration, Decision, Fidelity, Status
from luthier.base.registry import own_arguments
from luthier.runtime.executors._again import words
from luthier.runtime.executors._base import End, Executor, Host, Launch, Message, Setting, Target

Factory = Callable[[], Executor]
#: Longest wait for anything, in seconds: generous, a loaded machine is no broken executor.
PATIENCE = 120.0
EPOCHS = Fidelity("epoch", 1, 9)


# targets: at the top level, so that any process can import them ------------------------------------------------


def returns(run: Any) -> float:
    """Return a number."""
    return float(run.config["x"]) * 2


def returns_mapping(run: Any) -> dict[str, float]:
    """Return several metrics."""
    return {"loss": run.config["x"], "seed": run.seed, "repeat": run.repeat, "number": run.number}


def returns_text(run: Any) -> str:
    """Return something that is no result."""
    return "done"


def reports(run: Any) -> None:
    """Report at every step."""
    for epoch in run.resources():
        run.report(loss=1.0 / epoch, epoch=epoch)


def swallows(run: Any) -> str:
    """Report at every step and catch whatever a careless program catches."""
    for epoch in run.resources():
        try:
            run.report(loss=1.0 / epoch)
        except Exception:
            print("swallowed")
    return "not a result either"


def raises(run: Any) -> None:
    """Fail."""
    print("about to divide")
    print(1.0 / (run.config["x"] * 0.0))


def leaves(run: Any) -> None:
    """Leave with an exit code."""
    sys.exit(run.config["x"])


def prints(run: Any) -> float:
    """Print to both streams, and what is not UTF-8."""
    print("a word", "é" * 10_000)
    print("another", file=sys.stderr)
    sys.stdout.flush()
    return 0.0


def names(run: Any) -> float:
    """Name hyperparameters while running."""
    return float(run.float("lr", 1e-3, 1.0, log=True)) + int(run.int("layers", 1, 8))


# the host ------------------------------------------------------------------------------------------------------


@dataclass
class Recorder(Host):
    """A host that writes down what it hears.

    Args:
        decide: What to answer to a report.
        answers: Values of hyperparameters named while running.
    """

    decide: Callable[[Launch, Message], Decision] = lambda launch, message: Decision.CONTINUE
    answers: Mapping[str, Any] = field(default_factory=dict)
    messages: list[tuple[int, Message]] = field(default_factory=list)
    ends: dict[int, End] = field(default_factory=dict)
    asked: list[tuple[int, str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """Write down a report, and answer it."""
        assert launch.trial not in self.ends, f"trial {launch.trial} reported after its end"
        self.times.append(now)
        self.messages.append((launch.trial, message))
        return self.decide(launch, message)

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        """Write down a question, and answer it."""
        self.asked.append((launch.trial, name, domain))
        return self.answers[name]

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """Write down an end."""
        assert launch.trial not in self.ends, f"trial {launch.trial} ended twice"
        self.times.append(now)
        self.ends[launch.trial] = end

    def resources(self, trial: int) -> list[float | None]:
        """What a trial reported its resource to be."""
        return [message.resource for number, message in self.messages if number == trial]


def launch(trial: int, x: Any = 1.0, **more: Any) -> Launch:
    """A launch of a trial with one hyperparameter, x."""
    return Launch(**{"trial": trial, "attempt": 1, "config": Configuration(x=x), "seed": 100 + trial, **more})


def work(executor: Executor, host: Recorder, launches: Iterable[Launch]) -> None:
    """Run launches on whatever workers are free, until all have ended."""
    waiting, started, deadline = list(launches)[::-1], set[int](), time.monotonic() + PATIENCE
    while waiting or not started <= host.ends.keys():
        for worker in list(executor.free()):
            if waiting:
                started.add(waiting[-1].trial)
                executor.submit(waiting.pop(), worker)
        executor.step(0.25)
        assert time.monotonic() < deadline, f"trials {sorted(started - host.ends.keys())} do not end"


def run_all(factory: Factory, target: Target, launches: Iterable[Launch], host: Recorder, workers: int = 1) -> None:
    """Open, work, close."""
    executor = factory()
    executor.open(Setting(target, workers=workers), host)
    try:
        work(executor, host, launches)
    finally:
        executor.close()


# the checks ----------------------------------------------------------------------------------------------------


def check_results(factory: Factory) -> None:
    """What a function returns arrives; seed, number and repetition are the launch's."""
    host = Recorder()
    run_all(factory, returns, [launch(i, 0.5 * i) for i in range(4)], host)
    for trial, end in host.ends.items():
        assert (end.status, end.result, end.error) == (Status.COMPLETED, float(trial), None), f"returned number: {end}"
        assert end.seconds >= 0, f"a run of {end.seconds} seconds"
    host = Recorder()
    run_all(factory, returns_mapping, [launch(7, 0.25, repeat=2)], host)
    assert host.ends[7].result == {"loss": 0.25, "seed": 107, "repeat": 2, "number": 7}, f"mapping: {host.ends[7]}"
    host = Recorder()
    run_all(factory, returns_text, [launch(0)], host)
    assert host.ends[0].status is Status.FAILED, f"a returned text must fail: {host.ends[0]}"
    assert "'done'" in (host.ends[0].error or ""), f"the error must show what was returned: {host.ends[0].error}"


def check_reports(factory: Factory) -> None:
    """Reports arrive in order, each with its resource, from where the run starts to what it was granted."""
    host = Recorder()
    jobs = [
        launch(0, fidelity=EPOCHS),
        launch(1, fidelity=EPOCHS, until=3),
        launch(2, fidelity=EPOCHS, after=3, until=9, attempt=2),
    ]
    run_all(factory, reports, jobs, host)
    assert host.resources(0) == list(range(1, 10)), host.resources(0)
    assert host.resources(1) == [1, 2, 3], host.resources(1)
    assert host.resources(2) == list(range(4, 10)), host.resources(2)
    assert all(end.status is Status.COMPLETED for end in host.ends.values()), host.ends
    assert all(set(message.metrics) == {"loss"} for _, message in host.messages), "the resource is no metric"
    assert host.times == sorted(host.times), "times must not run backwards"


def check_decisions(factory: Factory) -> None:
    """A run that is told to stop or pause does so, even when its program swallows exceptions."""
    for decision, status in ((Decision.STOP, Status.STOPPED), (Decision.PAUSE, Status.PAUSED)):
        for target in (reports, swallows):
            host = Recorder(lambda _, m, d=decision: d if m.resource == 3 else Decision.CONTINUE)  # type: ignore[misc]
            run_all(factory, target, [launch(0, fidelity=EPOCHS)], host)
            assert host.resources(0) == [1, 2, 3], f"{decision} at 3, reports {host.resources(0)}"
            assert host.ends[0].status is status, f"{decision}: {host.ends[0]}"


def check_refused(factory: Factory) -> None:
    """A report that the study cannot use ends the run as FAILED with the study's words; others go on."""

    def decide(launch: Launch, message: Message) -> Decision:
        if launch.trial == 0:
            raise MetricError("trial 0 reported {'loss'}; this study minimises 'los'.")
        return Decision.CONTINUE

    for target in (reports, swallows):
        host = Recorder(decide)
        run_all(factory, target, [launch(0, fidelity=EPOCHS), launch(1, fidelity=EPOCHS)], host)
        end = host.ends[0]
        assert end.status is Status.FAILED, f"{target.__name__}: {end}"
        assert end.error == "trial 0 reported {'loss'}; this study minimises 'los'.", end.error
        assert host.resources(0) == [1], "no report may follow one that was refused"
        assert host.resources(1) == list(range(1, 10)), "another trial must not suffer"


def check_failures(factory: Factory) -> None:
    """Exceptions and exit codes are FAILED, with the reason and the place in one line; exit code 0 is an end."""
    host = Recorder()
    run_all(factory, raises, [launch(0)], host)
    end = host.ends[0]
    assert end.status is Status.FAILED, f"an exception: {end}"
    error = end.error or ""
    assert error.startswith("ZeroDivisionError: "), f"the reason is missing: {error!r}"
    assert "(executor.py:" in error, f"the place is missing: {error!r}"
    assert "\n" not in error, f"more than one line: {error!r}"
    host = Recorder()
    run_all(factory, leaves, [launch(0, 3), launch(1, 0)], host)
    assert host.ends[0].status is Status.FAILED, f"sys.exit(3): {host.ends[0]}"
    assert "3" in (host.ends[0].error or ""), f"the exit code is missing: {host.ends[0].error}"
    assert host.ends[1].status is Status.COMPLETED, f"sys.exit(0): {host.ends[1]}"


def check_output(factory: Factory) -> None:
    """Output of any kind does no harm."""
    host = Recorder()
    run_all(factory, prints, [launch(0), launch(1)], host)
    assert all(end.status is Status.COMPLETED for end in host.ends.values()), host.ends


def check_named(factory: Factory) -> None:
    """Hyperparameters named while running are asked for; without an open space they are refused."""
    host = Recorder(answers={"lr": 0.25, "layers": 4})
    run_all(factory, names, [launch(0, open_space=True), launch(1)], host)
    assert host.ends[0].result == 4.25, f"lr=0.25 and layers=4 were answered: {host.ends[0]}"
    assert [(trial, name) for trial, name, _ in host.asked] == [(0, "lr"), (0, "layers")], host.asked
    assert host.ends[1].status is Status.FAILED, f"no such hyperparameter: {host.ends[1]}"
    assert "'lr'" in (host.ends[1].error or ""), f"the error must name it: {host.ends[1].error}"


def check_many(factory: Factory) -> None:
    """Many trials on one worker, and on as many as the executor has, all end once."""
    for workers in (1, 3):
        executor, host = factory(), Recorder()
        try:
            executor.open(Setting(reports, workers=workers), host)
        except UnsupportedError:
            assert workers > 1, "one worker must always be possible"
            continue
        try:
            free = list(executor.free())
            assert 1 <= len(free) <= workers, f"{workers} workers were asked for, {free} are free"
            assert len(set(free)) == len(free), f"names of workers must differ: {free}"
            work(executor, host, [launch(i, fidelity=EPOCHS, until=1 + i % 5) for i in range(12)])
            assert sorted(executor.free()) == sorted(free), "all workers must be free again"
        finally:
            executor.close()
        for trial in range(12):
            assert host.resources(trial) == list(range(1, 2 + trial % 5)), f"trial {trial}: {host.resources(trial)}"


def check_cancel(factory: Factory) -> None:
    """A cancelled run ends as STOPPED; cancelling what does not run does nothing; the worker lives on."""
    executor, host = factory(), Recorder()
    executor.open(Setting(reports, workers=1), host)
    try:
        executor.submit(launch(0, fidelity=EPOCHS), next(iter(executor.free())))
        executor.cancel(0)
        executor.cancel(99)
        deadline = time.monotonic() + PATIENCE
        while 0 not in host.ends and time.monotonic() < deadline:
            executor.step(0.25)
        assert host.ends[0].status is Status.STOPPED, f"cancelled: {host.ends[0]}"
        work(executor, host, [launch(1, fidelity=EPOCHS)])
        assert host.ends[1].status is Status.COMPLETED, f"after a cancelled run: {host.ends[1]}"
    finally:
        executor.close()


def check_life(factory: Factory) -> None:
    """Closing twice, closing unopened, closing with a run under way and opening again all work."""
    executor = factory()
    executor.close()
    for kill in (False, True):
        host = Recorder()
        executor.open(Setting(returns), host)
        work(executor, host, [launch(0, 2.0)])
        assert host.ends[0].result == 4.0, f"opened again: {host.ends[0]}"
        executor.submit(launch(1), next(iter(executor.free())))
        executor.close(kill=kill)
        executor.close(kill=kill)
        assert 1 not in host.ends, "no call to the host may come from close()"
    began = time.monotonic()
    executor.open(Setting(returns), Recorder())
    executor.step(0.05)
    executor.close()
    assert time.monotonic() - began < PATIENCE, "step() must return after its timeout with nothing to do"


def check_own_arguments(factory: Factory) -> None:
    """`own` names every argument that may be set, and what the log keeps of it makes the same executor again."""
    executor = factory()
    missing = own_arguments(type(executor)).keys() - executor.own.keys()
    assert not missing, f"`own` lacks {sorted(missing)}: `luthier resume` would start it with other arguments"
    kept = words(executor)
    assert kept["executor"] == executor.name
    if "executor_left" not in kept:
        again = type(executor)(**kept.get("executor_own", {}))
        assert words(again) == kept, f"made again it differs: {words(again)}, {kept} before"


#: All checks, each of which stands alone.
CHECKS = (
    check_results,
    check_reports,
    check_decisions,
    check_refused,
    check_failures,
    check_output,
    check_named,
    check_many,
    check_cancel,
    check_life,
    check_own_arguments,
)


def check_executor(factory: Factory) -> None:
    """Assert that an executor keeps the contract of `Executor`.

    Args:
        factory: Makes an executor that is not open; a class will do.

    Raises:
        AssertionError: naming what the executor did and what the contract says.
    """
    for check in CHECKS:
        check(factory)
