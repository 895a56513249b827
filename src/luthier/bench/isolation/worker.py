"""The inside of an isolated environment: loads one benchmark, answers questions about it.

Run as `python -s -u worker.py`. It needs the standard library alone and Python 3.6 or newer, since the benchmarks that
need isolation most are old; so it imports nothing of luthier's, and nothing here is newer than 3.6.

Messages are JSON objects in UTF-8, each after its length in four bytes, most significant first. Questions come on
standard input, answers leave on standard output; whatever the benchmark prints goes to standard error instead.

    question   {"id": 7, "do": WORD, ...}
    answer     {"id": 7, "result": ...}  or  {"id": 7, "error": {"kinds": [class names], "text": ..., "trace": ...}}

The words, in the order of a conversation:

    hello            protocol, program, memory (bytes or null) -> protocol, python, packages, cpu, threads, offers, ...
    spaces           -> space, fidelity
    meta             -> objectives, constraints, card, bounds, trains, continues
    evaluate         config, resource, seed -> metrics, seconds, status, info
    evaluate_batch   configs, resource, seed -> one answer each
    evaluate_test    as evaluate
    curve            config, until, seed -> a list of [resource, answer]
    call             method, arguments -> found, seconds, cpu_seconds: any other method, and what it took
    cancel           target: id of the question to give up; has no answer of its own
    close            the end; has no answer

A program is a function of a module or file that takes the options and returns an object with `describe()` (what
`spaces` and `meta` answer, in one dictionary) and `evaluate(config, resource, seed)`; it may have `evaluate_batch`,
`evaluate_test`, `curve`, and methods for `call`. All of them take and return what JSON can say.
"""

import collections
import contextlib
import importlib
import importlib.util
import json
import math
import os
import platform
import queue
import signal
import struct
import sys
import threading
import time
import traceback
import types

PROTOCOL = 1
#: No message is longer, bytes: so the first byte of a length is at most 4, which no printed text begins with.
LONGEST = 1 << 26
_HEADER = struct.Struct(">I")
_STATUSES = ("completed", "diverged", "failed")
_OPTIONAL = ("evaluate_batch", "evaluate_test", "curve")


class Cancelled(BaseException):
    """The question that is being answered was taken back."""


class ProtocolError(Exception):
    """The other side speaks another version."""


def frame(message: "dict[str, object]") -> bytes:
    """A message as it goes over the pipe.

    Raises:
        ValueError: it is too long.
    """
    body = json.dumps(message, default=_plain, separators=(",", ":")).encode("utf-8")
    if len(body) > LONGEST:
        raise ValueError(f"a message of {len(body)} bytes is longer than {LONGEST}")
    return _HEADER.pack(len(body)) + body


def _plain(value: object) -> object:
    """Numbers and arrays of numerical libraries as JSON can say them, all else as text."""
    for name in ("tolist", "item"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    return repr(value)


class Worker:
    """One conversation.

    Args:
        source: Descriptor that questions come from.
        sink: Descriptor that answers go to.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._inbox: queue.Queue[dict[str, object]] = queue.Queue()
        self._busy: object = None  # id of the question that is being answered
        self._unwanted: object = None  # id of the question that was taken back last
        self._program: object = None
        self._described: dict[str, object] = {}

    def run(self) -> None:
        """Answer until the other side says goodbye."""
        signal.signal(signal.SIGINT, self._interrupt)
        threading.Thread(target=self._listen, name="luthier-listen", daemon=True).start()
        while True:
            message = self._inbox.get()
            if message["do"] == "close":
                return
            self._send(self._answer(message))

    def _send(self, data: bytes) -> None:
        flush()
        view = memoryview(data)
        while view:
            view = view[os.write(self._sink, view) :]

    # -- the thread that reads ------------------------------------------------------------------------------

    def _listen(self) -> None:
        while True:
            (length,) = _HEADER.unpack(self._exactly(_HEADER.size))
            message = json.loads(self._exactly(length).decode("utf-8"))
            if message["do"] != "cancel":
                self._inbox.put(message)
                continue
            self._unwanted = message["target"]
            main = threading.main_thread().ident
            if self._busy == self._unwanted and main is not None:
                signal.pthread_kill(main, signal.SIGINT)  # wakes it from a sleep, which interrupt_main would not

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self._source, min(size, 1 << 20))
            if not part:
                vanish()
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    # -- the main thread ------------------------------------------------------------------------------------

    def _interrupt(self, signum: int, at: object) -> None:
        if self._busy is not None and self._busy == self._unwanted:
            self._unwanted = None
            raise Cancelled()

    def _answer(self, message: "dict[str, object]") -> bytes:
        number = message.get("id")
        try:
            try:
                self._busy = number
                if number is not None and number == self._unwanted:  # taken back while it waited
                    self._unwanted = None
                    raise Cancelled()
                return frame({"id": number, "result": self._do(message)})
            finally:
                self._busy = None
        except BaseException as error:
            self._busy = None
            return frame({"id": number, "error": fault(error)})

    def _do(self, message: "dict[str, object]") -> object:
        word = str(message["do"])
        if word == "hello":
            return self._hello(message)
        if word in ("spaces", "meta"):
            first = ("space", "fidelity")
            return {name: value for name, value in self._described.items() if (name in first) == (word == "spaces")}
        if word == "call":
            return self._call(str(message["method"]), message["arguments"])  # type: ignore[arg-type]
        if word not in ("evaluate",) + _OPTIONAL:  # noqa: RUF005 - Python 3.6
            raise ProtocolError(f"this worker does not know the word {word!r}")
        arguments = {name: value for name, value in message.items() if name not in ("id", "do")}
        found = getattr(self._program, word)(**arguments)
        if word == "evaluate_batch" and len(found) != len(arguments["configs"]):  # type: ignore[arg-type]
            raise ValueError(f"evaluate_batch gave {len(found)} answers")
        if word == "curve":
            return [[float(step), answer(one)] for step, one in found]
        return [answer(one) for one in found] if word == "evaluate_batch" else answer(found)

    def _call(self, method: str, arguments: "dict[str, object]") -> "dict[str, object]":
        """A method that is no word; time is taken here, so that the pipe is no part of it."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = getattr(self._program, method)(**arguments)
        return {
            "found": found,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
        }

    def _hello(self, message: "dict[str, object]") -> "dict[str, object]":
        if message["protocol"] != PROTOCOL:
            raise ProtocolError(f"this worker speaks protocol {PROTOCOL} and was asked for {message['protocol']}")
        limit(message.get("memory"))
        before = time.time()
        self._program = load(message["program"])  # type: ignore[arg-type]
        self._described = dict(self._program.describe())  # type: ignore[attr-defined]
        return {
            "protocol": PROTOCOL,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": packages(sys.path),
            "cpu": cpu(),
            "threads": int(os.environ.get("OMP_NUM_THREADS") or 0),
            "offers": [name for name in _OPTIONAL if callable(getattr(self._program, name, None))],
            "load_seconds": time.time() - before,
        }


def load(program: "dict[str, object]") -> object:
    """Make what a program describes: `lend` (package name to folder), `file` or `module`, `call`, `options`."""
    for name, folder in program.get("lend", {}).items():  # type: ignore[attr-defined]
        module_from(name, os.path.join(folder, "__init__.py"), [folder])
    path = program.get("file")
    if path is None:
        module = importlib.import_module(str(program["module"]))
    else:
        sys.path.insert(0, os.path.dirname(str(path)))
        module = module_from("luthier_program", str(path), None)
    return getattr(module, str(program["call"]))(**program["options"])  # type: ignore[arg-type]


def module_from(name: str, path: str, folders: "list[str] | None") -> "types.ModuleType":
    """Import one file, or one package, whatever else lies beside it."""
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def answer(found: "dict[str, object]") -> "dict[str, object]":
    """An evaluation in its full form."""
    metrics = {str(name): float(value) for name, value in found["metrics"].items()}  # type: ignore[attr-defined]
    status = found.get("status")
    if status is None:
        status = "completed" if all(math.isfinite(value) for value in metrics.values()) else "diverged"
    if status not in _STATUSES:
        raise ValueError(f"status {status!r} of an answer is none of {', '.join(_STATUSES)}")
    seconds = float(found.get("seconds", 0.0))  # type: ignore[arg-type]
    return {"metrics": metrics, "seconds": seconds, "status": status, "info": found.get("info") or {}}


def fault(error: BaseException) -> "dict[str, object]":
    """An exception as the other side can read it."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    home = type(error).__module__.partition(".")[0]
    if isinstance(error, (MemoryError, Cancelled)):  # short: there is no memory to spare, or nobody asks why
        return {"kinds": kinds, "home": home, "text": str(error), "trace": ""}
    trace = traceback.format_exc()
    return {"kinds": kinds, "home": home, "text": str(error), "trace": trace[-4000:]}


def limit(memory: "object") -> None:
    """Let this process allocate no more than that many bytes (Linux; elsewhere the other side alone watches)."""
    if memory is None or not sys.platform.startswith("linux"):
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = int(memory) if hard == resource.RLIM_INFINITY else min(int(memory), hard)  # type: ignore[call-overload]
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def packages(folders: "list[str]") -> "dict[str, str]":
    """Installed packages to versions, from the names of their folders: reading all their metadata takes long."""
    found = {}
    for folder in reversed(folders):  # what comes first on the path wins
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        for entry in entries:
            stem, dot, kind = entry.rpartition(".")
            parts = stem.split("-")
            if dot and kind in ("dist-info", "egg-info") and len(parts) >= 2:
                found[parts[0].replace("_", "-").lower()] = parts[1]
    return collections.OrderedDict(sorted(found.items()))


def cpu() -> str:
    """Model of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.lower().startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def flush() -> None:
    """Let go of what the benchmark printed; it may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


def vanish() -> None:
    """The other side is gone: end this process and all of its group."""
    if os.getpgid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Keep the pipes for the messages, and give the benchmark others."""
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # what lies beside this file is nothing that the benchmark could mean
    source, sink = os.dup(0), os.dup(1)  # neither is inherited by programs that the benchmark starts
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    Worker(source, sink).run()
    flush()
    os._exit(0)  # no waiting for threads that the benchmark left behind


if __name__ == "__main__":
    main()
