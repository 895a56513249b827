"""`luthier stop-when`: when a finished study could have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from luthier.base.threads import single_thread
from luthier.cli._options import Debug, Json

ROWS = 12  # of the table; --json has all


def stop_when(
    source: Annotated[
        str, typer.Argument(metavar="LOG", help="A study, a database or journal of Optuna, or a CSV file of trials.")
    ],
    rule: Annotated[str, typer.Option(metavar="RULE", help="Which stopping rule judges.")] = "regret",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="RULE.NAME=X", help="Own argument of the rule: regret.pool=1.", show_default=False
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(metavar="X", help="The threshold, in units of the objective.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which study of the source.", show_default=False)
    ] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="NAME", help="Objective, or its column.", show_default=False)
    ] = None,
    goal: Annotated[str | None, typer.Option(metavar="min|max", help="Its goal.", show_default=False)] = None,
    folds: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Scores of folds: beginning of columns, or one list.", show_default=False),
    ] = None,
    stderr: Annotated[
        str | None, typer.Option(metavar="NAME", help="Standard error of the objective.", show_default=False)
    ] = None,
    params: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns of the hyperparameters.", show_default=False)
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The space, if the log does not say it well.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the rule's random draws.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell when a stopping rule would have ended a finished study.

    The rule watches the log trial by trial. A log of another tool is read as it is; in a CSV file each row is a trial.
    """
    single_thread()
    from luthier.base.checks import check
    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.cli._own import parts
    from luthier.space.files import load_space
    from luthier.study.from_csv import Columns
    from luthier.study.stop_when import stop_when as run

    if goal is not None:
        check("--goal", goal, one_of=("min", "max"))
    for text in settings or []:
        if text.partition("=")[0].partition(".")[0] != rule:
            raise ArgumentError(
                f"--set {text}. Allowed: {rule}.NAME=VALUE, of the rule that judges. For another rule add --rule."
            )
    own = parts("random", "straight", settings or [], [rule]).stopping[0]
    if epsilon is not None:
        own["epsilon"] = epsilon
    way: Literal["min", "max"] | None = None if goal is None else "min" if goal == "min" else "max"
    found = run(
        source,
        own,
        name=name,
        columns=Columns(objective, way, folds, stderr, (params or "").split(",") if params else ()),
        space=None if space is None else load_space(space),
        seed=seed,
    )
    if as_json:
        _json.write(
            {
                "log": found.log.name,
                "goal": found.log.problem.objectives[0].goal,
                "rule": found.rule,
                "trials": len(found.log.trials),
                "after": found.after,
                "best_then": None if found.then is None else _json.trial_data(found.then),
                "best": None if found.best is None else _json.trial_data(found.best),
                "seconds": {"all": found.seconds[0], "until_then": found.seconds[1]},
                "checks": list(found.checks),
                "words": found.words,
            }
        )
        return
    _table(found.checks)
    print(found.words)
    if way is None and Path(source).suffix.lower() == ".csv":
        one = found.log.problem.objectives[0]
        print(f"{one.name} is {one.goal}imised; if that is wrong: --goal {'max' if one.goal == 'min' else 'min'}")


def _table(checks: Sequence[Mapping[str, Any]]) -> None:
    """Some of the checks, the first stop and the last among them."""
    shown = [check for check in checks if "bound" in check]
    if not shown:
        return
    stop = next((i for i, check in enumerate(shown) if check["stop"]), len(shown) - 1)
    step = max(1, -(-len(shown) // ROWS))
    places = sorted({*range(0, len(shown), step), stop, len(shown) - 1})
    print(f"{'trials':>6}  {'bound':>10}  {'threshold':>10}  verdict")
    for i in places:
        check = shown[i]
        threshold = f"{check['threshold']:>10.4g}" if "threshold" in check else f"{'unknown':>10}"
        print(f"{check['trials']:>6}  {check['bound']:>10.4g}  {threshold}  {'stop' if check['stop'] else 'go on'}")
