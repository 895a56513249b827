"""The ledger's file: what a kill leaves, and which runs are of a law."""

import pytest

pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError, StorageError
from luthier.grow import Hyper, MuPlan, grow, run
from luthier.grow.ledger import Entry, Ledger, best_points
from luthier.grow.runs import count
from luthier.nets import synthetic
from luthier.nets.checkpoints import read

PROXY = {"vocabulary": 32, "d_model": 16, "heads": 1, "kv_heads": 1, "d_ff": 32, "layers": 1, "context": 16}


def entry(run, **more):
    return Entry(run=run, **{"purpose": "base", "size": 1, "total": 1, "tokens": 1, "flops": 1, **more})


@pytest.mark.parametrize(("cut", "kept"), [(40, ["a"]), (2, ["a"]), (1, ["a", "b"]), (0, ["a", "b"])])
def test_a_line_that_a_kill_has_cut_off(cut, kept, tmp_path):
    """It is gone with the next entry; one that lacks its newline alone is whole, and stays."""
    place = tmp_path / "ledger.jsonl"
    book = Ledger.open(place)
    book.add(entry("a"))
    book.add(entry("b"))
    content = place.read_bytes()
    place.write_bytes(content[: len(content) - cut])
    again = Ledger.open(place)
    assert [e.run for e in again.entries] == kept
    again.add(entry("c"))
    assert [e.run for e in Ledger.open(place).entries] == [*kept, "c"]
    assert place.read_bytes().count(b"\n") == len(kept) + 1


def test_a_broken_line_in_the_middle_is_said(tmp_path):
    place = tmp_path / "ledger.jsonl"
    place.write_text('{"run": "a", \n{}\n')
    with pytest.raises(StorageError, match=r"line 1 is no JSON.*remove that line"):
        Ledger.open(place)


def test_a_run_that_continues_another_is_of_no_law(tmp_path):
    """It has its source's tokens behind it: beside cold runs of its own few tokens it would look far better."""
    text, held_out = synthetic(4000, vocabulary=32).split(0.2)
    plan = MuPlan.infer("refgpt", proxy=PROXY)
    hyper, book = Hyper(lr=0.01, batch=2, length=8), Ledger.open(tmp_path / "ledger.jsonl")

    def train(name, tokens, **more):
        return run(plan, hyper, text, held_out, tokens=tokens, folder=tmp_path / name, ledger=book, **more)[0]

    train("base", 320, purpose="base")
    for _ in range(2):  # opened again, it is there once
        train("more", 160, source=read(tmp_path / "base"))
    train("again", 80, source=read(tmp_path / "more"), purpose="base")
    train("cold", 160)
    per = count(plan, 8).flops_per_token
    found = [(e.run, e.purpose, e.tokens, e.before, e.flops, e.source) for e in book.entries]
    assert found == [
        ("base", "base", 320, 0, 320 * per, ""),
        ("more", "continued", 160, 320, 160 * per, "base"),
        ("again", "base", 80, 480, 80 * per, "more"),
        ("cold", "scratch", 160, 0, 160 * per, ""),
    ]
    assert [(p.tokens, p.loss) for p in best_points(book.entries)] == [(e.tokens, e.loss) for e in book.entries[::3]]
    assert read(tmp_path / "again").state["history"][-1]["tokens"] == 560
    with pytest.raises(ArgumentError, match="nothing to continue"):
        train("other", 160, purpose="continued")


def test_a_grown_run_that_is_continued_is_no_second_grown_run(tmp_path):
    text, held_out = synthetic(4000, vocabulary=32).split(0.2)
    small = MuPlan.infer("refgpt", proxy=PROXY)
    large = small.for_target({"d_model": 24, "heads": 1, "kv_heads": 1, "d_ff": 48})
    start = grow(small.build(), small, large)
    start.save(tmp_path / "grown")
    hyper, book = Hyper(lr=0.01, batch=2, length=8), Ledger.open(tmp_path / "ledger.jsonl")
    for name, source in (("warm", "grown"), ("more", "warm")):
        run(large, hyper, text, held_out, tokens=160, folder=tmp_path / name, source=read(tmp_path / source),
            purpose="growth", growth=start.factor, ledger=book)  # fmt: skip
    assert [(e.purpose, e.growth, e.before, e.source) for e in book.entries] == [
        ("growth", start.factor, 0, ""),
        ("continued", None, 160, "warm"),
    ]
    assert book.bill().run == "warm"
    assert best_points(book.entries) == []
