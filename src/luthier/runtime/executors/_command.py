"""A target that is any program: a command line with hyperparameters in it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import IO

from luthier.base.checks import check as check_argument
from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.records import Status
from luthier.runtime.executors import _tree
from luthier.runtime.executors._channel import RunFailed
from luthier.runtime.executors._lines import Lines, Reading, read
from luthier.runtime.executors._run import Run
from luthier.runtime.executors._template import Template

_DRAFTS = ".program"
_CHUNK = 65_536
_LOOK_MS = 50


class Command:
    """Runs any program as a trial, under every executor.

    ```python
    study.run(Command("python train.py --lr {lr} --layers {layers} --seed {seed}"), trials=100)
    ```

    **What the program gets.** Placeholders are hyperparameters and `{seed}`, `{split_seed}`, `{trial}`, `{resource}`
    (run up to there), `{checkpoint}` (folder to start from) and `{folder}` (the trial's own); a hyperparameter of the
    same name comes first. An argument without a value is left out with its flag (see `Template`). The environment holds
    LUTHIER_CONFIG (JSON), LUTHIER_TRIAL, LUTHIER_SEED, LUTHIER_SPLIT_SEED, LUTHIER_FIDELITY, LUTHIER_RESOURCE_AFTER,
    LUTHIER_RESOURCE_UNTIL, LUTHIER_FOLDER, LUTHIER_CHECKPOINT and LUTHIER_CHECKPOINT_TO; what does not apply is empty.

    **What it says.** A line on standard output that is a JSON object of numbers is a report, such as
    `{"loss": 0.31, "epoch": 4}` (`luthier.emit` prints it); its values are metrics, but for the fidelity's name,
    which is the resource. Where a study has a fidelity, a line without it is the result: the last such line counts
    when the program ends. Every other line is output. All output goes to the run's log.

    **Checkpoints.** The program writes a file or folder of a new name inside LUTHIER_CHECKPOINT_TO and, when it is
    complete, names it in a report: `{"loss": 0.31, "epoch": 4, "checkpoint": "epoch-4"}`. It is then moved away in
    one step and becomes immutable; a later run finds it in the folder LUTHIER_CHECKPOINT (a single file lies there
    under its name).

    **How it ends.** Exit code 0 with a report or result: completed. Any other end has failed, except by SIGKILL or
    SIGTERM from outside, which is the machine's fault. A program that is to stop gets SIGTERM, and SIGKILL with all
    that it started when it is still there after `grace_seconds`.

    Args:
        command: The command line, or its arguments as a list.
        shell: Let `sh` run it (pipes, redirection); values are quoted. By default no shell is involved.
        grace_seconds: Time between SIGTERM and SIGKILL. Default: enough to close files, short enough to wait for.

    Raises:
        ArgumentError: the command line is malformed.
        UnsupportedError: the system is none of the POSIX family.
    """

    def __init__(self, command: str | Sequence[str], *, shell: bool = False, grace_seconds: float = 3.0) -> None:
        if os.name != "posix":
            raise UnsupportedError("Command needs Linux, macOS or WSL. Write a function that starts the program here.")
        if shell and not isinstance(command, str):
            raise ArgumentError(f"Command({command!r}, shell=True). Allowed with a shell: one text.")
        check_argument("grace_seconds", grace_seconds, at_least=0)
        self.command = command if isinstance(command, str) else tuple(command)
        self.shell, self.grace_seconds = shell, grace_seconds
        self._template = Template(self.command, shell=shell)

    def __repr__(self) -> str:
        shown = self.command if isinstance(self.command, str) else list(self.command)
        return f"Command({shown!r}{', shell=True' if self.shell else ''})"

    @property
    def names(self) -> list[str]:
        """The placeholders of the command line, in order."""
        return self._template.names

    def check(self, known: Collection[str]) -> None:
        """Refuse a command that cannot work, before any trial.

        Args:
            known: Names of the hyperparameters.

        Raises:
            ArgumentError: a placeholder is no hyperparameter, or the program is not found.
        """
        self._template.check(known)
        program = self._template.program
        if program is not None and shutil.which(program) is None:
            raise ArgumentError(
                f"command {self._text()!r}: program {program!r} is not found, or is not executable. "
                "Give its path, or look at PATH."
            )

    def arguments(self, run: Run) -> list[str]:
        """What is executed for a run: the arguments; with a shell, one piece of text.

        Raises:
            ArgumentError: a placeholder has an unknown name, or its format does not suit the value.
        """
        values = {
            "seed": run.seed,
            "split_seed": run.split_seed,
            "trial": run.number,
            "resource": _plain(run.until),
            "checkpoint": run.checkpoint,
            "folder": run.folder,
            **run.config,
        }
        return self._template.fill(values)

    def __call__(self, run: Run) -> Mapping[str, float] | None:
        """Run the program; returns its result, if it gave one apart from reports."""
        with _log(run) as log:
            return _Program(self, run, log).follow()

    def _text(self) -> str:
        return self.command if isinstance(self.command, str) else " ".join(self.command)


@contextlib.contextmanager
def _log(run: Run) -> Iterator[IO[bytes]]:
    """Where a program's output goes: the run's log, or an unnamed file when the study has no folder."""
    if run.log is None and run.folder is not None:
        run.log = run.folder / f"run-{run.attempt}.log"
    # unbuffered: the program writes into the same file, and the order of lines should be right
    file = tempfile.TemporaryFile(buffering=0) if run.log is None else open(run.log, "a+b", buffering=0)  # noqa: SIM115
    with file:
        yield file


def _plain(amount: float | None) -> float | None:
    """9 rather than 9.0: a program reads it with int()."""
    return int(amount) if amount is not None and float(amount).is_integer() else amount


class _Program:
    """The running program of one trial.

    Args:
        command: What to run.
        run: The trial's run.
        log: Where its output goes, open for reading and appending.
    """

    def __init__(self, command: Command, run: Run, log: IO[bytes]) -> None:
        self.command, self.run, self.log = command, run, log
        self.log_start = log.seek(0, os.SEEK_END)
        self.result: dict[str, float] | None = None
        self.reports = 0
        self.mark = uuid.uuid4().hex
        self.drafts = None if run.folder is None else run.folder / "checkpoints" / f"{_DRAFTS}-a{run.attempt}"
        arguments = command.arguments(run)
        environment = _tree.with_mark({**os.environ, **self._variables()}, self.mark)
        try:
            self.process = subprocess.Popen(
                arguments[0] if command.shell else arguments,
                shell=command.shell,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise RunFailed(f"the program did not start: {error.strerror}: {error.filename or arguments[0]}") from None

    def _variables(self) -> dict[str, str]:
        run = self.run
        if self.drafts is not None:
            for old in self.drafts.parent.glob(f"{_DRAFTS}-*"):  # of a run that was killed
                shutil.rmtree(old, ignore_errors=True)
            self.drafts.mkdir(parents=True)
        values = {
            "CONFIG": json.dumps(dict(run.config), default=str),
            "TRIAL": run.number,
            "SEED": run.seed,
            "SPLIT_SEED": run.split_seed,
            "FIDELITY": None if run.fidelity is None else run.fidelity.name,
            "RESOURCE_AFTER": _plain(run.after),
            "RESOURCE_UNTIL": _plain(run.until),
            "FOLDER": run.folder,
            "CHECKPOINT": run.checkpoint,
            "CHECKPOINT_TO": self.drafts,
        }
        return {f"LUTHIER_{name}": "" if value is None else str(value) for name, value in values.items()}

    def follow(self) -> Mapping[str, float] | None:
        """Read what it prints until it ends; whatever happens here, nothing of it stays behind."""
        try:
            self._read()
        except BaseException:
            self._terminate()
            raise
        finally:
            code = self._clear()
        self._judge(code)
        return self.result

    def _read(self) -> None:
        assert self.process.stdout is not None
        source, lines, ended = self.process.stdout.fileno(), Lines(), False
        os.set_blocking(source, False)
        poll = select.poll()
        poll.register(source, select.POLLIN)
        while not ended or poll.poll(0):
            # a program that ends closes its output, unless a child that it left behind holds it open: so look
            if poll.poll(_LOOK_MS):
                chunk = os.read(source, _CHUNK)
                if not chunk:
                    break
                self.log.write(chunk)
                for line in lines.feed(chunk):
                    self._hear(line)
            else:
                ended = self._has_ended()
        for line in lines.end():
            self._hear(line)
        pause = 0.001
        while not self._has_ended():  # it closed its output, and is about to end or works on
            time.sleep(pause)
            pause = min(2 * pause, _LOOK_MS / 1000)

    def _hear(self, line: bytes) -> None:
        reading = read(line)
        if reading is None:
            return
        fidelity = self.run.fidelity
        if fidelity is not None and fidelity.name not in reading.metrics:
            if reading.folds or reading.checkpoint is not None:
                what = "folds" if reading.folds else "a checkpoint"
                raise RunFailed(
                    f"it reported {what} without {fidelity.name!r}, so that nobody knows where. Print a line such as "
                    f'{{"{fidelity.name}": {fidelity.high:g}, ...}}'
                )
            self.result = reading.metrics
            return
        if reading.checkpoint is not None:
            self._commit(reading, reading.checkpoint)
        self.reports += 1
        self.run.report(reading.metrics, folds=reading.folds or None)

    def _commit(self, reading: Reading, name: str) -> None:
        if self.drafts is None:
            raise RunFailed(f"it reported the checkpoint {name!r}, and this study has no folder for it")
        home = self.drafts.resolve()
        source = (self.drafts / name).resolve()
        if home not in source.parents or not source.exists():
            raise RunFailed(
                f"it reported the checkpoint {name!r}, which is not in its folder LUTHIER_CHECKPOINT_TO={self.drafts}"
            )
        fidelity = self.run.fidelity
        spent = None if fidelity is None else reading.metrics[fidelity.name]
        with self.run.save(resource=spent) as folder:
            if source.is_dir():
                folder.rmdir()
                os.rename(source, folder)
            else:
                os.rename(source, folder / source.name)

    def _has_ended(self) -> bool:
        """Whether the program has ended; it is not waited for, so that its number stays its own."""
        return _tree.child_ended(self.process.pid)

    def _terminate(self) -> None:
        """Ask the whole tree to end, and give it time."""
        for pid in _tree.members(self.process.pid, self.mark, _tree.table()):
            _tree.send(pid, signal.SIGTERM)
        deadline = time.monotonic() + self.command.grace_seconds
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _clear(self) -> int:
        """End what is left, and give the exit status, negative for a signal."""
        _tree.kill(self.process.pid, self.mark)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.drafts is not None:
            shutil.rmtree(self.drafts, ignore_errors=True)
        return self.process.wait()

    def _judge(self, code: int) -> None:
        last = self._last_line()
        told = f"; last line: {last!r}" if last else "; it printed nothing"
        if code < 0:
            name = _tree.signal_name(-code)
            status = Status.LOST if name in ("SIGKILL", "SIGTERM") else Status.FAILED
            raise RunFailed(f"the program was killed by {name}{told}", status=status)
        if code > 0:
            raise RunFailed(f"exited with code {code}{told}")
        if self.reports == 0 and self.result is None:
            fidelity = self.run.fidelity
            example = '{"loss": 0.31}' if fidelity is None else f'{{"loss": 0.31, "{fidelity.name}": 1}}'
            raise RunFailed(
                f"exited with code 0 without a report: no line on standard output was a JSON object of numbers, "
                f"such as {example}{told}"
            )

    def _last_line(self) -> str:
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(self.log_start, size - 4096))
        lines = self.log.read(4096).decode(errors="replace").replace("\r", "\n").split("\n")
        last = next(("".join(c for c in line.strip() if c.isprintable()) for line in lines[::-1] if line.strip()), "")
        return last if len(last) <= 200 else last[:197] + "..."
