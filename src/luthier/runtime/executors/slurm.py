"""Runs trials as jobs of a Slurm queue, through submitit: each run is a job of its own."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, ExecutorError, UnsupportedError
from luthier.base.imports import need
from luthier.base.records import Decision, Status
from luthier.base.registry import register
from luthier.runtime.executors._away import absolute, one_line, with_log
from luthier.runtime.executors._base import End, Executor, Host, Launch, Setting
from luthier.runtime.executors._channel import reply
from luthier.runtime.executors._slurm_worker import Job, Order, write

_POLL = 0.05  # seconds between two looks into the boxes
_ALIVE = 2.0  # seconds between two signs of life
_STATE = 1.0  # seconds between two looks at whether jobs still exist
#: What the queue says of a job that its program brought down; any other end without a word is the machine's.
_FAULTS = ("OUT_OF_MEMORY", "TIMEOUT")


@dataclass
class _Placed:
    """A job that was submitted.

    Args:
        launch: What it runs.
        worker: The name of its place.
        box: Its box.
        job: Submitit's job.
        heard: Messages read so far.
        begun: When it started to run, monotonic seconds; None while it waits in the queue.
        end: How it ends whatever the job says, once that is decided.
        overdue: When it must be over.
        looked: When its state was asked for.
    """

    launch: Launch
    worker: str
    box: Path
    job: Any
    heard: int = 0
    begun: float | None = None
    end: End | None = None
    overdue: float | None = None
    looked: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return 0.0 if self.begun is None else time.monotonic() - self.begun


@register("executor")
class Slurm(Executor):
    """Workers "job-0", "job-1", ... are how many jobs are in the queue at once; the driver itself may be a small job.

    Driver and jobs talk by files of a folder that all machines share (nothing listens on a port), so a report takes
    some hundredths of a second, and seconds on a slow network disk: for runs of minutes. A job whose driver is gone
    ends itself after `driver_seconds`; one that vanished (node failure, preemption, cancelled by hand) is lost, and
    starts again from its newest checkpoint.

    Args:
        folder: Shared folder for jobs and their messages; default: `jobs` in the study's folder.
        parameters: What submitit's `update_parameters` takes, such as {"slurm_partition": "gpu", "mem_gb": 32}.
            CPUs, GPUs, memory and time limit of `run` are set already.
        cluster: "slurm", "local" (processes of this machine: for trying out), or None: Slurm where it is there.
        driver_seconds: How long a job goes on without a sign of its driver. Default: longer than a restart of a
            network disk takes.
        grace_seconds: Longest time that a run may go on after it was told to stop or pause, before it is cancelled.
    """

    def __init__(
        self,
        *,
        folder: str | Path | None = None,
        parameters: Mapping[str, Any] | None = None,
        cluster: str | None = None,
        driver_seconds: float = 300.0,
        grace_seconds: float = 60.0,
    ) -> None:
        check("driver_seconds", driver_seconds, above=0)
        check("grace_seconds", grace_seconds, at_least=0)
        self._folder, self._parameters, self._cluster = folder, dict(parameters or {}), cluster
        self._driver_seconds, self._grace = driver_seconds, grace_seconds
        self.own = {
            "folder": folder,
            "parameters": parameters,
            "cluster": cluster,
            "driver_seconds": driver_seconds,
            "grace_seconds": grace_seconds,
        }
        self._setting: Setting | None = None
        self._host: Host | None = None
        self._queue: Any = None
        self._base = Path()
        self._places: dict[str, _Placed | None] = {}
        self._signed, self._count = 0.0, 0

    def open(self, setting: Setting, host: Host) -> None:
        """Get ready.

        Raises:
            MissingExtra: submitit is not installed.
            ArgumentError: there is no shared folder, or the program cannot be sent.
            UnsupportedError: the queue takes none of the parameters.
            ExecutorError: it is open already.
        """
        if self._setting is not None:
            raise ExecutorError("executor 'slurm': open() while it is open. Call close() first.")
        submitit = need("submitit", what="executor 'slurm'", extra="slurm")
        where = self._folder or (None if setting.folder is None else setting.folder / "jobs")
        if where is None:
            raise ArgumentError(
                "executor 'slurm' needs a folder that all machines share. Give the study one, Study(..., "
                "folder='/shared/demo'), or Slurm(folder=...)."
            )
        self._base = Path(where).absolute() / uuid.uuid4().hex[:12]
        self._base.mkdir(parents=True, mode=0o700)  # what lies there is unpickled: nobody else may write into it
        try:
            _pickled(setting.target)
            self._queue = submitit.AutoExecutor(folder=self._base / "submitit", cluster=self._cluster)
            self._queue.update_parameters(**self._wanted(setting))
        except (NameError, ValueError, RuntimeError, TypeError) as error:
            shutil.rmtree(self._base, ignore_errors=True)
            told = one_line(error)
            raise UnsupportedError(f"executor 'slurm': {told}. Look at `parameters` and `cluster`.") from error
        except BaseException:
            shutil.rmtree(self._base, ignore_errors=True)
            raise
        self._setting, self._host = setting, host
        self._places = {f"job-{i}": None for i in range(setting.workers)}
        self._sign()

    def _wanted(self, setting: Setting) -> dict[str, Any]:
        limits = setting.limits
        found: dict[str, Any] = {"name": f"luthier-{setting.labels.get('LUTHIER_STUDY', 'study')}"}
        if limits.cpus is not None:
            found["cpus_per_task"] = limits.cpus
        if limits.gpus:
            if limits.gpus != int(limits.gpus):
                raise UnsupportedError(f"executor 'slurm': gpus={limits.gpus:g}. Allowed: whole numbers.")
            found["gpus_per_node"] = int(limits.gpus)
        if limits.memory_mb is not None:
            found["mem_gb"] = limits.memory_mb / 1000
        if limits.seconds is not None:
            found["timeout_min"] = math.ceil(limits.seconds / 60) + 1  # the driver keeps the exact limit
        return {**found, **self._parameters}

    def free(self) -> Sequence[str]:
        """Places without a job."""
        return [name for name, placed in self._places.items() if placed is None]

    def submit(self, launch: Launch, worker: str) -> None:
        """Put a job into the queue."""
        setting = self._setting
        if worker not in self.free() or setting is None:
            raise ExecutorError(f"executor 'slurm': {worker!r} is not free. free() says which are.")
        self._count += 1
        box = self._base / f"{launch.trial:05d}-{launch.attempt}-{self._count}"
        box.mkdir()
        path = tuple(os.path.abspath(place) for place in sys.path)
        order = Order(str(box), absolute(launch), setting.target, path, dict(setting.labels), self._driver_seconds)
        try:
            job = self._queue.submit(Job(_pickled(order), str(box), path))
        except Exception as error:
            raise ExecutorError(f"executor 'slurm': the queue refused a job: {one_line(error)}. Try sbatch.") from error
        self._places[worker] = _Placed(launch, worker, box, job)

    def step(self, timeout: float) -> None:
        """Look into the boxes until one has something new, and tell the host."""
        if self._setting is None:
            raise ExecutorError("executor 'slurm': step() before open(). Call open() first.")
        deadline = time.monotonic() + max(0.0, timeout)
        while True:
            self._sign()
            heard = False
            for placed in list(self._running()):
                heard = self._look(placed) or heard
            if heard or time.monotonic() >= deadline:
                return
            time.sleep(_POLL)

    def cancel(self, trial: int) -> None:
        """End a run now; the next `step` tells the host."""
        for placed in self._running():
            if placed.launch.trial == trial and placed.end is None:
                self._kill(placed, End(Status.STOPPED, seconds=placed.seconds))

    def close(self, *, kill: bool = False) -> None:
        """Cancel what runs or waits."""
        if self._setting is None:
            return
        left = list(self._running())
        for placed in left:
            self._cancel(placed)
        deadline = time.monotonic() + 10
        while any(not _done(placed.job) for placed in left) and time.monotonic() < deadline:
            time.sleep(_POLL)
        self._places = {}
        self._setting = self._host = None
        shutil.rmtree(self._base, ignore_errors=True)

    # the boxes ------------------------------------------------------------------------------------------

    def _running(self) -> Sequence[_Placed]:
        return [placed for placed in self._places.values() if placed is not None]

    def _sign(self) -> None:
        if time.monotonic() - self._signed > _ALIVE:
            self._signed = time.monotonic()
            (self._base / "alive").write_text(str(self._signed))

    def _look(self, placed: _Placed) -> bool:
        """Read the next message of a run; whether the host was told something."""
        file = placed.box / f"ask-{placed.heard + 1}"
        if file.exists():
            placed.heard += 1
            kind, content = pickle.loads(file.read_bytes())  # from a job of our own, in our own folder
            file.unlink()
            return self._heed(placed, kind, content)
        if (placed.box / "ask-0").exists():
            raise self._broken(pickle.loads((placed.box / "ask-0").read_bytes())[1])
        self._keep_limits(placed)
        if time.monotonic() - placed.looked > _STATE:
            placed.looked = time.monotonic()
            # its last words may have come between the two looks
            if _done(placed.job) and not file.exists():
                self._vanished(placed)
                return True
        return False

    def _heed(self, placed: _Placed, kind: str, content: Any) -> bool:
        if kind == "begun":
            placed.begun = time.monotonic()
            return False
        if kind == "end":
            self._over(placed, content)
            return True
        if placed.end is not None or self._host is None:
            write(placed.box / f"answer-{placed.heard}", ("answer", Decision.STOP))
            return False
        found = reply(self._host, placed.launch, kind, content, self.now())
        if found.end is not None:
            self._end_soon(placed, End(found.end[0], None, found.end[1], placed.seconds))
        write(placed.box / f"answer-{placed.heard}", found.words)
        return True

    def _end_soon(self, placed: _Placed, end: End) -> None:
        placed.end, placed.overdue = end, time.monotonic() + self._grace

    def _keep_limits(self, placed: _Placed) -> None:
        assert self._setting is not None
        limit = self._setting.limits.seconds
        if placed.overdue is not None and time.monotonic() > placed.overdue:
            placed.overdue = None
            self._cancel(placed)
        elif placed.end is None and limit is not None and placed.seconds > limit:
            error = f"time limit of {limit:g} s exceeded"
            self._kill(placed, End(Status.FAILED, None, error, placed.seconds))

    def _kill(self, placed: _Placed, end: End) -> None:
        placed.end = end
        self._cancel(placed)

    def _cancel(self, placed: _Placed) -> None:
        (placed.box / "cancel").touch()
        placed.job.cancel(check=False)

    def _vanished(self, placed: _Placed) -> None:
        state = str(placed.job.state)
        text = f"job {placed.job.job_id} ended without a word ({state})"
        status = Status.FAILED if state.upper().startswith(_FAULTS) else Status.LOST
        self._over(placed, End(status, None, text, placed.seconds))

    def _over(self, placed: _Placed, end: End) -> None:
        self._places[placed.worker] = None
        shutil.rmtree(placed.box, ignore_errors=True)
        if self._host is not None:
            self._host.ended(placed.launch, self._with_log(placed.launch, placed.end or end), self.now())

    def _broken(self, text: str) -> ExecutorError:
        return ExecutorError(
            f"executor 'slurm': a job could not load the program: {text}. Every machine needs the same environment: a "
            "shared one, activated before the driver starts."
        )

    def _with_log(self, launch: Launch, end: End) -> End:
        assert self._setting is not None
        return with_log(launch, end, self._setting.folder)


def _done(job: Any) -> bool:
    return bool(job.done(force_check=False))


def _pickled(value: Any) -> bytes:
    cloudpickle = need("cloudpickle", what="executor 'slurm'", extra="slurm")
    try:
        blob: bytes = cloudpickle.dumps(value)
    except Exception as failure:
        raise ArgumentError(
            f"executor 'slurm': the program cannot be sent to another process ({one_line(failure)}). Allowed: a "
            "function that holds no open file, lock or connection. Make those inside it."
        ) from None
    return blob
