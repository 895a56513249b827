"""What README says of tuning, growing, shrinking and the whole life, in the words that the figures give."""

from __future__ import annotations

from typing import Any

from claim import Quote, by, number, verdict

from papers import interval

WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]  # fmt: skip

Told = tuple[list[str], str, str]


def word(count: int) -> str:
    """A small number as README writes it."""
    return WORDS[count] if count < len(WORDS) else str(count)


def _past(found: Any) -> Told:
    rows = {r["method"]: r for r in found["xgboost"]}
    first, last = rows["auto"]["at 1"], rows["gp"]["at 25"]
    text = f"`auto` with the past, at 1: {first}; `gp` without, at 25: {last}; {rows['auto']['seeds']} seeds"
    better = number(first) + float(first.split("±")[1]) < number(last) - float(last.split("±")[1])
    return ["its first evaluation is better than the 25th without a past"], text, verdict(better)


def _many(found: Any) -> Told:
    most = max(row["peak_mb"] for row in found["many"].values())
    text = f"one hypergradient of 10 000 hyperparameters: at most {most:.0f} MB"
    return ["thousands of hyperparameters in under half a gigabyte"], text, verdict(most < 500)


def _live(found: Any) -> Told:
    row = by(found["rows"], trials=1000)
    table, pictures = row["words and table, ms"], row["pictures in sight, ms"]
    text = f"table after {table} ms, first pictures after {pictures} ms (medians)"
    return ["a thousand trials in half a second"], text, verdict(pictures <= 550)


def _faults(found: Any) -> Told:
    sums = found["sums"]
    says = [
        f"In {sums['faults']} injected faults, {sums['kills']} of them kill -9 or the death of a node",
        "no acknowledged report was lost and no trial stuck",
    ]
    text = f"{sums['acknowledged']} reports: lost {sums['lost']}, stuck {sums['stuck']}, orphans {sums['orphans']}"
    return says, text, verdict(not sums["lost"] + sums["stuck"])


def _groups(found: Any) -> Told:
    models = {r["model"] for r in found["rows"]}
    worst = max(r["largest difference"] for r in found["rows"])
    says = [f"Parameter groups equal the `mup` package's on {word(len(models))} models"]
    text = (
        f"{sum(r['tensors'] for r in found['rows'])} rates and decays of {len(found['rows'])} optimisers and models, "
    )
    text += f"{found['mup']}: largest relative difference {worst:.0e}; {found['exception']}"
    return says, text, verdict(worst < 1e-9)


def _rates(found: Any) -> Told:
    spread = {k: max(v["optima"]) - min(v["optima"]) for k, v in found["rates"].items()}
    widths = found["rates"]["mup"]["widths"]
    says = [
        f"widths {min(widths)} to {max(widths)}, the best rate stays within half an octave under muP",
        f"moves by {spread['standard']:.1f} octaves without",
    ]
    text = ", ".join(f"{k} {v:.2f}" for k, v in spread.items())
    return says, f"octaves: {text}; {min(found['rates']['mup']['seeds'])} seeds", verdict(spread["mup"] <= 0.5)


def _grown(found: Any) -> Told:
    arms = found["warm"]["128"]
    arm = arms["szp 0.4"]
    reached = {k: interval(arm["reached"][k]) for k in ("tokens", "charged")}
    ahead = [interval(values)[2] < 0 for values in arm["differences"].values()]
    says = [
        f"grown {arms['growth']:.2f} times by shrink, pad and perturb (lambda 0.4) is ahead of a cold start at a "
        "quarter, half and all of the tokens",
        f"reaches its final loss with {reached['tokens'][0]:.2f} of them ({word(arm['seeds'])} paired seeds)",
        "with the small model's own cost charged it does not pay",
    ]
    text = "; ".join(f"{k} {m:.3f} [{low:.3f}, {high:.3f}]" for k, (m, low, high) in reached.items())
    return says, text, verdict(all(ahead) and reached["charged"][0] > 1)


def _minilm(found: Any) -> Told:
    """Percentages of README are medians over seeds of the gap, as a share of the other's hypervolume."""
    task = found["compared"]
    nas, act = (by(task["qnli"], beside=b) for b in ("standard NAS, mo-asha", "uniform, activation"))
    mag = by(task["decoder"], beside="uniform, magnitude")
    share = {name: f"{number(r['of the other']):.0f} %" for name, r in (("nas", nas), ("act", act), ("mag", mag))}
    one_by_one = by(found["cells"], key="qnli/alone/magnitude/0")["children"]
    steps = sum(child["steps"] for child in one_by_one)
    says = [
        f"{steps} steps in all, {word(nas['seeds'])} seeds on an H100",
        f"on QNLI {share['nas']} more hypervolume than standard NAS in as much time and {share['act']} more than "
        f"activation-ranked pruning ({act['won']} of {act['seeds']} seeds)",
        f"{share['mag']} more than magnitude pruning ({mag['won']} of {mag['seeds']})",
    ]
    text = "; ".join(f"{r['beside']}: mean gap {r['mean gap, 95 %']}" for r in (nas, act, mag))
    low = [float(r["mean gap, 95 %"].split("[")[1].split(",")[0]) for r in (nas, act, mag)]
    return says, text, verdict(min(low) > 0 and "H100" in found["device"])


def _sentences(found: Any) -> Told:
    nas, act, mag = (
        by(found["compared"]["stsb"], beside=b)
        for b in ("standard NAS, both fronts as they are", "uniform, activation", "uniform, magnitude")
    )
    share = [f"{number(row['of the other']):.0f} %" for row in (nas, act, mag)]
    says = [
        f"on STS-B, two cores, {word(act['seeds'])} seeds, its front as it is has {share[0]} more than that of "
        f"standard NAS in as much time ({nas['won']} of {nas['seeds']}), and its tuned models {share[1]} more than "
        f"activation-ranked pruning ({act['won']} of {act['seeds']}) and {share[2]} more than magnitude pruning "
        f"({mag['won']} of {mag['seeds']})"
    ]
    text = "; ".join(f"{r['beside']}: mean gap {r['mean gap, 95 %']}" for r in (nas, act, mag))
    low = [float(r["mean gap, 95 %"].split("[")[1].split(",")[0]) for r in (nas, act, mag)]
    return says, text, verdict(min(low) > 0)


def _half(found: Any) -> Told:
    cells = {c["key"]: c for c in found["cells"]}
    one, eight = cells["latency/qnli-0-0.5/1"], cells["latency/qnli-0-0.5/8"]
    says = [
        f"half of MiniLM's operations run {one['times_as_fast']:.1f} (batch 1) to {eight['times_as_fast']:.1f} times "
        "(batch 8) as fast on a CPU"
    ]
    text = f"{one['flops']:.2f} of the multiply-adds; one seed, {one['runs']} runs in turns, processor time"
    return says, text, verdict(one["flops"] <= 0.5 and one["apart"] and eight["apart"])


def _run(found: Any) -> Told:
    child = by(found["rows"], name="child 0.75")
    other = by(found["rows"], name="uniform magnitude 0.75")
    minutes = int(found["command"].split("--budget ")[1].split("m")[0])
    says = [
        f"In {word(minutes)} minutes of one thread `shrink run` cut a MiniLM of {child['parameters'] / 1e6:.1f} "
        f"million parameters with an accuracy of {child['accuracy']:.2f} on QNLI where magnitude pruning of equal "
        f"steps had {other['accuracy']:.2f} (one seed)"
    ]
    text = f"{child['accuracy']:.3f} and {other['accuracy']:.3f}; the whole {found['rows'][0]['accuracy']:.3f}; 1 seed"
    return says, text, verdict(child["accuracy"] > other["accuracy"] and found["threads"] == 1)


NAMES = {"proxy": "proxy, tuned", "grown": "grown from it", "cold": "the same, trained from nothing",
         "shrunk to 80%": "shrunk to 80 %", "shrunk to 65%": "shrunk to 65 %"}  # fmt: skip


def _power(value: float) -> str:
    return f"{value:.1e}".replace("e+", "e")


def _life(found: Any) -> Told:
    bill = found["bill"]
    spent = {"proxy": f"{_power(bill['tuning'])} tuning, {_power(bill['base'])} training",
             "grown": _power(bill["growth"]), "cold": _power(bill["cold"])}  # fmt: skip
    says = [
        f"| {NAMES[r['model']]} | {r['loss']:.3f} | {r['parameters']:,} | {r['latency_ms']:.2f} "
        f"| {spent.get(r['model'], '')} |"
        for r in found["models"]
    ]
    says += [
        f"one {found['growth']:.2f} times as large",
        f"{word(round(found['processor_seconds'] / 60))} minutes of processor time",
        f"Tuning at the target's own size, as many trials, takes {bill['direct']:.2e} operations where this took "
        f"{bill['spent']:.2e}. {word(int(found['tokens_per_parameter'])).capitalize()} tokens a parameter",
    ]
    says = [said.replace("e+", "e") for said in says]
    text = f"{bill['spent'] / bill['direct']:.0%} of the operations; loss {bill['loss']:.4f} against "
    text += f"{bill['direct_loss']:.4f} on the same batches; one seed"
    return says, text, verdict(bill["spent"] < bill["direct"] and bill["loss"] < bill["direct_loss"])


def _installed(found: Any) -> Told:
    rows = {r["extra"]: r for r in found["rows"]}
    bare = rows[""]
    says = [f"# {round(bare['MB'], -1):.0f} MB with numpy, scipy and scikit-learn; {bare['packages']} packages"]
    if "bench" in rows:
        says.append(f"# {round(rows['bench']['MB'], -1):.0f} MB: +")
    if "serve" in rows:
        says.append(f"# + {rows['serve']['MB'] - bare['MB']:.0f} MB: live pages")
    ran = ", ".join(r["extra"] or "bare" for r in found["rows"])
    return says, f"installed each by itself, README's blocks and a program of its own run: {ran}", verdict(True)


QUOTES = [
    Quote("Tune", "benchmarks/othpo.py", "othpo", _past),
    Quote("Tune", "benchmarks/gradients.py", "gradients", _many),
    Quote("Tune", "benchmarks/serve.py", "serve", _live),
    Quote("Tune", "benchmarks/faults.py", "faults", _faults),
    Quote("Grow", "benchmarks/mup_groups.py", "mup_groups", _groups),
    Quote("Grow", "benchmarks/growth.py", "growth", _rates),
    Quote("Grow", "benchmarks/growth.py", "growth", _grown),
    Quote("Shrink", "benchmarks/shrink.py", "shrink_gpu", _minilm),
    Quote("Shrink", "benchmarks/shrink.py", "shrink_stsb", _sentences),
    Quote("Shrink", "benchmarks/shrink.py", "shrink_cpu", _half),
    Quote("Shrink", "luthier shrink run", "shrink/run-minilm", _run, page="shrink.md"),
    Quote("The whole life", "benchmarks/lifecycle.py", "lifecycle", _life),
    Quote("Install", "tools/check_wheel.py --record", "wheel", _installed),
]
