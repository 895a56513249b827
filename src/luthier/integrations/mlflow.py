"""MLflow: every trial of a study a run, nested under one run for the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.base.imports import need
from luthier.base.records import pairs
from luthier.integrations._tracking import Tracker
from luthier.study import Result, Study

#: Status of a trial -> MLflow's word; the trial's own is in the tag "luthier.status".
_WORDS = {"completed": "FINISHED", "stopped": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}


class MlflowCallback(Tracker):
    """Keeps a study in MLflow: a parent run with the study, a nested run for each trial.

    ```python
    study = lu.Study(space, "loss", callbacks=[MlflowCallback("sqlite:///mlflow.db", experiment="demo")])
    ```

    Parameters are the configuration, metrics the reports with the resource as step, tags the origin and the status. A
    study that is continued finds its runs again. MLflow's active run is not touched, so that trials may run at once,
    and a program that is tuned may use MLflow itself.

    Args:
        tracking_uri: Where to, such as "sqlite:///mlflow.db" or "http://host:5000"; None: MLflow's own setting
            (MLFLOW_TRACKING_URI).
        experiment: Name of the experiment; None: the study's name.
        tags: Tags of the study's run.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        module = need("mlflow", what="MlflowCallback", extra="integrations")
        self._entities = need("mlflow.entities", what="MlflowCallback", extra="integrations")
        self._client: Any = module.MlflowClient(tracking_uri=tracking_uri)
        self._experiment_name, self._tags = experiment, dict(tags or {})
        self._experiment, self._parent = "", ""
        self._known: dict[int, Any] = {}  # trial -> its run, of earlier processes
        self._steps: dict[str, int] = {}

    def _begin(self, study: Study, time: float) -> None:
        name = self._experiment_name or study.name
        found = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        self._known, self._parent = {}, ""
        if not study.url.startswith("memory"):
            self._recall(study)
        if not self._parent:
            made = self._client.create_run(
                self._experiment,
                start_time=round(time * 1000),
                run_name=study.name,
                tags={**self._tags, "luthier.study": _key(study), "luthier.searcher": study.searcher_name},
            )
            self._parent = made.info.run_id
            for hyperparameter, domain in study.space.items():
                self._client.log_param(self._parent, f"space/{hyperparameter}", str(domain)[:500])
        self._client.update_run(self._parent, status="RUNNING")

    def _recall(self, study: Study) -> None:
        """Find the runs that an earlier process has made of this study."""
        where, token = f"tags.`luthier.study` = '{_key(study)}'", None
        while True:
            page = self._client.search_runs([self._experiment], where, max_results=1000, page_token=token)
            for run in page:
                trial = run.data.tags.get("luthier.trial")
                if trial is None:
                    self._parent = run.info.run_id
                else:
                    self._known[int(trial)] = run
            token = page.token
            if not token:
                return

    def _open(self, study: Study, trial: int, config: Mapping[str, Any], origin: str, time: float) -> str | None:
        known = self._known.get(trial)
        if known is not None:
            return None if known.info.status in ("FINISHED", "FAILED") else str(known.info.run_id)
        made = self._client.create_run(
            self._experiment,
            start_time=round(time * 1000),
            run_name=f"trial {trial}",
            tags={
                "mlflow.parentRunId": self._parent,
                "luthier.study": _key(study),
                "luthier.trial": str(trial),
                "luthier.origin": origin,
            },
        )
        run: str = made.info.run_id
        self._configure(run, config)
        return run

    def _configure(self, handle: str, config: Mapping[str, Any]) -> None:
        params = [self._entities.Param(name, str(value)) for name, value in config.items()]
        self._client.log_batch(handle, params=params)

    def _report(self, handle: str, metrics: Mapping[str, float], resource: float | None, time: float) -> None:
        self._steps[handle] = count = self._steps.get(handle, -1) + 1
        step = int(resource) if resource is not None and float(resource).is_integer() else count
        now = round(time * 1000)
        self._client.log_batch(
            handle, metrics=[self._entities.Metric(name, value, now, step) for name, value in metrics.items()]
        )

    def _close(self, handle: str, status: str, error: str | None, time: float) -> None:
        self._client.set_tag(handle, "luthier.status", status)
        if error:
            self._client.set_tag(handle, "luthier.reason", error[:4000])
        self._client.set_terminated(handle, _WORDS.get(status, "KILLED"), end_time=round(time * 1000))
        self._steps.pop(handle, None)

    def _conclude(self, study: Study, result: Result) -> None:
        best = result.best
        if best is not None:
            for name, value in best.metrics.items():
                self._client.log_metric(self._parent, f"best/{name}", value, step=len(result.trials))
            self._client.set_tag(self._parent, "luthier.best", f"trial {best.number}: {', '.join(pairs(best.config))}")
        self._client.set_tag(self._parent, "luthier.rule", result.rule)
        self._client.set_terminated(self._parent)


def _key(study: Study) -> str:
    return f"{study.url}#{study.name}".replace("'", "")
