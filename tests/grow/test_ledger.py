"""The ledger's file: what a kill leaves, and which runs are of a law."""

import pytest

from luthier.base.errors import StorageError
from luthier.grow.ledger import Entry, Ledger


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
