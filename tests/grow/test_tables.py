"""The tables of muP by hand: starts, rates, decays and epsilons of every role, depth, Muon. Needs no torch."""

from __future__ import annotations

import pytest

from luthier.grow.tables import Row, deviation, factors


def row(role, m_in=1.0, m_out=1.0, **more):
    return Row("x", "x", role, "weight", (8, 8), (8, 8), m_in=m_in, m_out=m_out, **more)


@pytest.mark.parametrize(
    ("role", "wanted"), [("scalar", 0.5), ("input", 0.5), ("hidden", 0.25), ("readout", 0.5), ("bottleneck", 0.125)]
)
def test_starts_by_hand(role, wanted):
    assert deviation(role, 0.5, 4) == wanted


@pytest.mark.parametrize(
    ("role", "m", "adam", "sgd", "eps", "coupled"),
    [
        ("input", (1, 3), 1, 3, 1 / 3, 1 / 3),
        ("hidden", (4, 2), 1 / 4, 1 / 2, 1 / 2, 2),
        ("readout", (4, 1), 1, 4, 1 / 4, 1 / 4),
        ("bottleneck", (4, 1), 1 / 4, 1 / 4, 1, 4),
        ("scalar", (1, 1), 1, 1, 1, 1),
    ],
)
def test_the_table_by_hand(role, m, adam, sgd, eps, coupled):
    r = row(role, *m)
    assert vars(factors(r, optimiser="adamw")) == {"lr": adam, "weight_decay": 1 / adam, "eps": eps}
    for optimiser in ("adam", "rmsprop", "adagrad"):
        assert factors(r, optimiser=optimiser).weight_decay == coupled
    assert factors(r, optimiser="sgd").lr == sgd
    assert factors(r, optimiser="sgd").weight_decay == 1 / sgd
    assert factors(r, decay="raw").weight_decay == 1
    assert factors(r, decay="sqrt").weight_decay == (2 if role in ("hidden", "bottleneck") else 1)


def test_depth_by_hand():
    """Layers times 9: CompleteP keeps rates and divides epsilon by 9, depth-muP divides both by 3."""
    r = row("hidden", 4, 4, depth=9.0)
    complete, half = factors(r, alpha=1.0), factors(r, alpha=0.5)
    assert (complete.lr, complete.eps) == (1 / 4, pytest.approx(1 / 36))
    assert (half.lr, half.eps) == (pytest.approx(1 / 12), pytest.approx(1 / 12))
    assert half.weight_decay == pytest.approx(12)


def test_muon_by_hand():
    """A 4:1 map that keeps its shape ratio needs no factor under "original", 1/sqrt(m) under "match_rms_adamw"."""
    tall = Row("x", "x", "hidden", "weight", (128, 32), (32, 8), m_in=4, m_out=4)
    flat = Row("x", "x", "hidden", "weight", (16, 16), (32, 8), m_in=2, m_out=0.5)
    assert factors(tall, optimiser="muon").lr == 1
    assert factors(tall, optimiser="muon", adjust="match_rms_adamw").lr == pytest.approx(1 / 2)
    assert factors(flat, optimiser="muon").lr == pytest.approx(0.5 * 2 / 1)  # sqrt(1/4) times sqrt(4) / sqrt(1)
    # sqrt(1/4) times sqrt(32) / sqrt(16): the larger side of each
    assert factors(flat, optimiser="muon", adjust="match_rms_adamw").lr == pytest.approx(0.5 * 2**0.5)
