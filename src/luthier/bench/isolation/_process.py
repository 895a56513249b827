"""One worker process as this side sees it: start, ask, limits, end."""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from typing import IO, Any

from luthier.base.errors import BenchmarkError
from luthier.base.records import Status
from luthier.bench.isolation import worker as inside
from luthier.runtime.executors import _tree
from luthier.runtime.executors._base import Limits
from luthier.runtime.executors._process import end_of

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
_LOOK = 0.1  # seconds between two looks at death and memory: a look at memory costs 2 ms
_GRACE = 2.0  # seconds that a worker has to give up what was cancelled, and to leave when told goodbye
_OUTPUT = 1 << 24  # bytes of printed text that are kept before it starts anew
_lock = threading.Lock()
_guardians: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}  # process to mark and guardian
_WANT_OF_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory")


class Ended(Exception):
    """A question has no answer.

    Args:
        outcome: "crashed", "timeout", "out of memory", "killed" (from outside), "cancelled" or "raised".
        text: What happened, in one line.
        seconds: Time since the question was asked.
        output: Last lines that the benchmark printed, or its traceback.
    """

    def __init__(self, outcome: str, text: str, seconds: float, output: str = "") -> None:
        super().__init__(text)
        self.outcome, self.text, self.seconds, self.output = outcome, text, seconds, output


class Fault(Exception):
    """The program raised an exception; the worker lives on.

    Args:
        kinds: Names of its class and of that one's bases.
        home: Top package of its class.
        text: Its message.
        trace: Its traceback.
    """

    def __init__(self, kinds: list[str], home: str, text: str, trace: str) -> None:
        super().__init__(text)
        self.kinds, self.home, self.text, self.trace = kinds, home, text, trace


class WorkerProcess:
    """A started worker; one question at a time.

    Args:
        what: Name of what runs there, for messages.
        python: Interpreter of the environment.
        program: What `worker.load` reads.
        limits: What one question may use.
        start_seconds: Longest time until the program is loaded.
        kind: What it is, for messages: "benchmark" or "tool".

    Raises:
        BenchmarkError: it did not start, or is no worker of this protocol.
        Fault: the program could not be loaded.

    Attributes:
        hello: What the worker said about itself.
        started_in: Seconds from the start of the process until the benchmark was loaded.
        asked: Seconds that the last answered question took.
    """

    def __init__(
        self,
        what: str,
        python: str,
        program: Mapping[str, Any],
        *,
        limits: Limits,
        start_seconds: float,
        kind: str = "benchmark",
    ) -> None:
        self._kind, self._what, self._limits, self._pid = kind, f"{kind} {what!r}", limits, os.getpid()
        self._number, self._unsent, self._received = 0, 0, bytearray()
        self._writing = threading.Lock()
        self.asked = 0.0
        self._give_up: float | None = None  # when a cancelled question must be over
        mark = uuid.uuid4().hex
        output: IO[bytes] = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115 - unnamed: nothing to clean up
        self._output = output
        begun = time.monotonic()
        try:
            self._process = _spawn(python, mark, limits, output)
        except OSError as error:
            output.close()
            raise BenchmarkError(f"{self._what}: {python} cannot be started: {error}.") from error
        self._finalizer = weakref.finalize(self, _end, self._process, mark, output, self._pid)
        try:
            self.hello = self._greet(program, start_seconds)
        except BaseException:
            self.kill()
            raise
        self.started_in = time.monotonic() - begun

    # -- conversation ---------------------------------------------------------------------------------------

    def _greet(self, program: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        memory = None if self._limits.memory_mb is None else int(self._limits.memory_mb * 1e6)
        hello = {"protocol": inside.PROTOCOL, "program": program, "memory": memory}
        try:
            found = self.ask("hello", hello, seconds=seconds)
        except Ended as end:
            hint = f" after {end.seconds:.1f} s; it printed: {end.output}" if end.output else ""
            raise BenchmarkError(
                f"{self._what}: its worker did not start: {end.text}{hint}. See that its environment is "
                "whole, or build it again; a slow disk may need more start_seconds."
            ) from None
        except Fault as fault:
            if "ProtocolError" in fault.kinds:
                raise BenchmarkError(f"{self._what}: {fault.text}. Use the worker.py of this luthier.") from None
            raise
        spoken = found.get("protocol") if isinstance(found, dict) else found
        if spoken != inside.PROTOCOL:
            raise BenchmarkError(
                f"{self._what}: its worker speaks protocol {spoken!r}; this luthier speaks "
                f"{inside.PROTOCOL}. Use the worker.py of this luthier."
            )
        return dict(found)

    def ask(self, word: str, content: Mapping[str, Any] | None = None, *, seconds: float | None = None) -> Any:
        """Ask, and wait for the answer.

        Args:
            word: What to do; see `worker`.
            content: What the word needs.
            seconds: Longest time to wait; the worker is ended then.

        Raises:
            Ended: there is no answer, and no worker any more.
            Fault: the program raised an exception.
            BenchmarkError: what came is no message.
        """
        begun = time.monotonic()
        self._number += 1
        self._give_up = None
        message = inside.frame({"id": self._number, "do": word, **(content or {})})
        try:
            reply = self._exchange(message, begun, seconds)
        except BaseException:  # an interrupt too: half a message may be on its way
            self.kill()
            raise
        self.asked = time.monotonic() - begun
        if "error" not in reply:
            return reply.get("result")
        error = reply["error"]
        fault = Fault(error["kinds"], error.get("home", ""), error["text"], error.get("trace", ""))
        if "Cancelled" in fault.kinds:
            raise Ended("cancelled", "the evaluation was cancelled", self.asked)
        if "MemoryError" in fault.kinds:  # libraries are in an unknown state
            self.kill()
            raise Ended("out of memory", self._memory_text(fault.text), self.asked)
        raise fault

    def cancel(self) -> None:
        """Take the present question back, from another thread; a worker that goes on is ended after 2 s."""
        self._give_up = time.monotonic() + _GRACE
        self._say({"do": "cancel", "target": self._number})

    def _say(self, message: Mapping[str, Any]) -> None:
        """Send what has no answer, unless half a question is on its way; a worker that is gone is found out later."""
        assert self._process.stdin is not None
        with self._writing, contextlib.suppress(OSError, ValueError):
            if not self._unsent:
                os.write(self._process.stdin.fileno(), inside.frame({**message}))

    def _exchange(self, message: bytes, begun: float, seconds: float | None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        source, sink = self._process.stdout.fileno(), self._process.stdin.fileno()
        poll = select.poll()
        poll.register(source, select.POLLIN)
        left = self._push(memoryview(message), sink, begun)
        if left:
            poll.register(sink, select.POLLOUT)
        looked, deadline = begun, math.inf if seconds is None else begun + seconds
        while True:
            ready = dict(poll.poll(1000 * max(min(_LOOK, deadline - time.monotonic()), 0.0)))
            if sink in ready:
                left = self._push(left, sink, begun)
                if not left:
                    poll.unregister(sink)
            if source in ready:
                reply = self._read(source, begun)
                if reply is not None:
                    return reply
            now = time.monotonic()
            if now >= min(looked + _LOOK, deadline):
                looked = now
                self._look(begun, now, seconds)

    def _push(self, data: memoryview, sink: int, begun: float) -> memoryview:
        """Write what the pipe takes; the rest."""
        with self._writing:
            try:
                data = data[os.write(sink, data) :]
            except BlockingIOError:
                pass
            except OSError:
                raise self._died(begun) from None
            self._unsent = len(data)
            return data

    def _read(self, source: int, begun: float) -> dict[str, Any] | None:
        """The answer, once it is whole."""
        part = os.read(source, 1 << 20)
        if not part:
            raise self._died(begun)
        self._received += part
        while len(self._received) >= 4:
            (size,) = struct.unpack_from(">I", self._received)
            if size > inside.LONGEST:
                raise self._garbage()
            if len(self._received) < 4 + size:
                return None
            body = bytes(self._received[4 : 4 + size])
            try:
                reply = json.loads(body)
                number = reply["id"]
            except (ValueError, TypeError, KeyError):
                raise self._garbage() from None
            del self._received[: 4 + size]
            if number == self._number:
                return dict(reply)
        if self._received and self._received[0] > inside.LONGEST >> 24:
            raise self._garbage()
        return None

    def _garbage(self) -> BenchmarkError:
        return BenchmarkError(
            f"{self._what}: its worker wrote {bytes(self._received[:60])!r} where an answer was due. "
            "Something in the environment prints before the worker begins, or it is no luthier worker."
        )

    # -- limits and end -------------------------------------------------------------------------------------

    def _look(self, begun: float, now: float, seconds: float | None) -> None:
        spent = now - begun
        if self._give_up is not None and now >= self._give_up:
            raise Ended("cancelled", "the evaluation was cancelled", spent)
        if seconds is not None and spent >= seconds:
            raise Ended("timeout", f"time limit of {seconds:g} s exceeded", seconds, self.tail())
        if self._limits.memory_mb is not None:
            used = _tree.resident(self._process.pid)
            if used > self._limits.memory_mb * 1e6:
                text = self._memory_text(f"used {used / 1e6:.0f} MB")
                raise Ended("out of memory", text, spent, self.tail())
        if os.fstat(self._output.fileno()).st_size > _OUTPUT:
            os.ftruncate(self._output.fileno(), 0)
        if self._dead():  # a child of it may hold the pipe open
            raise self._died(begun)

    def _memory_text(self, detail: str) -> str:
        limit = self._limits.memory_mb
        text = "the process ran out of memory" if limit is None else f"memory limit of {limit:g} MB exceeded"
        return f"{text} ({detail})" if detail else text

    def _dead(self) -> bool:
        """Whether the process has ended; it stays a zombie, so that its number is nobody else's."""
        return self._process.returncode is not None or _tree.child_ended(self._process.pid)

    def _died(self, begun: float) -> Ended:
        seconds = time.monotonic() - begun
        for _ in range(200):  # the pipe is closed a moment before the process is gone
            if self._dead():
                break
            time.sleep(0.005)
        tail, closed = self.tail(), not self._dead()
        self.kill()
        if closed:
            return Ended("crashed", f"the {self._kind} closed the pipe of its worker", seconds, tail)
        end = end_of(self._process.returncode, seconds, "the worker")
        if self._limits.memory_mb is not None and any(word in tail for word in _WANT_OF_MEMORY):
            return Ended("out of memory", self._memory_text(end.error or ""), seconds, tail)
        return Ended("killed" if end.status is Status.LOST else "crashed", end.error or "it died", seconds, tail)

    def tail(self) -> str:
        """The end of what the benchmark printed."""
        with contextlib.suppress(ValueError, OSError):
            descriptor = self._output.fileno()
            size = os.fstat(descriptor).st_size
            return os.pread(descriptor, 2000, max(0, size - 2000)).decode(errors="replace").strip()
        return ""

    @property
    def alive(self) -> bool:
        """Whether it can be asked, by this process (not by one that was forked off it)."""
        return self._finalizer.alive and self._pid == os.getpid() and not self._dead()

    def close(self) -> None:
        """Say goodbye, wait 2 s, end it."""
        if self.alive:
            self._say({"do": "close"})
            deadline = time.monotonic() + _GRACE
            while not self._dead() and time.monotonic() < deadline:
                time.sleep(0.002)
        self.kill()

    def kill(self) -> None:
        """End it with everything it started."""
        self._finalizer()


def _spawn(python: str, mark: str, limits: Limits, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the interpreter, in a session of its own, its libraries held to the number of threads (1 by default)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept["PYTHONHASHSEED"] = "0"  # some code draws in the order of a set; `-I` would not hear of it
    environment = _tree.with_mark({**kept, **dict.fromkeys(THREADS, str(limits.cpus or 1))}, _guarded())
    process = subprocess.Popen(
        [python, "-s", "-u", inside.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        env=_tree.with_mark(environment, mark),
        start_new_session=True,
        bufsize=0,
    )
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process


def _end(process: subprocess.Popen[bytes], mark: str, output: IO[bytes], pid: int) -> None:
    """What a worker leaves behind is ended; a process that was forked off only lets go."""
    if os.getpid() == pid:
        if process.returncode is None:
            _tree.kill(process.pid, mark)
            process.wait()
        _tree.kill(None, mark)  # what was being started while its parent died
    for stream in (process.stdin, process.stdout, output):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()


def _guarded() -> str:
    """Mark of all workers of this process; its guardian ends them when this process was killed and could not.

    Only seldom is it needed: a worker that reads the end of its questions ends itself, unless foreign code holds it.
    """
    pid = os.getpid()
    with _lock:
        if pid not in _guardians or _guardians[pid][1].poll() is not None:
            mark = uuid.uuid4().hex
            guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", _tree.__file__, mark, str(pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            _guardians[pid] = mark, guardian
            atexit.register(_dismiss, pid)
        return _guardians[pid][0]


def _dismiss(pid: int) -> None:
    if os.getpid() == pid:
        _guardians[pid][1].kill()
        _guardians[pid][1].wait()
