"""README's table of figures and the paragraph under it, in the words that the figures give."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from aims import SLOW, TWENTY
from claim import Quote, by, number, verdict
from readme import Told, word

from papers import interval


def _of(values: tuple[float, float, float], digits: int) -> str:
    mean, low, high = values
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _short(value: float) -> str:
    """Two figures of milliseconds."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _demo(found: Any) -> Told:
    gains = [row["difference"] for row in found["rows"]]
    mean, low, high = interval(gains)
    says = [f"{len(gains)} split seeds", f"| {mean:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}] |"]
    return says, f"better on {sum(g > 0 for g in gains)}, worse on {sum(g < 0 for g in gains)}", verdict(low > 0)


def _tpe(found: Any) -> Told:
    fits = [s for s in found["All judged tasks"] if s["evaluations"] == 100]
    section = max(fits, key=lambda s: len(s["seeds"]))
    row = by(section["against"], tool="optuna-tpe")
    says = [
        f"{section['tasks']} tasks, {len(section['seeds'])} paired seeds, 100 evaluations: win / tie / loss "
        f"| {row['wins']} / {row['ties']} / {row['losses']} |"
    ]
    return says, f"corrected p = {row['p_holm']:.1e}", verdict(row["p_holm"] < 0.05 and row["wins"] > row["losses"])


def _every(found: Any) -> Told:
    """The tables with every slow peer that have the most seeds."""
    ranks, sections = {}, []
    for evaluations in (25, 50):
        fits = [s for s in found[TWENTY] if s["evaluations"] == evaluations]
        sections.append(
            max((s for s in fits if {t["tool"] for t in s["tools"]} >= SLOW), key=lambda s: len(s["seeds"]))
        )
        ranks[evaluations] = {t["tool"]: t["rank"] for t in sections[-1]["tools"]}
    mine, peer = ([ranks[n][tool] for n in (25, 50)] for tool in ("auto", "optuna-gp"))
    between = sorted((r, t) for t, r in ranks[50].items() if mine[1] < r < peer[1] and t != "gp")
    told = " and ".join(f"`{t}` ({r:.1f})" for r, t in between)
    lie = f"; at 50, where {told} {'lie' if len(between) > 1 else 'lies'} between" if between else "; at 50"
    seeds = {len(s["seeds"]) for s in sections}
    says = [
        f"{word(len(sections[0]['tools']))} tools, {sections[0]['tasks']} tasks, {word(min(seeds))} seeds, "
        f"mean rank of `auto` and Optuna's GP at 25 evaluations{lie} "
        f"| {mine[0]:.1f} and {peer[0]:.1f}; {mine[1]:.1f} and {peer[1]:.1f} |"
    ]
    return says, "both are told: behind it or ahead", verdict(len(seeds) == 1)


def _latency(found: Any) -> Told:
    rows = {r["tool"]: r for r in found["rows"]}
    kinds = ("tpe", "bore", "cqr", "gp")
    late = ", ".join(f"{rows[k]['10000']['mean']:.0f}" for k in kinds)
    means = ", ".join(" and ".join(_short(rows[k][n]["mean"]) for n in ("100", "1000")) + " ms" for k in kinds)
    says = [
        f"ask + tell at 100 and 1000 trials, mean: `tpe`, `bore`, `cqr`, `gp` (at 10 000 trials: {late} ms) | {means} |"
    ]
    return says, f"{found['asks']} asks each, one thread" if "asks" in found else "one thread", verdict(True)


def _peers(found: Any) -> Told:
    rows = {r["peer"]: r for r in found["ratios"]}
    kinds = ("optuna-tpe", "syne-tune-bore", "syne-tune-cqr", "optuna-gp")
    times = ", ".join(" and ".join(f"{float(rows[k][n]):.0f}" for n in ("n = 100", "n = 1000")) for k in kinds)
    least = min(float(rows[k][n]) for k in kinds for n in ("n = 100", "n = 1000"))
    exact = ", ".join(f"{k} {rows[k]['n = 100']} / {rows[k]['n = 1000']}" for k in kinds)
    return [f"Optuna TPE, Syne Tune BORE and CQR, Optuna GP | {times} |"], exact, verdict(least > 1)


def _cqr(found: Any) -> Told:
    last = by(found["results"], evaluations=50)
    tables = len(last["paired_wins"])
    says = [
        f"{word(tables)} tasks named beforehand, 50 evaluations, {len(found['seeds'])} paired seeds "
        f"| lower median regret on {last['lower_on']} of {tables} |"
    ]
    low, high = last["interval_95"]
    text = f"difference {last['mean_difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return says, text, verdict(last["lower_on"] == tables and high < 0)


def _level(sections: list[Any], tool: str) -> bool:
    """Neither better nor worse than asha at the end, where the most seeds are."""
    has = [s for s in sections if any(r["tool"] == tool for r in s["tests"]["100 %"])]
    return bool(by(max(has, key=lambda s: len(s["seeds"]))["tests"]["100 %"], tool=tool)["p_holm"] > 0.05)


def _asha(found: Any) -> Told:
    sections = [s for s in found["sections"] if not s["mark"]]
    first = max(sections, key=lambda s: len(s["seeds"]))
    end = by(first["claim"], measure="100 %")
    bohb = by(first["tests"]["100 %"], tool="bohb")
    says = [
        f"lcbench, 4 workers, equal virtual time, {len(first['seeds'])} seeds: better at the end on "
        f"| {end['wins']} of {len(first['tasks'])} instances (p = {end['p_holm']:.3f}, Holm)",
        "`bohb` too; Syne Tune's asha and Optuna's TPE with Hyperband end level with ours without a model",
    ]
    held = bohb["p_holm"] < 0.05 and bohb["losses"] > bohb["wins"]
    held = held and _level(sections, "syne-tune-asha") and _level(sections, "optuna-tpe-hyperband")
    text = f"bohb better than asha on {bohb['losses']} of {len(first['tasks'])}, p = {bohb['p_holm']:.3f}"
    return says, text, verdict(held and end["p_holm"] < 0.05)


def _front(found: Any) -> Told:
    end = found["marks"]["100 %"]["compare"]
    judged = {k: r for k, r in end.items() if "p_holm" in r}
    better = [k for k, r in judged.items() if r["p_holm"] < 0.05 and r["mean"] > 0]
    says = [
        f"hypervolume at equal cost, {len(found['seeds'])} seeds | better on {len(better)} of {len(judged)} tasks |"
    ]
    text = "; ".join(f"{k} {_of((r['mean'], r['low'], r['high']), 3)}" for k, r in judged.items())
    return says, text, verdict(better == found["better"])


def _weights(found: Any) -> Told:
    cells = [c for k, c in found["clean"].items() if k.startswith("reverse-")]
    auc = sum(c["auc"] for c in cells) / len(cells)
    gaps = [100 * (c["learned"] - c["clean"]) for c in cells]
    mean, low, high = interval(gaps)
    error = (sum((g - mean) ** 2 for g in gaps) / (len(gaps) - 1) / len(gaps)) ** 0.5
    says = [
        f"digits with 30 % wrong labels, {len(cells)} seeds: wrong ones found (AUC), accuracy against clean labels "
        f"| {auc:.3f}; {mean:+.2f} ± {error:.2f} points |"
    ]
    return (
        says,
        f"points {_of((mean, low, high), 2)}; lowest AUC {min(c['auc'] for c in cells):.3f}",
        verdict(auc > 0.9),
    )


def _hpobench(found: Any) -> Told:
    rows = [r for r in found["findings"] if str(r["question"]) == "2"]
    early = [r for r in rows if r["at"] == "1 %"]
    later = [r for r in rows if r["at"] == "1 % to 100 %"]
    held = [sum(r["verdict"] == "holds" for r in part) for part in (early, later)]
    tasks, methods = found["overview"][0]["tasks"], len(found["overview"])
    says = [
        f"{tasks} tasks of twelve families, {methods} methods of six tools, 10 seeds: multi-fidelity ahead at 1 % of "
        f"the budget; that lead smaller or gone at 100 % | {held[0]} of {len(early)} pairs; {held[1]} of {len(later)} |"
    ]
    text = (
        f"{sum(r['verdict'] == 'does not hold' for r in rows)} of {len(rows)} statements contradicted; sign tests, 5 %"
    )
    return says, text, verdict(min(held) > len(early) / 2)


def _share(text: str, digits: int = 0, sign: bool = False) -> tuple[str, str]:
    """ "0.636 [0.578, 0.690]" as "64 %" and "[58, 69]"."""
    value, _, rest = text.partition(" [")
    form = f"{'+' if sign else ''}.{digits}f"
    low, high = (format(100 * float(v), form) for v in rest.rstrip("]").split(","))
    return f"{100 * float(value):{'' if not sign else '+'}.{digits}f} %", f"[{low}, {high}]"


def _stopping(found: Any) -> Told:
    real = found["real"]
    ours = by(real["rules"], rule="regret")
    saved, lost = _share(ours["RTC"]), _share(ours["RYC"], 1, sign=True)
    sets = len({task.split("/")[0] if isinstance(task, str) else task[0] for task in real["tasks"]})
    says = [
        f"{len(real['tasks'])} tasks of {sets} real data sets, {word(len(real['seeds']))} seeds",
        f"| {' '.join(saved)}; {' '.join(lost)} |",
    ]
    low, high = (float(v) for v in ours["RYC"].split("[")[1].rstrip("]").split(","))
    return says, f"stops in {ours['stops']} of the studies", verdict(number(ours["RTC"]) >= 0.5 and low <= 0 <= high)


def _worse(rows: Any, rule: str) -> float:
    return float(100 * by(rows, rule=rule)["worse than the default"])


def _guard(found: Any) -> Told:
    rows = found["hold"]
    plain, guarded = (_worse(rows, rule) for rule in ("single", "guarded"))
    fits = by(rows, rule="guarded")["fits"]
    says = [
        "39 small tasks, 10 seeds, one hold-out split: plain tuning; guarded, a fifth more fits "
        f"| {plain:.0f} %; {guarded:.1f} % |"
    ]
    low, high = by(rows, rule="guarded")["worse, interval"]
    text = f"guarded [{low:.1%}, {high:.1%}]; {by(rows, rule='guarded')['runs']} runs, {fits:.1f} times the fits"
    return says, text, verdict(guarded <= 3 and fits <= 1.2 and by(rows, rule="single")["runs"] == 39 * 10)


def _own(found: Any) -> Told:
    row = by(found["reshuffled"], rule="guarded")
    share, (low, high) = row["worse than the default"], row["worse, interval"]
    says = [f"the guard lets {100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}] through, above the 3 % aimed at"]
    return says, f"{row['runs']} runs", verdict(share > 0.03)


def _pbt(found: Any) -> Told:
    gaps = found["differences"]["pbt"]
    held, fresh = (_of((g["mean"], g["low"], g["high"]), 3) for g in (gaps["test_loss"], gaps["replayed_test_loss"]))
    says = [
        f"equal epochs, {len(found['seeds'])} seeds: held-out loss | {held}: no difference shown; the schedule found, "
        f"on fresh networks {fresh} |"
    ]
    text = f"lower on {gaps['test_loss']['wins']} and {gaps['replayed_test_loss']['wins']} seeds"
    return says, text, verdict(gaps["test_loss"]["high"] >= 0 > gaps["replayed_test_loss"]["high"])


PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth"}


def _reports(found: Any) -> Told:
    rates = {(r["tool"], r["scheduler"]): r["reports/s"] for r in found["rows"]}
    kinds = ("straight", "asha")
    ours = [f"{round(rates['luthier', k], -2):,}".replace(",", " ") for k in kinds]
    parts = [PARTS[round(rates["luthier", k] / rates["syne-tune", k])] for k in kinds]
    says = [
        "every trial to its end; asha (Syne Tune's simulator in the same run) "
        f"| {'; '.join(ours)} ({'; '.join(parts)}) |"
    ]
    text = ", ".join(f"{t} {k} {v}" for (t, k), v in rates.items())
    return says, text, verdict(all(rates["luthier", k] > rates["syne-tune", k] for k in kinds))


def _page(found: Any) -> Told:
    row = by(found["rows"], trials=1000)
    table, first = row["words and table, ms"] / 1000, row["pictures in sight, ms"] / 1000
    text = f"the first time, when scripts are fetched too: {row['pictures in sight, first time, ms']} ms"
    return (
        [f"live page of 1000 trials in Chromium: table; first pictures | {table:.2f} s; {first:.2f} s |"],
        text,
        (verdict(first < 1)),
    )


def _engine(found: Any) -> Told:
    ours, theirs = (by(found["throughput"], what=w) for w in ("luthier, SQLite (WAL)", "optuna, SQLite"))
    other = found["other"]
    says = [
        f"| {ours['no-op trials/s']} (Optuna {theirs['no-op trials/s']}) |",
        f"launch of a trial on a warm worker process | {other['launch of a no-op trial, 2 warm workers, ms']:.1f} ms |",
        f"a 10 000-trial study opens and asks | {other['open a 10000-trial study and ask, s']:.2f} s |",
    ]
    return says, f"{ours['times optuna' + chr(39) + 's']} times Optuna's rate; median of repetitions", verdict(True)


def _drivers(found: Any) -> Told:
    ours, theirs = ([f"{r[f'{t}, trials/s']:.0f}" for r in found["rates"]] for t in ("luthier", "optuna"))
    says = [f"one driver; four drivers (Optuna in the same run) | {'; '.join(ours)} ({'; '.join(theirs)}) |"]
    return (
        says,
        f"{found['sound']['completed']} trials, none lost",
        verdict(min(r["ratio"] for r in found["rates"]) > 1),
    )


def _ray(found: Any) -> Told:
    ours, theirs = (
        [f"{r[k]:.0f}" for r in found["rows"]] for k in ("luthier on Ray, ms a trial", "Ray Tune, ms a trial")
    )
    says = [f"one at a time; four (Ray Tune in the same run) | {'; '.join(ours)} ({'; '.join(theirs)}) |"]
    return (
        says,
        "no-op trials with one report, median of 3",
        (verdict(min(r["Ray Tune / luthier on Ray"] for r in found["rows"]) > 1)),
    )


def _trees(found: Any) -> Told:
    spans = {r["backend"]: r["quality"]["choice"]["50"]["interval_95"] for r in found["results"] if r["quality"]}
    text = "; ".join(f"{k} [{low:+.3f}, {high:+.3f}]" for k, (low, high) in spans.items() if k != "own forest")
    says = ["no tree library was better than luthier's own forest by more than the noise, and none was worse"]
    return says, f"difference in regret at 50: {text}", verdict(all(low <= 0 <= high for low, high in spans.values()))


def _networks(found: Any) -> Told:
    regret = {}
    for evaluations in (25, 50):
        fits = [s for s in found["All judged tasks"] if s["evaluations"] == evaluations]
        tools = max(fits, key=lambda s: len(s["seeds"]))["tools"]
        of = {tool: by(tools, tool=tool)["tasks"] for tool in ("auto", "tpe")}
        regret[evaluations] = [fmean(v for k, v in of[t].items() if k.startswith("hpobench_mlp/")) for t in of]
    says = ["On HPOBench's networks `auto` is no better than `tpe` at 25 and at 50 evaluations"]
    text = "; ".join(f"regret at {n}: {auto:.3f} and {tpe:.3f}" for n, (auto, tpe) in regret.items())
    return says, text, verdict(all(auto >= tpe for auto, tpe in regret.values()))


def _two(found: Any) -> Told:
    ranks = {n: found["Two objectives"]["3"][n]["rank"] for n in ("25", "50")}
    some = found["Two objectives, tasks that botorch has"]["3"]["50"]["rank"]
    text = "; ".join(
        f"mean rank at {n}: optuna-gp {r['optuna-gp'][0]:.2f}, auto {r['auto'][0]:.2f}" for n, r in ranks.items()
    )
    text += "; seven tasks at 50: " + ", ".join(f"{t} {some[t][0]:.2f}" for t in ("optuna-gp", "botorch", "auto"))
    says = ["with two objectives Optuna's GP is ahead of `auto` at 25 and at 50 evaluations (three seeds)"]
    return says, text, verdict(all(r["optuna-gp"][0] < r["auto"][0] for r in ranks.values()))


def _bound(found: Any) -> Told:
    sections = found["One objective under a bound"]
    ranks = sections[max(sections, key=int)]["100"]["rank"]
    text = ", ".join(f"{t} {ranks[t][0]:.2f}" for t in ("random", "evolution", "nsga2"))
    says = ["under a bound on memory evolution and nsga2 are behind random search"]
    behind = all(ranks[t][0] > ranks["random"][0] for t in ("evolution", "nsga2"))
    return says, f"mean rank at 100: {text}; {max(sections, key=int)} seeds", verdict(behind)


def _seven(found: Any) -> Told:
    cells, spans = found["tune"], {}
    for data in ("digits", "breast_cancer", "diabetes"):
        seeds = sorted(k.split("-")[1] for k in cells if k.startswith(f"{data}-") and k.endswith("-gradients"))
        spans[data] = interval(
            [cells[f"{data}-{s}-gradients"]["test"] - cells[f"{data}-{s}-random"]["test"] for s in seeds]
        )
    text = "; ".join(f"{k} {_of(v, 3)}" for k, v in spans.items())
    says = ["with seven hyperparameters hypergradients are no better than random search at equal time"]
    return says, f"test loss: {text}", verdict(all(high >= 0 for _, _, high in spans.values()))


def _epoch(found: Any) -> Told:
    first = max((s for s in found["sections"] if not s["mark"]), key=lambda s: len(s["seeds"]))
    order = sorted((r["100 %"]["rank"], name) for name, r in first["rows"].items())
    signal = sorted(row["1"] for row in found["signal"].values())
    middle = signal[len(signal) // 2]
    says = [
        "the first epoch says next to nothing about the last: with the default grace the best early stopper, `cqr` "
        "under asha, ends level with plain `tpe`, which stops nothing; `bohb` comes next"
    ]
    text = f"rank correlation of epoch 1 with the last {middle:.2f} (median of {len(signal)}); mean rank at the end "
    text += ", ".join(f"{name} {rank:.2f}" for rank, name in order[:3])
    (a, one), (b, two), (_, third) = order[:3]
    level = {one, two} == {"cqr+asha", "tpe"} and b - a < 0.3
    return says, text, verdict(middle < 0.2 and level and third == "bohb")


def _script(name: str) -> str:
    return f"benchmarks/{name}.py"


#: (section, source, rule, script where its name is another)
_TABLE: list[tuple[str, Any, str]] = [
    ("demo", _demo, ""), ("quality", _tpe, ""), ("quality", _every, ""), ("latency", _latency, ""),
    ("latency", _peers, ""), ("cqr_against_random", _cqr, ""), ("multi_fidelity", _asha, ""), ("mo_asha", _front, ""),
    ("gradients", _weights, ""), ("hpobench", _hpobench, ""), ("stopping", _stopping, ""),
    ("overtuning", _guard, ""), ("pbt", _pbt, ""), ("simulate", _reports, ""), ("serve", _page, ""),
    ("engine", _engine, ""), ("postgres", _drivers, ""), ("ray", _ray, "ray_overhead"),
]  # fmt: skip
_UNDER: list[tuple[str, Any, str]] = [
    ("trees", _trees, ""), ("quality", _networks, ""), ("multi_objective", _two, ""),
    ("multi_objective", _bound, ""), ("overtuning", _own, ""),
    ("gradients", _seven, ""), ("multi_fidelity", _epoch, ""),
]  # fmt: skip
QUOTES = [
    Quote(of, _script(script or source), source, rule)
    for of, rows in (("Figures", _TABLE), ("What disappointed", _UNDER))
    for source, rule, script in rows
]
