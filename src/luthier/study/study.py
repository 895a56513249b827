"""The study: the one object that users hold. Here it is made, opened, run and closed.

What it shows is in `_view`, what users write into it by hand in `_by_hand`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from luthier.base.errors import ArgumentError, SpaceError, StorageError, StudyExists
from luthier.base.records import Constraint, Event, Fidelity
from luthier.runtime.executors._base import Executor, Limits, Target
from luthier.runtime.storage import Storage, open_storage, split_name
from luthier.runtime.storage._urls import FILE
from luthier.space.problem import Benchmark, PastTask
from luthier.space.space import Space
from luthier.study._arguments import Objectives, define
from luthier.study._by_hand import ByHand
from luthier.study._definition import Definition, Part
from luthier.study._past import gather
from luthier.study._selection import Selection
from luthier.study._session import Session
from luthier.study.result import Result

Callback = Callable[["Study", Event], None]


class Study(ByHand):
    """A tuning problem with its log: ask and tell, or run a program.

    A study is made or continued by the same call: if the store holds a study of this name, it goes on, provided
    that its definition is the same.

    Args:
        space: Where to search; None when trials name their hyperparameters while running (define-by-run).
        objectives: What to improve: a metric's name (minimised), an Objective, a pair such as ("accuracy", "max"),
            several of these, or a mapping such as {"accuracy": "max", "size": "min"}.
        searcher: Who proposes: a name, or a mapping with "name" and the searcher's own arguments.
        scheduler: Who spends the resource: a name or a mapping. "straight" runs every trial to its end.
        fidelity: Axis of the resource, such as ("epoch", 1, 81).
        constraints: Metrics with upper bounds.
        stopping: Rules that end the whole study (or, with `advise`, say that it may end), such as ["plateau"] or
            [{"name": "budget", "seconds": 3600}]. The first that says so counts.
        past: Earlier studies, oldest first: studies, folders, "URL#NAME", and patterns such as "URL#retune-*" or (in
            this study's own store) "retune-*", which mean all studies of such a name, in the order of their making.
            The best configuration of the last three is tried early, and searchers that learn from earlier tasks
            see all of them.
        order: Where this study stands in time or in data size, where its past has such numbers; the last place if None.
        about: Facts on the task, kept for later studies, such as {"rows": 45312}.
        untouched: Name of a metric on data that nothing may learn from, such as "test_loss". Trials may report it; no
            searcher, scheduler or stopping rule is shown it, and it goes into `result.overtuning` alone.
        reshuffle: Give each trial a `run.split_seed` of its own; False: one for the study, so that trials are compared
            on the same data.
        incumbent: How the best trial is chosen. "auto": the lowest value, or the searcher's own recommendation where
            results are noisy. "single": the lowest value. "posterior-mean": the best mean of a Gaussian process among
            the tenth with the lowest values. "one-standard-error": within one standard error of the lowest value the
            one nearest to the default. "guarded": a run ends by measuring the best and the default again on fresh
            splits, a fifth more trials (see `confirm`), and keeps the default unless the gain exceeds its noise. It
            does not when the time is up, or a rule that waits for nothing (a budget, a target) has ended it.
        first: Configurations to try before the searcher is asked.
        defaults_first: Try the space's default configuration first, so that a result is never compared with nothing.
        repeats: Times each configuration is evaluated, with different seeds; the result is the mean.
        retries: Times a run that was lost (killed worker, dead driver) is started again.
        storage: URL of the store, such as "sqlite:///study.db", or a file; None: `folder/study.db`, or memory without a
            folder.
        folder: Where logs and checkpoints of trials go.
        name: Name in the store; default: the folder's name, or "study".
        seed: Decides every random draw.
        callbacks: Called as `callback(study, event)` for every event that this process wrote, once it is on disk.
        lease: Seconds without a sign of life after which a driver on another machine counts as dead.

    Raises:
        ArgumentError, SpaceError, UnsupportedError: arguments that do not fit, before anything is written.
        StorageError: the store cannot be used.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any] | None = None,
        objectives: Objectives = "loss",
        *,
        searcher: Part = "auto",
        scheduler: Part = "straight",
        fidelity: Fidelity | tuple[str, float, float] | None = None,
        constraints: Iterable[Constraint | tuple[str, float]] = (),
        stopping: Sequence[Part] = (),
        past: Iterable[Study | PastTask | str | Path] | str = (),
        order: float | None = None,
        about: Mapping[str, float | str] | None = None,
        untouched: str | None = None,
        reshuffle: bool = False,
        incumbent: str = "auto",
        first: Iterable[Mapping[str, Any]] = (),
        defaults_first: bool = True,
        repeats: int = 1,
        retries: int = 2,
        storage: str | Path | None = None,
        folder: str | Path | None = None,
        name: str | None = None,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        lease: float = 60.0,
    ) -> None:
        definition = define(
            space,
            objectives,
            searcher=searcher,
            scheduler=scheduler,
            fidelity=fidelity,
            constraints=constraints,
            past=gather(past, beside=_opened(storage, folder), but=name),
            first=first,
            defaults_first=defaults_first,
            repeats=repeats,
            retries=retries,
            seed=seed,
            stopping=stopping,
            selection=Selection(untouched or "", bool(reshuffle), incumbent),
            order=order,
            about=about,
        )
        where = None if folder is None else Path(folder)
        url = _opened(storage, folder) or "memory://"
        title = name or (where.resolve().name if where is not None else "study")
        store = open_storage(url, create=True)
        try:
            self._attach(store, definition, title, where, callbacks, lease)
        except BaseException:
            store.close()
            raise

    def _attach(
        self,
        store: Storage,
        definition: Definition,
        name: str,
        folder: Path | None,
        callbacks: Iterable[Callback],
        lease: float,
    ) -> None:
        known = {row.name: row for row in store.studies()}
        if name in known:
            row = known[name]
            kept = Definition.from_json(row.problem, seed=row.seed)
            differences = kept.differences(definition)
            if differences:
                wider = _widens(kept, definition)
                raise SpaceError(
                    f"study {name!r} in {store.url} was made with another definition: {'; '.join(differences)}. "
                    f"Allowed: the same one. Give another name or folder (--out){',' if wider else ' or'} open it as "
                    f"it is with Study.open{', or widen its space with study.widen(space)' if wider else ''}."
                )
            definition = kept
        else:
            try:
                row = store.create(name, seed=definition.seed, problem=definition.to_json())
            except StudyExists:  # another process has just made it
                self._attach(store, definition, name, folder, callbacks, lease)
                return
        self._begin(store, row.id, row.name, definition, folder, callbacks, lease)

    def _begin(
        self,
        store: Storage,
        row: int,
        name: str,
        definition: Definition,
        folder: Path | None,
        callbacks: Iterable[Callback],
        lease: float,
    ) -> None:
        self.name, self.folder, self._definition = name, folder, definition
        self.callbacks: list[Callback] = list(callbacks)
        self._stop: str | None = None
        self._kept = (None, (None, ""))
        self._lock = threading.RLock()
        self._session = Session(store, row, definition, self._heard, lease=lease)

    def _heard(self, event: Event) -> None:
        for callback in self.callbacks:
            callback(self, event)

    @classmethod
    def open(cls, where: str | Path, name: str | None = None, *, callbacks: Iterable[Callback] = ()) -> Study:
        """Open a study that exists.

        Args:
            where: Its folder, or the URL of its store, or `URL#NAME`.
            name: Its name, if the store holds several.
            callbacks: As in the constructor.

        Raises:
            StudyNotFound, StorageError: there is none, or it cannot be read.
        """
        url, inner = split_name(str(where))
        path = Path(url)
        store = open_storage(url, create=False)
        try:
            row = store.open(name or inner)
            definition = Definition.from_json(row.problem, seed=row.seed)
            study = cls.__new__(cls)
            folder = path if "://" not in url and path.is_dir() else None
            study._begin(store, row.id, row.name, definition, folder, callbacks, 60.0)
            kept = study._state.begun.get("folder")
            if study.folder is None and kept and Path(kept).is_dir():
                # where another store lives, this one is its copy: their trials share numbers, not files
                shared = not (Path(kept) / FILE).exists() or study._lives_in(Path(kept))
                study.folder = Path(kept) if shared else None
        except BaseException:
            store.close()
            raise
        return study

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(StorageError):  # the first error says more than the farewell that failed after it
            self.close()

    def close(self) -> None:
        """Say goodbye to the store. What is running elsewhere goes on; the log stays."""
        self._session.leave()
        self._session.storage.close()

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self._state.trials)} trials, {self._session.storage.url})"

    def stop(self, reason: str = "stopped by the user") -> None:
        """End a run that is going on (from a callback or another thread): running trials are stopped."""
        self._stop = reason

    def run(
        self,
        target: Target | Benchmark | None = None,
        *,
        trials: int | None = None,
        seconds: float | None = None,
        workers: int = 1,
        executor: str | Mapping[str, Any] | Executor | None = None,
        time_limit: float | None = None,
        memory_mb: float | None = None,
        gpus: float = 0,
        cpus: int | None = None,
        give_up: int = 5,
        stopping: bool = True,
        info: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a program until the budget is used.

        Args:
            target: A function of a `Run`, or a `Command`; for the executor `simulated` a benchmark.
            trials: Trials of the study in all, those of earlier runs counted in.
            seconds: Time for this call; what still runs then is stopped.
            workers: Trials at once.
            executor: "inline" (this process, the default for one worker), "processes" (the default for more), the
                name of another, {"name": ..., with its arguments}, or an instance.
            time_limit: Seconds that one run of a trial may take.
            memory_mb: Memory that a trial with all its processes may use, in megabytes.
            gpus: GPUs of one trial; a fraction shares one.
            cpus: Threads of one trial.
            give_up: End with an error when this many trials have failed and none has succeeded.
            stopping: Heed the study's stopping rules; False: go on in spite of them, as after one has ended it.
            info: What `luthier resume` needs to find the program again; the command line sets it.

        Returns:
            The result, of the whole study.

        Raises:
            ArgumentError: no budget for an infinite space, or a limit that the executor cannot keep.
            TrialError: the first `give_up` trials all failed.
            KeyboardInterrupt: Ctrl-C; the log is kept, and the message says how to go on.
        """
        from luthier.study._loop import Loop

        limits = Limits(time_limit, memory_mb, gpus, cpus)
        loop = Loop(
            self,
            target,
            executor,
            limits,
            workers=workers,
            trials=trials,
            seconds=seconds,
            give_up=give_up,
            stopping=stopping,
        )
        with self._lock:
            loop.run(info or {})
        return self.result()


def _widens(kept: Definition, asked: Definition) -> bool:
    """Whether the space that is asked for contains the stored one."""
    try:
        kept.problem.space.widen(asked.problem.space)
    except SpaceError:
        return False
    return True


def _opened(storage: str | Path | None, folder: str | Path | None) -> str | None:
    """The store of a study that is about to be made; None for memory."""
    if storage is not None:
        if not isinstance(storage, (str, Path)):
            raise ArgumentError(
                f"storage={storage!r}. Allowed: the URL of a store, or a database file. Write "
                "storage='sqlite:///study.db'."
            )
        return str(storage)
    return None if folder is None else str(Path(folder) / "study.db")
