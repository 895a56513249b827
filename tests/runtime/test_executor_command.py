"""Any program as a trial: its command line, environment, reports, checkpoints and ends."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from luthier.base.errors import ArgumentError, MetricError
from luthier.base.records import Configuration, Decision, Fidelity, Status
from luthier.runtime.executors import Command, Launch, Setting, _tree, emit, execute
from luthier.runtime.executors._lines import LONGEST, Lines, read
from luthier.runtime.executors.processes import Processes
from luthier.testing.executor import Recorder, launch, work

EPOCHS = Fidelity("epoch", 1, 9)


class Channel:
    def __init__(self, *decisions):
        self.decisions, self.messages = list(decisions), []

    def report(self, message):
        self.messages.append(message)
        answer = self.decisions.pop(0) if self.decisions else Decision.CONTINUE
        if isinstance(answer, Exception):
            raise answer
        return answer


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    return [sys.executable, "-S", str(path)]


def run(tmp_path, text, *decisions, arguments=(), grace=3.0, **more):
    channel = Channel(*decisions)
    command = Command([*program(tmp_path, text), *arguments], grace_seconds=grace)
    settings = {"trial": 3, "attempt": 1, "config": Configuration(lr=0.1, act="relu"), **more}
    return execute(command, Launch(**settings), channel), channel


# the command line --------------------------------------------------------------------------------------------


def filled(text, config=None, *, shell=False, **more):
    from luthier.runtime.executors import Run

    settings = {"trial": 3, "attempt": 1, "config": Configuration(config or {}), "seed": 42, **more}
    return Command(text, shell=shell).arguments(Run(Launch(**settings), Channel()))


@pytest.mark.parametrize(
    ("text", "config", "expected"),
    [
        ("p --lr {lr}", {"lr": 0.1 + 0.2}, ["p", "--lr", "0.30000000000000004"]),
        ("p --lr={lr:.2e} {{x}}", {"lr": 0.1}, ["p", "--lr=1.00e-01", "{x}"]),
        ("p '{act} b' {seed} {trial}", {"act": "a c"}, ["p", "a c b", "42", "3"]),
        ("p --opt {opt} --momentum {momentum} -v", {"opt": "sgd"}, ["p", "--opt", "sgd", "-v"]),
        ("p --opt {opt} --momentum={momentum} --x", {"opt": "sgd"}, ["p", "--opt", "sgd", "--x"]),
        ("p -1 {momentum} --a=b {momentum}", {}, ["p", "-1", "--a=b"]),
        ("p --from {checkpoint} --until {resource} --in {folder}", {}, ["p"]),
        ("p '' {momentum}", {}, ["p", ""]),
        ("p {model.lr} {flag}", {"model.lr": 2, "flag": True}, ["p", "2", "True"]),
        ("p {seed}", {"seed": "mine"}, ["p", "mine"]),
        (["p", "{lr} and {lr}"], {"lr": 1}, ["p", "1 and 1"]),
    ],
)
def test_placeholders(text, config, expected):
    assert filled(text, config) == expected


def test_resource_checkpoint_and_folder(tmp_path):
    start = tmp_path / "checkpoints" / "r0003-a1"
    more = {"fidelity": EPOCHS, "until": 9.0, "checkpoint": start, "folder": tmp_path}
    assert filled("p --until {resource} --from {checkpoint} {folder}", **more) == [
        *("p", "--until", "9", "--from", str(start), str(tmp_path))
    ]


def test_a_shell_gets_quoted_values_and_no_empty_flags():
    [text] = filled("p --act {act} --momentum {momentum} | tee x > '{trial}.txt'", {"act": "a; rm b"}, shell=True)
    assert text == "p --act 'a; rm b'  | tee x > '3.txt'"
    for command in ("p '{act}'", 'p "x y {act}"', "p 'it' \"it's {act}\""):
        with pytest.raises(ArgumentError) as caught:
            filled(command, {"act": "a; rm b"}, shell=True)
        assert str(caught.value) == (
            f"command {command!r}: {{act}} stands inside quotes, and the value 'a; rm b' needs its own. "
            "Take the quotes away, values are quoted already; or pass it without a shell."
        )
    assert filled("p 'x' {act} \\' {act}", {"act": "a b"}, shell=True) == ["p 'x' 'a b' \\' 'a b'"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Command(""), "the command is empty. Write one such as 'python train.py --lr {lr}'."),
        (
            lambda: Command("p 'open"),
            'command "p \'open": No closing quotation. Close every quote, or put a backslash before it.',
        ),
        (
            lambda: Command("p {}"),
            "command 'p {}': placeholder {} has no name. "
            "Allowed: {name} of a hyperparameter; write {{ and }} for braces.",
        ),
        (
            lambda: Command("p {lr"),
            "command 'p {lr': expected '}' before end of string. "
            "Allowed: {name} of a hyperparameter; write {{ and }} for braces.",
        ),
        (
            lambda: Command(f"{sys.executable} --lr {{lrr}}").check(["lr", "act"]),
            f"command '{sys.executable} --lr {{lrr}}': placeholder {{lrr}} is no hyperparameter. "
            "Did you mean 'lr'? Write {{ and }} for braces.",
        ),
        (
            lambda: Command("pyhton train.py").check(["lr"]),
            "command 'pyhton train.py': program 'pyhton' is not found, or is not executable. "
            "Give its path, or look at PATH.",
        ),
        (lambda: filled("p {act:.2f}", {"act": "x"}), "command 'p {act:.2f}': {act:.2f} cannot show 'x'"),
        (lambda: Command(["p"], shell=True), "Command(['p'], shell=True). Allowed with a shell: one text."),
    ],
)
def test_a_bad_command_is_refused(make, message):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_good_command_is_accepted_and_travels():
    command = Command(f"{sys.executable} --lr {{lr}} --seed {{seed}}")
    command.check(["lr"])
    Command("nobody | {lr}", shell=True).check({"lr": 1})
    assert repr(pickle.loads(pickle.dumps(command))) == f"Command('{sys.executable} --lr {{lr}} --seed {{seed}}')"


# what the program gets ---------------------------------------------------------------------------------------

SHOW = """
    import json, os, sys
    seen = {k[8:]: v for k, v in os.environ.items() if k.startswith("LUTHIER_") and k != "LUTHIER_MARKS"}
    print("SEEN", json.dumps([seen, sys.argv[1:]]))
    print(json.dumps({"loss": 1}))
"""


def test_the_environment(tmp_path):
    home = tmp_path / "00003"
    start = home / "checkpoints" / "r0003-a1"
    start.mkdir(parents=True)
    more = {"fidelity": EPOCHS, "after": 3, "until": 9.0, "seed": 7, "folder": home, "checkpoint": start, "attempt": 2}
    more["split_seed"] = 11
    end, _ = run(tmp_path, SHOW, arguments=["{act}"], **more)
    assert (end.status, end.result, end.log) == (Status.COMPLETED, {"loss": 1.0}, str(home / "run-2.log"))
    line = next(line for line in (home / "run-2.log").read_text().splitlines() if line.startswith("SEEN"))
    seen, arguments = json.loads(line[5:])
    assert json.loads(seen.pop("CONFIG")) == {"lr": 0.1, "act": "relu"}
    seen.pop("DATA", None)  # the user's own LUTHIER_DATA passes through
    assert seen == {
        "TRIAL": "3",
        "SEED": "7",
        "SPLIT_SEED": "11",
        "FIDELITY": "epoch",
        "RESOURCE_AFTER": "3",
        "RESOURCE_UNTIL": "9",
        "FOLDER": str(home),
        "CHECKPOINT": str(start),
        "CHECKPOINT_TO": str(home / "checkpoints" / ".program-a2"),
    }
    assert arguments == ["relu"]
    assert sorted(os.listdir(home / "checkpoints")) == ["r0003-a1"], "drafts are cleared"


# what it says ------------------------------------------------------------------------------------------------


def test_reports_with_and_without_a_fidelity(tmp_path):
    text = """
        print('{"loss": 0.5, "epoch": 1}')
        print('{"loss": 0.25, "epoch": 2, "folds": [1, 2]}')
        print('{"loss": 0.125}')
    """
    end, channel = run(tmp_path, text, fidelity=EPOCHS)
    assert [(m.metrics, m.resource, m.folds) for m in channel.messages] == [
        ({"loss": 0.5}, 1, ()),
        ({"loss": 0.25}, 2, (1.0, 2.0)),
    ]
    assert (end.status, end.result) == (Status.COMPLETED, {"loss": 0.125})
    end, channel = run(tmp_path, text)
    assert channel.messages[0].metrics == {"loss": 0.5, "epoch": 1.0}
    assert (len(channel.messages), end.result) == (3, None)


GARBAGE = [
    b"plain",
    b"{not json}",
    b'{"loss": "low"}',
    b'{"loss": true}',
    b'{"a": {"b": 1}}',
    b"{}",
    b"[1, 2]",
    b'{"loss": 1',
    b"\xff\xfe{\x00}",
    b'{"loss": ' + b"9" * 5000 + b"}",
    b'{"loss": 1' + b"0" * 400 + b"}",
    b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    b"{" * 200_000,
    b'{"folds": 3, "loss": 1}',
    b'{"checkpoint": true, "loss": 1}',
    b'{"checkpoint": "x"}',
]


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_report(line):
    assert read(line) is None


def test_what_is_a_report():
    assert read(b'  {"loss": 1, "b": 2.5}\r').metrics == {"loss": 1.0, "b": 2.5}
    assert read(b'10%\r20%\r{"loss": 3}').metrics == {"loss": 3.0}
    assert np.isnan(read(b'{"loss": NaN}').metrics["loss"])
    assert read(b'{"loss": -Infinity}').metrics["loss"] == -np.inf
    assert read(b'{"loss": 1, "checkpoint": "e1", "folds": [1]}') == ({"loss": 1.0}, (1.0,), "e1")


def test_lines_come_whole_however_they_arrive():
    text = b'{"a": 1}\n' + b"x" * (3 * LONGEST) + b'\n{"b": 2}\nend'
    for size in (1000, 7, len(text)):
        lines = Lines()
        seen = [line for i in range(0, len(text), size) for line in lines.feed(text[i : i + size])]
        short = [line for line in [*seen, *lines.end()] if len(line) < 100]
        assert short == [b'{"a": 1}', b'{"b": 2}', b"end"]
        assert all(len(line) <= 3 * LONGEST for line in seen)


def test_garbage_among_reports_does_no_harm(tmp_path):
    text = f"""
        import sys
        out = sys.stdout.buffer
        for i, line in enumerate({GARBAGE!r}):
            out.write(line + b"\\n" + b'{{"loss": %d}}\\n' % i)
        out.write(b"\\x00" * 300000)
    """
    end, channel = run(tmp_path, text)
    assert end.status is Status.COMPLETED, end.error
    assert [m.metrics["loss"] for m in channel.messages] == list(range(len(GARBAGE)))


def test_emit_prints_what_is_read(capsys):
    emit(loss=np.float32(0.5), epoch=3, folds=[1, np.float64(2)], checkpoint="e3")
    emit({"a b": float("nan")})
    first, second = capsys.readouterr().out.encode().splitlines()
    assert read(first) == ({"loss": 0.5, "epoch": 3.0}, (1.0, 2.0), "e3")
    assert np.isnan(read(second).metrics["a b"])
    with pytest.raises(ArgumentError) as caught:
        emit(loss="low")
    assert str(caught.value) == "emit(loss='low'). Allowed: numbers. Print texts on a line of their own."
    with pytest.raises(ArgumentError, match=r"emit\(\) without a metric"):
        emit()


# checkpoints -------------------------------------------------------------------------------------------------


def test_checkpoints_are_moved_and_reported(tmp_path):
    text = """
        import os, json
        to = os.environ["LUTHIER_CHECKPOINT_TO"]
        os.mkdir(to + "/e1"); open(to + "/e1/model", "w").write("1")
        print(json.dumps({"loss": 1, "epoch": 1, "checkpoint": "e1"}), flush=True)
        open(to + "/e2", "w").write("2")
        print(json.dumps({"loss": 1, "epoch": 2, "checkpoint": to + "/e2"}), flush=True)
        print(json.dumps({"loss": 1, "epoch": 3}))
    """
    end, channel = run(tmp_path, text, fidelity=EPOCHS, folder=tmp_path / "t")
    assert end.status is Status.COMPLETED, end.error
    assert [m.checkpoint for m in channel.messages] == ["r0001-a1", "r0002-a1", "r0002-a1"]
    home = tmp_path / "t" / "checkpoints"
    assert sorted(os.listdir(home)) == ["r0001-a1", "r0002-a1"]
    assert (home / "r0001-a1" / "model").read_text() == "1"
    assert (home / "r0002-a1" / "e2").read_text() == "2"


@pytest.mark.parametrize("name", ["nothing", "../r0001-a1", "/etc/passwd", "."])
def test_a_checkpoint_elsewhere_is_refused(tmp_path, name):
    (tmp_path / "t" / "checkpoints" / "r0001-a1").mkdir(parents=True)
    text = f"""print('{{"loss": 1, "checkpoint": "{name}"}}')"""
    end, channel = run(tmp_path, text, folder=tmp_path / "t")
    assert end.status is Status.FAILED
    assert end.error.startswith(f"it reported the checkpoint {name!r}, which is not in its folder LUTHIER_CHECKPOINT_")
    assert channel.messages == []


# how it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "error"),
    [
        ("print('a'); raise SystemExit(3)", Status.FAILED, "exited with code 3; last line: 'a'"),
        ("1 / 0", Status.FAILED, "exited with code 1; last line: 'ZeroDivisionError: division by zero'"),
        (
            "print('loss 3')",
            Status.FAILED,
            "exited with code 0 without a report: no line on standard output was a JSON object of numbers, such as "
            "{\"loss\": 0.31}; last line: 'loss 3'",
        ),
        (
            "pass",
            Status.FAILED,
            "exited with code 0 without a report: no line on standard output was a JSON object of numbers, such as "
            '{"loss": 0.31}; it printed nothing',
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            Status.FAILED,
            "the program was killed by SIGSEGV; it printed nothing",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            Status.LOST,
            "the program was killed by SIGKILL; it printed nothing",
        ),
    ],
)
def test_ends(tmp_path, text, status, error):
    end, _ = run(tmp_path, text)
    assert (end.status, end.error) == (status, error)


def test_a_program_that_cannot_start(tmp_path):
    end = execute(Command([str(tmp_path / "none")]), launch(0), Channel())
    assert (end.status, end.error) == (
        Status.FAILED,
        f"the program did not start: No such file or directory: {tmp_path / 'none'}",
    )


STUBBORN = """
    import signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["setsid", "-f", "sleep", "600"])
    print('{"loss": 1, "epoch": 1}', flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (Decision.STOP, Status.STOPPED),
        (Decision.PAUSE, Status.PAUSED),
        (MetricError("no 'los'"), Status.FAILED),
    ],
)
def test_a_program_that_is_to_stop_goes_with_all_it_started(tmp_path, monkeypatch, decision, status):
    sign = f"sign-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("TEST_SIGN", sign)
    end, channel = run(tmp_path, STUBBORN, decision, grace=0.2, fidelity=EPOCHS)
    assert (end.status, len(channel.messages)) == (status, 1)
    table = _tree.table()
    assert {pid for pid in _tree.marked(sign, table) if not table[pid].dead} == set()


def test_a_gentle_program_may_clean_up(tmp_path):
    text = f"""
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / "bye")!r}, "w").close(), sys.exit(0)))
        print('{{"loss": 1}}', flush=True)
        time.sleep(600)
    """
    end, _ = run(tmp_path, text, Decision.STOP, grace=60)
    assert end.status is Status.STOPPED
    assert (tmp_path / "bye").exists()


def test_a_child_that_holds_the_output_open_is_not_waited_for(tmp_path):
    text = """
        import subprocess
        subprocess.Popen(["sleep", "600"])
        print('{"loss": 1}')
    """
    end, _ = run(tmp_path, text)
    assert (end.status, end.seconds < 300) == (Status.COMPLETED, True)


def test_a_shell_runs_it(tmp_path):
    command = Command('echo "{{\\"loss\\": {lr}}}" | cat; echo $((1 + 1)) >&2', shell=True)
    channel = Channel()
    end = execute(command, Launch(0, 1, Configuration(lr=0.5), folder=tmp_path), channel)
    assert (end.status, channel.messages[0].metrics) == (Status.COMPLETED, {"loss": 0.5})
    assert sorted((tmp_path / "run-1.log").read_text().splitlines()) == ["2", '{"loss": 0.5}']


def test_under_worker_processes(tmp_path):
    text = """
        import sys
        print("to stderr", file=sys.stderr, flush=True)
        for epoch in range(1, 10):
            print('{"loss": %s, "epoch": %d}' % (sys.argv[1], epoch), flush=True)
    """
    executor = Processes()
    host = Recorder(lambda job, m: Decision.STOP if job.trial == 1 and m.resource == 2 else Decision.CONTINUE)
    executor.open(Setting(Command([*program(tmp_path, text), "{x}"]), tmp_path, workers=2), host)
    try:
        work(executor, host, [launch(i, i, fidelity=EPOCHS, folder=tmp_path / str(i)) for i in range(3)])
    finally:
        executor.close()
    assert [host.ends[i].status for i in range(3)] == [Status.COMPLETED, Status.STOPPED, Status.COMPLETED]
    assert host.resources(2) == list(range(1, 10))
    assert host.ends[2].log == "2/run-1.log"
    lines = (tmp_path / "2" / "run-1.log").read_text().splitlines()
    assert len(lines) == 10
    assert lines[0] == "to stderr"


def test_emit_in_a_real_program(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("import luthier\nluthier.emit(loss=0.5)\n")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == '{"loss": 0.5}\n'


def test_folds_without_a_place_are_told(tmp_path):
    """A last line without the fidelity would lose its folds."""
    end, _ = run(tmp_path, """print('{"loss": 0.1, "folds": [0.1, 0.2]}')""", fidelity=EPOCHS)
    assert end.status is Status.FAILED
    assert "reported folds without 'epoch'" in end.error
