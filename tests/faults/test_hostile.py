"""Files that somebody sends: none of them may run code when it is read."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier.base.errors import LuthierError
from luthier.runtime.storage import SQLite
from luthier.space.files import load_space
from luthier.study.convert import convert
from luthier.study.repair import repair


class Evil:
    """What a pickle would run: it makes a file."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.sign),)


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    return tmp_path / "code-ran"


@pytest.fixture
def evil(sign: Path) -> bytes:
    blob = pickle.dumps(Evil(sign))
    pickle.loads(blob)
    assert sign.is_dir(), "the trap itself must work"
    sign.rmdir()
    return blob


SPACES = {
    "object.yaml": "x: !!python/object/apply:os.mkdir ['{sign}']\n",
    "name.yaml": "x: !!python/name:os.mkdir\n",
    "module.yaml": "x: !!python/module:{sign}\n",
    "new.yml": "x: !!python/object/new:os.mkdir ['{sign}']\n",
    "merge.yaml": "a: &a [!!python/object/apply:os.mkdir ['{sign}']]\nx: *a\n",
    "formula.json": json.dumps({"x": {"type": "float", "low": "__import__('os').mkdir('{sign}')", "high": 1}}),
    "condition.json": json.dumps(
        {"x": {"type": "float", "low": 0, "high": 1, "when": "__import__('os').mkdir('{sign}')"}}
    ),
    "format.toml": "[x]\ntype = 'float'\nlow = '{{0.__class__}}'\nhigh = 1\n",
    "name.toml": '\'__import__("os").mkdir("{sign}")\' = [0, 1]\n',
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_file_runs_no_code(tmp_path: Path, sign: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(SPACES[name].replace("{sign}", str(sign)))
    try:
        space = load_space(file)
    except LuthierError:
        pass
    else:  # an odd name is a name, and no more
        space.sample(3, __import__("numpy").random.default_rng(0))
    assert not sign.exists()


def test_a_pickle_is_no_space_file(tmp_path: Path, sign: Path, evil: bytes) -> None:
    for suffix in (".yaml", ".json", ".toml", ".pkl"):
        (tmp_path / f"space{suffix}").write_bytes(evil)
        with pytest.raises(LuthierError):
            load_space(tmp_path / f"space{suffix}")
    assert not sign.exists()


@pytest.mark.slow
def test_a_pickle_in_the_place_of_weights_is_refused(tmp_path: Path, sign: Path, evil: bytes) -> None:
    """A checkpoint whose tensors are a pickle: with our names, with torch's, and zipped as torch.save does."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from luthier.nets import checkpoints

    model = torch.nn.Linear(2, 2)
    saved = checkpoints.save(tmp_path / "step-1", model)
    [tensors] = [file for file in saved.folder.iterdir() if file.suffix == ".safetensors"]
    zipped = tmp_path / "zipped.pt"
    torch.save({"weight": Evil(sign)}, zipped)
    for content in (evil, zipped.read_bytes()):
        tensors.write_bytes(content)
        with pytest.raises(Exception, match=r"(?i)header|safetensors|deserializ"):
            checkpoints.read(saved.folder).weights()
        assert not sign.exists()
    tensors.unlink()
    (saved.folder / "pytorch_model.bin").write_bytes(zipped.read_bytes())
    with pytest.raises((LuthierError, OSError)):
        checkpoints.read(saved.folder).weights()
    assert not sign.exists()


@pytest.mark.slow
def test_a_model_folder_with_a_pickle_is_refused(tmp_path: Path, sign: Path) -> None:
    """What `shrink` reads of a Hugging Face folder: a pickle in it runs nothing."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from luthier.shrink.workspace import open_model

    config = transformers.BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8,
                                     vocab_size=16, architectures=["BertModel"])  # fmt: skip
    folder = tmp_path / "model"
    config.save_pretrained(folder)
    torch.save({"embeddings.word_embeddings.weight": Evil(sign)}, folder / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"(?i)weights|unpickl|pickle|load"):
        open_model(folder)
    assert not sign.exists()


def test_a_store_with_a_pickle_in_it(tmp_path: Path, sign: Path, evil: bytes) -> None:
    """A database is read as JSON: bytes of a pickle are an error, and nothing runs, not even in a repair."""
    with lu.Study({"x": lu.Float(0, 1)}, searcher="random", storage=str(tmp_path / "study.db")) as study:
        study.run(lambda run: run.config["x"], trials=3)
    with SQLite(tmp_path / "study.db") as store:
        store._transact(lambda c: c.execute("UPDATE events SET data = ? WHERE seq = 3", (evil.decode("latin-1"),)))
    with pytest.raises(LuthierError, match="the data of event 3 is not JSON"):
        lu.Study.open(tmp_path / "study.db")
    repair(str(tmp_path / "study.db"))
    assert not sign.exists()


def test_histories_of_other_tools_run_no_code(tmp_path: Path, sign: Path, evil: bytes) -> None:
    (tmp_path / "journal.log").write_bytes(evil)
    (tmp_path / "tuner").mkdir()
    (tmp_path / "tuner" / "tuner.dill").write_bytes(evil)
    (tmp_path / "tuner" / "metadata.json").write_text("{}")
    for source in ("journal.log", "tuner"):
        with pytest.raises(LuthierError):
            convert(str(tmp_path / source), str(tmp_path / "new.db"))
    assert not sign.exists()
