"""What a peer's process says: JSON, one line a message, over its standard input and output.

    {"op": "new", "space": [...], "tool": "tpe", "seed": 0, "evaluations": 100}   -> {"versions": {...}}
    {"op": "ask"}                                                                  -> {"config": {...}, "seconds": s}
    {"op": "tell", "value": v}                                                     -> {"seconds": s}
    {"op": "preload", "configs": [...], "values": [...]}                           -> {"seconds": s}
    {"op": "report", "trial": 0, "resource": 3, "value": v}                        -> {"stop": false, "seconds": s}

Trials are numbered in the order of asking, from 0; `report` is for the tools that may end a trial early.

`seconds` is what the tool itself took; the pipe is not counted. A failure answers {"error": text} and the process
goes on. Nothing here needs luthier: the file runs in the peer's own environment.

A space is a list of {"name", "kind", "low", "high", "log", "values", "when": {"parent", "values"}}; `kind` is
"float", "int", "ordinal" (`values` in order) or "choice" (`values` without one).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

Spec = Sequence[Mapping[str, Any]]


class Peer(Protocol):
    """A tool that proposes one configuration at a time."""

    def ask(self) -> dict[str, Any]: ...

    def tell(self, value: float) -> None: ...

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None: ...


def one_thread() -> None:
    """Limit numeric libraries to one thread; call before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def versions(names: Iterable[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


def serve(make: Any, packages: Iterable[str]) -> None:
    """Answer messages until the input ends; `make(space, tool, seed, evaluations)` builds a `Peer`."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the tool prints must not mix with the answers
    peer: Peer | None = None
    for line in sys.stdin:
        message = json.loads(line)
        begin = time.perf_counter()
        try:
            answer: dict[str, Any] = {}
            if message["op"] == "new":
                peer = make(message["space"], message["tool"], message["seed"], message["evaluations"])
                answer["versions"] = versions(packages)
            elif message["op"] == "ask":
                answer["config"] = peer.ask()
            elif message["op"] == "tell":
                peer.tell(message["value"])
            elif message["op"] == "report":
                answer["stop"] = peer.report(message["trial"], message["resource"], message["value"])
            else:
                peer.preload(message["configs"], message["values"])
        except Exception as error:  # a peer may raise anything: the cell is marked, the run goes on
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        answer["seconds"] = time.perf_counter() - begin
        out.write(json.dumps(answer, default=plain) + "\n")


def plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    return value.item()
