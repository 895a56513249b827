"""Other tools beside ours: each in its own environment and process, spoken to in JSON lines (peers/_protocol.py).

The environments lie in the folder LUTHIER_PEERS (default ~/.cache/luthier-peers); benchmarks/peers/install.py makes
them. All time that is counted is measured inside the peer's process.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import luthier as lu
from luthier.base.records import Configuration
from luthier.space.conditions import Comparison

HERE = Path(__file__).with_name("peers")


class PeerFailed(Exception):
    """A peer raised, or its process ended."""


@dataclass(frozen=True)
class Kind:
    """Where a tool runs: the environment, its script, and which of its methods."""

    environment: str
    script: str
    method: str
    evaluations: int = 100  # at most; fewer where an ask takes longer than two seconds


PEERS: dict[str, Kind] = {
    "optuna-tpe": Kind("optuna", "optuna_peer.py", "tpe"),
    "optuna-gp": Kind("optuna", "optuna_peer.py", "gp"),
    "syne-tune-bore": Kind("syne-tune", "syne_tune_peer.py", "bore"),
    "syne-tune-cqr": Kind("syne-tune", "syne_tune_peer.py", "cqr"),
    "syne-tune-bo": Kind("syne-tune", "syne_tune_peer.py", "bo"),
    "smac-rf": Kind("smac", "smac_peer.py", "rf"),
    "smac-gp": Kind("smac", "smac_peer.py", "gp", 50),
    "hebo": Kind("hebo", "hebo_peer.py", "hebo", 50),
}


def environments() -> Path:
    """The folder of the peers' environments."""
    return Path(os.environ.get("LUTHIER_PEERS", "~/.cache/luthier-peers")).expanduser()


class Peer:
    """One tool's process, which may solve one problem after another, until `close`.

    Args:
        name: One of `PEERS`, or a tool that is not among them.
        patience: Seconds that an answer may take; None: any time.
    """

    def __init__(self, name: str | Kind, *, patience: float | None = None) -> None:
        self.kind, self.patience = name if isinstance(name, Kind) else PEERS[name], patience
        python = environments() / self.kind.environment / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError(f"{python} is missing. Run benchmarks/peers/install.py {self.kind.environment}.")
        self._process = subprocess.Popen(
            [str(python), str(HERE / self.kind.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.versions: dict[str, str] = {}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def new(self, space: lu.Space, seed: int, evaluations: int) -> None:
        """Begin with a problem; `evaluations` is how many will be made, for the tools that want to know."""
        self._space = space
        message = {"op": "new", "space": spec(space), "tool": self.kind.method, "seed": seed}
        self.versions = self._say({**message, "evaluations": evaluations})["versions"]

    def ask(self) -> tuple[Configuration, float]:
        """A configuration of the space, and the seconds that it took."""
        answer = self._say({"op": "ask"})
        values = {name: self._inside(name, value) for name, value in answer["config"].items()}
        return self._space.check(values, fill=True), answer["seconds"]

    def tell(self, value: float) -> float:
        """Give the value of what was asked last; the seconds that it took."""
        return float(self._say({"op": "tell", "value": value})["seconds"])

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> float:
        """Give many observations at once; the seconds that it took."""
        message = {"op": "preload", "configs": [dict(config) for config in configs], "values": list(values)}
        return float(self._say(message)["seconds"])

    def _inside(self, name: str, value: Any) -> Any:
        domain = self._space[name]
        if isinstance(domain, (lu.Float, lu.Int)):  # rounding may leave a bound by a hair
            return min(max(value, domain.low), domain.high)
        return value

    def _say(self, message: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None
        try:
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()
            if not select.select([stdout], [], [], self.patience)[0]:  # one answer a message: none is buffered
                raise PeerFailed(f"no answer within {self.patience:g} s")
            line = stdout.readline()
        except OSError as error:
            raise PeerFailed(f"the process ended ({error})") from error
        if not line:
            raise PeerFailed(f"the process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer


def spec(space: lu.Space) -> list[dict[str, Any]]:
    """A space as peers are told it."""
    return [_domain(space, name) for name in space.names]


def _domain(space: lu.Space, name: str) -> dict[str, Any]:
    domain = space[name]
    found: dict[str, Any] = {"name": name, "kind": domain.kind}
    if isinstance(domain, (lu.Float, lu.Int)):
        found |= {"low": domain.low, "high": domain.high, "log": domain.log}
    elif isinstance(domain, (lu.Choice, lu.Ordinal)):
        found["values"] = list(domain.values)
    else:
        raise TypeError(f"{name}: {domain!r} has no counterpart in every peer")
    condition = space.conditions.get(name)
    if condition is not None:
        if not isinstance(condition, Comparison) or condition.operator not in ("==", "in"):
            raise TypeError(f"{name}: condition {condition} has no counterpart in every peer")
        value = condition.value
        found["when"] = {"parent": condition.parent, "values": list(value) if isinstance(value, tuple) else [value]}
    return found
