"""The fault matrix: a real study, real faults at drawn moments, and a count of what they cost.

Each round runs one study with one or two drivers of two workers each, injects a number of faults of one kind at drawn
moments, starts drivers that died again, and lets the study come to its end. Then it is counted: reports that were
acknowledged and are not in the log (lost), trials that did not end (stuck), processes that outlived their driver
(orphans), trials that ended twice or numbers missing (doubled), gaps in the log, and decisions that `replay` finds
different.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from kill_driver import gone, members

import luthier as lu
from luthier.testing.postgres import Server

HERE = Path(__file__).parent
PATIENCE = 240.0  # seconds for one study
_NAMES = {"ray": b"ray::run_trial", "mailbox": b"ray::Mailbox", "processes": b"_worker import main"}


@dataclass
class Round:
    """What one study went through, and what was found."""

    store: str
    executor: str
    fault: str
    faults: int = 0
    acknowledged: int = 0
    lost: int = 0
    stuck: int = 0
    orphans: int = 0
    doubled: int = 0
    gaps: int = 0
    different: int = 0
    trials: int = 0
    reruns: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost."""
        return self.lost + self.stuck + self.orphans + self.doubled + self.gaps + self.different == 0 and not self.wrong


@dataclass
class Driver:
    """A driver process, and the mark that all it starts carries."""

    process: subprocess.Popen[bytes]
    mark: str

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


class Study:
    """A study under faults.

    Args:
        folder: Its folder.
        url: Its store.
        settings: More for `matrix_driver.py`.
        drivers: How many at once.
        each: Settings of single drivers.
    """

    def __init__(self, folder: Path, url: str, drivers: int, **settings: Any) -> None:
        self.folder, self.url, self.settings = folder, url, settings
        self.drivers: list[Driver] = []
        self.orphans = 0
        self._count = 0
        for _ in range(drivers):
            self.start()

    def start(self) -> Driver:
        """One more driver."""
        self._count += 1
        given = {**self.settings, "url": self.url, "folder": str(self.folder / "study")}
        if given.pop("hosts", False):  # each on a machine of its own: only the lease tells that one is dead
            given["host"] = f"machine-{self._count}"
        file = self.folder / f"driver-{self._count}.json"
        file.write_text(json.dumps(given))
        mark = uuid.uuid4().hex
        env = {**os.environ, "LUTHIER_FAULT_MARK": mark, **self.settings.get("env", {})}
        log = (self.folder / "output.txt").open("ab")
        process = subprocess.Popen(
            [sys.executable, HERE / "matrix_driver.py", file], env=env, stdout=log, stderr=log, start_new_session=True
        )
        self.drivers.append(Driver(process, mark))
        return self.drivers[-1]

    def living(self) -> list[Driver]:
        return [driver for driver in self.drivers if driver.alive]

    def kill(self, driver: Driver) -> None:
        """kill -9, and what it leaves behind within ten seconds."""
        driver.process.kill()
        driver.process.wait()
        self.orphans += len(gone(driver.mark))

    def reports(self) -> int:
        file = self.folder / "study" / "acknowledged.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def wait(self, seconds: float) -> bool:
        """Let it work; whether it still does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.living():
            time.sleep(0.01)
        return bool(self.living())

    def finish(self, restart: bool = True) -> bool:
        """Run to the end; whether it came."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if not self.living():
                if self.drivers[-1].process.returncode == 0:
                    return True
                if not restart:
                    return False
                self.start()
            time.sleep(0.02)
        for driver in self.living():
            self.kill(driver)
        return False


# faults: each injects one, and says whether it met something --------------------------------------------------------

Fault = Callable[[Study, random.Random], bool]


def find(executor: str, within: set[int]) -> list[int]:
    """Worker processes among others, by what they were started with."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) in within:
            with suppress(OSError):
                if _NAMES[executor] in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def kill_driver(study: Study, rng: random.Random) -> bool:
    """kill -9 of a driver; another one is started."""
    living = study.living()
    if not living:
        return False
    study.kill(rng.choice(living))
    study.start()
    return True


def kill_tree(study: Study, rng: random.Random) -> bool:
    """kill -9 of a driver and everything it has started, at once."""
    living = study.living()
    if not living:
        return False
    driver = rng.choice(living)
    for pid in members(driver.mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    study.kill(driver)
    study.start()
    return True


def kill_worker(study: Study, rng: random.Random) -> bool:
    """kill -9 of one worker process."""
    return _signal_worker(study, rng, signal.SIGKILL)


def _signal_worker(study: Study, rng: random.Random, number: signal.Signals) -> bool:
    executor = study.settings["executor"]
    marks = [study.settings["cluster"]] if executor == "ray" else [driver.mark for driver in study.living()]
    found = find(executor, {pid for mark in marks for pid in members(mark)})
    if not found:
        return False
    pid = rng.choice(found)
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        if number is signal.SIGSTOP:
            time.sleep(0.5)
            os.kill(pid, signal.SIGCONT)
    return True


def stop_worker(study: Study, rng: random.Random) -> bool:
    """SIGSTOP of a worker process for half a second."""
    return _signal_worker(study, rng, signal.SIGSTOP)


def stop_driver(study: Study, rng: random.Random) -> bool:
    """SIGSTOP of a driver for half a second; for twice its lease where only the lease is known to the others."""
    living = study.living()
    if not living:
        return False
    pid = rng.choice(living).process.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2 * study.settings.get("lease", 0.25))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    return True


def kill_mailbox(study: Study, rng: random.Random) -> bool:
    """kill -9 of the process by which Ray's tasks and the driver talk."""
    found = find("mailbox", set(members(study.settings["cluster"])))
    for pid in found[:1]:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


# rounds -------------------------------------------------------------------------------------------------------------


def play(study: Study, fault: Fault | None, count: int, rng: random.Random, found: Round, pause: float = 0.35) -> None:
    """Inject faults until there are enough or the study is over."""
    deadline = time.monotonic() + 60
    while study.reports() < 3 and study.living() and time.monotonic() < deadline:
        time.sleep(0.01)
    while fault is not None and found.faults < count and study.wait(rng.uniform(0.05, 2 * pause)):
        found.faults += fault(study, rng)


def judge(study: Study, found: Round, finished: bool) -> Round:
    """Count what is wrong."""
    for driver in study.drivers:
        left = gone(driver.mark)
        study.orphans += len(left)
    found.orphans = study.orphans
    if not finished:
        found.wrong.append("the study did not end: " + (study.folder / "output.txt").read_text()[-1500:])
    file = study.folder / "study" / "acknowledged.jsonl"
    told = {tuple(json.loads(line)) for line in file.read_text().splitlines()} if file.exists() else set()
    with lu.Study.open(study.url, "matrix") as opened:
        events, trials = opened.events(), opened.trials
        reports = {(e.trial, e.data["resource"], e.data["metrics"]["loss"]) for e in events if e.kind == "reported"}
        found.acknowledged, found.lost = len(told), len(told - reports)
        found.trials = len(trials)
        done = (lu.Status.COMPLETED, lu.Status.STOPPED)
        found.stuck = sum(t.status not in done for t in trials)
        found.wrong += [f"trial {t.number} {t.status.value}: {t.error}" for t in trials if t.status not in done]
        asked = [e.trial for e in events if e.kind == "asked"]
        found.doubled = len(asked) - len(set(asked)) + abs(len(set(asked)) - study.settings["trials"])
        found.gaps = sum(event.seq != place for place, event in enumerate(events, 1))
        found.different = len(opened.replay().differences)
        found.reruns = sum(e.kind == "lost" for e in events)
    return found


@contextmanager
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="luthier-fault-") as name:
        yield Path(name)


def sqlite_round(name: str, fault: Fault | None, count: int, rng: random.Random, *, trials: int, drivers: int = 1,
                 **settings: Any) -> Round:  # fmt: skip
    """One study on SQLite with worker processes."""
    found, begin = Round("SQLite", "processes", name), time.monotonic()
    with place() as folder:
        url = f"sqlite:///{folder}/study.db"
        study = Study(folder, url, drivers, trials=trials, workers=2, executor="processes", **settings)
        play(study, fault, count, rng, found)
        judge(study, found, study.finish())
    found.seconds = round(time.monotonic() - begin, 1)
    return found


def postgres_round(server: Server, name: str, fault: Fault, count: int, rng: random.Random, *, trials: int,
                   **settings: Any) -> Round:  # fmt: skip
    """One study on PostgreSQL with two drivers, each as if on a machine of its own."""
    found, begin = Round("PostgreSQL", "processes", name), time.monotonic()
    with place() as folder:
        study = Study(folder, server.new(), 2, trials=trials, workers=2, executor="processes", hosts=True, lease=2.0,
                      **settings)  # fmt: skip
        play(study, fault, count, rng, found)
        judge(study, found, study.finish())
    found.seconds = round(time.monotonic() - begin, 1)
    return found


def cutting(server: Server) -> Fault:
    """`pg_terminate_backend` on every connection of the drivers."""
    return lambda study, rng: server.cut() > 0


def crashing(server: Server) -> Fault:
    """The server's first process is killed, or it is ended at once, or in order; then it is started again."""

    def crash(study: Study, rng: random.Random) -> bool:
        server.restart(rng.choice([signal.SIGKILL, signal.SIGQUIT, signal.SIGINT]))
        return True

    return crash


def ray_round(name: str, fault: Fault | None, count: int, rng: random.Random, *, trials: int, nodes: int = 0) -> Round:
    """One study on SQLite with Ray's workers, on a cluster of two nodes that outlives the drivers."""
    from ray.cluster_utils import Cluster

    found, begin = Round("SQLite", "ray", name), time.monotonic()
    mark = os.environ["LUTHIER_FAULT_CLUSTER"] = uuid.uuid4().hex  # all that the cluster starts carries it
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        others = [cluster.add_node(num_cpus=2)]

        def node(study: Study, rng: random.Random) -> bool:
            cluster.remove_node(others.pop(), allow_graceful=False)
            others.append(cluster.add_node(num_cpus=2))
            return True

        with place() as folder:
            url = f"sqlite:///{folder}/study.db"
            env = {"RAY_ADDRESS": cluster.address, "RAY_USAGE_STATS_ENABLED": "0"}
            study = Study(folder, url, 1, trials=trials, workers=3, executor="ray", env=env, cluster=mark)
            play(study, node if nodes else fault, nodes or count, rng, found, pause=1.0)
            finished = study.finish()
            deadline = time.monotonic() + 20
            while (left := find("ray", set(members(mark)))) and time.monotonic() < deadline:
                time.sleep(0.1)
            study.orphans += len(left)
            judge(study, found, finished)
    finally:
        cluster.shutdown()
    found.seconds = round(time.monotonic() - begin, 1)
    return found


def disk_full_round(rng: random.Random, *, trials: int) -> Round:
    """A file system of 800 kB fills up, as often as it takes; each time it is made larger, and the driver resumed."""
    found, begin = Round("SQLite", "processes", "disk full"), time.monotonic()
    with place() as folder:
        mount = folder / "disk"
        mount.mkdir()
        size = 800
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", mount], check=True)
        try:
            study = Study(mount, f"sqlite:///{mount}/study.db", 1, trials=trials, workers=2, executor="processes")
            while True:
                if study.finish(restart=False):
                    break
                output = (mount / "output.txt").read_text()
                found.faults += 1
                if found.faults > 12:
                    found.wrong.append(f"it does not end: {output[-1000:]}")
                    break
                size += 500
                subprocess.run(["mount", "-o", f"remount,size={size}k", mount], check=True)
                study.start()
            judge(study, found, study.finish())
        finally:
            subprocess.run(["umount", "-l", mount], check=True)
    found.seconds = round(time.monotonic() - begin, 1)
    return found


def row(found: Round) -> dict[str, Any]:
    return asdict(found)
