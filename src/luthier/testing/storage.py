"""The contract battery of stores: what every store must do, whatever it is made of.

from luthier.testing.storage import check_storage

def test_my_store(tmp_path):
    check_storage(lambda: MyStore(tmp_path / "store"))
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, LuthierError, StorageError, StudyExists, StudyNotFound
from luthier.base.records import Event
from luthier.runtime.storage._base import Draft, Storage
from luthier.runtime.storage._driver import this_driver

Factory = Callable[[], Storage]


def check_storage(factory: Factory, *, durable: bool = True) -> None:
    """Assert that a store keeps the contract of `Storage`.

    Args:
        factory: Opens the same place at every call, as another process would; the place is empty at first. Each
            check makes a study of its own there.
        durable: Whether studies outlive the last open store.

    Raises:
        AssertionError: naming what the store did and what the contract says.
    """
    with factory() as anchor:  # keeps a place in memory alive between the checks
        assert anchor.studies() == [], "the factory must open an empty place at first"
        for check in CHECKS:
            check(factory)
    if durable:
        _survives(factory)


def _study(store: Storage, name: str) -> int:
    return store.create(name, seed=0, problem={}).id


def _joined(store: Storage, study: int, name: str) -> str:
    driver = replace(this_driver(30.0), id=name)
    store.register(study, driver)
    return driver.id


def _refuses(error: type[LuthierError], call: Callable[[], object], why: str) -> str:
    try:
        given = call()
    except error as found:
        return str(found)
    raise AssertionError(f"{why}: {error.__name__} expected, got {given!r}")


def _equal(given: object, expected: object, why: str) -> None:
    assert given == expected, f"{why}: expected {expected!r}, got {given!r}"


def check_studies(factory: Factory) -> None:
    """Studies are made once and found by name; without a name only when there is one."""
    with factory() as store:
        message = _refuses(StudyNotFound, store.open, "open() of an empty store")
        assert store.where in message, f"the message names no store: {message}"
        problem = {"space": {"lr": [1e-5, 0.1]}, "objectives": ["loss"], "note": "größer ∞", "limit": math.inf}
        row = store.create("first", seed=2**63 - 1, problem=problem)
        _equal((row.name, row.seed, row.problem), ("first", 2**63 - 1, problem), "create() gives the study back")
        _equal(store.open(), row, "open() without a name finds the only study")
        _refuses(StudyExists, lambda: store.create("first", seed=0, problem={}), "a second study of one name")
        second = store.create("second", seed=1, problem={})
        assert second.id != row.id, "studies share a number"
        _equal(store.studies(), [row, second], "studies() lists all, oldest first")
        _equal(store.open("second"), second, "open() finds a study by name")
        _refuses(StudyNotFound, store.open, "open() without a name among several studies")
        assert "'second'" in _refuses(StudyNotFound, lambda: store.open("secnd"), "open() of a misspelt name")
        _refuses(ArgumentError, lambda: store.create("", seed=0, problem={}), "a study without a name")
        _refuses(ArgumentError, lambda: store.create("big", seed=2**63, problem={}), "a seed that is too large")
        row.problem["note"] = "changed by the caller"
        _equal(store.open("first").problem, problem, "a caller cannot change what is kept")


def check_order(factory: Factory) -> None:
    """Events are numbered from 1 without gaps, and read back as they were given."""
    with factory() as store:
        study, other = _study(store, "order"), _study(store, "order, another")
        _equal((store.head(study), store.read(study)), (0, []), "a new study is empty")
        _equal(store.append(study, [Draft(1.5, "asked", 0, 0, {"lr": 0.1}), Draft(2.5, "note")]), 1, "first seq")
        _equal(store.append(other, [Draft(9.0, "asked", 0)]), 1, "each study counts for itself")
        _equal(store.append(study, [Draft(0.1 + 0.2, "reported", 0, 2, {})]), 3, "seq goes on")
        log = [
            Event(1, 1.5, "asked", 0, 0, {"lr": 0.1}),
            Event(2, 2.5, "note", None, None, {}),
            Event(3, 0.1 + 0.2, "reported", 0, 2, {}),
        ]
        _equal(store.read(study), log, "the log")
        _equal(store.read(study, after=1), log[1:], "read(after=1)")
        _equal(store.read(study, until=2), log[:2], "read(until=2)")
        _equal(store.read(study, after=1, until=2), log[1:2], "read(after=1, until=2)")
        _equal(store.read(study, after=3), [], "read() past the end")
        _equal((store.append(study, []), store.head(study)), (4, 3), "an empty append writes nothing")
        missing = 10_000
        for call in (store.head, store.read, store.drivers):
            _refuses(StudyNotFound, lambda call=call: call(missing), f"{call.__name__}() of an unknown study")  # type: ignore[misc]
        _refuses(StudyNotFound, lambda: store.append(missing, [Draft(0.0, "note")]), "append() to an unknown study")


def check_atomic(factory: Factory) -> None:
    """What is refused leaves no trace."""
    with factory() as store:
        study = _study(store, "atomic")
        me = _joined(store, study, "me")
        store.append(study, [Draft(0.0, "asked", 0)])
        held = store.reserve(study, me)
        assert held == 1, f"reserve() gave {held!r}, expected 1"
        drafts = [Draft(1.0, "finished", 0), Draft(1.0, "asked", 0), Draft(1.0, "asked", 1)]
        message = _refuses(StorageError, lambda: store.append(study, drafts, release=[1]), "a trial asked twice")
        assert "trial 0 was asked already" in message, f"the message does not name the trial: {message}"
        twice = [Draft(1.0, "asked", 5), Draft(1.0, "asked", 5)]
        _refuses(StorageError, lambda: store.append(study, twice), "a trial asked twice in one append")
        unkept = [Draft(1.0, "note"), Draft(1.0, "reported", 0, None, {"model": object()})]
        message = _refuses(ArgumentError, lambda: store.append(study, unkept), "data that JSON cannot hold")
        assert "event 'reported' of trial 0" in message, f"the message does not name the event: {message}"
        _equal((store.head(study), len(store.read(study))), (1, 1), "after refusals the log is as it was")
        store.leave(study, me)
        _equal(store.reserve(study, _joined(store, study, "heir")), 1, "a refused append releases no reservation")
        store.append(study, [Draft(2.0, "reported", 0), Draft(2.0, "reported", 0)])
        _equal(store.head(study), 3, "other kinds may repeat")


def check_expect(factory: Factory) -> None:
    """With `expect`, events are appended only where the log ends there."""
    with factory() as one, factory() as two:
        study = _study(one, "expect")
        _equal(one.append(study, [Draft(0.0, "asked", 0)], expect=0), 1, "append(expect=0) to an empty log")
        _equal(two.append(study, [Draft(0.0, "asked", 1)], expect=0), 0, "append(expect=0) to a log of one event")
        _equal([event.trial for event in one.read(study)], [0], "what was not expected is not written")
        _equal(two.append(study, [Draft(0.0, "asked", 1)], expect=1), 2, "append(expect=1) to a log of one event")


def check_two(factory: Factory) -> None:
    """Two open stores of one place see each other at once."""
    with factory() as one, factory() as two:
        study = _study(one, "two")
        _equal(two.open("two").id, study, "the other store finds the study")
        for k in range(10):
            writer, reader = (one, two) if k % 2 else (two, one)
            _equal(writer.append(study, [Draft(float(k), "asked", k)]), k + 1, "seq counts over both stores")
            _equal(reader.head(study), k + 1, "the other store sees the event")
        _equal([event.trial for event in one.read(study)], list(range(10)), "one order for all")
        _refuses(StorageError, lambda: two.append(study, [Draft(0.0, "asked", 9)]), "a trial asked in another store")


def check_reserve(factory: Factory) -> None:
    """Numbers are given once, in order; those of drivers that left are given again."""
    with factory() as one, factory() as two:
        study = _study(one, "reserve")
        _refuses(StorageError, lambda: one.reserve(study, "stranger"), "reserve() by a driver that is not registered")
        a, b = _joined(one, study, "a"), _joined(two, study, "b")
        taken = [one.reserve(study, a), two.reserve(study, b), one.reserve(study, a), two.reserve(study, b)]
        _equal(taken, [0, 1, 2, 3], "numbers count over all drivers")
        _equal(two.reserve(study, b, limit=4), None, "reserve(limit=4) after 0 to 3")
        one.append(study, [Draft(0.0, "asked", 0)], release=[0])
        one.leave(study, a)
        _equal(two.reserve(study, b, limit=2), None, "a freed number keeps to the limit")
        _equal(two.reserve(study, b, limit=4), 2, "what a gone driver never used is given again")
        _equal(two.reserve(study, b), 4, "what it used is not")
        two.append(study, [Draft(0.0, "asked", 7)])
        _equal(two.reserve(study, b), 8, "a number that was asked without a reservation is never given")
        two.append(study, [Draft(0.0, "asked", 8)])
        two.leave(study, b)
        c = _joined(two, study, "c")
        again = [two.reserve(study, c) for _ in range(5)]
        _equal(again, [1, 2, 3, 4, 9], "asked numbers are used up, released or not")
        two.append(study, [], release=[9])
        two.leave(study, c)
        d = _joined(two, study, "d")
        again = [two.reserve(study, d) for _ in range(5)]
        _equal(again, [1, 2, 3, 4, 10], "a released number is used up, asked or not")


def check_vacate(factory: Factory) -> None:
    """A number given back unused is the next to be given, whoever asks; one that is another's is left alone."""
    with factory() as one, factory() as two:
        study = _study(one, "vacate")
        a, b = _joined(one, study, "a"), _joined(two, study, "b")
        _equal([one.reserve(study, a), two.reserve(study, b)], [0, 1], "numbers count over all drivers")
        two.vacate(study, 0, b)
        _equal(two.reserve(study, b), 2, "nobody gives back what is another's")
        one.vacate(study, 0, a)
        _equal(two.reserve(study, b), 0, "a number given back is given again")
        one.append(study, [Draft(0.0, "asked", 0)], release=[0])
        two.vacate(study, 0, b)
        _equal(two.reserve(study, b), 3, "a number that was used is not")


def check_claim(factory: Factory) -> None:
    """Of several drivers exactly one gets what only one may do."""
    with factory() as one, factory() as two:
        study, other = _study(one, "claim"), _study(one, "claim, another")
        _equal(one.claim(study, 3, "rung 9", "a"), True, "the first to claim")
        _equal(two.claim(study, 3, "rung 9", "b"), False, "the second to claim")
        _equal(one.claim(study, 3, "rung 9", "a"), True, "the first one again")
        _equal(two.claim(study, 3, "rung 27", "b"), True, "something else")
        _equal(two.claim(study, 4, "rung 9", "b"), True, "another trial")
        _equal(two.claim(other, 3, "rung 9", "b"), True, "another study")


def check_takeover(factory: Factory) -> None:
    """What a driver claimed and left undone passes to one that knows the whole log, and to no other."""
    with factory() as one, factory() as two:
        study = _study(one, "takeover")
        a, b, c = (_joined(one, study, name) for name in "abc")
        one.append(study, [Draft(0.0, "asked", 3), Draft(0.0, "paused", 3)])
        one.claim(study, 3, "rung 9", a)
        _equal(two.claim(study, 3, "rung 9", b, head=2), False, "a claim whose driver is registered")
        one.leave(study, a)
        _equal(two.claim(study, 3, "rung 9", b), False, "a gone driver's claim, asked for without knowing the log")
        _equal(two.claim(study, 3, "rung 9", b, head=1), False, "a gone driver's claim, asked for with an old log")
        _equal(two.claim(study, 3, "rung 9", b, head=2), True, "a gone driver's claim, asked for with the whole log")
        _equal(two.claim(study, 3, "rung 9", c, head=2), False, "the same a moment later")


def check_drivers(factory: Factory) -> None:
    """Drivers come, give signs of life by the store's clock, and go."""
    with factory() as store:
        study = _study(store, "drivers")
        _equal(store.drivers(study), [], "a new study has no drivers")
        me = this_driver(12.5)
        store.register(study, me)
        store.register(study, me)
        [(found, age)] = store.drivers(study)
        _equal(replace(found, beat=0.0), me, "drivers() gives the driver back, once")
        assert found.beat > 0, "register() does not set the heartbeat by the store's clock"
        assert 0 <= age < 60, f"age of a fresh heartbeat: {age!r} s"
        store.beat(study, me.id)
        [(later, _)] = store.drivers(study)
        assert later.beat >= found.beat, "beat() set the heartbeat back"
        _refuses(StorageError, lambda: store.beat(study, "stranger"), "beat() of an unknown driver")
        store.leave(study, me.id)
        store.leave(study, me.id)
        _equal(store.drivers(study), [], "leave() takes the driver off")


def check_values(factory: Factory) -> None:
    """Data comes back as it went in: NaN and infinity, every text, every digit, a megabyte."""
    data: dict[str, Any] = {
        "metrics": {"inf": math.inf, "minus": -math.inf, "tiny": 5e-324, "third": 1 / 3, "zero": -0.0},
        "texts": ["Grüße, 世界 🎻", 'nul \0 quote " line \n', "lone \ud800", ""],
        "large": 2**70,
        "flags": [True, False, None],
        "nested": {"a": [{"b": [[]]}], "": {}},
    }
    with factory() as store:
        study = _study(store, "values")
        store.append(
            study, [Draft(1e-300, "reported", 1, None, data), Draft(1.0, "reported", 2, None, {"loss": math.nan})]
        )
        big = {"text": "x" * 1_000_000, "numbers": [i / 7 for i in range(1000)]}
        store.append(study, [Draft(2.0, "note", None, None, big)])
        numbers = {"f": np.float32(0.5), "i": np.int64(3), "b": np.bool_(True), "t": (1, 2)}
        store.append(study, [Draft(3.0, "note", None, None, numbers)])
        first, second, third, fourth = store.read(study)
    _equal(first.data, data, "data of an event")
    assert math.copysign(1.0, first.data["metrics"]["zero"]) == -1.0, "-0.0 lost its sign"
    assert math.isnan(second.data["loss"]), f"NaN came back as {second.data['loss']!r}"
    _equal(first.time, 1e-300, "time of an event")
    assert third.data == big, "a megabyte came back changed"
    _equal(fourth.data, {"f": 0.5, "i": 3, "b": True, "t": [1, 2]}, "NumPy scalars and tuples become plain")
    _equal([type(value) for value in fourth.data.values()], [float, int, bool, list], "NumPy scalars become plain")


def check_alias(factory: Factory) -> None:
    """Nobody can change the log through a dictionary that was given or read."""
    with factory() as store:
        study = _study(store, "alias")
        given = {"metrics": {"loss": 1.0}, "folds": [1.0]}
        store.append(study, [Draft(0.0, "reported", 0, None, given)])
        given["metrics"] = {}
        given["folds"].append(2.0)  # type: ignore[attr-defined]
        [event] = store.read(study)
        event.data["metrics"]["loss"] = 2.0
        event.data["folds"].clear()
        _equal(store.read(study)[0].data, {"metrics": {"loss": 1.0}, "folds": [1.0]}, "what is kept")


def check_threads(factory: Factory) -> None:
    """Threads share a store, and two stores share a place: no number is given twice, no event lost or torn."""
    workers, each = 8, 20
    errors: list[BaseException] = []
    with ExitStack() as stack:
        stores = [stack.enter_context(factory()) for _ in range(2)]
        study = _study(stores[0], "threads")

        def work(index: int) -> None:
            store = stores[index % 2]
            try:
                me = _joined(store, study, f"thread-{index}")
                for k in range(each):
                    trial = store.reserve(study, me)
                    assert trial is not None
                    drafts = [Draft(float(k), "asked", trial, None, {"by": me}), Draft(float(k), "finished", trial)]
                    store.append(study, drafts, release=[trial])
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, f"a thread failed: {errors[0]!r}"
        log = stores[1].read(study)
    _equal([event.seq for event in log], list(range(1, 2 * workers * each + 1)), "seq without gaps")
    asked = [event for event in log if event.kind == "asked"]
    _equal(sorted(event.trial or 0 for event in asked), list(range(workers * each)), "every number once")
    ends = [log[event.seq] for event in asked]
    _equal([event.trial for event in ends], [event.trial for event in asked], "events of one append stand together")
    for index in range(workers):
        times = [event.time for event in asked if event.data["by"] == f"thread-{index}"]
        _equal(times, [float(k) for k in range(each)], "each thread's own order")


def check_close(factory: Factory) -> None:
    """A closed store refuses, what it wrote is there for the next."""
    store = factory()
    study = _study(store, "close")
    store.append(study, [Draft(0.0, "asked", 0, 0, {"lr": 0.5})])
    row = store.open("close")
    store.close()
    store.close()
    message = _refuses(StorageError, lambda: store.head(study), "a closed store")
    assert store.url in message, f"the message does not say how to open it again: {message}"
    with factory() as again:
        _equal(again.open("close"), row, "a study after opening again")
        _equal(again.read(study), [Event(1, 0.0, "asked", 0, 0, {"lr": 0.5})], "its log after opening again")


def _survives(factory: Factory) -> None:
    """Everything outlives the last open store."""
    with factory() as store:
        study = _study(store, "survives")
        me = _joined(store, study, "me")
        held = store.reserve(study, me)
        store.append(study, [Draft(0.0, "note", None, None, {"k": 1})])
        store.claim(study, 0, "rung 3", me)
    with factory() as again:
        _equal(again.open("survives").id, study, "the study after all stores were closed")
        _equal(again.read(study), [Event(1, 0.0, "note", None, None, {"k": 1})], "its log")
        _equal([driver.id for driver, _ in again.drivers(study)], [me], "its drivers")
        _equal((held, again.reserve(study, me)), (0, 1), "its numbers")
        _equal(again.claim(study, 0, "rung 3", "other"), False, "its claims")


#: Each takes the factory; `check_studies` needs an empty place and comes first.
CHECKS: tuple[Callable[[Factory], None], ...] = (
    check_studies,
    check_order,
    check_atomic,
    check_expect,
    check_two,
    check_reserve,
    check_vacate,
    check_claim,
    check_takeover,
    check_drivers,
    check_values,
    check_alias,
    check_threads,
    check_close,
)
