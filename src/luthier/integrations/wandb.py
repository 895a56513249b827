"""Weights & Biases: every trial of a study a run, in one group."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from luthier.base.checks import check
from luthier.base.imports import need
from luthier.integrations._tracking import Tracker
from luthier.study import Result, Study

MODES = ("offline", "online", "disabled")


class WandbCallback(Tracker):
    """Keeps a study in W&B: a run for each trial and one with the study's result, all in a group of the study's name.

    ```python
    study = lu.Study(space, "loss", callbacks=[WandbCallback("my-project")])
    ```

    Offline unless told otherwise: nothing leaves the machine before `wandb sync wandb/offline-*`. Several trials at
    once are several open runs, none of them the process's own one.

    Args:
        project: W&B's project.
        entity: User or team; None: the default.
        mode: "offline", "online" or "disabled" ("offline": no network unless a user says so).
        group: Name of the group; None: the study's.
        folder: Where the `wandb` folder goes; None: the current folder.
        tags: Tags of every run.
    """

    def __init__(
        self,
        project: str = "luthier",
        *,
        entity: str | None = None,
        mode: str = "offline",
        group: str | None = None,
        folder: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        check("mode", mode, one_of=MODES)
        self._wandb: Any = need("wandb", what="WandbCallback", extra="integrations")
        self._fixed = {"project": project, "entity": entity, "mode": mode, "dir": folder, "tags": list(tags)}
        self._group = group
        self._axis: str | None = None

    def _begin(self, study: Study, time: float) -> None:
        fidelity = study.problem.fidelity
        self._axis = None if fidelity is None else fidelity.name

    def _init(self, study: Study, name: str, kind: str, config: Mapping[str, Any]) -> Any:
        # a run that is made again by a resumed study is the same one
        digest = hashlib.sha256(f"{study.url}#{study.name}/{name}".encode()).hexdigest()[:16]
        again = {} if study.url.startswith("memory") else {"id": digest, "resume": "allow"}
        settings = self._wandb.Settings(silent=True, console="off", x_disable_stats=True)
        return self._wandb.init(
            **self._fixed,
            **again,
            group=self._group or study.name,
            name=name,
            job_type=kind,
            config=dict(config),
            reinit="create_new",
            settings=settings,
        )

    def _open(self, study: Study, trial: int, config: Mapping[str, Any], origin: str, time: float) -> Any:
        run = self._init(study, f"{study.name}-{trial}", "trial", config)
        run.config.update({"luthier": {"trial": trial, "origin": origin}}, allow_val_change=True)
        return run

    def _configure(self, handle: Any, config: Mapping[str, Any]) -> None:
        handle.config.update(dict(config), allow_val_change=True)

    def _report(self, handle: Any, metrics: Mapping[str, float], resource: float | None, time: float) -> None:
        spent = {} if resource is None or self._axis is None else {self._axis: resource}
        handle.log({**metrics, **spent})

    def _close(self, handle: Any, status: str, error: str | None, time: float) -> None:
        handle.summary["status"] = status
        if error:
            handle.summary["reason"] = error
        handle.finish(exit_code=1 if status == "failed" else 0)

    def _conclude(self, study: Study, result: Result) -> None:
        space = {name: str(domain) for name, domain in study.space.items()}
        run = self._init(study, study.name, "study", {"space": space, "searcher": study.searcher_name})
        run.summary.update({"rule": result.rule, **{f"trials/{word}": n for word, n in result.counts.items()}})
        if result.best is not None:
            best = {"trial": result.best.number, **result.best.config, **result.best.metrics}
            run.summary.update({f"best/{name}": value for name, value in best.items()})
        run.finish()
