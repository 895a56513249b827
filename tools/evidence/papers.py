"""The claims of the ten papers, as measured here."""

from __future__ import annotations

import re
from statistics import median
from typing import Any

from claim import MISSING, Claim, by, number, verdict
from scipy.stats import t


def _section(found: Any, title: str, tools: set[str], evaluations: int) -> dict[str, Any]:
    """The table with the most seeds that holds all these tools."""
    fits = [s for s in found[title] if s["evaluations"] == evaluations and tools <= {t["tool"] for t in s["tools"]}]
    return max(fits, key=lambda s: len(s["seeds"]))


def _beats_random(tool: str) -> Any:
    def rule(found: Any) -> tuple[str, str]:
        section = _section(found, "All judged tasks", {tool, "random"}, 100)
        mine, random = by(section["tools"], tool=tool), by(section["tools"], tool="random")
        low, high = mine["rank_95"]
        text = (
            f"mean rank {mine['rank']:.2f} [{low:.2f}, {high:.2f}] against {random['rank']:.2f} of random, "
            f"{len(section['tools'])} tools, {section['tasks']} tasks x {len(section['seeds'])} seeds, 100 evaluations"
        )
        return text, verdict(high < random["rank_95"][0], mine["rank"] < random["rank"])

    return rule


def _families(found: Any) -> tuple[str, str]:
    rows = found["findings"]
    held = sum(r["verdict"] == "holds" for r in rows)
    against = sum(r["verdict"] not in ("holds", "undecided") for r in rows)
    text = f"{held} of {len(rows)} published findings seen again, {against} contradicted, the rest undecided"
    return text, verdict(held > len(rows) / 2 and not against, held > against)


def _optima(found: Any) -> tuple[str, str]:
    same = sum(bool(r["same"]) for r in found["rows"])
    return f"{same} of {len(found['rows'])} objectives of tables", verdict(same == len(found["rows"]))


def _cqr_asha(found: Any) -> tuple[str, str]:
    [section, *_] = [s for s in found["sections"] if not s["mark"]]
    end = by(section["claim"], measure="100 %")
    text = (
        f"better on {end['wins']} of {len(section['tasks'])} lcbench instances at the full budget, "
        f"{len(section['seeds'])} seeds, corrected p = {end['p_holm']:.2g}"
    )
    return text, verdict(end["p_holm"] < 0.05 and end["shift"] < 0, end["shift"] < 0)


def _cqr_random(found: Any) -> tuple[str, str]:
    [last] = [r for r in found["results"] if r["evaluations"] == 50]
    low, high = last["interval_95"]
    text = (
        f"difference in normalised regret {last['mean_difference']:+.3f} [{low:+.3f}, {high:+.3f}], "
        f"lower on {last['lower_on']} of {len(last['paired_wins'])} tables, {len(found['seeds'])} seeds"
    )
    return text, verdict(high < 0, last["mean_difference"] < 0)


def _cqr_reference(found: Any) -> tuple[str, str]:
    seeds = min(len(r["luthier"]) for r in found["runs"].values()) if "seeds" in found else None
    runs = [len(tasks) for tasks in found["runs"]["luthier"].values()]
    least = min(r["p (Holm)"] for r in found["results"])
    text = f"least corrected p of {len(found['results'])} tests {least:.2f}, {seeds or min(runs)} seeds a side"
    return text, verdict(bool(found["alike"]))


def _ordered(found: Any) -> tuple[str, str]:
    rows = {r["method"]: r for r in found["xgboost"]}
    order = ["simple-ordered", "shuffled", "cts", "gp"]
    values = [number(rows[m]["at 1"]) for m in order]
    text = "at evaluation 1: " + " < ".join(f"{m} {v:g}" for m, v in zip(order, values, strict=True))
    return f"{text}; {rows['gp']['seeds']} seeds", verdict(values == sorted(values), values[0] < values[-1])


def _cts(found: Any) -> tuple[str, str]:
    rows = {r["method"]: r for r in found["xgboost"] if r["seeds"] >= 5}
    best = min(rows, key=lambda m: number(rows[m]["at 25"]))
    text = f"best {best} {rows[best]['at 25']}, cts {rows['cts']['at 25']}"
    error = [float(rows[m]["at 25"].split("±")[1]) for m in (best, "cts")]
    close = number(rows["cts"]["at 25"]) - number(rows[best]["at 25"]) <= 2 * (error[0] ** 2 + error[1] ** 2) ** 0.5
    return text, verdict(best == "cts", close)


def _auto(problem: str) -> Any:
    def rule(found: Any) -> tuple[str, str]:
        rows = found[f"{problem}, auto"]
        text = "; ".join(f"at {r['at']}: {r['auto minus it']} ({r['auto is']} than {r['best other']})" for r in rows)
        text = text.replace("(equal than", "(equal to")
        worse = [r for r in rows if r["auto is"] == "worse"]
        return f"{text}; {min(r['seeds'] for r in rows)} seeds", verdict(not worse, len(worse) < len(rows) / 2)

    return rule


def _published(found: Any) -> tuple[str, str]:
    wanted = ("random", "simple-ordered", "shuffled", "simple-previous")
    rows = [r for r in found["newsvendor, published"] if r["method"] in wanted]
    low = {r["method"]: number(r["differences @25"]) for r in rows}
    middle = min(number(r["differences @10"]) for r in rows)
    text = "; ".join(f"{m} {v:+.1f}" for m, v in low.items())
    text = f"worst task at 25, combined standard errors: {text}; at 10 down to {middle:+.1f}"
    return f"{text}; {min(r['seeds'] for r in rows)} seeds", verdict(min(low.values()) >= -3)


def _abrac(group: str) -> Any:
    def rule(found: Any) -> tuple[str, str]:
        part = found["groups"][group]
        ranks = {m: part["tools"][m]["rank"] for m in ("abrac", "gp", "ablr")}
        text = "; ".join(
            f"at {at}: " + ", ".join(f"{m} {r[at]:.2f}" for m, r in sorted(ranks.items())) for at in ("10", "25")
        )
        best = [ranks["abrac"][at] < min(ranks["gp"][at], ranks["ablr"][at]) for at in ("10", "25")]
        return f"mean rank {text}; {len(part['tasks'])} tasks x {part['seeds']} seeds", verdict(all(best), any(best))

    return rule


def _sweep(found: Any) -> tuple[str, str]:
    held = 0
    for cell in found["cells"]:
        mean = cell["mean"]
        mean = {k: (v[0] if isinstance(v, list) else v) for k, v in mean.items()}
        best = min(mean["gp"], mean["ablr"])
        held += mean["abrac"] <= max(1.1 * best, best + 0.002)
    seeds = min(c["seeds"] for c in found["cells"])
    text = f"not worse than the better of the two in {held} of {len(found['cells'])} cells, {seeds} seeds"
    return text, verdict(held == len(found["cells"]), held > len(found["cells"]) / 2)


def _retune(found: Any) -> tuple[str, str]:
    last = found["electricity"]["table"][-1]
    text = (
        f"after {last['evaluations']} evaluations: {last['difference']} in loss, better in {last['better in months']} "
        f"months, {len(found['electricity']['seeds'])} seeds"
    )
    low, high = (float(v) for v in last["difference"].split("[")[1].rstrip("]").split(","))
    return text, verdict(high < 0, high >= 0 > low and last["median month"].startswith("-"))


def _stopping(found: Any) -> tuple[str, str]:
    ours = by(found["real"]["rules"], rule="regret")
    text = (
        f"time saved {ours['RTC']}, score lost {ours['RYC']} (relative), {len(found['real']['tasks'])} tasks x "
        f"{len(found['real']['seeds'])} seeds"
    )
    low, high = (float(v) for v in ours["RYC"].split("[")[1].rstrip("]").split(","))
    return text, verdict(number(ours["RTC"]) >= 0.5 and low <= 0 <= high, number(ours["RTC"]) > 0)


def _overtuning(found: Any) -> tuple[str, str]:
    half = found["first half"]["cross-validation, all"]
    share = half["test worsens, of these"]
    text = (
        f"validation improved in the second half of {half['validation improves']:.0%} of {half['studies']} studies; "
        f"in {share:.0%} of these the test score worsened"
    )
    return text, verdict(share > 0.25, share > 0)


def _transfer(found: Any) -> tuple[str, str]:
    spread = {k: max(v["optima"]) - min(v["optima"]) for k, v in found["rates"].items()}
    text = ", ".join(f"{k} {v:.2f}" for k, v in spread.items())
    seeds = min(found["rates"]["mup"]["seeds"])
    good = spread["mup"] <= 0.5 and spread["standard"] >= 2
    return f"optima apart, octaves: {text}; {seeds} seeds", verdict(good, spread["mup"] < spread["standard"])


def _regret(found: Any) -> tuple[str, str]:
    mup, standard = (found["rates"][k]["regret"] for k in ("mup", "standard"))
    text = f"{mup:.3f} nats (standard {standard:.3f}); noise between seeds {found['rates']['mup']['noise']:.3f}"
    return text, verdict(mup <= 0.01, mup < standard)


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval by Student's t."""
    mean = sum(values) / len(values)
    sd = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    half = float(t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    return mean, mean - half, mean + half


def _ahead(found: Any) -> tuple[str, str]:
    arm = found["warm"]["128"]["szp 0.4"]
    seen = {share: interval(values) for share, values in arm["differences"].items()}
    text = "; ".join(f"at {float(k):.0%}: {m:+.3f} [{lo:+.3f}, {hi:+.3f}]" for k, (m, lo, hi) in seen.items())
    text = f"lambda 0.4, nats: {text}; {arm['seeds']} paired seeds"
    return text, verdict(all(hi < 0 for _, _, hi in seen.values()), any(hi < 0 for _, _, hi in seen.values()))


def tokens(found: Any) -> tuple[str, str]:
    arm = found["warm"]["128"]["szp 0.4"]
    end, half = interval(arm["reached"]["tokens"]), interval(arm["reached"]["half"])
    charged = interval(arm["reached"]["charged"])
    text = (
        f"{end[0]:.2f} [{end[1]:.2f}, {end[2]:.2f}] (of half its tokens {half[0]:.2f}; with the small model's cost "
        f"charged {charged[0]:.2f}); {arm['seeds']} seeds"
    )
    return text, verdict(end[2] <= 0.85, end[2] < 1)


def _zeropad(found: Any) -> tuple[str, str]:
    arm = found["warm"]["128"]["zeropad"]
    mean, low, high = interval(arm["differences"]["1.0"])
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] nats; {arm['seeds']} seeds", verdict(low > 0, mean > 0)


def _eight(found: Any) -> tuple[str, str]:
    """The best arm of a growth of about eight, at the end; few seeds and small models."""
    places = [*found["warm"].values(), *found.get("quarter", {}).get("warm", {}).values()]
    for arms in places:
        if 7 <= arms.get("growth", 0) <= 9.5:
            ends = {k: interval(v["differences"]["1.0"]) for k, v in arms.items() if k != "growth"}
            best = min(ends, key=lambda k: ends[k][0])
            mean, low, high = ends[best]
            text = f"growth {arms['growth']:.1f}, best arm {best}: {mean:+.3f} [{low:+.3f}, {high:+.3f}] nats"
            return f"{text}; {arms[best]['seeds']} seeds", verdict(high >= 0)
    return "-", MISSING


def _late(found: Any) -> tuple[str, str]:
    arm = found["quarter"]["depth"]["late 0.7 random, equal operations"]
    mean, low, high = interval(arm["gaps"])
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] nats; {arm['seeds']} seeds", verdict(high < 0, mean < 0)


def _law(found: Any) -> tuple[str, str]:
    told, seen = found["ladder"]["prediction"], found["ladder"]["measured"]
    text = f"predicted {told['loss']:.3f} [{told['low']:.3f}, {told['high']:.3f}], "
    text += f"measured {min(seen):.3f} ({len(seen)} seeds)"
    return text, verdict(bool(found["ladder"]["inside"]))


def _beside(task: str, others: tuple[str, ...]) -> Any:
    """Weight sharing's hypervolume beside other ways, in pairs by seed."""

    def rule(found: Any) -> tuple[str, str]:
        rows = [by(found["compared"][task], beside=other) for other in others]
        text = "; ".join(f"{r['beside']}: {r['mean gap, 95 %']}, {r['won']} of {r['seeds']} seeds" for r in rows)
        low = [float(r["mean gap, 95 %"].split("[")[1].split(",")[0]) for r in rows]
        return f"hypervolume less that of {text}", verdict(min(low) > 0, all(r["median gap"][0] == "+" for r in rows))

    return rule


def _strategy(found: Any) -> tuple[str, str]:
    told = [line for line in found["strategies"].values() if line]
    share = [line.split(" in ")[1].split(" seeds")[0].split(" of ") for line in told]
    won = all(int(a) >= 0.8 * int(b) for a, b in share)
    return f"worse in {', '.join(' of '.join(s) for s in share)} seeds (QNLI, text)", verdict(won)


def _sampled(found: Any) -> tuple[str, str]:
    """Every way of drawing sub-networks beside training the whole alone, on the encoder's regression."""
    told = re.findall(r"(\w+) in (\d+) of (\d+) seeds", found["strategies"]["stsb"])
    text = ", ".join(f"{'sandwich and distillation' if n == 'full' else n} {a} of {b}" for n, a, b in told)
    return f"worse in seeds beside {text}", verdict(len(told) == 5 and all(int(a) >= 0.8 * int(b) for _, a, b in told))


def _ranked(found: Any) -> tuple[str, str]:
    """Sub-networks by shared weights, and trained each by itself."""
    rows = [c for c in found["cells"] if c.get("kind") == "fidelity"]
    own, size = (median(r[name] for r in rows) for name in ("tau", "tau_size"))
    many = len(rows[0]["alone"])
    seeds = f"{len(rows)} seed{'s' * (len(rows) != 1)}"
    text = f"Kendall's tau {own:.2f}, of size alone {size:.2f}; {seeds} x {many} sub-networks"
    return text, verdict(own >= 0.7 and own > size, own > 0)


def _searched(found: Any) -> tuple[str, str]:
    """Searchers in one super-network, beside random search."""
    rows = [c["searchers"] for c in found["cells"] if c.get("kind") == "searchers"]
    gaps = {m: [r[m]["100"] / r["random"]["100"] - 1 for r in rows] for m in ("nsga2", "local")}
    near = {m: sum(g > -0.01 for g in values) for m, values in gaps.items()}
    text = "; ".join(f"{m} {median(g):+.1%}, not 1 % worse in {near[m]} of {len(rows)} seeds" for m, g in gaps.items())
    good = {m: near[m] == len(rows) and median(gaps[m]) >= 0 for m in gaps}
    return f"hypervolume: {text}", verdict(any(good.values()), any(median(g) >= 0 for g in gaps.values()))


def _order(**tasks: str) -> Any:
    def rule(found: Any) -> tuple[str, str]:
        rows = [by(found["unranked"][task], **{"order by": "activation"}) for task in tasks]
        text = ", ".join(r["better than no order"] for r in rows)
        fits = all(r["better than no order"] == "5 of 5" for r in rows)
        return f"better in {text} seeds ({', '.join(tasks.values())})", verdict(fits)

    return rule


CLAIMS = [
    Claim("1 warmstart", "muP keeps the best rate over widths 64 to 512; the standard one moves by two octaves",
          "benchmarks/growth.py", "growth", _transfer),
    Claim("1 warmstart", "and the rate of width 64 costs at most 0.01 nats at 512", "benchmarks/growth.py", "growth",
          _regret),
    Claim("1 warmstart", "growth 2: ahead of a cold start at a quarter, half and all of the tokens",
          "benchmarks/growth.py", "growth", _ahead),
    Claim("1 warmstart", "growth 2: the cold start's final loss with at most 0.85 of its tokens",
          "benchmarks/growth.py", "growth", tokens),
    Claim("1 warmstart", "zero-padding alone ends behind a cold start", "benchmarks/growth.py", "growth", _zeropad),
    Claim("1 warmstart", "growth 8 gains nothing that can be told from zero", "benchmarks/growth.py", "growth", _eight),
    Claim("1 warmstart", "grown late from one layer: ahead of a cold start of equal operations, a small model",
          "benchmarks/growth.py", "growth", _late),
    Claim("1 warmstart", "a law fitted to small runs holds for the largest", "benchmarks/growth.py", "growth", _law),
    Claim("2 survey", "model-based search beats random search", "benchmarks/quality.py", "quality",
          _beats_random("tpe")),
    Claim("2 survey", "multi-fidelity leads early, and the lead shrinks", "benchmarks/hpobench.py", "hpobench",
          _families),
    Claim("3 LLM compression", "units ordered by importance lose less at 70 % of the size, before any training",
          "benchmarks/shrink.py", "shrink_gpu", _order(qnli="QNLI", decoder="text")),
    Claim("3 LLM compression", "and so on STS-B", "benchmarks/shrink.py", "shrink_encoder", _order(stsb="STS-B")),
    Claim("3 LLM compression", "one super-network's front is above pruning and fine-tuning each size, small decoder",
          "benchmarks/shrink.py", "shrink_gpu",
          _beside("decoder", ("uniform, magnitude", "layer drop", "from scratch"))),
    Claim("4 BERT pruning", "weight sharing is above standard NAS at equal time, MiniLM on QNLI",
          "benchmarks/shrink.py", "shrink_gpu", _beside("qnli", ("standard NAS, mo-asha",))),
    Claim("4 BERT pruning", "and above pruning each size by magnitude, activation, layers",
          "benchmarks/shrink.py", "shrink_gpu",
          _beside("qnli", ("uniform, magnitude", "uniform, activation", "layer drop"))),
    Claim("4 BERT pruning", "the same on STS-B, two processors: above standard NAS at equal time",
          "benchmarks/shrink.py", "shrink_stsb", _beside("stsb", ("standard NAS, both fronts as they are",))),
    Claim("4 BERT pruning", "and above pruning each size by magnitude, activation, layers",
          "benchmarks/shrink.py", "shrink_stsb",
          _beside("stsb", ("uniform, magnitude", "uniform, activation", "layer drop"))),
    Claim("4 BERT pruning", "training without sub-networks makes worse sub-networks than sandwich and distillation",
          "benchmarks/shrink.py", "shrink_gpu", _strategy),
    Claim("4 BERT pruning", "on STS-B every way of drawing sub-networks makes better ones at 30 to 50 % of the size",
          "benchmarks/shrink.py", "shrink_encoder", _sampled),
    Claim("4 BERT pruning", "one super-network is above activation-ranked pruning that has three times the steps",
          "benchmarks/shrink.py", "shrink_encoder", _beside("stsb", ("uniform, activation, 3 times the steps",))),
    Claim("4 BERT pruning", "shared weights rank sub-networks as training each alone does, tau of 0.7 and more",
          "benchmarks/shrink.py", "shrink_encoder", _ranked),
    Claim("4 BERT pruning", "NSGA-II or local search in the super-network is not behind random search",
          "benchmarks/shrink.py", "shrink_encoder", _searched),
    Claim("5 OTHPO", "XGBoost-MNIST at evaluation 1: ordered, then shuffled, then CTS, then no transfer",
          "benchmarks/othpo.py", "othpo", _ordered),
    Claim("5 OTHPO", "XGBoost-MNIST: CTS is the best at 25", "benchmarks/othpo.py", "othpo", _cts),
    Claim("5 OTHPO", "NewsVendor: profit as published, within 3 standard errors or better", "benchmarks/othpo.py",
          "othpo", _published),
    Claim("5 OTHPO", "our default is within 2 standard errors of the best method, XGBoost-MNIST",
          "benchmarks/othpo.py", "othpo", _auto("xgboost")),
    Claim("5 OTHPO", "the same on NewsVendor", "benchmarks/othpo.py", "othpo", _auto("newsvendor")),
    Claim("5 OTHPO", "retuning month by month with the past is better after five evaluations", "benchmarks/retune.py",
          "retune", _retune),
    Claim("6 CQR", "beats random search", "benchmarks/cqr_against_random.py", "cqr_against_random", _cqr_random),
    Claim("6 CQR", "under ASHA beats ASHA", "benchmarks/multi_fidelity.py", "multi_fidelity", _cqr_asha),
    Claim("6 CQR", "reference mode is not to be told from Syne Tune's", "benchmarks/cqr_reference.py", "cqr_reference",
          _cqr_reference),
    Claim("7 HPOBench", "every table's optimum is the published one", "benchmarks/optima.py", "bench_optima", _optima),
    Claim("8 stopping", "saves half the time and loses nothing that can be told from zero", "benchmarks/stopping.py",
          "stopping", _stopping),
    Claim("8 stopping", "tuning longer often improves validation alone", "benchmarks/stopping.py", "stopping",
          _overtuning),
    Claim("9 ABRAC", "beats a GP without transfer and isotropic ABLR, rbv2_xgboost, one task left out",
          "benchmarks/transfer.py", "transfer_leave_one_out", _abrac("rbv2_xgboost")),
    Claim("9 ABRAC", "the same on the published xgboost black boxes", "benchmarks/transfer.py",
          "transfer_leave_one_out", _abrac("transfer_xgboost")),
    Claim("9 ABRAC", "not worse than the better of GP and ABLR for few and many tasks and points",
          "benchmarks/transfer.py", "transfer_sweep", _sweep),
    Claim("10 BORE", "a classifier as acquisition function beats random search", "benchmarks/quality.py", "quality",
          _beats_random("bore")),
]  # fmt: skip
