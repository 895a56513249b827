"""A pipeline's last part: the child of each size, and beside it what else could have been done with its steps."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.base.files import write_text
from luthier.shrink import baselines
from luthier.shrink._fits import Diverged, check_trained
from luthier.shrink.extraction import SPEC, Child, extract, load
from luthier.shrink.front import Front
from luthier.shrink.importance import Moments, rank_units
from luthier.shrink.recovery import mend
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.strategies import finetune
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Data
from luthier.shrink.workspace import Workspace, scratch

CALIBRATION = 4  # batches behind a repair
MOST_STEPS, LEAST_STEPS = 5000, 5
Row = dict[str, Any]


def bounded(steps: float) -> int:
    """A number of steps that is neither none nor endless."""
    return int(min(MOST_STEPS, max(LEAST_STEPS, steps)))


def affordable(model: Any, data: Data, seconds: float, lr: float, teacher: Any = None) -> int:
    """Steps of a plain training that fit into a time; they are tried on a copy."""
    tried = copy.deepcopy(model)
    finetune(tried, data, teacher=teacher, steps=1, lr=lr)
    begin = time.monotonic()
    finetune(tried, data, teacher=teacher, steps=2, lr=lr)
    return bounded(seconds / max(1e-6, (time.monotonic() - begin) / 2))


@dataclass
class Targets:
    """Makes the rows of a report, one target after the other; what is finished is read when a run goes on.

    Args:
        work: The run.
        net: Its trained super-network.
        front: What the search has found.
        data: The task.
        seconds: For each child, and for each of its controls.
        lr: Highest rate.
        shared: Over how many targets the super-network's steps are spread.
        cut: Cuts a child out of the run's super-network, verified and written: (specification, name) -> child, folder.
        controls: Train the baseline and the control too.
        say: Told in a line what is done.
    """

    work: Workspace
    net: SuperNet
    front: Front
    data: Data
    seconds: float
    lr: float
    shared: int
    cut: Callable[[SubNetSpec, str], tuple[Child, Path]]
    controls: bool = True
    say: Callable[[str], None] = print
    _moments: list[Moments] = field(default_factory=list)

    def whole(self) -> Row:
        """The row of the super-network's whole."""
        return self._row("whole", self.net.model, self.net.full)

    def rows(self, target: float) -> list[Row]:
        """The child of one target, repaired and fine-tuned; its baseline and its control, trained as long."""
        spec = self.front.select(max_params=target).spec
        child, folder = self.cut(spec, f"share-{target:g}")
        row, steps = self._child(child, folder, target)
        if not self.controls:
            return [row]
        # the child's own steps, and its part of the super-network's
        fair = steps + int(self.work.config.get("steps", 0)) // self.shared
        self.say(f"target {target:g}: {fair} steps each for uniform magnitude pruning and for a model from scratch")
        found = [row]
        for control in (self._baseline, self._scratch):
            try:
                found += control(target, child, folder, fair)
            except Diverged as error:  # the child has come to its end, and that is what was wanted
                self.say(f"left out: {error}")
        return found

    @property
    def _seed(self) -> int:
        return int(self.work.config["seed"])

    def _child(self, child: Child, folder: Path, target: float) -> tuple[Row, int]:
        before: dict[str, float] = {}

        def steps_of(model: Any) -> int:
            if not self._moments:
                self._moments.append(Moments(self.net).run(self.data.calibration(CALIBRATION)))
            before.update(mend(self.net, child.spec, model, self._moments[0], self.data))
            steps = affordable(model, self.data, self.seconds, self.lr, self.net.model)
            self.say(
                f"target {target:g}: {child.spec}; least squares take the loss from {before['before']:.4f} to "
                f"{before['after']:.4f}; fine-tuning for {steps} steps with the whole as teacher"
            )
            return steps

        model, steps, told = self._trained(child, folder / "tuned", steps_of, self.net.model, before)
        row = self._row(f"child {target:g}", model, child.spec, steps=steps, folder=folder / "tuned")
        if told:
            row |= {"cut_loss": told["before"], "repaired_loss": told["after"]}
        return row, steps

    def _baseline(self, target: float, child: Child, folder: Path, steps: int) -> list[Row]:
        start = SuperNet.from_model(self.work.model(self.data.task))
        size = child.parameters / float(self.front.full["parameters"])
        try:
            spec = baselines.uniform(start, rank_units(start, method="magnitude", layers="first"), min(1.0, size))
        except ArgumentError as error:
            self.say(f"no baseline of this size: {error}")
            return []
        pruned = extract(start, spec, source=child.source)
        pruned.about |= {name: child.about[name] for name in ("trained_on",) if name in child.about}
        # a classifier's head is new, and teaches nothing
        teacher = start.model if self.data.task.kind == "lm" else None
        model, _, _ = self._trained(pruned, folder / "uniform-magnitude", steps, teacher)
        return [self._row(f"uniform magnitude {target:g}", model, spec, steps=steps)]

    def _scratch(self, target: float, child: Child, folder: Path, steps: int) -> list[Row]:
        fresh = scratch(self.net, child.spec, seed=self._seed, task=self.data.task)
        copied = Child(fresh, child.spec, "hf-custom", child.about, child.source)
        model, _, _ = self._trained(copied, folder / "from-scratch", steps, None)
        return [self._row(f"from scratch {target:g}", model, child.spec, steps=steps)]

    def _trained(
        self,
        child: Child,
        folder: Path,
        steps: int | Callable[[Any], int],
        teacher: Any,
        notes: Mapping[str, float] | None = None,
    ) -> tuple[Any, int, dict[str, float]]:
        """A trained model, its steps and notes; read if the run was killed after it and nothing else is asked for.

        Steps that a function gives are those of a time: what was trained for others counts too.
        """
        done = folder.with_suffix(".json")
        rate: Row = {"lr": self.lr, "seed": self._seed}
        told = self._told(done, folder / SPEC, child.spec, rate if callable(steps) else {**rate, "steps": steps})
        if told is not None:
            device = next(self.net.model.parameters()).device
            return load(folder).to(device).eval(), int(told["steps"]), dict(told["notes"])
        due = steps(child.model) if callable(steps) else steps
        history = finetune(child.model, self.data, teacher=teacher, steps=due, **rate)
        check_trained(str(folder), history, steps=due, lr=self.lr)
        done.unlink(missing_ok=True)  # what it says is not of the weights that are written next
        child.save(folder)
        kept = dict(notes or {})
        write_text(done, json.dumps({"steps": due, **rate, "notes": kept}) + "\n")
        return child.model.eval(), due, kept

    @staticmethod
    def _told(done: Path, made: Path, spec: SubNetSpec, asked: Mapping[str, Any]) -> Row | None:
        """What was written of a model that is trained; None if it is another's, or was trained otherwise."""
        if not done.is_file() or SubNetSpec.from_json(made.read_text(encoding="utf-8")) != spec:
            return None
        told: Row = json.loads(done.read_text(encoding="utf-8"))
        return told if all(told.get(name, value) == value for name, value in asked.items()) else None

    def _row(
        self, name: str, model: Any, spec: SubNetSpec, *, steps: int | None = None, folder: Path | None = None
    ) -> Row:
        full, own = (sum(p.numel() for p in one.parameters()) for one in (self.net.model, model))
        measured = self.data.task.evaluate(model.eval(), self.data.test)
        row = {"name": name, "parameters": own, "share": own / full, **measured, "spec": str(spec), "steps": steps}
        return {**row, **({} if folder is None else {"folder": str(folder)}), "model": model}
