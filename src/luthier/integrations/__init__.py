"""integrations: luthier inside other frameworks, and what they have found inside luthier; one file each.

`sklearn` (`LuthierSearchCV`), `transformers` and `lightning` (callbacks of their trainers), `hydra` (a sweeper),
`mlflow` and `wandb` (callbacks of a study), `optuna` (luthier's searchers as a sampler, and its studies read). Import
the file that you need: `from luthier.integrations.sklearn import LuthierSearchCV`. None of them is imported here, and
none imports its framework before it is used.

Not here: anything that luthier itself needs.
"""

from __future__ import annotations

__all__: list[str] = []
