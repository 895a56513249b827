"""A task from a local file: what it is read with, and what a model's folder says of it. Nothing is fetched."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, LuthierWarning
from luthier.base.imports import need
from luthier.nets.data import Tokens
from luthier.shrink.tasks import Data, examples, language

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")


def read_data(
    path: str | Path,
    model_folder: str | Path | None = None,
    *,
    size: int = 16,
    length: int = 64,
    seed: int = 0,
    texts: str | Sequence[str] = (),
    label: str = "",
    kind: str = "",
    classes: Sequence[str] | None = None,
) -> Data:
    """A task from a local file: a table of labelled texts, or plain text (also `.gz`) for language modelling.

    Args:
        path: The file.
        model_folder: Folder whose tokenizer reads it; None, or one without a tokenizer: bytes. If it is a classifier
            that has all classes of the file, they are in its order.
        size: Rows or windows per batch.
        length: Tokens of each.
        seed: Of order and split.
        texts: Columns with one or two texts; found by themselves if not named.
        label: Column with the label.
        kind: "classification" or "regression"; empty: regression for numbers that are not whole, or if the model has
            one output.
        classes: Names of the classes, in order; None: the model's.

    Raises:
        ArgumentError: no such file or folder, an empty one, a table without a tokenizer, or a kind for a text.
    """
    place = Path(path)
    if model_folder is not None and not Path(model_folder).is_dir():
        raise ArgumentError(
            f"model_folder={str(model_folder)!r}: no such folder. Allowed: one with a tokenizer, or None."
        )
    if not place.is_file():
        what = "a folder" if place.is_dir() else "no such file"
        raise ArgumentError(f"data {str(path)!r}: {what}. Allowed: a text, or one of {', '.join(TABLES)}.")
    tokenizer = tokenizer_of(model_folder)
    if place.suffix in TABLES:
        if tokenizer is None:
            do = "Put one into the model's folder." if model_folder else "Name the folder of a model with one."
            raise ArgumentError(f"data {str(path)!r}: a table of texts needs a tokenizer. {do}")
        return examples(
            rows_of(place), tokenizer, size=size, length=length, seed=seed, texts=texts, label=label,
            kind=kind or _kind_of(model_folder), pad=_config(model_folder).get("pad_token_id"),
            classes=classes_of(model_folder) if classes is None else classes,
        )  # fmt: skip
    if kind:
        raise ArgumentError(
            f"kind={kind!r}: {str(path)!r} is a text, without labels. Allowed: none, or one of {', '.join(TABLES)}."
        )
    raw = gzip.decompress(place.read_bytes()) if place.suffix == ".gz" else place.read_bytes()
    if not raw:
        raise ArgumentError(f"data {str(path)!r} is empty. Allowed: some thousand letters or more.")
    if tokenizer is None:
        tokens = Tokens(np.frombuffer(raw, dtype=np.uint8), 256, place.name)
    else:
        ids = tokenizer(raw.decode("utf-8", errors="replace"), add_special_tokens=False)["input_ids"]
        tokens = Tokens(np.asarray(ids, dtype=np.int32), len(tokenizer), place.name)
    return language(tokens, size=size, length=length, seed=seed)


def classes_of(folder: str | Path | None) -> tuple[str, ...]:
    """What a classifier's folder calls its classes, in order; those without names of their own are 0, 1, 2, ..."""
    config = _config(folder)
    if not _classifies(config):
        return ()
    named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # two are not written down
    names = [str(named[key]) for key in sorted(named, key=int)]
    plain = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    return tuple(str(i) for i in range(len(names))) if plain else tuple(names)


def trained_on(folder: str | Path, data: str | Path, seed: int | None = None) -> dict[str, Any]:
    """How a model of luthier's was trained on a file: "seed", "texts", "label", "kind"; of another file the seed alone.

    A table is split by the seed, so under another one the rows to test on are rows that the model has learnt.

    Args:
        folder: Of the model.
        data: The file.
        seed: That was asked for, if one was.

    Warns:
        LuthierWarning: it is another than the model's for this table.
    """
    place, about = Path(data), Path(folder) / "luthier.json"
    told = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
    trained: list[dict[str, Any]] = list(told.get("trained_on", ()))
    known = next((one for one in reversed(trained) if one["data"] == str(place.resolve())), None)
    if known is None:
        return {"seed": trained[-1]["seed"] if trained else 0}
    if seed is not None and seed != known["seed"] and place.suffix in TABLES:
        warnings.warn(
            f"seed={seed}: {folder} was trained on {place} as seed {known['seed']} splits it, so most rows that this "
            "seed tests on were learnt.",
            LuthierWarning,
            stacklevel=2,
        )
    return dict(known)


def _kind_of(folder: str | Path | None) -> str:
    """Of a folder whose model has one output: a regression; else nothing, as a classifier may get a new head."""
    config = _config(folder)
    return "regression" if _classifies(config) and len(config.get("id2label") or "01") == 1 else ""


def _config(folder: str | Path | None) -> dict[str, Any]:
    place = Path(folder or "") / "config.json"
    if folder is None or not place.is_file():
        return {}
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found


def _classifies(config: dict[str, Any]) -> bool:
    return any("SequenceClassification" in name for name in config.get("architectures") or ())


def rows_of(place: Path) -> list[dict[str, Any]]:
    """`read_table`, with the file's name where it cannot be read."""
    try:
        return read_table(place)
    except (ValueError, KeyError, csv.Error) as error:  # no UTF-8, no JSON, no Parquet: all of them values
        line = str(error).strip().splitlines()[0]
        raise ArgumentError(f"data {str(place)!r}: no {place.suffix[1:]} that can be read: {line}") from error


def tokenizer_of(folder: str | Path | None) -> Any:
    """The tokenizer in a model's folder; None: there is none."""
    if folder is None or (not any(Path(folder).glob("tokenizer*")) and not (Path(folder) / "vocab.txt").is_file()):
        return None
    auto = need("transformers", what="a Hugging Face tokenizer", extra="llm").AutoTokenizer
    return auto.from_pretrained(str(folder), local_files_only=True)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a table."""
    if path.suffix == ".parquet":
        return list(need("pyarrow.parquet", what="Parquet data", extra="bench").read_table(path).to_pylist())
    with path.open(encoding="utf-8-sig", newline="") as stream:  # office programs begin a file with a mark
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in stream if line.strip()]
        return list(csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
