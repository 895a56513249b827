"""Starts that the model's function means: what every build starts alike is left as it is, everything else is drawn."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from torch import nn  # noqa: E402

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.grow import MuPlan, Options  # noqa: E402
from luthier.grow import diagnostics as mu  # noqa: E402
from luthier.grow.mu_plan import start  # noqa: E402


class Decayed(nn.Module):
    """Rates of decay and biases on a grid, positions of sines, and a map that starts as the identity."""

    def __init__(self, width=8):
        super().__init__()
        self.inp = nn.Linear(4, width)
        self.decay = nn.Parameter(torch.linspace(-6, -1, width))
        self.positions = nn.Embedding(5, width)
        self.mixed = nn.Linear(width, width)
        self.out = nn.Linear(width, 3)
        with torch.no_grad():
            self.inp.bias.copy_(torch.linspace(0, 1, width))
            self.positions.weight.copy_(torch.sin(torch.arange(5.0)[:, None] * torch.arange(width)[None]))
            nn.init.eye_(self.mixed.weight)

    def forward(self, x):
        return self.out(self.mixed(torch.sigmoid(self.decay) * self.inp(x)))


def seeded(width=8):
    torch.manual_seed(0)
    return Decayed(width)


def plan(make=Decayed, target=None, **more):
    return MuPlan.infer(make, proxy={"width": 8}, delta={"width": 16}, target=target, **more)


@pytest.mark.parametrize("width", [8, 32])
def test_deliberate_starts_stay_at_every_width(width):
    found = plan(target={"width": width})
    model, plain = found.build(seed=1), Decayed(width)
    for name in ("decay", "inp.bias", "positions.weight", "mixed.weight"):
        assert found.rows[name].start == "own", name
        assert torch.equal(model.get_parameter(name), plain.get_parameter(name)), name
    assert found.rows["inp.weight"].start == "normal"
    assert model.mixed.bias.abs().max() == 0  # it was drawn: the table's start
    assert {row["name"]: row["start"] for row in found.table()}["decay"] == "own"
    assert mu.audit_model(found, model) == []


def test_they_are_named_and_a_map_that_is_not_scaled_is_warned_of():
    notes = [d for d in mu.inspect(plan(target={"width": 32})) if d.id == "MU05"]
    assert [(d.level, d.where) for d in notes] == [("note", "decay"), ("warning", "mixed.weight")]
    assert "(and 2 more): that start stays" in notes[0].words
    assert [d.level for d in mu.inspect(plan()) if d.id == "MU05"] == ["note"]


def test_equal_builds_tell_nothing_where_the_function_seeds():
    found = plan(seeded)
    assert {row.start for row in found.rows.values()} == {"normal", "constant"}
    [one] = [d for d in mu.inspect(found) if d.id == "MU05"]
    assert (one.level, one.where) == ("warning", "decay")
    assert "Seed before the function is called" in one.words


def test_what_is_asked_for_comes_first():
    class Queried(Decayed):
        def __init__(self, width=8):
            super().__init__(width)
            self.query = self.mixed
            del self.mixed

        def forward(self, x):
            return self.out(self.query(self.inp(x)))

    model = plan(Queried, options=Options(zero_query=True)).build()
    assert model.query.weight.abs().max() == 0


def test_such_a_start_has_no_rule():
    with pytest.raises(ArgumentError, match=r"'decay': its start is the model's own"):
        start(plan().rows["decay"], 0)


def test_files_keep_it(tmp_path):
    found = plan()
    found.save(tmp_path / "plan.json")
    again = MuPlan.load(tmp_path / "plan.json", factory=Decayed)
    assert again == found
    assert torch.equal(again.build().decay, Decayed().decay)


def test_the_row_of_padding_stays_zero():
    def make(width=8):
        return nn.Sequential(nn.Embedding(6, width, padding_idx=2), nn.Linear(width, 3))

    table = MuPlan.infer(make, proxy={"width": 8}, delta={"width": 16}).widened(4).build()[0].weight
    assert [bool(row.any()) for row in table] == [True, True, False, True, True, True]


def test_half_precision_is_for_parameters_and_rounds_no_frequencies():
    pytest.importorskip("transformers")
    sizes = {"vocab_size": 16, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 40}
    found = MuPlan.infer("hf:llama", proxy={**sizes, "num_hidden_layers": 1})
    half, plain, double = (found.build(dtype=dtype) for dtype in (torch.bfloat16, None, torch.float64))
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert torch.equal(half.model.rotary_emb.inv_freq, plain.model.rotary_emb.inv_freq)
    ids = torch.arange(8)[None]
    assert half(ids).logits.dtype == torch.bfloat16
    assert double(ids).logits.dtype == double.model.rotary_emb.inv_freq.dtype == torch.float64


def test_the_means_of_a_batch_norm_go_with_its_weights():
    def make(width=8):
        return nn.Sequential(nn.Conv1d(3, width, 1), nn.BatchNorm1d(width), nn.Flatten(), nn.Linear(2 * width, 3))

    model = MuPlan.infer(make, proxy={"width": 8}, delta={"width": 16}).build(dtype=torch.bfloat16)
    assert model(torch.zeros(4, 3, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert model[1].num_batches_tracked.dtype == torch.int64
