"""Anything at all as a space file, a command line, a line of output, a URL: a LuthierError with a text, or it works."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from luthier.base.errors import LuthierError
from luthier.cli._app import app
from luthier.runtime.executors._lines import LONGEST, Lines, read
from luthier.runtime.storage import open_storage, split_name
from luthier.space.files import load_space, parse_space

quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

WORDS = st.sampled_from(
    ["float", "int", "choice", "ordinal", "fixed", "low", "high", "log", "default", "when", "values", "type", "x", "lr",
     "hyperparameters", "forbidden", "prior", "step", "1e-5", "-1", "0.1", "NaN", "inf", "true", "[", "{", "}", ":"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@quick
@given(VALUES)
def test_any_value_as_a_space(value: object) -> None:
    try:
        space = parse_space(value)
    except LuthierError:
        return
    space.sample(1, __import__("numpy").random.default_rng(0))


@quick
@given(
    st.sampled_from([".yaml", ".json", ".toml", ".yml", ".txt", ""]),
    st.binary(max_size=200) | st.lists(WORDS, max_size=20).map(lambda words: " ".join(words).encode()),
)
def test_any_file_as_a_space_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"space{suffix}"
    file.write_bytes(content)
    with suppress(LuthierError):
        load_space(file)


ARGUMENTS = st.lists(
    st.sampled_from(
        [
            "tune",
            "show",
            "resume",
            "replay",
            "doctor",
            "convert",
            "list",
            "report",
            "stop-when",
            "nowhere",
            "x.db",
            "--json",
            "--trials",
            "-1",
            "0",
            "1e9",
            "--space",
            "space.yaml",
            "--minimize",
            "loss",
            "--searcher",
            "--scheduler",
            "gp",
            "--max",
            "epoch=0",
            "epoch=",
            "=9",
            "--workers",
            "--repair",
            "--all",
            "--seed",
            "#",
            "a#b",
            "sqlite://",
            "sqlite:///a?b=c",
            "postgresql://",
            "memory://",
            "--command",
            "false {lr",
            "{x!r}",
            "",
            "\N{SNOWMAN}",
            "-",
            "--",
        ]
    )
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    max_size=6,
)


@settings(quick, max_examples=8)
@given(ARGUMENTS)
def test_any_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    _command(tmp_path, monkeypatch, arguments)


@pytest.mark.slow
@settings(quick, max_examples=200)
@given(ARGUMENTS)
def test_two_hundred_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    _command(tmp_path, monkeypatch, arguments)


def _command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """An exit code that the manual names, and no traceback."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in (0, 1, 2, 3, 4), (arguments, result.exit_code, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exception)
    assert "Traceback" not in result.output, (arguments, result.output)


@quick
@given(st.lists(st.binary(max_size=300) | VALUES.map(lambda v: json.dumps(v).encode() + b"\n"), max_size=8))
def test_any_output_of_a_program(chunks: list[bytes]) -> None:
    """However a program's output is cut into pieces, the same lines come out, and a report is numbers alone."""
    lines, whole = Lines(), Lines()
    found = [line for chunk in chunks for line in lines.feed(chunk)] + list(lines.end())
    assert found == list(whole.feed(b"".join(chunks))) + list(whole.end())
    for line in found:
        reading = read(line)
        if reading is not None:
            assert all(type(value) is float for value in reading.metrics.values())
            assert reading.metrics


@quick
@given(VALUES)
def test_any_json_line(value: object) -> None:
    reading = read(json.dumps(value).encode())
    numbers = isinstance(value, dict) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool)
        for k, v in value.items()
        if k not in ("folds", "checkpoint")
    )
    if reading is not None:
        assert numbers, value


def test_a_line_without_an_end_takes_no_memory() -> None:
    lines = Lines()
    for _ in range(100):
        assert list(lines.feed(b"x" * 100_000)) == []
        assert len(lines._rest) <= LONGEST
    assert list(lines.feed(b'\n{"loss": 1}\n')) == [b'{"loss": 1}']


URLS = st.sampled_from(["sqlite:///", "memory://", "postgresql://127.0.0.1:1/", "a/b.db#", "x://"])


@quick
@given(st.text(max_size=20) | st.tuples(URLS, st.text(max_size=10)).map("".join))
def test_any_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    with suppress(LuthierError):
        url, _ = split_name(text)
        open_storage(url).close()
