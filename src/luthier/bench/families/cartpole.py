"""Cartpole: agents that learn to balance a pole, trained when asked; the fidelity is the number of agents averaged."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.base.registry import register
from luthier.base.seeds import check_seed, generator
from luthier.bench import demo
from luthier.bench._base import BaseBenchmark, Config, Family
from luthier.bench._catalogue import check_task
from luthier.bench._designed import CPU, WALL, DesignTable, Task, drawn
from luthier.bench._generated import read_table, tables
from luthier.bench._planned import Cell, Design, Plan
from luthier.bench.families._ppo import Agent, Learned, Recipe
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space

FIDELITY = Fidelity("budget", 1, 9)
OBJECTIVE = Objective("episodes")
MOST = 3000  # episodes of an agent
WINDOW = 20
#: Where agents learn, most of them: of fourteen random configurations of the whole space none did.
LEARNS = {
    "batch_size": (8, 64),
    "learning_rate": (1e-4, 3e-2),
    "discount": (0.9, 1.0),
    "likelihood_ratio_clipping": (0.05, 0.6),
    "entropy_regularization": (0.0, 0.2),
}
#: Grid to the number of configurations that a table records: each takes nine agents a seed, some 15 s.
RECORDED = {"small": 32, "full": 1000}
UNIT = 200.0  # the best agents need about as many episodes: from there on, twice as many are one step
_MEAN_OVER = 3  # answers behind one without a seed
# of asking the policy once, of an update beside its multiplications, and how many of these; measured on one thread
_ROUND_SECONDS, _UPDATE_SECONDS, _PER_SECOND = 4e-5, 2e-3, 1.3e10


class Cartpole(BaseBenchmark):
    """Mean number of episodes until the last twenty all last 200 steps, at most 3000, over several agents.

    The seed decides all agents, each by its number alone: a higher budget adds agents to those of a lower one. Without
    a seed the answer is the mean over three. Test values come from other agents of the same configuration. The cost is
    an estimate from what was played and the sizes of the networks.

    Args:
        kind: "reduced" or "full" space.
        most: Episodes of an agent; other numbers than usual are for tests.

    Source: HPOBench 0.0.10, CartpoleReduced and CartpoleFull (Falkner, Klein, Hutter 2018); `_ppo` for the agent.
    Differs: own agent and environment, with the same physics and rules; TensorForce 0.4.3 on gym 0.10.9 no longer
        installs, so numbers are not comparable with published ones. `entropy_regularization` has its effect, where
        HPOBench never hands it on. Twenty episodes are needed to end; HPOBench would stop at a first full one.
    Cost: 0.5 to 5 s an agent.
    """

    trains = True

    def __init__(self, kind: str, *, most: int = MOST) -> None:
        most = check("most", most, at_least=WINDOW, whole=True)
        self._most = most
        self.space = reduced() if kind == "reduced" else full()
        self.fidelity, self.objectives = FIDELITY, (OBJECTIVE,)
        self.bounds = {"episodes": (float(WINDOW), float(self._most))}
        self.card = Card(
            f"cartpole/{kind}",
            "simulated: the physics of gymnasium's CartPole",
            "none needed: a formula, written anew for luthier",
            noise="generative",
            description="Episodes until an agent balances a pole for 200 steps in each of the last twenty.",
        )

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        assert resource is not None  # there is a fidelity
        return [self._curve(config, resource, seed)[-1][1] for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        found = self._answers(config, range(int(until)), seed, "episodes")
        return [(float(agents), one) for agents, one in enumerate(found, 1)]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As `evaluate`, of agents that no search has seen."""
        spent, axis = self._spent(resource), FIDELITY
        assert spent is not None  # there is a fidelity
        fresh = range(int(axis.high), int(axis.high) + int(spent))
        return self._answers(self._check(config), fresh, seed, "test_episodes")[-1]

    def _answers(self, config: Configuration, agents: Sequence[int], seed: int | None, metric: str) -> list[Evaluation]:
        """One evaluation for each number of agents."""
        seeds = range(_MEAN_OVER) if seed is None else (check_seed(seed),)
        recipe = Recipe(**config)
        divergence_is_an_answer = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with demo.one_thread(), divergence_is_an_answer:
            runs = [[self._train(recipe, one, agent) for agent in agents] for one in seeds]
        episodes = np.array([[learned.episodes for learned in run] for run in runs], dtype=float)
        costs = np.array([[_seconds(recipe, learned) for learned in run] for run in runs])
        counts = np.arange(1, len(agents) + 1)
        means = (np.cumsum(episodes, axis=1) / counts).mean(axis=0)
        totals = np.cumsum(costs, axis=1).mean(axis=0)
        return [
            Evaluation({metric: mean}, total, info={"episodes": episodes[:, :count].tolist()})
            for count, mean, total in zip(counts.tolist(), means.tolist(), totals.tolist(), strict=True)
        ]

    def _train(self, recipe: Recipe, seed: int, agent: int) -> Learned:
        return Agent(recipe, generator(seed, "bench", agent)).learn(self._most)

    # what a table of it records ------------------------------------------------------------------------------

    def plan(self, grid: str) -> Plan:
        """What `generate` records: random configurations, with every number of agents."""
        check("grid", grid, one_of=RECORDED)
        how = "drawn from a box where agents learn, from the whole space, and from all sizes between"
        box = {name: ends for name, ends in LEARNS.items() if name in self.space}
        return Plan(
            lists={},
            axes=(FIDELITY.name,),
            fidelities=tuple((float(agents),) for agents in range(1, int(FIDELITY.high) + 1)),
            metrics=(OBJECTIVE.name, CPU, WALL),
            timed=(CPU, WALL),
            about=self.card,
            design=Design(drawn(self.space, box, RECORDED[grid]), OBJECTIVE.name, UNIT, how),
        )

    def record(self, config: Configuration, seed: int, grid: str) -> Cell:
        """The agents of a configuration and seed, one after the other."""
        recipe, rows, episodes = Recipe(**config), [], 0
        began = time.process_time(), time.perf_counter()
        divergence_is_an_answer = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with demo.one_thread(), divergence_is_an_answer:
            for agent in range(int(FIDELITY.high)):
                episodes += self._train(recipe, seed, agent).episodes
                spent = time.process_time() - began[0], time.perf_counter() - began[1]
                rows.append([episodes / (agent + 1), *spent])
        return Cell(np.array(rows, dtype=np.float32), Status.COMPLETED)

    def expected_seconds(self, config: Configuration, grid: str) -> float:
        """About what `record` takes, if episodes last for 50 steps."""
        recipe, most = Recipe(**config), self._most
        batches = math.ceil(most / recipe.batch_size)
        return FIDELITY.high * _seconds(recipe, Learned(most, 50 * most, 100 * batches, batches))


def reduced() -> Space:
    """Seven hyperparameters; the rest keep HPOBench's defaults."""
    return Space({**_common(128), "entropy_regularization": Float(0.0, 1.0, default=0.01)})


def full() -> Space:
    """All hyperparameters."""
    return Space(
        _common(64),
        activation_1=Choice("tanh", "relu"),
        activation_2=Choice("tanh", "relu"),
        optimizer_type=Choice("adam", "rmsprop"),
        optimization_steps=Int(1, 10, default=10),
        baseline_mode=Choice("states", "network"),
        baseline_n_units_1=Int(8, 128, log=True, default=64),
        baseline_n_units_2=Int(8, 128, log=True, default=64),
        baseline_learning_rate=Float(1e-7, 1e-1, log=True, default=1e-3),
        baseline_optimization_steps=Int(1, 10, default=10),
        baseline_optimizer_type=Choice("adam", "rmsprop"),
    )


def _common(widest: int) -> dict[str, Domain]:
    return {
        "n_units_1": Int(8, widest, log=True, default=64),
        "n_units_2": Int(8, widest, log=True, default=64),
        "batch_size": Int(8, 256, log=True, default=64),
        "learning_rate": Float(1e-7, 1e-1, log=True, default=1e-3),
        "discount": Float(0.0, 1.0, default=0.99),
        "likelihood_ratio_clipping": Float(1e-7, 1.0, default=0.2),
    }


def _seconds(recipe: Recipe, learned: Learned) -> float:
    """What a training takes on one thread of a desktop processor, about."""
    policy = recipe.n_units_1 * (recipe.n_units_2 + 4)
    baseline = recipe.baseline_n_units_1 * (recipe.baseline_n_units_2 + 4)
    per_step = 3 * (0.1 * recipe.optimization_steps * policy + recipe.baseline_optimization_steps * baseline)
    fixed = learned.rounds * _ROUND_SECONDS + learned.updates * _UPDATE_SECONDS
    return fixed + learned.steps * per_step / _PER_SECOND


@register("benchmark")
class CartpoleFamily(Family):
    """HPOBench's reinforcement learning: "reduced" and "full" spaces; needs no data.

    Args:
        missing: What a table says of a configuration that was not recorded: "surrogate" (a forest's prediction),
            "nearest" or "error".
    """

    lock = "sklearn"

    def __init__(self, *, missing: str = "surrogate") -> None:  # so that any method can search a table
        self._missing = missing

    def tasks(self) -> Sequence[str]:
        """The spaces, then tables at hand, such as "reduced@small"."""
        return ("reduced", "full", *tables("cartpole"))

    def open(self, task: str) -> BaseBenchmark:
        """One space, to train in or as a table."""
        kind, table, grid = task.partition("@")
        check_task("cartpole", kind, ("reduced", "full"))
        if not table:
            return Cartpole(kind)
        check("grid", grid, one_of=RECORDED)
        found = Task(reduced() if kind == "reduced" else full(), FIDELITY, OBJECTIVE)
        return DesignTable(found, f"cartpole/{task}", *read_table("cartpole", kind, grid), missing=self._missing)
