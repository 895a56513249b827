"""A Hydra application whose multirun is proposed by luthier.

    python examples/integrations/hydra_sweeper.py --multirun hydra/sweeper=luthier
    python examples/integrations/hydra_sweeper.py --multirun hydra/sweeper=luthier hydra.sweeper.n_trials=12 \
        'svm.C=tag(log, interval(0.01, 1000))' svm.kernel=rbf,sigmoid

The configuration would be YAML files in most applications; here it is in the program.
"""

from dataclasses import dataclass, field

import hydra
from hydra.core.config_store import ConfigStore
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


@dataclass
class Svm:
    C: float = 1.0
    gamma: float = 0.05
    kernel: str = "rbf"


@dataclass
class Config:
    svm: Svm = field(default_factory=Svm)
    hydra: dict = field(
        default_factory=lambda: {
            "sweeper": {
                "n_trials": 8,
                "direction": "maximize",
                "params": {"svm.C": "tag(log, interval(0.01, 1000))", "svm.gamma": "tag(log, interval(1e-4, 10))"},
            }
        }
    )


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config):
    X, y = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), SVC(**config.svm))
    score = float(cross_val_score(model, X, y, cv=3).mean())
    print(f"{dict(config.svm)}: {score:.4f}")
    return score


if __name__ == "__main__":
    main()
