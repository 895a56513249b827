"""Further parts of shrink's pages: latencies, multiple choice, ratios, and what has to be said about a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import _machine

Row = dict[str, Any]
TITLES = {"shrink_encoder": "shrink: strategies, searchers, ranks and milliseconds of an encoder's super-network"}
NOTES = {
    "shrink_gpu": (
        'Several processes shared the card, so seconds are those of a shared card; times under "Times" were '
        "measured alone. In this run the search minimised the loss and picked by it. On QNLI the larger "
        "networks are surer of themselves: a higher loss at fewer mistakes. So the same small network was "
        "picked for the larger targets, and weight sharing's columns from 0.45 on could be better; since then "
        'sub-networks are judged by their error. "Super-network, by size alone" takes, without looking, the '
        'largest of twelve drawn sub-networks below each target; its gap to "weight sharing" is what search '
        'and 80 further steps are worth. "Front as it is" has all points of the front, untuned, and so more '
        "than five. With five seeds the smallest p of a sign test is 0.062. Of standard NAS the candidates that ran to "
        "their end count here; since then those that were stopped count too, as they are. Not run, as the "
        "device's time was spent: STS-B, the strategies random, random_linear, ats and sandwich without "
        "distillation, the searchers in one super-network, and Kendall's tau against training alone; `python "
        "benchmarks/shrink.py run` goes on with them."
    ),
    "shrink_cpu": (
        'One seed of the encoder in the profile "cpu", two processors shared with other work: ratios count, '
        'not milliseconds. The search went by the loss, like that of the GPU. "share-0.7" under latency is a '
        'stock model that `luthier shrink run --stock` made; "natively built" is the same shape from its '
        "configuration. Latencies and views are in processor time of their one thread, as the machine had much else "
        "to do. The bar of 1.3 for views is missed in every shape: the more rows, the more the products outweigh what "
        "an index copies. Other tools, in environments of their own: Torch-Pruning 1.6.0 installs, but its dependency "
        "graph of the 4.5 "
        "million Llama was not built within ten minutes on this machine; whittle 0.6.0 installs with "
        "transformers 4.53 and litgpt 0.5.12 and imports once the torchvision that it draws in, which is "
        "built for another torch, is removed; no pipeline of it was run. BoTorch 0.18.1 with torch 2.13.0 ran "
        "`ehvi` for 30 evaluations in 12.5 s (nsga2: 0.8 s) with equal hypervolume in a tiny space; lm-eval "
        "0.4.13 agrees with the own scorer in all of 80 questions. "
        "'Text' is the profile 'tiny' with a fifth of its steps: searchers alone, each in one super-network of 48 "
        "steps each."
    ),
    "shrink_stsb": (
        "MiniLM on 1,375 pairs of sentences, 137 of them for the report: few, so that seeds, which also split, differ "
        "much. As many steps for all: the super-network's 200 and 40 for each of three targets, or 107 for each "
        "target of a baseline. Search and choice go by the error, 1 - correlation. Standard NAS had as much time as "
        "training the super-network and searching it took; its candidates count as they were when they were stopped, "
        "and its front is compared with weight sharing's before any further step too. One thread each of two shared "
        "processors, tests and other cells beside."
    ),
    "shrink_encoder": (
        "MiniLM on the same pairs of sentences as [the comparison of methods](shrink_stsb.md), in super-networks "
        "trained anew: strategies as they are after training, an order without any training, activation-ranked "
        "pruning with three times the steps, searchers, ranks and milliseconds. Searchers looked at 100 sub-networks "
        "each, 40 more than in the profile; after the profile's 60 five of them had, in the median of five seeds: "
        "random 0.721, local 0.680, nsga2 0.763, evolution 0.669, scalarised 0.766. Alone: 200 "
        "steps for each of 20 sub-networks from the pre-trained weights (taus 0.79, 0.75, 0.80, 0.59, 0.84: one seed "
        "of five is below the bar). "
        "The whole of the super-network has the correlation of plain "
        "fine-tuning and a larger square error on the 137 pairs of the report: check 13 goes by the loss. Units were "
        "ranked while padded places still counted for layers and channels; without them the order of layers is the "
        "same with all five seeds. One thread each of two shared processors, other cells beside; while milliseconds "
        "were measured, those were halted."
    ),
    "shrink_tiny": (
        "A decoder of 0.2 million parameters on bytes, one thread of a busy machine: what the larger profiles had no "
        "time for. Search and choice go by the error. Cells that are not there were not reached; `python "
        "benchmarks/shrink.py run --profile tiny --tasks decoder` goes on with them."
    ),
}


def latencies(rows: Sequence[Row]) -> str:
    """Extracted models beside the whole."""
    mine = [row for row in rows if row["key"].startswith("latency/")]
    if not mine:
        return ""
    lines = [
        {
            "model": row["name"], "batch": row["batch"],
            "multiply-adds": f"{row['flops']:.2f}" if "flops" in row else "",
            "ms [quartiles]": f"{row['median_ms']:.1f} [{row['low_ms']:.1f}, {row['high_ms']:.1f}]",
            "times as fast": f"{row['times_as_fast']:.2f}", "quartiles apart": "yes" if row["apart"] else "no",
        }
        for row in mine
    ]  # fmt: skip
    clock = ", processor time" if mine[0].get("clock") else ""
    shape = f"{mine[0]['tokens']} tokens, {mine[0]['runs']} runs in turns{clock}"
    head = f"Read from disk by a process of its own, one thread, {shape}."
    for row in mine:
        if "beside" in row:
            low, middle, high = (value - 1 for value in row["beside"])
            head += (
                f" {row['native_of']} beside the same shape built natively, turn by turn, batch {row['batch']}: "
                f"{middle:+.1%} [{low:+.1%}, {high:+.1%}]."
            )
    return f"## Latency of extracted models\n\n{head}\n\n{_machine.table(lines)}"


def choices(rows: Sequence[Row]) -> str:
    """MMLU and PIQA."""
    mine = [row for row in rows if row["key"].startswith("choices/")]
    if not mine:
        return ""
    lines = [
        {
            "table": row["table"], "model": row["model"], "nats a byte": f"{row['loss']:.3f}",
            "accuracy [95 %]": f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            "chance": f"{row['chance']:.2f}", "beyond chance": "yes" if row["beyond_chance"] else "no",
        }
        for row in mine
    ]  # fmt: skip
    head = (
        f"{mine[0]['questions']} questions of each table, a decoder of 4.5 million parameters on bytes, its "
        "super-network and sub-networks as they are. Where the interval covers chance, models are to be ranked by "
        "their loss."
    )
    return f"## Multiple choice\n\n{head}\n\n{_machine.table(lines)}"


def speeds(rows: Sequence[Row]) -> str:
    """Ratios."""
    mine = [row for row in rows if row["key"] == "speed"]
    if not mine:
        return ""
    skipped = {"key", "python", "torch", "transformers", "device"}
    lines = [{"what": name, "value": f"{value:,.3g}"} for name, value in mine[-1].items()
             if name not in skipped and not name.startswith("mlp")]  # fmt: skip
    return f"## Ratios\n\nBest of runs in turns, one thread.\n\n{_machine.table(lines)}"


def slices(rows: Sequence[Row]) -> str:
    """Views beside indices."""
    mine = [row for row in rows if row["key"].startswith("slices/")]
    if not mine:
        return ""

    def quartiles(three: Sequence[float]) -> str:
        low, middle, high = three
        return f"{middle:.2f} [{low:.2f}, {high:.2f}]"

    lines = [
        {
            "hidden size": row["hidden"], "rows": row["rows"], "view, ms": f"{row['view_ms']:.2f}",
            "index / view [quartiles]": quartiles(row["index"]), "whole / view [quartiles]": quartiles(row["whole"]),
            "1.3 and more": "yes" if row["index"][0] >= 1.3 else "no" if row["index"][2] < 1.3 else "not told",
        }
        for row in mine
    ]  # fmt: skip
    head = (
        "One feed-forward at half of its inner size, forward and backward, one thread, processor time, "
        f"{mine[0]['rounds']} rounds in turns: by views of the first units, and by an index of them."
    )
    return f"## Views beside indices\n\n{head}\n\n{_machine.table(lines)}"


def paced(rows: Sequence[Row]) -> str:
    """Searched over parameters and milliseconds."""
    mine = [row for row in rows if row.get("kind") == "timed" and not row.get("error")]
    if not mine:
        return ""
    measured = {(row["name"], row["batch"]): row for row in rows if row["key"].startswith("latency/")}
    found = []
    for row in mine:
        lines = []
        for one in row["made"]:
            line = {"limit": f"{one['limit']:g}", "predicted": f"{one['predicted']:.2f}"}
            for batch in (1, 8):
                told = measured.get((one["name"], batch))
                line[f"measured, batch {batch}"] = f"{1 / told['times_as_fast']:.2f}" if told else ""
            line |= {"share of parameters": f"{one['share']:.2f}", "multiply-adds": f"{one['macs']:.2f}"}
            scores = {when: one[when].get("correlation", float("nan")) for when in ("cut", "test")}
            lines.append({**line, "cut": f"{scores['cut']:.3f}", "fine-tuned": f"{scores['test']:.3f}"})
        found.append(
            f"Seed {row['seed']}: error, parameters and milliseconds of {row['evaluated']} sub-networks; "
            f"{row['points']} points are on that front, {row['by_size']} of them on the one of error and parameters. "
            f"The predictor, fitted to {row['fitted']} models, ranks {row['held_out']} others with Kendall's tau "
            f"{row['tau']:.2f}. Columns are shares of the whole's ({row['whole_ms']:.1f} ms, batch 1), measured in a "
            "process of its own that read the models from disk. Masks, slices and extracted models differ by at most "
            f"{max(one['parity'] for one in row['made']):.0e}. The whole has a correlation of "
            f"{row['whole']['correlation']:.3f}.\n\n{_machine.table(lines)}"
        )
    return "## Searched over parameters and milliseconds\n\n" + "\n\n".join(found)


PARTS = (paced, latencies, speeds, slices, choices)
