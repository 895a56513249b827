"""Domains: defaults, canonical values, and a helpful word about every mistake."""

import math

import numpy as np
import pytest

from luthier.base.errors import SpaceError
from luthier.space import Beta, Choice, Fixed, Float, Int, Normal, Ordinal, Space

MISTAKES = [
    (Float(5, -5), "low=5.0 is above high=-5.0. Swap them, or for a fixed value use Fixed(5.0)."),
    (Int(5, -5), "low=5 is above high=-5. Swap them, or for a fixed value use Fixed(5)."),
    (Float(2, 2), "low=high=2.0 leaves a single value. Use Fixed(2.0)."),
    (Float(0, 1, log=True), "log=True with low=0.0. Allowed: low above 0. Raise low, or leave out log."),
    (Int(-1, 1, log=True), "log=True with low=-1. Allowed: low above 0. Raise low, or leave out log."),
    (Float(0, math.inf), "high=inf is not a finite number. Allowed: a finite number. Change high."),
    (Float(math.nan, 1), "low=nan is not a finite number. Allowed: a finite number. Change low."),
    (Float("a", 1), "low='a' is not a finite number. Allowed: a finite number. Change low."),
    (Int(1.5, 3), "low=1.5 is not a finite whole number. Allowed: a finite whole number. Change low."),
    (Int(True, 3), "low=True is not a finite whole number. Allowed: a finite whole number. Change low."),
    (Float(0, 1, log="yes"), "log='yes'. Allowed: True or False."),
    (Float(0, 1, step=0.3), "step=0.3 does not fit between low=0.0 and high=1.0. Use high=0.9, or another step."),
    (Float(0, 1, step=2), "step=2.0 does not fit between low=0.0 and high=1.0. Use a smaller step."),
    (Int(1, 8, step=2), "step=2 does not fit between low=1 and high=8. Use high=7, or another step."),
    (Int(1, 8, step=0.5), "step=0.5. Allowed: a whole number above 0, or None. Change step."),
    (Float(0, 1, step=-0.1), "step=-0.1. Allowed: a number above 0, or None. Change step."),
    (Float(0, 1, step=1e-13), "step=1e-13 is too fine for 0.0..1.0. Use a larger step or none."),
    (Float(0, 1, default=7), "default=7.0 is outside. Allowed: a number from 0.0 to 1.0. Change the default."),
    (
        Float(0, 1, step=0.5, default=0.7),
        "default=0.7 is outside. Allowed: a number from 0.0 to 1.0 in steps of 0.5. Change the default.",
    ),
    (Int(1, 4, default=2.5), "default=2.5 is outside. Allowed: a whole number from 1 to 4. Change the default."),
    (
        Float(1, 1 + 1e-14),
        "low=1.0 and high=1.00000000000001 are too near to each other to tell values apart. "
        "Widen the range, or use Choice.",
    ),
    (Float(-1e308, 1.7e308), "-1e+308..1.7e+308 is too wide for a float. Narrow it."),
    (Int(0, 2**41), "0..2199023255552 has too many values to be exact. Allowed: 2**40. Use Float, or a step."),
    (Int(1, 2**40 + 1, log=True), None),
    (Choice(), "Choice() has no values. Allowed: one or more. Name them: Choice('a', 'b')."),
    (Ordinal(), "Ordinal() has no values. Allowed: one or more. Name them: Ordinal('a', 'b')."),
    (Choice("a", "b", "a"), "Choice has the value 'a' twice. Allowed: each value once. Take one away."),
    (
        Choice(["a", "b"]),
        "value ['a', 'b'] of Choice. Allowed: text, finite numbers, True, False, None. Write the values one by one: "
        "Choice('a', 'b').",
    ),
    (
        Choice(math.inf, 1.0),
        "value inf of Choice. Allowed: text, finite numbers, True, False, None. Give it a name instead.",
    ),
    (Choice("relu", "gelu", default="rely"), "default='rely'. Allowed: 'relu', 'gelu'. Did you mean 'relu'?"),
    (Choice(1, 2, default=True), "default=True. Allowed: 1, 2. Use an allowed value, or widen the space."),
    (Choice("a", "b", prior=[1]), "prior=(1,). Allowed: one weight above 0 for each of 2 values."),
    (Choice("a", "b", prior=[1, 0]), "prior=(1, 0). Allowed: one weight above 0 for each of 2 values."),
    (Choice("a", "b", prior="b"), "prior='b'. Allowed: one weight above 0 for each of 2 values."),
    (Fixed([1]), "Fixed([1]). Allowed: text, a finite number, True, False, None."),
    (Float(0, 1, prior=[1, 2]), "prior=[1, 2]. Allowed: Normal(mean, sd), Beta(alpha, beta) or None."),
    (Float(0, 1, prior=Normal(0.5, 0)), "prior Normal: sd=0.0. Allowed: a finite number above 0."),
    (Float(0, 1, prior=Normal("a", 1)), "prior Normal: mean='a'. Allowed: a finite number."),
    (
        Float(0, 1, prior=Normal(9.5, 1)),
        "prior Normal: mean=9.5 is far outside 0.0..1.0. Move it inside, or widen the range.",
    ),
    (
        Float(1, 2, log=True, prior=Normal(-1, 1)),
        "prior Normal: mean=-1.0 with log=True. Allowed: a number above 0. Move it into the range.",
    ),
    (Float(0, 1, prior=Beta(0.5, 1)), "prior Beta: alpha=0.5. Allowed: a finite number, at least 1."),
]


@pytest.mark.parametrize(("domain", "text"), MISTAKES, ids=[repr(domain)[:60] for domain, _ in MISTAKES])
def test_every_mistake_is_named(domain, text):
    with pytest.raises(SpaceError) as caught:
        Space(lr=domain)
    assert caught.value.name == "lr"
    if text is not None:
        assert str(caught.value) == f"hyperparameter 'lr': {text}"
    with pytest.raises(SpaceError, match="'own'"):
        domain.check("own")


@pytest.mark.parametrize(
    ("domain", "default"),
    [
        (Float(0, 1), 0.5),
        (Float(1e-5, 1e-1, log=True), 1e-3),
        (Float(1e-5, 1e-1, log=True, default=1e-2), 1e-2),
        (Float(0, 1, step=0.25), 0.5),
        (Float(0.1, 0.4, step=0.1), 0.2),
        (Int(1, 8), 4),
        (Int(1, 100, log=True), 10),
        (Int(16, 64, step=16), 32),
        (Choice("a", "b"), "a"),
        (Choice(None, "b"), None),
        (Choice("a", None, default=None), None),
        (Choice("a", "b", default=None), "a"),
        (Ordinal("s", "m", "l"), "m"),
        (Ordinal(1, 2, 4, 8), 2),
        (Fixed(3), 3),
    ],
    ids=repr,
)
def test_default(domain, default):
    space = Space(x=domain)
    assert space.default() == {"x": default}
    assert type(space.default()["x"]) is type(default)
    assert domain.default == default


def test_decimal_steps_give_decimal_values():
    domain = Float(0.1, 2.0, step=0.1)
    values = [domain.at(level) for level in range(domain.levels)]
    assert values == [float(f"{i / 10:.1f}") for i in range(1, 21)]
    thirds = Float(0.0, 1.0, step=1 / 3)
    assert [thirds.at(level) for level in range(thirds.levels)] == [0.0, 1 / 3, 2 / 3, 1.0]


@pytest.mark.parametrize(
    ("domain", "given", "canonical"),
    [
        (Int(1, 8), 3.0, 3),
        (Int(1, 8), np.int64(3), 3),
        (Int(1, 8), np.float32(3), 3),
        (Float(0, 10), 3, 3.0),
        (Float(0, 1), np.float64(0.25), 0.25),
        (Float(0, 1), 1 + 1e-12, 1.0),
        (Float(1e-5, 1e-1, log=True), 1e-1 * (1 + 1e-12), 1e-1),
        (Float(0, 1, step=0.1), 0.1 + 0.2, 0.3),
        (Choice(1, 1.0, True, "1", None), 1, 1),
        (Choice(1, 1.0, True, "1", None), 1.0, 1.0),
        (Choice(1, 1.0, True, "1", None), True, True),
        (Choice(1, 1.0, True, "1", None), np.True_, True),
        (Choice(1, 1.0, True, "1", None), "1", "1"),
        (Choice(1, 1.0, True, "1", None), None, None),
        (Choice(1, 2), 2.0, 2),
        (Choice("a", "b"), np.str_("b"), "b"),
        (Ordinal(0.5, 2.0), 2, 2.0),
        (Ordinal(0.25, 3.999999999999997), 4.0, 3.999999999999997),
        (Choice(0.1, 0.3), 0.1 + 0.2, 0.3),
        (Choice(10**10, 10**10 + 1), 10**10 + 1, 10**10 + 1),
        (Fixed(2), 2.0, 2),
        (Float(0.1, 0.7), np.float32(0.7), 0.7),
        (Float(0, 1, step=0.1), np.float32(0.3), 0.3),
        (Float(0, 1, step=0.1), np.float16(0.3), 0.3),
        (Ordinal(0.1, 0.3), np.float32(0.3), 0.3),
        (Int(1, 2**24), np.float32(2**24), 2**24),
    ],
    ids=repr,
)
def test_values_become_canonical(domain, given, canonical):
    found = Space(x=domain).check({"x": given})["x"]
    assert found == canonical
    assert type(found) is type(canonical)


@pytest.mark.parametrize(
    ("domain", "given", "text"),
    [
        (Float(0, 1), 2.0, "a number from 0.0 to 1.0. Use an allowed value, or widen the space."),
        (Float(0, 1), math.nan, "a number from 0.0 to 1.0. Use an allowed value, or widen the space."),
        (Float(0, 1), "0.5", "a number from 0.0 to 1.0. Use an allowed value, or widen the space."),
        (Float(0, 1), True, "a number from 0.0 to 1.0. Use an allowed value, or widen the space."),
        (Float(1e-5, 1, log=True), -1.0, "a number from 1e-05 to 1.0. Use an allowed value, or widen the space."),
        (Int(1, 8), 2.5, "a whole number from 1 to 8. Use an allowed value, or widen the space."),
        (Int(1, 9, step=2), 2, "a whole number from 1 to 9 in steps of 2. Use an allowed value, or widen the space."),
        (Choice("relu", "gelu"), "geluu", "'relu', 'gelu'. Did you mean 'gelu'?"),
        (Choice(0.1, 0.3), 0.30001, "0.1, 0.3. Use an allowed value, or widen the space."),
        (Choice(1.0, 1 + 2e-10), 1 + 1e-10, "1.0, 1.0000000002. Use an allowed value, or widen the space."),
        (Choice(10**10, 7), 10**10 + 1, "10000000000, 7. Use an allowed value, or widen the space."),
        (Choice(1, 2), True, "1, 2. Use an allowed value, or widen the space."),
        (Choice(True, False), 1, "True, False. Use an allowed value, or widen the space."),
        (Choice("a", "b"), ["a"], "'a', 'b'. Use an allowed value, or widen the space."),
        (Fixed("x"), "y", "'x'. Use an allowed value, or widen the space."),
    ],
    ids=repr,
)
def test_values_outside_are_refused(domain, given, text):
    with pytest.raises(SpaceError) as caught:
        Space(x=domain).check({"x": given}, "trial 3")
    assert str(caught.value) == f"trial 3: x={given!r} does not fit. Allowed: {text}"


def test_a_domain_cannot_be_changed():
    with pytest.raises(TypeError, match="make a new Float"):
        Float(0, 1).low = 3


def test_equality_tells_types_apart():
    assert Choice(1) != Choice(1.0)
    assert Choice(1) != Choice(True)
    assert Choice("a") != Ordinal("a")
    assert Float(0, 1) != Int(0, 1)
    assert Float(0, 1) == Float(0.0, 1.0, default=0.5)
    assert hash(Float(0, 1)) == hash(Float(0.0, 1.0))
    assert Float(0, 1, when=("a", 1)) == Float(0, 1, when=["a", "==", 1])


def test_names_and_entries():
    with pytest.raises(SpaceError, match=r"hyperparameter 'lr': \(0, 1\) is no domain. Use Float"):
        Space(lr=(0, 1))
    with pytest.raises(SpaceError, match=r"hyperparameter name 3\. Allowed: text"):
        Space({3: Float(0, 1)})
    with pytest.raises(SpaceError, match="hyperparameter 'lr' is given twice"):
        Space({"lr": Float(0, 1)}, lr=Float(0, 1))
    space = Space({"a.b": Float(0, 1), "forbid": Int(1, 2)}, c=Fixed(1))
    assert list(space) == ["a.b", "forbid", "c"]
    assert "c" in space
    assert len(space) == 3
    assert space["forbid"] == Int(1, 2)
