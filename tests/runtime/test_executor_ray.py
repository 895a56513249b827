"""Ray on a real cluster of this machine: places for runs, and the death of a run, a worker, a node and a driver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, ExecutorError, StudyNotFound, UnsupportedError
from luthier.base.records import Status
from luthier.runtime.executors._base import Limits, Setting
from luthier.testing.executor import EPOCHS, Recorder, launch, reports, work

ray = pytest.importorskip("ray", reason="ray is not installed (make test-slow has an environment with it)")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pytestmark = pytest.mark.slow
sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from kill_driver import gone  # noqa: E402

from luthier.runtime.executors.ray import Ray  # noqa: E402

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
#: Without its page: that is six processes more, and on a busy machine a node then misses Ray's 30 s to start.
HEAD = {"num_cpus": 2, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of this machine: the driver's, and another with more room."""
    found = cluster_utils.Cluster(initialize_head=True, head_node_args=HEAD)
    found.add_node(num_cpus=2, resources={"far": 2})
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


def _run(target, launches, *, workers=2, limits=None, folder=None, host=None, **options):
    executor, host = Ray(**options), host or Recorder()
    executor.open(Setting(target, folder=folder, workers=workers, limits=limits or Limits()), host)
    try:
        work(executor, host, launches)
    finally:
        executor.close()
    return host


def test_a_run_goes_where_its_resources_are(cluster):
    def where(run):
        return {"far": float(ray.get_runtime_context().get_node_id() != head), "pid": os.getpid()}

    head = ray.get_runtime_context().get_node_id()
    host = _run(where, [launch(i) for i in range(4)], resources={"far": 1})
    assert [end.result["far"] for end in host.ends.values()] == [1.0] * 4


def test_cpus_limit_how_many_run_at_once(cluster, tmp_path):
    def overlap(run):
        mark = tmp_path / f"{run.number}"
        mark.touch()
        time.sleep(0.3)
        seen = len(list(tmp_path.iterdir()))
        mark.unlink()
        return seen

    host = _run(overlap, [launch(i) for i in range(6)], workers=4, limits=Limits(cpus=2))
    assert max(end.result for end in host.ends.values()) <= 2


def test_what_no_node_can_hold_is_refused(cluster):
    with pytest.raises(UnsupportedError, match=r"a trial needs CPU=3, and no node has that \(nodes: CPU=2"):
        Ray().open(Setting(len, limits=Limits(cpus=3)), Recorder())
    with pytest.raises(UnsupportedError, match="a trial needs CPU=1, GPU=1"):
        Ray().open(Setting(len, limits=Limits(gpus=1)), Recorder())


def test_what_cannot_be_sent_is_refused(cluster):
    lock = threading.Lock()
    with pytest.raises(ArgumentError, match="cannot be sent to another process"):
        Ray().open(Setting(lambda run: lock), Recorder())


def test_a_program_that_cannot_be_loaded(cluster):
    with pytest.raises(ExecutorError, match=r"could not load the program: RuntimeError: no such thing"):
        _run(Unloadable(), [launch(0)])


class Unloadable:
    def __call__(self, run):
        return 0.0

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise RuntimeError("no such thing")


def test_limits_end_a_run_and_what_it_started(cluster, tmp_path):
    def slow(run):
        time.sleep(60)

    def fat(run):
        held = [bytearray(1_000_000) for _ in range(1500)]
        time.sleep(60)
        return len(held)

    def parent(run):
        child = subprocess.Popen(["sleep", "300"])
        (tmp_path / str(run.number)).write_text(str(child.pid))
        time.sleep(60 if run.number else 0)

    host = _run(slow, [launch(0)], limits=Limits(seconds=0.5))
    assert (host.ends[0].status, host.ends[0].error) == (Status.FAILED, "time limit of 0.5 s exceeded")
    host = _run(fat, [launch(0)], limits=Limits(memory_mb=600))
    assert host.ends[0].status is Status.FAILED
    assert host.ends[0].error.startswith("memory limit of 600 MB exceeded (used ")
    _run(parent, [launch(0), launch(1)], limits=Limits(seconds=1))
    pids = [int(path.read_text()) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 10
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(map(_runs, pids))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_killed_worker_is_a_lost_run(cluster):
    host = _run(lambda run: os.kill(os.getpid(), signal.SIGKILL), [launch(0)])
    assert host.ends[0].status is Status.LOST
    assert "worker-" in host.ends[0].error


def test_the_process_for_messages_may_be_killed(cluster):
    """What runs then is lost; what comes after finds a new one."""
    executor, host = Ray(), Recorder()

    def reports(run):
        for epoch in run.resources():
            time.sleep(0.1)
            run.report(loss=1.0, epoch=epoch)

    executor.open(Setting(reports, workers=1), host)
    try:
        executor.submit(launch(0, fidelity=EPOCHS), "worker-0")
        while not host.messages:
            executor.step(0.25)
        ray.kill(executor._mailbox)
        while 0 not in host.ends:
            executor.step(0.25)
        assert host.ends[0].status is Status.LOST
        work(executor, host, [launch(1, fidelity=EPOCHS)])
        assert host.ends[1].status is Status.COMPLETED
    finally:
        executor.close()


def careless(run):
    """Reports at every step and goes on whatever happens."""
    for _ in run.resources():
        try:
            run.report(loss=1.0)
        except BaseException:
            print("swallowed")
    return {"loss": 0.0}


@pytest.mark.parametrize("target", [reports, careless], ids=lambda target: target.__name__)
def test_a_run_that_hears_first_that_the_mailbox_is_gone_is_lost(cluster, tmp_path, target):
    executor, host = Ray(), Recorder()
    executor.open(Setting(target, folder=tmp_path), host)
    try:
        executor.submit(launch(0, fidelity=EPOCHS), "worker-0")
        ray.wait([executor._mail])  # its first word is there; the driver does not read it
        ray.kill(executor._mailbox)
        ray.wait([executor._tasks[0, 1].reference])
        executor._over((0, 1))  # the end of the run is read before the end of the mailbox
        assert host.ends[0].status is Status.LOST
        assert host.ends[0].error == "Ray's process for messages died"
        executor.step(0.25)
    finally:
        executor.close()


SPACE = lu.Space(x=lu.Float(0, 1))


def climb(run):
    """Reports at every step, and goes on from its checkpoint."""
    at = json.loads((run.checkpoint / "state.json").read_text()) if run.checkpoint else 0
    assert at == run.after, f"the checkpoint holds {at}, the study says {run.after}"
    for epoch in run.resources():
        time.sleep(run.config.get("pause", 0.05))
        with run.save() as folder:
            (folder / "state.json").write_text(json.dumps(epoch))
        run.report(loss=(run.config["x"] - 0.3) ** 2 + 1 / epoch, epoch=epoch)


def _sound(study, trials):
    events = study.events()
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert len(study.trials) == trials
    assert all(t.status.ended and t.status is not Status.LOST for t in study.trials), study.trials
    assert study.replay().differences == []


def test_a_study_with_promotion_on_two_nodes(cluster, tmp_path):
    with lu.Study(SPACE, searcher="random", scheduler={"name": "asha", "type": "promotion"}, fidelity=("epoch", 1, 9),
                  folder=tmp_path / "study") as study:  # fmt: skip
        study.run(climb, trials=12, workers=4, executor="ray")
        _sound(study, 12)
        assert any(t.runs > 1 for t in study.trials)


@pytest.mark.parametrize("protocol", ["file://", ""])
def test_checkpoints_behind_a_url(cluster, tmp_path, protocol):
    """Clones and paused trials go on from there; the study's own folder holds none of it."""
    executor = Ray(checkpoints=f"{protocol}{tmp_path}/far")
    with lu.Study(SPACE, scheduler={"name": "pbt", "population": 4, "every": 2, "synchronous": True},
                  fidelity=("epoch", 1, 8), folder=tmp_path / "study") as study:  # fmt: skip
        study.run(climb, workers=4, executor=executor)
        assert any(t.parent is not None for t in study.trials)
        assert sum(t.status is Status.COMPLETED for t in study.trials) == 4
        assert study.replay().differences == []
    kept = [p for p in (tmp_path / "far").glob("*/r*") if p.is_dir()]
    assert kept
    assert all((p / ".whole").exists() and json.loads((p / "state.json").read_text()) for p in kept)
    assert not list((tmp_path / "study").glob("trials/*/checkpoints"))
    assert list((tmp_path / "far").glob("*/run-*.log")) == []  # nothing was printed


def test_a_node_dies_and_the_study_ends_complete(tmp_path):
    """Runs of the dead node start again elsewhere, from their newest checkpoint."""
    _shutdown()
    found = cluster_utils.Cluster(initialize_head=True, head_node_args=HEAD)
    victim = found.add_node(num_cpus=2)
    ray.init(address=found.address, log_to_driver=False)
    try:
        with lu.Study(SPACE, searcher="random", fidelity=("epoch", 1, 30), folder=tmp_path / "study") as study:
            seen = []

            def kill(study, event):
                if event.kind == "reported" and event.data["resource"] == 10 and not seen:
                    seen.append(event)
                    found.remove_node(victim, allow_graceful=False)

            study.callbacks.append(kill)
            study.run(climb, trials=8, workers=4, executor="ray")
            _sound(study, 8)
            lost = [e for e in study.events() if e.kind == "lost"]
            assert 1 <= len(lost) <= 2, lost
            for event in lost:
                again = next(e for e in study.events() if e.kind == "started" and e.trial == event.trial
                             and e.seq > event.seq)  # fmt: skip
                assert "checkpoint" in again.data
    finally:
        ray.shutdown()
        found.shutdown()


def _shutdown():
    if ray.is_initialized():
        ray.shutdown()


DRIVER = """
import sys
sys.path.insert(0, {here!r})
import luthier as lu
from test_executor_ray import SPACE, climb

if __name__ == "__main__":
    with lu.Study(SPACE, searcher="random", fidelity=("epoch", 1, 20), folder="study") as study:
        study.run(climb, trials=8, workers=4, executor="ray")
"""


def test_a_driver_dies_and_is_resumed(tmp_path):
    """Its cluster goes with it; started again at once, the study ends with every trial, and loses no report."""
    (tmp_path / "driver.py").write_text(DRIVER.format(here=str(Path(__file__).parent)))
    marks = [uuid.uuid4().hex, uuid.uuid4().hex]
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    env.pop("RAY_ADDRESS", None)

    def start(mark):
        log, own = (tmp_path / "output.txt").open("ab"), {**env, "LUTHIER_FAULT_MARK": mark}
        return subprocess.Popen([sys.executable, "driver.py"], cwd=tmp_path, env=own, stdout=log, stderr=log)

    driver, deadline = start(marks[0]), time.monotonic() + 120
    while time.monotonic() < deadline:
        if (tmp_path / "study" / "study.db").exists():
            with suppress(StudyNotFound), lu.Study.open(tmp_path / "study") as study:  # the store comes before it
                if sum(e.kind == "reported" for e in study.events()) > 20:
                    break
        time.sleep(0.2)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    with lu.Study.open(tmp_path / "study") as study:
        before = [e for e in study.events() if e.kind == "reported"]
    again = start(marks[1])  # while the first one's cluster is still about to end
    assert gone(marks[0], seconds=180) == []  # trials at once; two agents of Ray's own notice after a minute
    assert again.wait(timeout=240) == 0, (tmp_path / "output.txt").read_text()
    assert gone(marks[1], seconds=60) == []
    with lu.Study.open(tmp_path / "study") as study:
        _sound(study, 8)
        assert [e for e in study.events() if e.kind == "reported"][: len(before)] == before
