"""HW-GPT-Bench searched as a surrogate: perplexity against parameters, operations and memory, in three scales.

    LUTHIER_DATA=... python benchmarks/shrink_surrogate.py          # docs/results/shrink_surrogate.md

The large-scale view of what `shrink` does with its own super-networks: each searcher has 100 evaluations, five seeds.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import _machine
import _pictures
import numpy as np

from luthier import Study, bench
from luthier.base.pareto import hypervolume, nondominated

COSTS = ("params_m", "tflops", "bfloat16_memory_mb")
SEARCHERS = ("random", "local", "nsga2", "evolution")
EVALS, SEEDS = 100, 5


def tried(task: bench.BaseBenchmark, names: tuple[str, ...], searcher: str, seed: int) -> np.ndarray:
    """(evaluations, objectives) of one study."""
    study = Study(task.space, list(names), searcher=searcher, seed=seed, defaults_first=False)

    def evaluate(run: object) -> None:
        told = task.evaluate(run.config).metrics  # type: ignore[attr-defined]
        run.report({name: told[name] for name in names})  # type: ignore[attr-defined]

    result = study.run(evaluate, trials=EVALS, executor="inline")
    study.close()
    return np.array([[trial.metrics[name] for name in names] for trial in result.trials])


def main() -> None:
    """Search, and write the page."""
    rows, data, pictures = [], {}, []
    for scale in "sml":
        for cost in COSTS:
            names = ("perplexity", cost)
            task = bench.load(f"hw_gpt_bench/{scale}", objectives=", ".join(names))
            found = {s: [tried(task, names, s, seed) for seed in range(SEEDS)] for s in SEARCHERS}
            every = np.concatenate([v for values in found.values() for v in values])
            low, high = every.min(axis=0), every.max(axis=0)
            volumes = {
                s: [hypervolume((v - low) / (high - low), np.full(2, 1.1)) / 1.21 for v in values]
                for s, values in found.items()
            }
            base = np.array(volumes["random"])
            row = {"scale": scale, "perplexity against": cost}
            for name, values in volumes.items():
                won = int((np.array(values) > base).sum())
                row[name] = f"{np.median(values):.3f}" + ("" if name == "random" else f" ({won}/{SEEDS})")
            rows.append(row)
            data[f"{scale}/{cost}"] = {s: [float(v) for v in values] for s, values in volumes.items()}
            print(row, flush=True)
            if cost == "params_m":
                lines = {}
                for name, values in found.items():
                    pool = np.concatenate(values)
                    front = pool[nondominated(pool)]
                    front = front[np.argsort(front[:, 1])]
                    lines[name] = _pictures.Line(front[:, 1].tolist(), front[:, 0])
                path = _machine.RESULTS / "shrink" / f"surrogate-{scale}.svg"
                _pictures.draw(path, lines, control="random", x="parameters, millions", y="predicted perplexity")
                pictures.append(
                    f"Scale {scale}, fronts of all seeds:\n\n![fronts of scale {scale}](shrink/{path.name})"
                )
    text = [
        "Predicted perplexity of GPT-shaped decoders (HW-GPT-Bench's published predictors: the numbers are theirs) "
        f"against three costs. {EVALS} evaluations each, {SEEDS} seeds; median hypervolume over the range of all that "
        "was found, reference at 1.1 of it; in brackets in how many seeds random search is beaten.",
        _machine.table(rows),
        *pictures,
    ]
    title = "shrink at scale: HW-GPT-Bench searched as a surrogate"
    print(_machine.write("shrink_surrogate", title, "\n\n".join(text), {"hypervolume": data}))


if __name__ == "__main__":
    main()
