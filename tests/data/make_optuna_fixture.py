"""Makes `foreign/optuna.db` and `foreign/optuna.journal`: the same tiny studies, written by Optuna itself.

Not run by the tests. `pip install optuna`, then `python make_optuna_fixture.py`. Made with optuna 5.0.0.
`fill` is also what the slow cross-check runs.
"""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState


def curve(trial: optuna.Trial) -> float:
    """One objective, a conditional parameter, intermediate values, every state."""
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 8 if trial.number < 4 else 12)
    dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.25)
    optimiser = trial.suggest_categorical("opt", ["sgd", "adam", None, 3])
    momentum = trial.suggest_float("momentum", 0.0, 0.9) if optimiser == "sgd" else 0.5
    trial.set_user_attr("host", "node-é")
    loss = abs(lr - 0.01) + layers / 10 + dropout + momentum / 100
    for epoch in range(1, 6):
        trial.report(loss + 1 / epoch, epoch)
        if trial.number % 4 == 1 and epoch == 3:
            raise optuna.TrialPruned
    if trial.number % 5 == 2:
        raise ValueError("no memory left")
    if trial.number == 8:
        return float("inf")
    return loss


def pair(trial: optuna.Trial) -> tuple[float, float]:
    """Two objectives, no intermediate values."""
    x, width = trial.suggest_float("x", -1, 1), trial.suggest_int("width", 16, 256, log=True)
    return x * x, 1.0 / width


def fill(storage: optuna.storages.BaseStorage) -> None:
    """The studies "curve" and "pair", with a waiting and a running trial left over in the first."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage, study_name="curve", sampler=optuna.samplers.RandomSampler(seed=1), direction="minimize"
    )
    study.optimize(curve, n_trials=12, catch=(ValueError,))
    study.enqueue_trial({"lr": 0.01})
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            value=0.125,
            params={"lr": 0.5, "layers": 2},
            distributions={
                "lr": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
                "layers": optuna.distributions.IntDistribution(1, 8),
            },
        )
    )
    storage.create_new_trial(study._study_id)  # left RUNNING, as a killed worker leaves it
    other = optuna.create_study(
        storage=storage,
        study_name="pair",
        sampler=optuna.samplers.RandomSampler(seed=2),
        directions=["minimize", "maximize"],
    )
    other.optimize(pair, n_trials=6)


def main() -> None:
    """Write both files anew."""
    folder = Path(__file__).parent / "foreign"
    database, journal = folder / "optuna.db", folder / "optuna.journal"
    for path in (database, journal):
        path.unlink(missing_ok=True)
    fill(optuna.storages.RDBStorage(f"sqlite:///{database}"))
    fill(JournalStorage(JournalFileBackend(str(journal))))


if __name__ == "__main__":
    main()
