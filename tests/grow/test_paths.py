"""Ways through training and growth: late depth, merged checkpoints as judge, carried moments, tagged spaces, audits."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier import Choice, Float, Space  # noqa: E402
from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.base.records import Configuration, Status, Trial  # noqa: E402
from luthier.grow.growing import Growth, grow  # noqa: E402
from luthier.grow.hyper import Hyper  # noqa: E402
from luthier.grow.late import Late, run_late  # noqa: E402
from luthier.grow.ledger import Ledger  # noqa: E402
from luthier.grow.moments import kept, moments_of  # noqa: E402
from luthier.grow.mu_plan import MuPlan  # noqa: E402
from luthier.grow.rates import transfer, tune  # noqa: E402
from luthier.grow.runs import count, run  # noqa: E402
from luthier.grow.tags import best_of  # noqa: E402
from luthier.nets import synthetic  # noqa: E402
from luthier.nets.checkpoints import at_step, merge, read, steps_in  # noqa: E402
from luthier.nets.schedules import WSD, Stretch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
PROXY = {"vocabulary": 16, "d_model": 8, "heads": 1, "d_ff": 16, "layers": 3, "context": 8, "init_std": 0.2}
TEXT, HELD_OUT = synthetic(4_000, vocabulary=16).split(0.2)
PLAN = MuPlan.infer("refgpt", proxy=PROXY)
HYPER = Hyper(lr=2**-6, batch=4, length=8, warmup=0.1, fingerprint=PLAN.fingerprint)
STEP = 32  # tokens


def test_a_stretch_is_its_part_of_the_whole():
    whole = WSD(0.1, 0.2)
    first, second = Stretch(whole, 0, 50), Stretch(whole, 35, 50)
    parts = [first.factor(s, 35) for s in range(35)] + [second.factor(s, 15) for s in range(15)]
    assert parts == [whole.factor(s, 50) for s in range(50)]
    assert (first.cooldown_starts(35), second.cooldown_starts(15)) == (35, 5)


@pytest.mark.parametrize("layers", [0, 1])
def test_late_depth(layers, tmp_path):
    """Equal tokens; the old blocks go on from where they were, and both parts are in the ledger at their own price."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    late = Late(share=0.7, layers=layers)
    history, model = run_late(
        PLAN, HYPER, TEXT, HELD_OUT, late=late, tokens=40 * STEP, folder=tmp_path / "a", ledger=ledger
    )
    assert len(model.model.layers) == 3
    shallow = PLAN.for_target({**PROXY, "layers": layers})
    small, large = (count(p, 8).flops_per_token for p in (shallow, PLAN))
    assert history.records[-1]["tokens"] == 40 * STEP
    assert history.records[-1]["flops"] == pytest.approx(STEP * (28 * small + 12 * large))
    assert [(e.purpose, e.tokens) for e in ledger.entries] == [("base", 28 * STEP), ("growth", 12 * STEP)]
    assert [e.before for e in ledger.entries] == [0, 28 * STEP]
    assert ledger.entries[1].curve[-1] == pytest.approx((ledger.entries[1].flops, history.last("val_loss")))
    bill = ledger.bill("a")
    assert bill.base + bill.growth == pytest.approx(history.records[-1]["flops"])
    before = read(tmp_path / "a" / "shallow").state["history"][-1]["val_loss"]
    assert history.last("val_loss") < before + 0.3
    again, _ = run_late(PLAN, HYPER, TEXT, HELD_OUT, late=late, tokens=40 * STEP, folder=tmp_path / "a")
    assert again.records == history.records
    with pytest.raises(ArgumentError, match="holds a run with"):
        run_late(PLAN, HYPER, TEXT, HELD_OUT, late=Late(share=0.5), tokens=40 * STEP, folder=tmp_path / "a")


def test_late_depth_of_a_model_that_counts_its_own_layers(tmp_path):
    """Sizes need not name the layers (RefGPT has two), tokens may be by the parameter, and a ledger be a file."""
    plan = MuPlan.infer("refgpt", proxy={k: v for k, v in PLAN.proxy.items() if k != "layers"})
    hyper = Hyper(lr=2**-6, batch=4, length=8)
    history, model = run_late(
        plan, hyper, TEXT, HELD_OUT, late=Late(), tokens="1x", folder=tmp_path / "late", ledger=tmp_path / "l.jsonl"
    )
    assert len(model.model.layers) == 2
    assert history.records[-1]["tokens"] == count(plan, 8).inner // STEP * STEP
    assert (tmp_path / "l.jsonl").read_text().count("\n") == 2
    with pytest.raises(ArgumentError, match="layers=2: the target has 2"):
        run_late(plan, hyper, TEXT, HELD_OUT, late=Late(layers=2), tokens=40 * STEP, folder=tmp_path / "b")


def test_late_depth_at_equal_operations(tmp_path):
    late = Late(share=0.7, equal="flops", depth="identity")
    history, _ = run_late(PLAN, HYPER, TEXT, HELD_OUT, late=late, tokens=40 * STEP, folder=tmp_path / "a")
    assert history.records[-1]["flops"] == pytest.approx(40 * STEP * count(PLAN, 8).flops_per_token, rel=0.03)
    assert history.records[-1]["tokens"] > 1.4 * 40 * STEP
    for wrong, words in (({"layers": 3}, "Allowed: fewer"), ({"share": 0.001}, "some of each")):
        with pytest.raises(ArgumentError, match=words):
            run_late(PLAN, HYPER, TEXT, HELD_OUT, late=Late(**wrong), tokens=40 * STEP, folder=tmp_path / "b")


def test_a_run_is_judged_by_its_merge(tmp_path):
    """The rate does not fall, the model is the mean of four checkpoints, and the last record says both losses."""
    history, model = run(PLAN, HYPER, TEXT, HELD_OUT, tokens=40 * STEP, folder=tmp_path / "m", merge=4)
    wanted = merge([read(p) for p in steps_in(tmp_path / "m")])
    assert [p.name for p in steps_in(tmp_path / "m")] == [
        "step-00000034",
        "step-00000036",
        "step-00000038",
        "step-00000040",
    ]
    assert all(torch.equal(t, wanted[n]) for n, t in model.state_dict().items())
    assert history.records[-1]["rate"] == 1
    assert history.records[-1]["val_loss"] != history.records[-1]["unmerged"]
    stored = read(tmp_path / "m").state["history"]
    assert stored == history.records
    assert [json.loads(line) for line in (tmp_path / "m" / "history.jsonl").read_text().splitlines()] == stored
    again, _ = run(PLAN, HYPER, TEXT, HELD_OUT, tokens=40 * STEP, folder=tmp_path / "m", merge=4)
    assert again.records == history.records  # "unmerged" too: it is not judged twice
    passing, other = run(PLAN, HYPER, TEXT, HELD_OUT, tokens=40 * STEP, merge=4)
    assert passing.last("val_loss") == history.last("val_loss")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_carried_moments_go_through_a_checkpoint(tmp_path):
    """Duplicate with its optimiser state: the first steps are the source's own."""
    source, target = PLAN, PLAN.widened(2)
    flat = WSD(0.0, 0.0)
    run(source, HYPER, TEXT, HELD_OUT, tokens=10 * STEP, folder=tmp_path / "s", schedule=flat)
    checkpoint = at_step(tmp_path / "s", "last")
    grown = grow(checkpoint.weights(), source, target, Growth(operator="duplicate"), moments=moments_of(checkpoint))
    saved = grown.save(tmp_path / "g")
    assert kept(saved.folder).keys() == moments_of(checkpoint).keys()
    more = {"tokens": 5 * STEP, "schedule": flat, "data_start": 40, "evaluate_every": 1}
    wide, _ = run(target, HYPER, TEXT, HELD_OUT, source=saved, **more)
    model = source.build()
    model.load_state_dict(checkpoint.weights())
    narrow, _ = run(source, HYPER, TEXT, HELD_OUT, model=model, moments=moments_of(checkpoint), **more)
    losses = [[r["val_loss"] for r in h.records] for h in (wide, narrow)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    plain = grow(checkpoint.weights(), source, target, Growth(operator="duplicate")).save(tmp_path / "p")
    assert kept(plain.folder) is None


def test_places_of_checkpoints(tmp_path):
    run(PLAN, HYPER, TEXT, HELD_OUT, tokens=10 * STEP, folder=tmp_path / "s")
    assert at_step(tmp_path / "s", "pre-cooldown").step == 8
    assert at_step(tmp_path / "s", "10").step == 10
    with pytest.raises(
        ArgumentError, match=r"no checkpoint at '7'. Allowed: 'last', 'pre-cooldown', or one of \[8, 10\]"
    ):
        at_step(tmp_path / "s", "7")


def test_the_last_checkpoint_at_the_full_rate_of_a_run_grown_late(tmp_path):
    """Its schedule is a part of a longer one: 50 steps with the cooldown from 40, of which it has those from 35."""
    late = Stretch(WSD(0.0, 0.2), 35, 50)
    run(PLAN, HYPER, TEXT, HELD_OUT, tokens=15 * STEP, folder=tmp_path / "s", schedule=late)
    assert late.cooldown_starts(15) == 5
    assert at_step(tmp_path / "s", "pre-cooldown").step == 5


def test_runs_of_one_name_are_all_in_the_ledger(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    for folder, steps in (("a", 2), ("b", 2), ("c", 4)):
        run(PLAN, HYPER, TEXT, HELD_OUT, tokens=steps * STEP, folder=tmp_path / folder / "final", ledger=ledger)
    run(PLAN, HYPER, TEXT, HELD_OUT, tokens=4 * STEP, folder=tmp_path / "c" / "final", ledger=ledger)  # opened again
    assert [(e.run, e.tokens) for e in ledger.entries] == [
        ("final", 2 * STEP), ("final-2", 2 * STEP), ("final-3", 4 * STEP)
    ]  # fmt: skip
    with pytest.raises(ArgumentError, match=r"purpose='scrach'"):
        run(PLAN, HYPER, TEXT, HELD_OUT, tokens=STEP, purpose="scrach")


def test_a_seed_that_diverged_counts_for_its_rate():
    space = Space(lr=Choice(0.01, 0.02, 0.04), seed=Choice(0, 1))
    losses = {(0.01, 0): 2.2, (0.01, 1): 2.2, (0.02, 0): 2.0, (0.02, 1): 2.0, (0.04, 0): 1.5, (0.04, 1): None}
    trials = [
        Trial(i, Configuration(lr=lr, seed=seed), Status.COMPLETED if loss else Status.DIVERGED,
              metrics={"val_loss": loss} if loss else {})
        for i, ((lr, seed), loss) in enumerate(losses.items())
    ]  # fmt: skip
    found = best_of(space, trials)
    assert (found.values["lr"], found.near) == (0.02, (0.01,))
    assert best_of(space, trials[-1:]) is None


def test_a_tagged_space_from_study_to_target(tmp_path):
    """Rate and decay go by muP, a batch is kept and named as what does not transfer."""
    space = Space(
        lr=Float(2**-8, 2**-5, log=True),
        weight_decay=Choice(0.0, 0.1),
        batch=Choice(2, 4),
        warmup=Choice(0.1, transfer="none"),
    )
    study = tune(PLAN, space, HYPER, TEXT, HELD_OUT, folder=tmp_path / "t", trials=4, tokens="256", searcher="random")
    best = min(study.trials, key=lambda t: t.metrics["val_loss"])
    found = transfer(tmp_path / "t", PLAN.widened(4))
    assert (found.lr, found.weight_decay, found.batch) == tuple(best.config[n] for n in ("lr", "weight_decay", "batch"))
    assert len(found.near) == 2
    assert found.not_transferred.keys() == {"batch", "tokens", "length", "warmup"}
    assert found.not_transferred["warmup"].startswith("not known to transfer")
    groups = found.make(PLAN.widened(4), PLAN.widened(4).build()).param_groups
    hidden = next(g for g in groups if "model.layers.0.self_attn.q_proj.weight" in g["names"])
    assert hidden["lr"] == pytest.approx(found.lr / 4)
    assert hidden["lr"] * hidden["weight_decay"] == pytest.approx(found.lr * found.weight_decay)
    again = tune(PLAN, space, HYPER, TEXT, HELD_OUT, folder=tmp_path / "t", trials=4, tokens="256", searcher="random")
    assert len(again.trials) == 4
    with pytest.raises(ArgumentError, match="no hyperparameter of a run"):
        tune(PLAN, Space(depth=Choice(1, 2)), HYPER, TEXT, HELD_OUT, folder=tmp_path / "x", trials=1)
    assert json.loads((tmp_path / "t" / "sweep.json").read_text())["fingerprint"] == PLAN.fingerprint


def test_a_hook_that_overwrites_rates_is_found(monkeypatch):
    """As schedules do that set one absolute rate for all groups."""
    from luthier.grow import runs

    kept_ = []

    class Spy(runs._Audit):
        def __init__(self, plan, model, optimiser, hyper):
            kept_.append(optimiser)
            super().__init__(plan, model, optimiser, hyper)

    def overwrite(record):
        for group in kept_[0].param_groups:
            group["lr"] = 0.001

    monkeypatch.setattr(runs, "_Audit", Spy)
    wide = PLAN.widened(2)
    with pytest.raises(ArgumentError, match=r"MU04 error: .* Schedules must multiply"):
        run(wide, HYPER, TEXT, HELD_OUT, tokens=20 * STEP, hooks=[overwrite])
