"""What a search has found: the Pareto set of sub-networks, as numbers; pictures are drawn elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.files import write_text
from luthier.base.pareto import hypervolume, nondominated
from luthier.shrink.spec import SubNetSpec

LOSSES = ("recovered_error", "error", "loss")  # what an objective may be that is no cost


@dataclass(frozen=True)
class Point:
    """One sub-network and what was measured of it.

    Args:
        spec: The sub-network.
        metrics: "loss", the task's score, "parameters", "non_embedding", "macs", "cache_bytes", "latency_ms" where it
            was predicted or measured, "error" (see `Task.evaluate`), "select_error" on data that the search did not
            see.
    """

    spec: SubNetSpec
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"spec": self.spec.to_json(), "metrics": dict(self.metrics)}


@dataclass
class Front:
    """Sub-networks that no other one found dominates.

    Args:
        points: They, by size.
        tried: Everything that was evaluated.
        objectives: Names of the metrics that were minimised.
        full: Metrics of the whole.
        chance: Error of a constant answer.
        about: How it was searched.
    """

    points: list[Point]
    tried: list[Point]
    objectives: tuple[str, ...]
    full: Mapping[str, float]
    chance: float
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, tried: Sequence[Point], objectives: Sequence[str], full: Mapping[str, float], chance: float, **about: Any
    ) -> Front:
        """The Pareto set of what was tried."""
        distinct = list({point.spec: point for point in tried}.values())
        values = np.array([[point.metrics[name] for name in objectives] for point in distinct]).reshape(
            len(distinct), len(objectives)
        )
        keep: Any = nondominated(values) if len(distinct) else []
        points = sorted(
            (p for p, kept in zip(distinct, keep, strict=True) if kept), key=lambda p: p.metrics["parameters"]
        )
        return cls(points, list(tried), tuple(objectives), dict(full), chance, dict(about))

    @property
    def lost(self) -> str:
        """The metric of what a sub-network loses: the objective that is an error or a loss, at whatever place."""
        return next((name for name in self.objectives if name in LOSSES), _error(self.full))

    def kept(self) -> list[Point]:
        """Of everything that was evaluated what keeps the constraints of the search, each sub-network once."""
        return keeping(list({p.spec: p for p in self.tried}.values()), self.about.get("constraints", {}))

    def rows(self) -> list[dict[str, Any]]:
        """The table: a row for each point, with its share of the full number of parameters."""
        return [
            {"share": p.metrics["parameters"] / self.full["parameters"], **p.metrics, "spec": str(p.spec)}
            for p in self.points
        ]

    def table(self) -> str:
        """The table as text."""
        names = [n for n in ("share", "parameters", "loss", *_scores(self.full), "latency_ms") if n in self._known()]
        lines = ["  ".join(f"{name:>11}" for name in names) + "  sub-network"]
        for row in self.rows():
            cells = [f"{row[name]:>11.3f}" if name != "parameters" else f"{int(row[name]):>11,}" for name in names]
            lines.append("  ".join(cells) + f"  {row['spec']}")
        return "\n".join(lines)

    def _known(self) -> set[str]:
        return {"share", *(self.points[0].metrics if self.points else ())}

    def select(
        self, *, max_params: float | None = None, max_latency_ms: float | None = None, by: str | None = None
    ) -> Point:
        """The best point that is small enough.

        Args:
            max_params: Most parameters: a share of the full number up to 1, or a number.
            max_latency_ms: Highest latency.
            by: Metric to be low; None: "recovered_error" or "select_error" if they were measured, else the loss.

        Raises:
            ArgumentError: none is small enough; the smallest is told.
        """
        limits: dict[str, float] = {}
        if max_params is not None:
            limits["parameters"] = max_params * self.full["parameters"] if max_params <= 1 else max_params
        if max_latency_ms is not None:
            limits["latency_ms"] = max_latency_ms
        for name in limits:
            if any(name not in p.metrics for p in self.points):
                raise ArgumentError(f"select: {name} was not measured. Search with it as an objective or constraint.")
        fit = [p for p in self.points if all(p.metrics[name] <= upper for name, upper in limits.items())]
        if not fit:
            least = {name: min((p.metrics[name] for p in self.points), default=float("nan")) for name in limits}
            told = ", ".join(
                f"{name} <= {upper:,.6g} (the least found is {least[name]:,.6g})" for name, upper in limits.items()
            )
            raise ArgumentError(f"select: no sub-network of the front has {told}. Ask for more, or search further.")
        if by is not None:
            check("by", by, one_of=sorted(fit[0].metrics))
        names = ("recovered_error", "select_error", "select_loss", "loss")
        chosen = by or next(name for name in names if all(name in p.metrics for p in fit))
        return min(fit, key=lambda p: (p.metrics[chosen], p.metrics["parameters"]))

    def knee(self) -> Point:
        """The point farthest below the line between the front's ends, in units of its ranges.

        Raises:
            ArgumentError: there is no point.
        """
        if not self.points:
            raise ArgumentError("knee: the front is empty. Search first.")
        values = self._scaled()
        if len(values) < 3:
            return self.points[-1]
        first, last = values[0], values[-1]
        across = np.array([last[1] - first[1], first[0] - last[0]])
        below = (values - first) @ across / max(np.linalg.norm(across), 1e-12)
        sign = 1.0 if ((np.zeros(2) - first) @ across) > 0 else -1.0
        return self.points[int(np.argmax(sign * below))]

    def _scaled(self) -> Any:
        values = np.array([[p.metrics[name] for name in (self.lost, "parameters")] for p in self.points])
        low, high = values.min(axis=0), values.max(axis=0)
        return (values - low) / np.where(high > low, high - low, 1.0)

    def hypervolume(self, *, cost: str = "parameters") -> float:
        """Hypervolume that means the same for every method: error from the whole's (0) to a constant answer's (1),
        cost as a share of the whole's, reference (1, 1). Of all that was tried and keeps the constraints: a front whose
        points were ranked anew has that of its search.

        Args:
            cost: Which cost.
        """
        return hypervolume_of(self.kept(), self.full, self.chance, cost=cost)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "objectives": list(self.objectives),
            "full": dict(self.full),
            "chance": self.chance,
            "about": self.about,
            "points": [p.to_json() for p in self.points],
            "tried": [p.to_json() for p in self.tried],
        }

    def save(self, path: str | Path) -> Path:
        """Write it as JSON."""
        return write_text(path, json.dumps(self.to_json()) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Front:
        """Read what `save` has written.

        Raises:
            ArgumentError: there is no such file.
        """
        place = Path(path)
        if not place.is_file():
            raise ArgumentError(f"{place}: no front there. Search first: luthier shrink search RUN.")
        data = json.loads(place.read_text(encoding="utf-8"))
        read = [
            [Point(SubNetSpec.from_json(p["spec"]), p["metrics"]) for p in data[key]] for key in ("points", "tried")
        ]
        return cls(read[0], read[1], tuple(data["objectives"]), data["full"], data["chance"], data["about"])


def _scores(metrics: Mapping[str, float]) -> list[str]:
    return [name for name in ("accuracy", "correlation", "perplexity") if name in metrics]


def keeping(points: Sequence[Point], limits: Mapping[str, float]) -> list[Point]:
    """The points whose metrics are within upper bounds."""
    return [p for p in points if all(p.metrics[name] <= upper for name, upper in limits.items())]


def _error(full: Mapping[str, float]) -> str:
    return "error" if "error" in full else "loss"


def hypervolume_of(
    points: Sequence[Point], full: Mapping[str, float], chance: float, *, cost: str = "parameters"
) -> float:
    """See `Front.hypervolume`; of any points, such as a baseline's."""
    by = _error(full)
    room = max(chance - full[by], 1e-9)
    values = np.array([[(p.metrics[by] - full[by]) / room, p.metrics[cost] / full[cost]] for p in points])
    if not len(values):
        return 0.0
    return hypervolume(np.clip(values, 0.0, 1.0), np.array([1.0, 1.0]))
