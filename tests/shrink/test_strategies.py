"""Acceptance checks 5, 7 and 8: gradients of strategies by another way, adapters, and runs that are killed."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _models import batch, model, torch

from luthier.base.errors import ArgumentError
from luthier.nets.data import synthetic
from luthier.nets.training import Moment
from luthier.shrink import CostModel, Distil, Lora, Sampler, SubNetSpec, SuperNet, Task, extract, preset, train, verify
from luthier.shrink._shell import names, takes
from luthier.shrink.strategies import STRATEGIES, Said, Strategy, _decay_touched, distilled, finetune, taught_by
from luthier.shrink.supernet import output
from luthier.shrink.tasks import Data, language

CLASSES = Task("classification", 2)


def labelled(**more):
    return {**batch("bert", **more), "labels": torch.tensor([0, 1, 1])}


def two_layers(**more):
    return SuperNet.from_model(model("bert", num_hidden_layers=2, **more))


def strategy(net, name, kd=None, **more):
    space = preset(net.sizes, "small", multiple=4)
    sampler = Sampler(space, CostModel(net.layout), kind="uniform_axes")
    return Strategy(net, CLASSES, sampler, name, kd=kd, **more)


def gradients(net, chosen, given, moment):
    net.model.zero_grad(set_to_none=True)
    values = []
    for term in chosen(net.model, given, moment):
        values.append(float(term.detach()))
        term.backward()
    return {name: p.grad for name, p in net.model.named_parameters()}, values


def put_back(net, spec, child, weight, total):
    """Gradients of an extracted model, at the places that its weights came from."""
    own = {name: p.grad for name, p in child.named_parameters()}
    for name, parent in names(net.layout, spec).items():
        entry = net.layout.entries[parent]
        where = [torch.arange(n) for n in entry.shape]
        for dim, taken in takes(entry.dims, net.layout, spec, entry.layer):
            where[dim] = torch.arange(taken) if isinstance(taken, int) else taken
        if own[name] is not None:
            total[parent][torch.meshgrid(*where, indexing="ij")] += weight * own[name]


@pytest.mark.parametrize("kd", [None, Distil(tau=3.0, weight=0.7)], ids=["alone", "taught"])
@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("step", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_gradients_of_a_step_are_those_of_its_parts(name, kd, step):
    """Each sub-network is cut out and differentiated on its own; weights and soft targets are written out here."""
    net, given, moment = two_layers(), labelled(), Moment(step, 2, 0, 0)
    chosen = strategy(net, name, kd)
    found, _ = gradients(net, chosen, given, moment)
    terms = chosen.terms(moment)
    assert sum(weight for weight, _ in terms) == pytest.approx(1)
    expected = {n: torch.zeros_like(p) for n, p in net.model.named_parameters()}
    with torch.no_grad():
        whole = output(net.model(**batch("bert")))
    for weight, spec in terms:
        child = extract(net, spec).model
        logits = output(child(**batch("bert")))
        logp = torch.log(torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True))
        loss = -(logp[0, 0] + logp[1, 1] + logp[2, 1]) / 3
        if kd is not None and spec != net.full:
            soft = torch.exp(whole / 3) / torch.exp(whole / 3).sum(-1, keepdim=True)
            cool = torch.log(torch.exp(logits / 3) / torch.exp(logits / 3).sum(-1, keepdim=True))
            loss = loss + 0.7 * 9 * -(soft * cool).sum(-1).mean()
        loss.backward()
        put_back(net, spec, child, weight, expected)
    for n, grad in found.items():
        grad = torch.zeros_like(expected[n]) if grad is None else grad
        assert float((grad - expected[n]).abs().max()) <= 1e-6, n


def test_which_sub_networks_each_strategy_trains():
    net = two_layers()
    small = preset(net.sizes, "small", multiple=4).smallest

    def trained(name, step, steps=100):
        return [spec for _, spec in strategy(net, name).terms(Moment(step, steps, 0, 3))]

    assert trained("standard", 5) == [net.full]
    assert len(trained("random", 5)) == 2
    assert trained("sandwich", 5)[:2] == [net.full, small]
    assert len(trained("sandwich", 5)) == 4
    assert trained("ats", 1) == [net.full]
    assert len(trained("ats", 2)) == 2
    early = sum(len(trained("random_linear", k, 1000)) == 2 for k in range(50))
    late = sum(len(trained("random_linear", 950 + k, 1000)) == 2 for k in range(50))
    assert early <= 10
    assert late >= 40


@pytest.mark.parametrize("name", ["random", "random_linear", "ats", "sandwich"])
def test_distillation_changes_gradients(name):
    net, given, moment = two_layers(), labelled(), Moment(2, 2, 0, 0)
    alone, _ = gradients(net, strategy(net, name), given, moment)
    alone = {n: g.clone() for n, g in alone.items() if g is not None}
    taught, _ = gradients(net, strategy(net, name, Distil()), given, moment)
    assert any(not torch.equal(g, taught[n]) for n, g in alone.items())
    hidden, _ = gradients(net, strategy(net, name, Distil(hidden=1.0)), given, moment)
    assert any(not torch.equal(g, hidden[n]) for n, g in taught.items() if g is not None)


class Drawn:
    """A sampler that draws what it is told, in turn."""

    def __init__(self, space, *specs):
        self.space, self.left = space, list(specs)

    def draw(self, rng):
        return self.left.pop(0)


@pytest.mark.parametrize("name", ["random", "ats"])
def test_a_whole_that_is_drawn_last_still_teaches(name):
    net, given = two_layers(), labelled()
    space = preset(net.sizes, "small", multiple=4)
    told = []
    for order in ([space.smallest, net.full], [net.full, space.smallest]):
        chosen = Strategy(net, CLASSES, Drawn(space, *order), name, kd=Distil())
        told.append(gradients(net, chosen, given, Moment(0, 2, 0, 0))[1])
    alone = Strategy(net, CLASSES, Drawn(space, space.smallest, net.full), name)
    assert told[0] == told[1]
    assert told[0][1] != gradients(net, alone, given, Moment(0, 2, 0, 0))[1][1]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_loss_that_is_told_is_the_tasks_own(name):
    """Of the first network, which is the whole where there is one; no weight, no soft loss."""
    net, given = two_layers(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), labelled()
    moment = Moment(0, 2, 0, 0)
    chosen = strategy(net, name, Distil())
    first = chosen.terms(moment)[0][1]
    with net.active(first) as child, torch.no_grad():
        expected = CLASSES.loss(output(child(**batch("bert"))), given)
    data = Data(CLASSES, lambda k: given, [given], [given], [given])
    space = preset(net.sizes, "small", multiple=4)
    history = train(net, space, data, strategy=name, sampler=chosen.sampler, steps=1, log_every=1)
    assert history.last("loss") == pytest.approx(float(expected), rel=1e-5)
    assert ("full_loss" in history.records[0]) == (first == net.full)


def test_a_teacher_speaks_without_dropout_and_keeps_its_mode():
    net, given = two_layers(), labelled()
    teacher = model("bert", seed=3, hidden_dropout_prob=0.5)
    with torch.no_grad():
        expected = output(teacher(**batch("bert")))
    teacher.train()
    teacher.bert.pooler.eval()
    assert torch.equal(taught_by(teacher, given).logits, expected)
    assert teacher.training
    assert not teacher.bert.pooler.training
    assert torch.equal(strategy(net, "random", Distil(), teacher=teacher)._taught(given, False).logits, expected)


def test_a_super_network_teaches_with_its_adapters():
    net, given = two_layers(), labelled()
    lora = Lora(net, rank=2)
    before = taught_by(net, given).logits
    with torch.no_grad():
        for factor in lora.left.values():
            factor.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    found = taught_by(net, given).logits
    assert not torch.allclose(found, before, atol=1e-3)
    lora.merge()
    assert torch.allclose(found, taught_by(net, given).logits, atol=1e-5)


@pytest.mark.parametrize(("name", "all_of_it"), [("random", False), ("sandwich", True)])
def test_what_a_step_leaves_out_does_not_decay(name, all_of_it, monkeypatch):
    net, given = two_layers(), labelled()
    space = preset(net.sizes, "small", multiple=4)
    weight = net.model.bert.encoder.layer[0].intermediate.dense.weight
    before = weight.detach().clone()
    data = Data(CLASSES, lambda k: given, [given], [given], [given])
    monkeypatch.setattr(Sampler, "draw", lambda self, rng: space.smallest)
    train(net, space, data, strategy=name, sampler="uniform_axes", steps=1, lr=1e-2, decay=5.0, kd=None)
    assert not torch.equal(weight[:4], before[:4])
    assert torch.equal(weight[4:], before[4:]) != all_of_it


def test_a_gradient_decays_as_adamw_decays_it():
    """Where every entry has a gradient, nothing is different."""
    found = []
    for touched in (False, True):
        layer = torch.nn.Linear(3, 2)
        with torch.no_grad():
            layer.weight.copy_(torch.arange(6.0).reshape(2, 3) / 7)
            layer.bias.fill_(0.3)
        optimiser = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
        if touched:
            _decay_touched(optimiser)
        for _ in range(3):
            optimiser.zero_grad()
            layer(torch.ones(4, 3)).square().sum().backward()
            optimiser.step()
        assert optimiser.param_groups[0]["weight_decay"] == 0.5
        found.append(torch.cat([p.detach().flatten() for p in layer.parameters()]))
    assert torch.equal(*found)


def test_the_soft_loss_by_hand():
    """Two classes, logits (0, 0) against (2, 0) at temperature 2: 4 (ln 2) whatever the teacher says."""
    own, teacher = Said(torch.zeros(1, 2), None), Said(torch.tensor([[2.0, 0.0]]), None)
    assert float(distilled(own, teacher, CLASSES, {}, Distil(tau=2.0))) == pytest.approx(4 * np.log(2))
    # logits (2, 0): p = e/(1+e); with a teacher of (0, 0): -(ln p + ln (1 - p)) / 2 times 4
    p = np.e / (1 + np.e)
    found = float(distilled(teacher, own, CLASSES, {}, Distil(tau=2.0, weight=0.5)))
    assert found == pytest.approx(0.5 * 4 * -(np.log(p) + np.log(1 - p)) / 2)
    numbers = Task("regression")
    found = float(
        distilled(Said(torch.tensor([[1.0]]), None), Said(torch.tensor([[3.0]]), None), numbers, {}, Distil())
    )
    assert found == pytest.approx(4.0)


def test_adapters_merge_then_slice_is_slice_then_merge():
    for family in ("bert", "gpt2", "gpt_neox", "llama"):
        net = SuperNet.from_model(model(family))
        lora = Lora(net, rank=3)
        with torch.no_grad():
            for factor in lora.left.values():
                factor.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
        given = batch(family)
        specs = [net.full, SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])]
        sliced = []
        for spec in specs:
            with net.active(spec) as child, torch.no_grad():
                sliced.append(output(child(**given)))
        with torch.no_grad():
            assert float((sliced[0] - output(net.model(**given))).abs().max()) > 1e-3
        lora.merge()
        for spec, before in zip(specs, sliced, strict=True):
            child = extract(net, spec).model
            verify(net, spec, child, [given])
            with torch.no_grad():
                after = output(child(**given))
            assert float((after - before).abs().max()) <= 1e-5 * float(before.abs().max()), family


def small_run(folder, *, steps=12, peft=False, hooks=()):
    net = SuperNet.from_model(model("llama", num_hidden_layers=2))
    space = preset(net.sizes, "small", multiple=4)
    data = language(synthetic(4000, vocabulary=97), size=4, length=16)
    lora = Lora(net, rank=2) if peft else None
    history = train(
        net, space, data, steps=steps, lr=1e-3, folder=folder, save_every=4, log_every=1, hooks=hooks, peft=lora
    )
    return net, history


def test_adapters_alone_learn():
    net, _ = small_run(None, steps=3, peft=True)
    start = dict(model("llama", num_hidden_layers=2).named_parameters())
    for name, p in net.model.named_parameters():
        assert torch.equal(p, start[name]) == (not name.endswith("norm.weight")), name
    assert any(bool(left.detach().any()) for left in net.adapters.left.values())


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_strategies
test_strategies.torch.set_num_threads(int(sys.argv[3]))  # sums over other threads round otherwise
def end(record):
    if record["step"] == 7:
        print("seven steps", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
test_strategies.small_run(sys.argv[2], hooks=[end])
"""


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path):
    words = [Path(__file__).parent, tmp_path / "broken", torch.get_num_threads()]
    # no time limit: on a busy machine the imports alone take minutes
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], capture_output=True, text=True)
    assert "seven steps" in done.stdout, f"ended by {done.returncode}, not by the test: {done.stderr[-2000:]}"
    assert done.returncode == -signal.SIGKILL
    assert [p.name for p in (tmp_path / "broken").glob("step-*")] == ["step-00000004"]
    net, history = small_run(tmp_path / "broken")
    whole, expected = small_run(None)
    assert [r["loss"] for r in history.records][-8:] == [r["loss"] for r in expected.records][-8:]
    for (name, a), b in zip(net.model.named_parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.slow
def test_training_lowers_the_losses_of_all_sizes():
    torch.manual_seed(0)
    net = SuperNet.from_model(model("llama", num_hidden_layers=2, vocab_size=24))
    space = preset(net.sizes, "small", multiple=4)
    data = language(synthetic(30000, vocabulary=24, fan=2), size=16, length=24, evaluated=2)

    def loss(spec):
        with net.active(spec) as child:
            return data.task.evaluate(child, data.test)["loss"]

    specs = [space.smallest, space.decode(space.ends[2]), net.full]
    before = [loss(spec) for spec in specs]
    train(net, space, data, steps=60, lr=5e-3)
    after = [loss(spec) for spec in specs]
    assert all(b < a - 0.05 for a, b in zip(before, after, strict=True)), (before, after)


def test_dropout_is_for_the_whole_only():
    net = two_layers(hidden_dropout_prob=0.5)
    net.model.train()
    space = preset(net.sizes, "small", multiple=4)
    with net.active(space.smallest, dropout=False) as child:
        assert not any(m.training for m in child.modules())
    with net.active(net.full) as child:
        assert child.training


def test_memory_that_runs_out_is_told_as_such(tmp_path):
    net = two_layers()
    held = [labelled()]

    def full(k):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    data = Data(CLASSES, full, held, held, held)
    with pytest.raises(ArgumentError, match=r"out of memory\. Take a smaller batch.*are kept"):
        train(net, preset(net.sizes, "small"), data, steps=2, folder=tmp_path)


TEXT = language(synthetic(3000, vocabulary=90), size=2, length=8)


def begun(folder, *, seed=3, **more):
    net = SuperNet.from_model(model("qwen3", seed=seed))
    data, ranking = more.pop("data", TEXT), more.pop("ranking", ())
    space = more.pop("space", None) or preset(net.sizes, "small", ranking=ranking)
    if "target" in more:
        more["sampler"] = Sampler(space, CostModel(net.layout), kind="around", target=more.pop("target"))
    if "alpha" in more:
        more["peft"] = Lora(net, rank=2, alpha=more.pop("alpha"))
    train(net, space, data, steps=1, random=1, folder=folder, **more)


OTHER = language(synthetic(3000, vocabulary=90, seed=1), size=2, length=8)


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ({}, {"data": OTHER}, "data.batch='"),
        ({}, {"ranking": (2, 1, 0)}, r"ranking=\[0, 1, 2\], this one has \[2, 1, 0\]"),
        ({"target": 0.9}, {"target": 0.6}, "sampling.target=0.9, this one has 0.6"),
        ({"alpha": 16}, {"alpha": 64}, "lora.alpha=16.0, this one has 64.0"),
        ({}, {"teacher": 5}, "teacher=False, this one has True"),
        ({"teacher": 4}, {"teacher": 5}, "taught_by='"),
    ],
    ids=["data", "ranking", "sampler", "adapters", "a teacher", "another teacher"],
)
def test_a_training_goes_on_only_as_it_began(tmp_path, first, then, said):
    first, then = (
        {k: model("qwen3", seed=v) if k == "teacher" else v for k, v in given.items()} for given in (first, then)
    )
    begun(tmp_path, **first)
    begun(tmp_path, **first)  # the same goes on
    with pytest.raises(ArgumentError, match=f"holds a run with {said}.*Choose another folder"):
        begun(tmp_path, **then)


def test_a_fine_tuning_goes_on_only_as_it_began(tmp_path):
    teachers = [model("qwen3", seed=s) for s in (4, 5)]

    def tuned(data=TEXT, **more):
        finetune(model("qwen3"), data, steps=1, folder=tmp_path, **more)

    tuned(teacher=teachers[0], about={"child": "a"})
    tuned(teacher=teachers[0])
    for more, said in (
        ({"teacher": teachers[0], "data": OTHER}, "data.batch"),
        ({"teacher": teachers[1]}, "taught_by"),
        ({}, "kd"),
        ({"teacher": teachers[0], "kd": Distil(tau=9.0)}, "kd.tau=2.0, this one has 9.0"),
        ({"teacher": teachers[0], "about": {"child": "b"}}, "child='a', this one has 'b'"),
    ):
        with pytest.raises(ArgumentError, match=f"holds a run with {said}"):
            tuned(**more)
