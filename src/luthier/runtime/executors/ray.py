"""Runs trials as Ray tasks: on every machine of a cluster, each with the resources it asks for."""

from __future__ import annotations

import os
import sys
import time
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
from luthier.runtime.executors._channel import REFUSALS, reply
from luthier.runtime.executors._checkpoints import pin
from luthier.runtime.executors._ray_worker import NO_MAIL, Key, Mailbox, Order, run_trial
from luthier.runtime.executors._remote import Store

_LOOK = 0.25  # seconds between two looks at limits


@dataclass
class _Task:
    """A run under way.

    Args:
        launch: What runs.
        worker: The name of its slot.
        reference: Ray's reference to its end.
        sent: When it was submitted, monotonic seconds.
        begun: When a node took it, None while it waits for one.
        end: How it ends whatever Ray says, once that is decided (a limit, a refused report, a stop).
        overdue: When it must be over, None without such a moment.
    """

    launch: Launch
    worker: str
    reference: Any
    sent: float = field(default_factory=time.monotonic)
    begun: float | None = None
    end: End | None = None
    overdue: float | None = None

    @property
    def seconds(self) -> float:
        return 0.0 if self.begun is None else time.monotonic() - self.begun


@register("executor")
class Ray(Executor):
    """Workers "worker-0", "worker-1", ... are places in a queue: Ray finds the node and the process for each run.

    A run is one task with `Limits.cpus` CPUs (default 1), `Limits.gpus` GPUs and `resources`; Ray's own process runs
    it, warm from one run to the next. It is sent by value, so that functions of notebooks and scripts work; luthier has
    to be installed on every node. When a worker process or a node dies, its runs are lost and start again (`retries`)
    from their newest checkpoint. When the driver dies, Ray ends its tasks, and a guardian what they had started.

    Nodes have to share the study's folder (its logs and checkpoints), or `checkpoints` names a URL that all of them
    reach: then each run works in a folder of its own on its node, and checkpoints and output are copied there.

    It joins the cluster that this process is connected to, or that `address` or RAY_ADDRESS names; without one it
    starts a cluster on this machine, and ends it at the close. `Limits.memory_mb` is watched on the node and asked of
    Ray for placement.

    Args:
        address: As for `ray.init`, such as "auto" or "10.0.0.5:6379".
        resources: More that a run needs, such as {"big_disk": 1}.
        checkpoints: URL for checkpoints, such as "s3://bucket/study"; anything that fsspec reaches.
        grace_seconds: Longest time that a run may go on after it was told to stop or pause, before it is killed.
            Default: enough to store a large model.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        checkpoints: str | None = None,
        grace_seconds: float = 60.0,
    ) -> None:
        check("grace_seconds", grace_seconds, at_least=0)
        self._address, self._resources = address, dict(resources or {})
        self._grace = grace_seconds
        own: dict[str, Any] = {"address": address, "resources": resources, "checkpoints": checkpoints}
        self.own = {**own, "grace_seconds": grace_seconds}
        self._store = None if checkpoints is None else Store(checkpoints)
        self._setting: Setting | None = None
        self._host: Host | None = None
        self._ray: Any = None
        self._started = False  # whether the cluster is ours
        self._slots: list[str] = []
        self._tasks: dict[Key, _Task] = {}
        self._mailbox: Any = None
        self._mail: Any = None  # reference to what comes next
        self._call: Any = None
        self._order: Any = None
        self._looked = 0.0

    def open(self, setting: Setting, host: Host) -> None:
        """Connect, or start a cluster.

        Raises:
            MissingExtra: Ray is not installed.
            UnsupportedError: the cluster can never hold a single run.
            ArgumentError: the program cannot be sent.
            ExecutorError: it is open already, or the cluster cannot be reached.
        """
        if self._setting is not None:
            raise ExecutorError("executor 'ray': open() while it is open. Call close() first.")
        self._ray = need("ray", what="executor 'ray'", extra="ray")
        target = self._pickled(setting.target)
        self._connect(setting.workers)
        try:
            options = self._options(setting)
            self._fits(options)
            self._call = self._ray.remote(run_trial).options(**options)
            self._setting, self._host = setting, host
            self._slots, self._tasks = [f"worker-{i}" for i in range(setting.workers)], {}
            self._open_mailbox(target)
        except BaseException:
            self._disconnect()
            self._setting = self._host = None
            raise

    def _connect(self, workers: int) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no call to the outside that nobody asked for
        # without "local" Ray would join what is left of a cluster whose driver has just died
        address = self._address or os.environ.get("RAY_ADDRESS") or "local"
        # one CPU a worker on a cluster of our own: two runs may share a core, as under `processes`
        local = {"num_cpus": max(workers, os.cpu_count() or 1)} if address == "local" else {}
        try:
            self._ray.init(address=address, log_to_driver=False, include_dashboard=False if local else None, **local)
        except Exception as error:
            raise ExecutorError(
                f"executor 'ray': no connection to {'its cluster' if local else address}: {one_line(error)}. Look with "
                "`ray status`, or start a cluster: ray start --head."
            ) from error
        self._started = True

    def _options(self, setting: Setting) -> dict[str, Any]:
        limits = setting.limits
        options: dict[str, Any] = {"num_cpus": limits.cpus or 1, "max_retries": 0, "resources": self._resources}
        if limits.gpus:
            options["num_gpus"] = limits.gpus
        if limits.memory_mb is not None:
            options["memory"] = int(limits.memory_mb * 1e6)
        return options

    def _fits(self, options: Mapping[str, Any]) -> None:
        """Refuse what no node can hold: Ray would wait for ever."""
        wants = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus", 0), "memory": options.get("memory", 0)}
        wants |= options["resources"]
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= amount for name, amount in wants.items()) for node in nodes):
            return
        asked = ", ".join(f"{name}={amount:g}" for name, amount in wants.items() if amount)
        has = "; ".join(", ".join(f"{k}={v:g}" for k, v in sorted(node.items()) if ":" not in k) for node in nodes)
        raise UnsupportedError(
            f"executor 'ray': a trial needs {asked}, and no node has that (nodes: {has}). Ask for less, or add a node."
        )

    def _pickled(self, target: Any) -> bytes:
        try:
            blob: bytes = self._ray.cloudpickle.dumps(target)
        except Exception as failure:
            name = getattr(target, "__qualname__", None) or repr(target)
            raise ArgumentError(
                f"executor 'ray': {name} cannot be sent to another process ({one_line(failure)}). Allowed: a function "
                "that holds no open file, lock or connection. Make those inside it."
            ) from None
        return blob

    def _open_mailbox(self, target: bytes) -> None:
        assert self._setting is not None
        here = self._ray.get_runtime_context().get_node_id()
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        actor = self._ray.remote(Mailbox).options(
            num_cpus=0, max_restarts=0, max_concurrency=10_000, scheduling_strategy=affinity
        )
        self._mailbox = actor.remote()
        setting = self._setting
        remote = None if self._store is None else self._store.url
        path = tuple(os.path.abspath(place) for place in sys.path)
        order = Order(target, self._mailbox, path, setting.labels, setting.limits.memory_mb, remote)
        self._order, self._mail = self._ray.put(order), self._mailbox.take.remote()

    def free(self) -> Sequence[str]:
        """Places without a run."""
        taken = {task.worker for task in self._tasks.values()}
        return [slot for slot in self._slots if slot not in taken]

    def submit(self, launch: Launch, worker: str) -> None:
        """Hand a run to Ray."""
        if worker not in self.free():
            raise ExecutorError(f"executor 'ray': {worker!r} is not free. free() says which workers are.")
        launch = absolute(launch)
        self._tasks[launch.trial, launch.attempt] = _Task(launch, worker, self._call.remote(self._order, launch))

    def step(self, timeout: float) -> None:
        """Wait for the tasks, pass on what they say, and keep the limits."""
        if self._setting is None:
            raise ExecutorError("executor 'ray': step() before open(). Call open() first.")
        deadline = time.monotonic() + max(0.0, timeout)
        while True:
            left = deadline - time.monotonic()
            heard = self._listen(max(0.0, min(left, _LOOK)))
            self._keep_limits()
            if heard or left <= 0:
                return

    def cancel(self, trial: int) -> None:
        """Kill a run; the next `step` tells the host."""
        for task in self._tasks.values():
            if task.launch.trial == trial and task.end is None:
                self._kill(task, End(Status.STOPPED, seconds=task.seconds))

    def close(self, *, kill: bool = False) -> None:
        """End what runs, and a cluster that was started for it."""
        if self._setting is None:
            return
        for task in self._tasks.values():
            self._cancel(task)
        self._tasks, self._slots = {}, []
        self._setting = self._host = None
        if self._mailbox is not None and not self._started:
            self._ray.kill(self._mailbox)
        self._mailbox = self._mail = self._order = None
        self._disconnect()

    def holds(self, checkpoint: Path) -> bool:
        """Whether a checkpoint is there, on disk or behind the URL."""
        return checkpoint.is_dir() if self._store is None else self._store.holds(checkpoint)

    def pin(self, checkpoint: Path) -> None:
        """Keep a checkpoint for good."""
        if self._store is None:
            pin(checkpoint)
        else:
            self._store.pin(checkpoint)

    def _disconnect(self) -> None:
        if self._started:
            self._ray.shutdown()
        self._started = False

    # what the tasks say ---------------------------------------------------------------------------------

    def _listen(self, seconds: float) -> bool:
        """Wait for mail and ends, and handle them; whether the host was told something."""
        ends = {task.reference: key for key, task in self._tasks.items()}
        # mail comes first: a task may have put its last word there just before its end
        ready, _ = self._ray.wait([self._mail, *ends], timeout=seconds)
        if not ready:
            return False
        more, _ = self._ray.wait([self._mail, *ends], num_returns=len(ends) + 1, timeout=0)
        heard = self._mail in more and self._receive()
        for reference in more:
            key = ends.get(reference)
            if key in self._tasks:
                self._over(key)
                heard = True
        return heard

    def _receive(self) -> bool:
        try:
            letters = self._ray.get(self._mail)
        except self._ray.exceptions.RayActorError:
            self._lose_mailbox()
            return True
        self._mail = self._mailbox.take.remote()
        heard = False
        for number, key, kind, content in letters:
            task, host = self._tasks.get(key), self._host
            if task is None or host is None or task.end is not None:
                if kind in REFUSALS:
                    self._mailbox.answer.remote(number, ("answer", Decision.STOP))
                continue
            if kind == "begun":
                task.begun = time.monotonic()
            elif kind == "over":
                task.end = End(Status.FAILED, None, content, task.seconds)
            else:
                self._answer(task, host, number, kind, content)
                heard = True
        return heard

    def _answer(self, task: _Task, host: Host, number: int, kind: str, content: Any) -> None:
        found = reply(host, task.launch, kind, content, self.now())
        if found.end is not None:
            self._end_soon(task, End(found.end[0], None, found.end[1], task.seconds))
        self._mailbox.answer.remote(number, found.words)

    def _end_soon(self, task: _Task, end: End) -> None:
        task.end, task.overdue = end, time.monotonic() + self._grace

    def _lose_mailbox(self) -> None:
        """Its process was killed: nothing can be heard of what runs, so it is lost; a new one serves the next."""
        assert self._order is not None
        for task in self._tasks.values():
            if task.end is None:
                self._kill(task, End(Status.LOST, None, NO_MAIL, task.seconds))
        self._open_mailbox(self._ray.get(self._order).target)

    def _over(self, key: Key) -> None:
        task, errors = self._tasks.pop(key), self._ray.exceptions
        try:
            kind, content = self._ray.get(task.reference)
        except errors.RayTaskError as error:  # outside of the program: our own fault, or that of the installation
            raise self._broken(one_line(error.cause or error)) from error
        except errors.RuntimeEnvSetupError as error:
            raise self._broken(one_line(error)) from error
        except errors.RayError as error:
            kind, content = "end", End(Status.LOST, None, f"{task.worker}: {one_line(error)}", task.seconds)
        if kind == "broken":
            raise self._broken(content)
        end: End = content if task.end is None else task.end
        if self._host is not None:
            self._host.ended(task.launch, self._with_log(task.launch, end), self.now())

    def _broken(self, text: str) -> ExecutorError:
        return ExecutorError(
            f"executor 'ray': a worker could not load the program: {text}. Every node needs luthier and what the "
            "program imports (pip install, or ray.init(runtime_env=...))."
        )

    # limits ---------------------------------------------------------------------------------------------

    def _keep_limits(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        assert self._setting is not None
        limit = self._setting.limits.seconds
        for task in self._tasks.values():
            if task.overdue is not None and now > task.overdue:
                self._cancel(task)
                task.overdue = None
            elif task.end is None and limit is not None and task.seconds > limit:
                error = f"time limit of {limit:g} s exceeded"
                self._kill(task, End(Status.FAILED, None, error, task.seconds))

    def _kill(self, task: _Task, end: End) -> None:
        task.end = end
        self._cancel(task)

    def _cancel(self, task: _Task) -> None:
        self._ray.cancel(task.reference, force=True)

    def _with_log(self, launch: Launch, end: End) -> End:
        assert self._setting is not None
        return with_log(launch, end, self._setting.folder)
