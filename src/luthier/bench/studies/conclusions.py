"""What may be concluded from a comparison, and what may not: sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from luthier.bench.statistics import FEWEST, ROPE, signed_rank_posterior
from luthier.bench.studies.analysis import ALPHA, Analysis, Table, share

TASKS, SEEDS = 20, 30  # that a claim needs on tables and surrogates (power of Wilcoxon's test in simulations)
RAW_SEEDS = 10  # on benchmarks that train
FAMILIES = 5  # below, one family decides an average over families


def conclusions(one: Analysis) -> Table:
    """All sentences, the gravest first."""
    parts = (_tasks, _question, _families, _seeds, _undecided, _references, _failures, _left_out, _clock, _ranks)
    rows = [{"sentence": sentence} for part in parts for sentence in part(one)]
    return Table("conclusions", "What may not be concluded", "Derived from the numbers of this comparison.", rows)


def _tasks(one: Analysis) -> Iterator[str]:
    number = len(one.comparison.tasks)
    if one.comparison.tasks[0].part == "dev":
        yield "These are development tasks, on which methods may have been tuned: nothing here is a verdict."
    if not one.verdicts:
        yield (
            f"There are {number} tasks. Below {FEWEST} no test over tasks can reach 5 %, so none was made: nothing is "
            "said about which method is better on further tasks."
        )
    elif number < TASKS:
        yield (
            f"There are {number} tasks; a claim about tasks like these needs {TASKS} or more. Differences that were "
            "not found may well be there."
        )


def _question(one: Analysis) -> Iterator[str]:
    if one.plan.primary is None:
        yield (
            "No contrast was declared before the study ran: every p-value is exploratory, and none of them proves a "
            "claim."
        )
    else:
        yield (
            f"Only {one.plan.primary.method} against {one.plan.primary.control} was declared before the study ran; all "
            "other p-values are exploratory."
        )
    questions = list(dict.fromkeys(session.get("question") for session in one.comparison.results.sessions))
    if len(questions) > 1:
        yield (
            f"Tasks, seeds, budgets or the primary contrast were changed {len(questions) - 1} times after there were "
            "results: no p-value is confirmatory."
        )


def _families(one: Analysis) -> Iterator[str]:
    families, tasks = len(set(one.comparison.families)), len(one.comparison.tasks)
    if families < tasks:
        yield (
            f"The {tasks} tasks come from {families} families; tasks of one family are alike, so that tests over tasks "
            "overstate how much was seen. Averages weigh families alike; the mixed model counts families."
        )
    if 1 < families < FAMILIES:
        yield f"With {families} families, each of them decides a good part of every average over families."


def _seeds(one: Analysis) -> Iterator[str]:
    seeds = len(one.comparison.seeds)
    if seeds < SEEDS:
        yield (
            f"There are {seeds} seeds for each task; a claim on tables and surrogates needs {SEEDS}, on benchmarks "
            f"that train {RAW_SEEDS}."
        )
    if seeds == 1:
        yield "With one seed, luck and method cannot be told apart on any task."


def _undecided(one: Analysis) -> Iterator[str]:
    if one.control is None or not one.contrasts:
        return
    measure = share(one.plan.checkpoints[-1])
    medians, names = one.medians(measure), one.comparison.methods
    unclear: list[str] = []
    same: list[str] = []
    for (at, i), found in one.contrasts.items():
        if at == measure and found.p_holm >= ALPHA:
            posterior = signed_rank_posterior(medians[i], medians[one.control])
            (same if posterior.same > 1 - ALPHA else unclear).append(names[i])
    control = names[one.control]
    if unclear:
        yield (
            f"At {measure} of the budget {', '.join(unclear)} {_was(unclear)} not shown to differ from {control} by "
            "Wilcoxon's tests with Holm's correction over all methods and checkpoints. That is not evidence that they "
            "are equal."
        )
    if same:
        yield (
            f"At {measure} of the budget {', '.join(same)} {_was(same)} practically the same as {control} (within "
            f"{ROPE:g} of normalised regret, with probability above {1 - ALPHA:g})."
        )


def _was(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _references(one: Analysis) -> Iterator[str]:
    references = one.comparison.results.references
    known = [task for task in one.comparison.tasks if not references[task.label].exact]
    if known:
        yield (
            f"On {len(known)} of {len(one.comparison.tasks)} tasks the optimum is not known for certain: a regret of 0 "
            "there means as good as the best known."
        )
    several = [task for task in one.comparison.tasks if references[task.label].objectives]
    if several:
        yield (
            f"On {len(several)} of {len(one.comparison.tasks)} tasks with several objectives regret is of the "
            "hypervolume up to a fixed reference point: it does not say which part of the front was found, and is 1 "
            "until something is better than that point."
        )
    beyond = 0
    values = one.comparison.values(one.methods, [one.plan.checkpoints[-1]])[..., 0]
    for j, task in enumerate(one.comparison.tasks):
        beyond += int((values[:, j] < references[task.label].best).sum())
    if beyond:
        yield f"{beyond} runs ended beyond the best known value; among them regret does not tell which is better."


def _failures(one: Analysis) -> Iterator[str]:
    for name in one.comparison.methods:
        cells = one.comparison.cells(name)
        failed = sum(bool(cell.error) for cell in cells)
        if failed:
            yield (
                f"{failed} of {len(cells)} runs of {name} failed and count with what they had found: its figures say "
                "as much about its failures as about its search."
            )


def _left_out(one: Analysis) -> Iterator[str]:
    if one.comparison.left_out:
        names = ", ".join(one.comparison.left_out)
        yield f"Not compared here, for reasons given under 'Left out': {names}."


def _clock(one: Analysis) -> Iterator[str]:
    thinking = {
        name: float(np.mean([cell.cpu_seconds / max(cell.spent, 1.0) for cell in one.comparison.cells(name)]))
        for name in one.comparison.methods
    }
    slowest = max(thinking, key=lambda name: thinking[name])
    if one.plan.machines.overhead == "ignore":
        yield (
            f"The virtual clock does not count thinking. {slowest} thinks longest, {thinking[slowest]:.3g} s for each "
            f"evaluation: where an evaluation takes less than about {10 * thinking[slowest]:.2g} s, that is a tenth of "
            "the time or more, and the order may differ."
        )
    if one.plan.machines.overhead == "count":
        yield "Thinking was counted in real seconds of this machine: another machine gives other results."
    disturbed = "the delays, crashes or stragglers listed under provenance" if one.plan.machines.cluster else "none"
    yield (
        f"Runs had {one.plan.workers} worker{'s' * (one.plan.workers > 1)}; other numbers were not looked at. Delays, "
        f"crashes, stragglers: {disturbed}."
    )
    busy = [
        session for session in one.comparison.results.sessions
        if max(session.get("load_before") or 0.0, session.get("load_after") or 0.0) > (session.get("cores") or np.inf)
    ]  # fmt: skip
    if busy:
        yield "The machine had more to do than cores in part of the runs: wall times are no measure of the methods."


def _ranks(one: Analysis) -> Iterator[str]:
    yield (
        f"Ranks are among these {len(one.methods)} methods and would change with others; regrets and speed-ups would "
        "not."
    )
