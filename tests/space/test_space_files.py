"""Space files: YAML, TOML, JSON, and what is wrong with them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from random_spaces import spaces

from luthier.base.errors import SpaceError
from luthier.space import Beta, Choice, Fixed, Float, Int, Normal, Ordinal, Space, all_of, load_space, to_configspace

YAML = """
# a comment
lr: {type: float, low: 1e-5, high: 1e-1, log: true, default: 1e-3, prior: {normal: [1e-3, 2]}}
drop: {type: float, low: 0, high: "1e0", step: 0.25}
layers: {type: int, low: 1, high: 8, prior: {beta: [2, 3]}}
act: [relu, gelu, no, "1e-3", 1e-3, null, true]
size:
  type: ordinal
  values: [small, medium, large]
opt: {type: choice, values: [sgd, adam], prior: [1, 3]}
momentum: {type: float, low: 0, high: 0.99, when: [opt, sgd]}
nesterov:
  type: choice
  values: [true, false]
  when: {all: [[opt, sgd], [momentum, ">", 0.5]]}
epochs: 20
day: 2024-01-01
forbid:
  - {opt: adam, act: [gelu, relu]}
  - [layers, ">", epochs]
"""

EXPECTED = Space(
    lr=Float(1e-5, 1e-1, log=True, default=1e-3, prior=Normal(1e-3, 2)),
    drop=Float(0, 1, step=0.25),
    layers=Int(1, 8, prior=Beta(2, 3)),
    act=Choice("relu", "gelu", "no", "1e-3", 1e-3, None, True),
    size=Ordinal("small", "medium", "large"),
    opt=Choice("sgd", "adam", prior=[1, 3]),
    momentum=Float(0, 0.99, when=("opt", "sgd")),
    nesterov=Choice(True, False, when=all_of(("opt", "sgd"), ("momentum", ">", 0.5))),
    epochs=Fixed(20),
    day=Fixed("2024-01-01"),
    forbid=[{"opt": "adam", "act": ["gelu", "relu"]}, ("layers", ">", "epochs")],
)

TOML = """
act = ["relu", "gelu"]
epochs = 20
forbid = [{ act = "gelu", lr = 1e-1 }]
[lr]
type = "float"
low = 1e-5
high = 1e-1
log = true
"""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["yaml", "yml", "YAML"])
def test_yaml(tmp_path, suffix):
    assert load_space(write(tmp_path, f"space.{suffix}", YAML)) == EXPECTED


def test_toml(tmp_path):
    assert load_space(str(write(tmp_path, "space.toml", TOML))) == Space(
        act=Choice("relu", "gelu"),
        epochs=Fixed(20),
        lr=Float(1e-5, 1e-1, log=True),
        forbid=[{"act": "gelu", "lr": 1e-1}],
    )


def test_json_flat_and_nested(tmp_path):
    flat = {"lr": {"type": "float", "low": 0, "high": 1}, "act": ["relu", 1], "k": 3, "forbid": [["lr", ">", 0.9]]}
    expected = Space(lr=Float(0, 1), act=Choice("relu", 1), k=Fixed(3), forbid=[("lr", ">", 0.9)])
    assert load_space(write(tmp_path, "flat.json", json.dumps(flat))) == expected
    forbid = flat.pop("forbid")
    nested = {"hyperparameters": flat, "forbid": forbid}
    assert load_space(write(tmp_path, "nested.json", json.dumps(nested))) == expected
    odd = {"hyperparameters": [1, 2], "lr": 3}  # a hyperparameter of that name
    assert load_space(write(tmp_path, "odd.json", json.dumps(odd))) == Space(hyperparameters=Choice(1, 2), lr=Fixed(3))


def test_configspace_json_is_recognised(tmp_path):
    space = Space(a=Int(1, 3), b=Float(0, 1, when=("a", 1)))
    assert load_space(write(tmp_path, "cs.json", json.dumps(to_configspace(space)))) == space


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spaces())
def test_stored_spaces_are_read(tmp_path, space):
    import yaml

    assert load_space(write(tmp_path, "s.json", space.to_json())) == space
    assert load_space(write(tmp_path, "s.yaml", yaml.safe_dump(space.to_dict(), sort_keys=True))) == space


MISTAKES = [
    ("s.ini", "a=1", "ends in '.ini'. Allowed: .yaml, .yml, .toml, .json. Rename it."),
    ("s.json", "{", "is no valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
    ("s.json", '{"a": 1, "a": 2}', "is no valid JSON: the key 'a' stands there twice."),
    ("s.yaml", "a: 1\na: 2", "is no valid YAML: the key 'a' stands there twice (line 1)."),
    ("s.yaml", "a: [1", None),
    ("s.toml", "a = ", None),
    ("s.yaml", "", "is empty. Allowed: names and domains. Write such as 'lr: {type: float, ...}'."),
    ("s.yaml", "# nothing yet", "is empty. Allowed: names and domains. Write such as 'lr: {type: float, ...}'."),
    ("s.json", "{}", "is empty. Allowed: names and domains. Write such as 'lr: {type: float, ...}'."),
    ("s.yaml", "x: {low: 1", "is no valid YAML: expected ',' or '}', but got '<stream end>' (line 1, column 11)."),
    ("s.json", "[1]", "a list is no space. Allowed: names and domains, such as 'lr: {type: float, ...}'."),
    ("s.yaml", "1: [1, 2]", "hyperparameter name 1 is no text. Put it in quotes."),
    ("s.yaml", "lr: {low: 0, high: 1}", "hyperparameter 'lr' has no type. Allowed: float, int, choice, ordinal, fixed. Add one."),  # noqa: E501
    ("s.yaml", "lr: {type: float, low: 0, hihg: 1}", "hyperparameter 'lr': key 'hihg' is not known for type 'float'. Did you mean 'high'?"),  # noqa: E501
    ("s.yaml", "lr: {type: float, low: 5, high: -5}", "hyperparameter 'lr': low=5.0 is above high=-5.0. Swap them, or for a fixed value use Fixed(5.0)."),  # noqa: E501
    ("s.yaml", "lr: {type: float, low: little, high: 1}", "hyperparameter 'lr': low='little' is not a finite number. Allowed: a finite number. Change low."),  # noqa: E501
    ("s.yaml", "lr: {type: float, low: 0, high: .inf}", "hyperparameter 'lr': high=inf is not a finite number. Allowed: a finite number. Change high."),  # noqa: E501
    ("s.yaml", "a: 1\nforbid: {a: 1}", "forbid={'a': 1}. Allowed: a list of clauses. (A hyperparameter cannot have this name here.)"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), MISTAKES, ids=[text[:50] for _, text, _ in MISTAKES])
def test_mistakes(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    found = str(caught.value)
    assert found.startswith(f"space file {str(path)!r}")
    if message is None:
        assert f"is no valid {path.suffix[1:].upper()}: " in found
        assert "\n" not in found
    else:
        assert found.removeprefix(f"space file {str(path)!r}").removeprefix(":").strip() == message


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpaceError, match=r"no\.yaml' is not there. Check the path."):
        load_space(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: [\xe9]")
    with pytest.raises(SpaceError, match="cannot be read: 'utf-8' codec"):
        load_space(tmp_path / "latin.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SpaceError, match="cannot be read: "):
        load_space(tmp_path / "folder.yaml")
