"""What a benchmark says each run of a simulated study will report, and when: asked for once per configuration."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from luthier.base.errors import BenchmarkError, LuthierError
from luthier.base.records import Configuration, Evaluation, Fidelity, Status
from luthier.runtime.executors._base import Launch
from luthier.space.problem import Benchmark

_GROWTH = 4  # a run that outlives what is known of its curve asks for so many times as much
_SLACK = 1 + 1e-9  # fractions of a resource add up to a little less than their sum

#: Resource and answer for each step; the costs add up.
Curve = Sequence[tuple[float | None, Evaluation]]


def continues(benchmark: Benchmark, axis: Fidelity) -> bool:
    """Whether a run that is granted more goes on: what the benchmark says, else where the axis has whole steps."""
    said: bool | None = getattr(benchmark, "continues", None)
    return axis.whole if said is None else said


class Curves:
    """A benchmark's answers.

    Args:
        benchmark: Who answers.
        seed: Which recorded repetition answers; a repetition of a trial takes the next.
    """

    def __init__(self, benchmark: Benchmark, seed: int) -> None:
        self.benchmark, self._seed = benchmark, seed
        self._trains = bool(getattr(benchmark, "trains", False))
        self._kept: dict[tuple[Configuration, int], Curve] = {}

    def stretch(self, launch: Launch, after: float) -> tuple[Curve, int, int]:
        """The part of its configuration's curve that a run goes through.

        Args:
            launch: The run.
            after: Resource that its checkpoint holds, 0 for a fresh start; no use where runs do not continue.

        Returns:
            What is known of the curve; the position of the run's first step, and that after its last one.
        """
        axis = launch.fidelity
        if axis is None:
            return self.known(launch, 1), 0, 1
        until = axis.high if launch.until is None else launch.until
        further = continues(self.benchmark, axis)
        if not further:
            after = 0  # a model of a third of the rows is no beginning of one of all rows
        if axis.whole and further:
            first = self._first(axis)
            at, to = (max(int(amount * _SLACK) - first + 1, 0) for amount in (after, until))
            return self.known(launch, to if launch.until is not None else min(at + 1, to)), at, to
        curve = self._parts(launch, after, until)
        at, to = (bisect_right(curve, amount * _SLACK, key=_resource) for amount in (after, until))
        return curve, at, to

    def known(self, launch: Launch, steps: int) -> Curve:
        """A configuration's curve, at least so many steps of it.

        A table or a surrogate is asked once for the whole; one that trains when it is asked, as far as the run gets.
        """
        key = (launch.config, launch.repeat)
        known = self._kept.get(key, ())
        if len(known) < steps:
            axis = launch.fidelity
            if axis is None:
                known = [(None, self._answer(launch, None))]
            else:
                last = self._first(axis) + max(steps, _GROWTH * len(known)) - 1
                found = self._ask(launch, min(last, axis.high) if self._trains else axis.high)
                if len(found) < steps and found[-1][1].status is Status.FAILED:  # what was trained before stays true
                    found = [*known, *[found[-1]] * (steps - len(known))]
                known = found
            self._kept[key] = known
        return known

    def _first(self, axis: Fidelity) -> int:
        """The first step of the benchmark's curves; the study may say that reports mean something from later on."""
        own = getattr(self.benchmark, "fidelity", None)
        return int((own or axis).low)

    def _parts(self, launch: Launch, after: float, until: float) -> Curve:
        """Where steps do not lie between: what is granted, and what the checkpoint has paid for."""
        key = (launch.config, launch.repeat)
        known = self._kept.get(key, ())
        for amount in {after, until} - {0, *(resource for resource, _ in known)}:
            found = {_resource(step): step for step in [*known, *self._ask(launch, amount)]}
            known = self._kept[key] = sorted(found.values(), key=_resource)
        return [step for step in known if _resource(step) in (after, until)]

    def _ask(self, launch: Launch, until: float) -> list[tuple[float | None, Evaluation]]:
        benchmark, seed, axis = self.benchmark, self._seed + launch.repeat, launch.fidelity
        assert axis is not None  # without a fidelity there is no curve
        curve = getattr(benchmark, "curve", None)
        if curve is not None:
            try:
                return list(curve(launch.config, until, seed=seed))
            except LuthierError:
                raise  # the study is wrong, not the configuration
            except Exception as error:  # as a program of the user's would have failed
                return [(until, _broken(error))]
        steps = range(int(axis.low), int(until) + 1) if axis.whole else (until,)
        return [(step, self._answer(launch, step)) for step in steps]

    def _answer(self, launch: Launch, resource: float | None) -> Evaluation:
        try:
            found = self.benchmark.evaluate(launch.config, resource=resource, seed=self._seed + launch.repeat)
        except LuthierError:
            raise  # the study is wrong, not the configuration
        except Exception as error:  # as a program of the user's would have failed
            return _broken(error)
        if not found.seconds >= 0:
            raise BenchmarkError(
                f"the benchmark says that {dict(launch.config)} took {found.seconds!r} seconds. Allowed: 0 and more."
            )
        return found


def _broken(error: Exception) -> Evaluation:
    return Evaluation({}, 0.0, Status.FAILED, {"error": f"{type(error).__name__}: {error}"})


def _resource(step: tuple[float | None, Evaluation]) -> float:
    return step[0] or 0.0
