"""Own arguments from the command line are typed by the constructor's annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from luthier.base.errors import ArgumentError
from luthier.cli._own import _convert, describe, parts


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("7", int, 7),
        ("0.5", float, 0.5),
        ("1e-3", float, 0.001),
        ("yes", str, "yes"),
        ("true", bool, True),
        ("False", bool, False),
        ("none", float | None, None),
        ("3", float | None, 3.0),
        ("3", int | float, 3),
        ("3.5", int | float, 3.5),
        ("3", int | str, 3),
        ("auto", int | Literal["auto"], "auto"),
        ("1,2,3", tuple[int, ...], [1, 2, 3]),
        ("a, b", Sequence[str], ["a", "b"]),
        ("2", Any, 2),
        ("x", Any, "x"),
    ],
)
def test_a_text_becomes_what_the_argument_takes(text: str, hint: Any, value: Any) -> None:
    found = _convert("here", text, hint)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "allowed"),
    [
        ("7.5", int, "a whole number"),
        ("x", float | None, "none or a number"),
        ("1", bool, "true or false"),
        ("c", Literal["a", "b"], "'a', 'b'"),
        ("1,x", tuple[int, ...], "values with commas between them"),
    ],
)
def test_what_it_does_not_take_is_refused(text: str, hint: Any, allowed: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        _convert("scheduler 'asha': eta", text, hint)
    assert str(caught.value) == f"scheduler 'asha': eta={text!r}. Allowed: {allowed}."
    assert describe(hint) == allowed


def test_parts_with_and_without_settings() -> None:
    assert parts("auto", "straight", []) == ({"name": "auto"}, {"name": "straight"}, [])
    rules = parts("auto", "straight", ["plateau.trials=5"], ["plateau", "regret"]).stopping
    assert rules == [{"name": "plateau", "trials": 5}, {"name": "regret"}]
    assert parts("random", "asha", ["scheduler.grace=3", "scheduler.type=promotion"])[1] == {
        "name": "asha",
        "grace": 3.0,
        "type": "promotion",
    }
