"""Worker processes: limits, deaths, output, GPUs, and that nothing stays behind, not even after kill -9."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from luthier.base.errors import ArgumentError, ExecutorError, SpaceError, UnsupportedError
from luthier.base.records import Decision, Fidelity, Status
from luthier.runtime.executors import Limits, Setting, _tree
from luthier.runtime.executors._process import end_of
from luthier.runtime.executors.inline import Inline
from luthier.runtime.executors.processes import Processes
from luthier.testing.executor import Recorder, launch, returns, work

PATIENCE = 90.0
EPOCHS = Fidelity("epoch", 1, 9)
linux = pytest.mark.skipif(not _tree.LINUX, reason="needs /proc")


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def carriers(sign):
    """Living processes that were started with a text in their environment."""
    table = _tree.table()
    return {pid for pid in _tree.marked(sign, table) if not table[pid].dead}


@pytest.fixture
def opened():
    """Opens executors and asserts that they leave no process behind."""
    executors, signs = [], []

    def make(target, *, limits=None, workers=1, folder=None, **own):
        executor, host = Processes(**own), Recorder()
        sign = f"sign-{os.getpid()}-{len(signs)}-{time.monotonic_ns()}"
        signs.append(sign)
        setting = Setting(target, folder, limits or Limits(), workers, {"TEST_SIGN": sign})
        executor.open(setting, host)
        executors.append(executor)
        return executor, host, sign

    yield make
    for executor in executors:
        executor.close(kill=True)
    for sign in signs:
        assert carriers(sign) == set()


# ways to misbehave: at the top level, so that workers can import them ------------------------------------------


def hangs(run):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def holds_the_lock(run):
    ctypes.PyDLL(None).sleep(600)  # a C call that keeps the interpreter's lock: no thread of ours can run


def eats(run):
    block = bytearray(400_000_000)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(600)


def breeds(run):
    """A child, and a daemon of its own session without the environment of its parents."""
    where = run.config["x"]
    subprocess.Popen(["sleep", "600"])
    code = f"import os, time; os.fork() and os._exit(0); os.setsid(); open({where!r}, 'w').write(str(os.getpid())); "
    subprocess.Popen([sys.executable, "-I", "-S", "-c", code + "time.sleep(600)"], env={"PATH": os.environ["PATH"]})
    while not (os.path.exists(where) and os.path.getsize(where)):
        time.sleep(0.01)
    run.report(loss=1.0)
    time.sleep(600)


def dies(run):
    os.kill(os.getpid(), getattr(signal, run.config["x"]))
    time.sleep(600)


def exits(run):
    os._exit(run.config["x"])


def deaf(run):
    while True:
        try:
            run.report(loss=1.0)
        except BaseException:
            time.sleep(0.1)


def environment(run):
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LUTHIER_STUDY")
    print({name: os.environ.get(name) for name in names})
    return float(os.getpid())


def loud(run):
    print("from python")
    sys.stderr.write("to stderr\n")
    os.write(1, b"from a descriptor \xff\n")
    subprocess.run(["echo", "from a child"], check=True)
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    return run.config["x"]


def forks_and_reports(run):
    if os.fork() == 0:
        try:
            run.report(loss=1.0)
        except ArgumentError as error:
            os.write(1, str(error).encode())
        os._exit(0)
    os.wait()
    return 1.0


def asks_wrongly(run):
    try:
        run.float("lr", 0.0, 1.0)
    except SpaceError as error:
        return 1.0 if str(error) == "changed" else 2.0


# limits and deaths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [hangs, holds_the_lock])
def test_a_run_beyond_its_time_is_killed_and_its_worker_replaced(opened, target):
    executor, host, sign = opened(target, limits=Limits(seconds=0.4))
    work(executor, host, [launch(0)])
    end = host.ends[0]
    assert (end.status, end.error) == (Status.FAILED, "time limit of 0.4 s exceeded")
    assert end.seconds >= 0.4
    assert carriers(sign) == set()
    assert executor.free() == ["worker-0"]


def test_a_run_beyond_its_memory_is_killed(opened):
    executor, host, _ = opened(eats, limits=Limits(memory_mb=300))
    work(executor, host, [launch(0)])
    end = host.ends[0]
    assert end.status is Status.FAILED
    assert end.error.startswith("memory limit of 300 MB exceeded (used ")


@linux
def test_cancelling_kills_children_and_daemons(opened, tmp_path):
    where = tmp_path / "pid"
    executor, host, sign = opened(breeds)
    executor.submit(launch(0, str(where)), "worker-0")
    until(lambda: executor.step(0.1) or host.messages, "the trial does not start")
    daemon = int(where.read_text())
    assert len(carriers(sign)) >= 2
    executor.cancel(0)
    executor.step(1)
    assert host.ends[0].status is Status.STOPPED
    until(lambda: gone(daemon), "the daemon lives on")
    assert carriers(sign) == set()


def gone(pid):
    entry = _tree.table().get(pid)
    return entry is None or entry.dead


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("SIGKILL", Status.LOST, "worker-0 was killed from outside by SIGKILL (by hand, or by the system for want of"),
        ("SIGTERM", Status.LOST, "worker-0 was killed from outside by SIGTERM"),
        ("SIGSEGV", Status.FAILED, "the program was killed by SIGSEGV (Segmentation fault)"),
    ],
)
def test_a_death_is_lost_or_failed_by_its_signal(opened, name, status, error):
    executor, host, _ = opened(dies)
    work(executor, host, [launch(0, name)])
    assert host.ends[0].status is status
    assert host.ends[0].error.startswith(error)


def test_every_signal_has_its_meaning():
    assert end_of(-signal.SIGABRT, 1.0, "worker-0").error == "the program was killed by SIGABRT (Aborted)"
    assert end_of(-signal.SIGFPE, 1.0, "worker-0").status is Status.FAILED
    assert end_of(-signal.SIGHUP, 1.0, "worker-3").error == "worker-3 was killed from outside by SIGHUP"
    assert end_of(-40, 1.0, "worker-3").error == "worker-3 was killed from outside by signal 40"


def test_an_exit_behind_the_back_is_told_with_its_code(opened):
    executor, host, _ = opened(exits)
    work(executor, host, [launch(0, 7), launch(1, 0)])
    assert host.ends[0].error == "the program ended its process with exit code 7"
    assert host.ends[1].error == "the program ended its process with exit code 0"


def test_a_run_that_ignores_the_decision_is_killed_after_a_grace(opened):
    executor, host, _ = opened(deaf, grace_seconds=0.3)
    host.decide = lambda launch, message: Decision.PAUSE if launch.trial else Decision.STOP
    work(executor, host, [launch(0), launch(1)])
    assert [host.ends[i].status for i in (0, 1)] == [Status.STOPPED, Status.PAUSED]


def test_an_idle_worker_that_was_killed_costs_no_trial(opened):
    executor, host, _ = opened(environment)
    work(executor, host, [launch(0)])
    os.kill(int(host.ends[0].result), signal.SIGKILL)
    until(lambda: gone(int(host.ends[0].result)), "it lives")
    work(executor, host, [launch(1)])
    assert host.ends[1].status is Status.COMPLETED
    assert host.ends[1].result != host.ends[0].result


def test_workers_are_used_again(opened):
    executor, host, _ = opened(environment, workers=2)
    work(executor, host, [launch(i) for i in range(20)])
    assert len({end.result for end in host.ends.values()}) <= 2


# output ------------------------------------------------------------------------------------------------------


def test_all_output_goes_to_the_file_of_its_run(opened, tmp_path):
    executor, host, _ = opened(loud, folder=tmp_path)
    work(executor, host, [launch(i, folder=tmp_path / "trials" / str(i), attempt=i) for i in (1, 2)])
    for trial in (1, 2):
        assert host.ends[trial].log == f"trials/{trial}/run-{trial}.log"
        lines = (tmp_path / host.ends[trial].log).read_bytes().split(b"\n")
        assert sorted(lines) == sorted(
            [b"from python", b"to stderr", b"from a descriptor \xff", b"from a child", b"from C", b""]
        )


def test_the_log_of_a_killed_run_holds_what_it_printed(opened, tmp_path):
    executor, host, _ = opened(prints_and_dies, folder=tmp_path)
    work(executor, host, [launch(0, folder=tmp_path / "0")])
    assert (tmp_path / host.ends[0].log).read_text() == "last words\n"


def prints_and_dies(run):
    print("last words")
    os.kill(os.getpid(), signal.SIGSEGV)


def test_without_a_folder_there_is_no_log(opened, capfd):
    executor, host, _ = opened(loud)
    work(executor, host, [launch(0)])
    assert (host.ends[0].status, host.ends[0].log) == (Status.COMPLETED, None)
    assert capfd.readouterr() == ("", "")


# environment and GPUs ----------------------------------------------------------------------------------------


def environments(opened, tmp_path, limits, workers, trials):
    executor, host, _ = opened(environment, limits=limits, workers=workers, folder=tmp_path)
    free = list(executor.free())
    jobs = [launch(i, folder=tmp_path / str(i)) for i in range(trials)]
    for job, worker in zip(jobs, free, strict=False):
        executor.submit(job, worker)
    until(lambda: executor.step(0.1) or len(host.ends) == len(free), "no end")
    return free, [eval((tmp_path / str(i) / "run-1.log").read_text()) for i in range(len(free))]


def test_cores_are_shared_unless_the_user_says_otherwise(opened, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    _, [seen] = environments(opened, tmp_path / "a", Limits(), 1, 1)
    assert seen["OMP_NUM_THREADS"] == str(cores)
    _, [seen] = environments(opened, tmp_path / "b", Limits(cpus=3), 1, 1)
    assert seen["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    _, [seen] = environments(opened, tmp_path / "c", Limits(), 1, 1)
    assert seen["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize(
    ("mask", "gpus", "workers", "expected"),
    [
        ("3,GPU-abc,5", 1, 4, ["3", "GPU-abc", "5"]),
        ("0,1,2,3", 2, 2, ["0,1", "2,3"]),
        ("0,1", 0.5, 3, ["0", "1", "0"]),
        ("0,-1,2", 1, 3, ["0"]),
    ],
)
def test_each_worker_gets_gpus_of_its_own(opened, tmp_path, monkeypatch, mask, gpus, workers, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    free, seen = environments(opened, tmp_path, Limits(gpus=gpus), workers, workers)
    assert free == [f"worker-{i}" for i in range(len(expected))]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in seen] == expected


@pytest.mark.parametrize(
    ("variables", "gpus", "message"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, 1, "executor 'processes': gpus=1 for each trial, but none can be seen."),
        (
            {"CUDA_VISIBLE_DEVICES": "4"},
            2,
            "executor 'processes': gpus=2 for each trial, but 1 can be seen (4).",
        ),
        ({"LUTHIER_GPUS": "0", "PATH": ""}, 0.5, "executor 'processes': gpus=0.5 for each trial, but none can"),
    ],
)
def test_too_few_gpus_are_refused(monkeypatch, variables, gpus, message):
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "LUTHIER_GPUS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnsupportedError) as caught:
        Processes().open(Setting(returns, limits=Limits(gpus=gpus)), Recorder())
    assert str(caught.value).startswith(message)


def test_gpus_by_number_and_other_makes(opened, tmp_path, monkeypatch):
    from luthier.runtime.executors._gpus import share, visible

    assert visible({"HIP_VISIBLE_DEVICES": "1,0"}) == ("HIP_VISIBLE_DEVICES", ["1", "0"])
    assert visible({"LUTHIER_GPUS": "2"}) == ("CUDA_VISIBLE_DEVICES", ["0", "1"])
    assert share(["0", "1"], 1 / 3, 9) == [("0",), ("1",)] * 3
    with pytest.raises(ArgumentError, match=r"gpus=1\.5\. Allowed: a whole number, or a fraction below 1"):
        share(["0", "1"], 1.5, 1)


# what cannot work is said before any trial -------------------------------------------------------------------


def test_a_target_that_cannot_travel_is_refused():
    def inner(run):
        return 0.0

    for target, name in ((inner, "test_a_target_that_cannot_travel_is_refused.<locals>.inner"), (lambda r: 0, "<lamb")):
        with pytest.raises(ArgumentError) as caught:
            Processes().open(Setting(target), Recorder())
        text = str(caught.value)
        assert name in text
        assert "Put it at the top level of a file, or use executor='inline'." in text


def test_inline_keeps_no_limits():
    for limits, workers, said in (
        (Limits(seconds=2, memory_mb=100), 1, "time limit=2, memory limit=100"),
        (Limits(gpus=1, cpus=2), 3, "gpus=1, cpus=2, workers=3"),
    ):
        with pytest.raises(UnsupportedError) as caught:
            Inline().open(Setting(returns, limits=limits, workers=workers), Recorder())
        assert str(caught.value) == (
            f"executor 'inline': {said}. It runs one trial at a time in this process and can set no limits. "
            "Use executor='processes'."
        )


@pytest.mark.parametrize("kind", [Inline, Processes])
def test_use_in_the_wrong_order_is_refused(kind):
    executor = kind()
    with pytest.raises(ExecutorError, match=r"step\(\) before open\(\)"):
        executor.step(0)
    executor.open(Setting(returns), Recorder())
    try:
        with pytest.raises(ExecutorError, match=r"open\(\) while it is open"):
            executor.open(Setting(returns), Recorder())
        with pytest.raises(ExecutorError, match="'worker-7' is not free"):
            executor.submit(launch(0), "worker-7")
    finally:
        executor.close()


@pytest.mark.parametrize("kind", [Inline, Processes])
def test_an_error_of_the_study_comes_out_of_step(kind):
    def full(launch, message):
        raise OSError(28, "No space left on device")

    executor, host = kind(), Recorder(full)
    executor.open(Setting(deaf_to_errors), host)
    try:
        with pytest.raises(OSError, match="No space left on device"):
            work(executor, host, [launch(0)])
    finally:
        executor.close(kill=True)
    assert host.ends == {}


def deaf_to_errors(run):
    try:
        run.report(loss=1.0)
    except Exception:
        return 0.0


@pytest.mark.parametrize("kind", [Inline, Processes])
def test_a_refused_domain_is_an_ordinary_error_of_the_program(kind):
    class Strict(Recorder):
        def suggested(self, launch, name, domain):
            raise SpaceError("changed")

    executor, host = kind(), Strict()
    executor.open(Setting(asks_wrongly), host)
    try:
        work(executor, host, [launch(0, open_space=True)])
    finally:
        executor.close()
    assert host.ends[0].result == 1.0


def test_a_worker_that_cannot_be_started_is_an_error(opened, monkeypatch):
    executor, _, _ = opened(returns)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ExecutorError, match=r"worker-0 could not be started: .*No such file"):
        executor.submit(launch(0), "worker-0")
    assert executor.free() == ["worker-0"]


def breaks_on_arrival(run):
    return 0.0


class Fragile:
    def __call__(self, run):
        return 0.0

    def __reduce__(self):
        return breaks_on_arrival, ()  # called without its argument in the worker


def test_a_target_that_cannot_be_loaded_is_an_error(opened):
    executor, host, _ = opened(Fragile())
    with pytest.raises(ExecutorError) as caught:
        work(executor, host, [launch(0)])
    assert "a worker could not load the program: TypeError: breaks_on_arrival() missing 1" in str(caught.value)
    assert host.ends == {}


def test_a_child_of_the_trial_cannot_report(opened, tmp_path):
    executor, host, _ = opened(forks_and_reports, folder=tmp_path)
    work(executor, host, [launch(0, folder=tmp_path / "0")])
    assert host.messages == []
    assert "Allowed: calls from the trial's own process." in (tmp_path / "0/run-1.log").read_text()


# scripts -----------------------------------------------------------------------------------------------------

SCRIPT = """
    import sys, time, os, subprocess
    from luthier.base.records import Configuration, Decision
    from luthier.runtime.executors import Launch, Setting
    from luthier.runtime.executors.processes import Processes

    class Host:
        ends = {{}}
        def reported(self, launch, message, now):
            print("reported", int(message.metrics["pid"]), flush=True)
            return Decision.CONTINUE
        def ended(self, launch, end, now):
            self.ends[launch.trial] = end

    def train(run):
        {body}

    def study(workers=1):
        executor, host = Processes(), Host()
        executor.open(Setting(train, workers=workers), host)
        try:
            for i, worker in enumerate(executor.free()):
                executor.submit(Launch(i, 1, Configuration(x=i)), worker)
            while len(host.ends) < workers:
                executor.step(0.25)
        finally:
            executor.close(kill=True)
        print("ended", sorted((n, end.status.value, end.result) for n, end in host.ends.items()), flush=True)

    {start}
"""


def script(tmp_path, body, start):
    path = tmp_path / "script.py"
    body = textwrap.indent(textwrap.dedent(body), "        ").strip()
    path.write_text(textwrap.dedent(SCRIPT).format(body=body.replace("\n    ", "\n"), start=start))
    return path


def started(path, sign):
    environment = {**os.environ, "TEST_SIGN": sign}
    return subprocess.Popen(
        [sys.executable, str(path)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_functions_of_a_script_run(tmp_path):
    path = script(tmp_path, "return float(run.config['x'])", "if __name__ == '__main__': study(2)")
    out, err = started(path, "sign-script").communicate(timeout=PATIENCE)
    assert out == "ended [(0, 'completed', 0.0), (1, 'completed', 1.0)]\n", err
    assert carriers("sign-script") == set()


def test_a_script_without_a_guard_is_told_so(tmp_path):
    path = script(tmp_path, "return 0.0", "study()")
    process = started(path, "sign-guard")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"a worker could not import {path}" in err
    said = err.strip().splitlines()[-1]
    assert said.count('Put what starts the study under: if __name__ == "__main__":') == 1, said
    assert said.count("__name__") == 1, said
    assert carriers("sign-guard") == set()


@pytest.mark.parametrize("how", ["-c", "stdin"])
def test_a_function_of_a_session_is_refused(how):
    code = textwrap.dedent(SCRIPT).format(body="return 0.0", start="study()")
    words, fed = (["-c", code], None) if how == "-c" else ([], code)
    done = subprocess.run(
        [sys.executable, *words], input=fed, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "ArgumentError: executor 'processes': train was defined in an interactive session" in done.stderr


BUSY = {
    "a C call that holds the lock": "import ctypes; ctypes.PyDLL(None).sleep(600)",
    "numpy": "import numpy as np\na = np.ones((1500, 1500))\nwhile True: a @ a",
    "a child": "subprocess.run(['sleep', '600'])",
}


@linux
@pytest.mark.parametrize(
    ("how", "busy"), [*(("SIGKILL", busy) for busy in BUSY), ("SIGTERM", "numpy"), ("SIGINT", "a child")]
)
def test_nothing_outlives_the_driver(tmp_path, busy, how):
    body = f"""
        subprocess.Popen(["setsid", "-f", "sleep", "600"])
        run.report(pid=os.getpid())
        {textwrap.indent(BUSY[busy], " " * 8).strip()}
    """
    sign = f"sign-{os.getpid()}-{time.monotonic_ns()}"
    process = started(script(tmp_path, body, "if __name__ == '__main__': study(2)"), sign)
    try:
        assert [process.stdout.readline().split()[0] for _ in range(2)] == ["reported", "reported"]
        # the driver, two workers, two daemons at the least
        until(lambda: len(carriers(sign)) >= 5, f"too few processes: {carriers(sign)}")
        process.send_signal(getattr(signal, how))
        process.wait(PATIENCE)
        until(lambda: not carriers(sign), f"left behind: {carriers(sign)}")
    finally:
        for pid in carriers(sign):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def leaves_a_daemon(run):
    subprocess.run(["setsid", "-f", "sleep", "600"], check=True)
    return 0.0


@linux
def test_closing_ends_what_finished_runs_left_behind(opened):
    executor, host, sign = opened(leaves_a_daemon)
    work(executor, host, [launch(0)])
    assert len(carriers(sign)) == 2
    executor.close()
    assert carriers(sign) == set()


@linux
def test_the_guardian_goes_with_its_executor(opened):
    executor, host, _ = opened(returns)
    work(executor, host, [launch(0)])
    guardian = executor._guardian.pid
    assert not gone(guardian)
    executor.close()
    assert gone(guardian)
