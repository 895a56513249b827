"""base: records that cannot change, Pareto sets by hand, seeds, registry, messages."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from luthier.base import registry
from luthier.base.checks import check
from luthier.base.errors import ArgumentError, LuthierError, MissingExtra, SpaceError, did_you_mean
from luthier.base.files import into_folder, new_folder, write_text
from luthier.base.imports import need
from luthier.base.pareto import fronts, hypervolume, nondominated
from luthier.base.records import Configuration, Constraint, Fidelity, Objective, Status
from luthier.base.seeds import generator, trial_seed


def test_a_configuration_is_a_dictionary_that_cannot_change() -> None:
    config = Configuration(lr=0.1, act="relu")
    assert {config: 1}[Configuration(act="relu", lr=0.1)] == 1
    assert dict(**config) == config == pickle.loads(pickle.dumps(config))
    for change in (
        lambda: config.update(lr=1),
        lambda: config.pop("lr"),
        lambda: config.__setitem__("lr", 1),
        lambda: config.__ior__({"lr": 1}),
        lambda: config.clear(),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()


def test_hypervolume_by_hand() -> None:
    # two boxes up to (4, 4): 2x3 from (2, 1) and 3x1 from (1, 3), sharing 2x1
    assert hypervolume(np.array([[2.0, 1.0], [1.0, 3.0], [3.0, 3.5]]), np.array([4.0, 4.0])) == 2 * 3 + 3 * 1 - 2 * 1
    # three unit steps of a staircase in three dimensions
    points = np.array([[0.0, 0.0, 2.0], [1.0, 1.0, 1.0], [2.0, 2.0, 0.0]])
    assert hypervolume(points, np.array([3.0, 3.0, 3.0])) == 9 * 1 + 4 * 1 + 1 * 1
    assert hypervolume(np.array([[5.0, 5.0]]), np.array([4.0, 4.0])) == 0
    assert hypervolume(np.empty((0, 2)), np.array([4.0, 4.0])) == 0


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_agrees_with_sampling(m: int) -> None:
    rng = np.random.default_rng(m)
    points = rng.random((12, m))
    drawn = rng.random((200_000, m))
    share = np.mean((drawn[:, None, :] >= points[None]).all(axis=2).any(axis=1))
    assert hypervolume(points, np.ones(m)) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 200_000))


def test_nondominated_keeps_equal_points_and_drops_nan() -> None:
    values = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [np.nan, 0.0]])
    assert nondominated(values).tolist() == [True, True, True, False, False]
    assert fronts(values[:4]).tolist() == [0, 0, 0, 1]


def test_generators_depend_on_their_own_number_alone() -> None:
    assert generator(1, "searcher", 5).random() == generator(1, "searcher", 5).random()
    draws = {generator(s, room, k).random() for s in (0, 1) for room in ("searcher", "run") for k in (0, 1)}
    assert len(draws) == 8
    for k in (0, 7, 2**32 - 1, 2**32, 2**40):
        assert generator(3, "searcher", k).random() == np.random.default_rng([3, 1, k]).random()
    seeds = {trial_seed(s, t, r) for s in range(3) for t in range(50) for r in range(3)}
    assert len(seeds) == 450
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_registry_lists_without_importing_and_loads_by_name() -> None:
    assert {"asha", "straight"} <= set(registry.names("scheduler"))
    assert registry.load("scheduler", "asha").name == "asha"  # type: ignore[attr-defined]
    assert registry.summary("scheduler", "straight")
    with pytest.raises(ArgumentError, match=r"scheduler 'ahsa' is not known\. Did you mean 'asha'\?"):
        registry.load("scheduler", "ahsa")


def test_messages() -> None:
    assert did_you_mean("los", ["loss", "acc"]) == "Did you mean 'loss'?"
    assert did_you_mean("zzz", ["loss", "acc"]) == "Allowed: 'acc', 'loss'."
    with pytest.raises(MissingExtra) as caught:
        need("no_such_package.inner", what="Parquet export", extra="bench")
    assert str(caught.value) == 'Parquet export needs no_such_package. Install it with: pip install "luthier[bench]"'
    assert issubclass(SpaceError, (LuthierError, ValueError))


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (0, {"at_least": 1, "whole": True}, "n=0. Allowed: a whole number and at least 1."),
        (1.5, {"whole": True}, "n=1.5. Allowed: a whole number."),
        (float("nan"), {}, "n=nan. Allowed: a number."),
        ("3", {}, "n='3'. Allowed: a number."),
        (True, {}, "n=True. Allowed: a number."),
        (2, {"above": 0, "below": 2}, "n=2. Allowed: a number and above 0 and below 2."),
    ],
)
def test_check_names_what_was_given_and_what_is_allowed(value: object, bounds: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        check("n", value, **bounds)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_records_check_themselves() -> None:
    with pytest.raises(ArgumentError, match="goal='max1'"):
        Objective("acc", "max1")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="low=9, high=1"):
        Fidelity("epoch", 9, 1)
    assert Fidelity("epoch", 1, 81).whole
    assert not Fidelity("fraction", 0.1, 1).whole
    assert [s.ended for s in (Status.RUNNING, Status.PAUSED, Status.WAITING)] == [False] * 3


# -- files --


def test_a_file_that_could_not_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert write_text(path, "before") == path
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "after \ud800")
    assert path.read_text() == "before"
    write_text(path, "after")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "after")]


def test_a_folder_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "super"
    for text in ("one", "two"):
        with new_folder(place) as draft:
            (draft / text).write_text(text)
            assert not (place / text).exists()
    with pytest.raises(FileNotFoundError), new_folder(place) as draft:
        (draft / "three" / "four").write_text("no such folder")
    assert [p.name for p in place.iterdir()] == ["two"]
    assert [p.name for p in place.parent.iterdir()] == ["super"]


@pytest.mark.parametrize("upper", [float("inf"), float("-inf"), float("nan"), "2"])
def test_a_constraint_needs_a_finite_bound(upper: object) -> None:
    with pytest.raises(ArgumentError, match=r"constraint 'mem': upper=.* Allowed: a finite number.*leave .* out"):
        Constraint("mem", upper)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [200, 200.0, np.int64(200), np.float32(200)])
def test_a_whole_number_comes_back_as_an_int(given: float) -> None:
    assert type(check("candidates", given, at_least=1, whole=True)) is int
    assert check("beta", given, above=0) is given


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "scratch" / "super", tmp_path / "super"
    real.mkdir(parents=True)
    (real / "one").write_text("1")
    link.symlink_to(real)
    with new_folder(link) as draft:
        (draft / "two").write_text("2")
    assert link.is_symlink()
    assert [p.name for p in real.iterdir()] == ["two"]
    assert [p.name for p in real.parent.iterdir()] == ["super"]


def test_files_go_into_a_folder_when_all_are_written_and_others_stay(tmp_path: Path) -> None:
    place = tmp_path / "child"
    place.mkdir()
    (place / "notes").write_text("mine")
    (place / "weights").write_text("old")
    with pytest.raises(UnicodeEncodeError), into_folder(place) as draft:
        (draft / "weights").write_text("half \ud800")
    assert {p.name: p.read_text() for p in place.iterdir()} == {"notes": "mine", "weights": "old"}
    with into_folder(place) as draft:
        (draft / "weights").write_text("new")
        (draft / "deep").mkdir()
        (draft / "deep" / "part").write_text("one")
        assert (place / "weights").read_text() == "old"
    assert {p.name: p.read_text() for p in place.rglob("*") if p.is_file()} == {
        "notes": "mine",
        "weights": "new",
        "part": "one",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["child"]
