"""Which other optimisers there are: environment, script, method, and what each of them can do."""

from __future__ import annotations

from dataclasses import dataclass

OPTUNA = ("optuna", "numpy", "scipy", "torch", "cmaes")
SMAC = ("smac", "ConfigSpace", "numpy", "scikit-learn")
SYNE_TUNE = ("syne-tune", "numpy", "xgboost-cpu", "scikit-learn", "botorch", "torch")


@dataclass(frozen=True)
class Kind:
    """One method of a tool.

    Args:
        environment: Its environment, the name of a lock of `bench/data/locks/tools`.
        script: Its side of the conversation, a file of `scripts` or a path.
        method: What the script calls it.
        packages: Whose versions are kept.
        early: It hears every report and may end a trial.
        rungs: It decides itself how far a trial runs.
        repeatable: Whether one seed always gives the same proposals.
        about: In a sentence.
    """

    environment: str
    script: str
    method: str
    packages: tuple[str, ...] = ()
    early: bool = False
    rungs: bool = False
    repeatable: bool = True
    about: str = ""


KINDS: dict[str, Kind] = {
    "optuna-tpe": Kind("optuna", "tool_optuna.py", "tpe", OPTUNA, about="TPESampler; conditions by define-by-run"),
    "optuna-gp": Kind("optuna", "tool_optuna.py", "gp", OPTUNA, about="GPSampler"),
    "optuna-cmaes": Kind("optuna", "tool_optuna.py", "cmaes", OPTUNA, about="CmaEsSampler; choices are drawn"),
    "optuna-tpe-hyperband": Kind(
        "optuna", "tool_optuna.py", "tpe+hyperband", OPTUNA, early=True, about="TPESampler and HyperbandPruner"
    ),
    "optuna-tpe-median": Kind(
        "optuna", "tool_optuna.py", "tpe+median", OPTUNA, early=True, about="TPESampler and MedianPruner"
    ),
    "smac-rf": Kind("smac", "tool_smac.py", "rf", SMAC, about="the hyperparameter-optimisation facade"),
    "smac-gp": Kind("smac", "tool_smac.py", "gp", SMAC, about="the black-box facade"),
    "smac-hb": Kind(
        "smac", "tool_smac.py", "hb", SMAC, rungs=True, about="the multi-fidelity facade: forest, Hyperband"
    ),
    "syne-tune-cqr": Kind("syne-tune", "tool_syne_tune.py", "cqr", SYNE_TUNE, about="CQR"),
    "syne-tune-bore": Kind("syne-tune", "tool_syne_tune.py", "bore", SYNE_TUNE, about="BORE"),
    "syne-tune-bo": Kind("syne-tune", "tool_syne_tune.py", "bo", SYNE_TUNE, about="BoTorch"),
    "syne-tune-asha": Kind(
        "syne-tune", "tool_syne_tune.py", "asha", SYNE_TUNE, early=True, about="ASHA, stopping, random search"
    ),
    "syne-tune-cqr-asha": Kind(
        "syne-tune", "tool_syne_tune.py", "cqr-asha", SYNE_TUNE, early=True, about="ASHA, stopping, CQR"
    ),
    "hebo": Kind("hebo", "tool_hebo.py", "hebo", ("HEBO", "numpy", "torch", "pymoo"), about="HEBO"),
    "nevergrad": Kind("nevergrad", "tool_nevergrad.py", "NGOpt", ("nevergrad", "cma", "numpy"), about="NGOpt"),
    "dehb": Kind("dehb", "tool_dehb.py", "dehb", ("DEHB", "ConfigSpace", "numpy"), rungs=True, about="DEHB"),
}
