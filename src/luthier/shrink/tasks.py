"""What a network is for: its loss, its score, and local data split for training, search, selection and test.

Text files make a language-modelling task, tables of texts and labels (CSV, TSV, JSON lines, Parquet) a classification
or regression task. Nothing is fetched.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.imports import need
from luthier.nets.data import Batches, Tokens
from luthier.shrink._torch import nn, torch
from luthier.shrink.supernet import inputs, output, placed

Batch = Mapping[str, Any]
KINDS = ("lm", "classification", "regression")
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
#: Shares of the data: what trains, what the search sees, what picks from its front, what is reported.
SHARES = (0.7, 0.1, 0.1, 0.1)
LABELS = ("label", "labels", "score", "target")


@dataclass(frozen=True)
class Task:
    """What is learned.

    Args:
        kind: "lm" (next token), "classification", "regression".
        labels: Classes; 1 for regression.
        chance: The score of who knows nothing.
        centre: Mean of a regression's training labels, in their unit: where a head that is new begins.
        names: Of the classes, in the order of a model's answers.
    """

    kind: str
    labels: int = 1
    chance: float = 0.0
    centre: float = 0.0
    names: tuple[str, ...] = ()

    @property
    def score_name(self) -> str:
        """What is reported beside the loss: perplexity, accuracy, or Pearson's correlation."""
        return {"lm": "perplexity", "classification": "accuracy", "regression": "correlation"}[self.kind]

    def logits(self, model: Callable[..., Any], batch: Batch) -> torch.Tensor:
        """What a model says of a batch."""
        return output(model(**inputs(batch)))

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean loss: cross-entropy in nats, or the mean square; targets of -100 do not count."""
        if self.kind == "lm":
            return nn.functional.cross_entropy(logits.flatten(0, -2).float(), batch["targets"].flatten())
        if self.kind == "classification":
            return nn.functional.cross_entropy(logits.float(), batch["labels"])
        return nn.functional.mse_loss(logits.squeeze(-1).float(), batch["labels"].float())

    def evaluate(self, model: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Loss and score over batches, each row weighed alike; the model's mode is put back.

        Returns:
            "loss", `score_name`, and "error": 1 - accuracy or 1 - correlation, the loss of a language model. It is by
            the error that sub-networks are judged: a classifier that has become surer of itself has a higher loss at
            fewer mistakes.
        """
        was = getattr(model, "training", False)
        model.eval()
        losses, rows, said, told = 0.0, 0, [], []
        with torch.no_grad():
            for given in batches:
                batch = placed(given, model)
                logits = self.logits(model, batch)
                n = len(batch["input_ids"])
                losses += float(self.loss(logits, batch)) * n
                rows += n
                if self.kind != "lm":
                    said.append(logits.float().cpu().numpy())
                    told.append(batch["labels"].cpu().numpy())
        model.train(was)
        loss = losses / max(rows, 1)
        score = self._score(loss, said, told)
        return {"loss": loss, self.score_name: score, "error": loss if self.kind == "lm" else 1.0 - score}

    def _score(self, loss: float, said: list[Any], told: list[Any]) -> float:
        if self.kind == "lm":
            return float(np.exp(min(loss, 50.0)))
        logits, labels = np.concatenate(said), np.concatenate(told)
        if self.kind == "classification":
            return float((logits.argmax(-1) == labels).mean())
        values = logits.reshape(len(labels))
        if values.std() == 0 or labels.std() == 0:
            return 0.0
        return float(np.corrcoef(values, labels)[0, 1])


@dataclass(frozen=True)
class Data:
    """A task with its data.

    Args:
        task: The task.
        train: Batch number k -> batch; a pure function.
        search: Batches that a search sees.
        select: Batches that pick from its front.
        test: Batches for the report alone.
        about: Where it comes from.
    """

    task: Task
    train: Callable[[int], dict[str, torch.Tensor]]
    search: Sequence[Batch]
    select: Sequence[Batch]
    test: Sequence[Batch]
    about: dict[str, Any] = field(default_factory=dict)

    def calibration(self, batches: int = 8) -> list[dict[str, torch.Tensor]]:
        """Batches of the training part, from its end of the numbering: what importance is measured on."""
        return [self.train(10**6 + k) for k in range(batches)]


def language(
    tokens: Tokens, *, size: int = 16, length: int = 64, seed: int = 0, evaluated: int = 16, shares: Any = SHARES
) -> Data:
    """Next tokens of a text: its beginning trains, later parts search, select and report.

    Args:
        tokens: The text.
        size: Windows per batch.
        length: Tokens per window.
        seed: Of the order of windows.
        evaluated: Most batches of each later part.
        shares: Of the four parts.

    Raises:
        ArgumentError: a part is shorter than one window.
    """
    from dataclasses import replace

    cuts = np.round(np.cumsum((0.0, *shares)) * len(tokens)).astype(int)
    parts = [replace(tokens, values=tokens.values[a:b]) for a, b in itertools.pairwise(cuts)]
    train = Batches(parts[0], size, length, seed=seed)
    held = []
    for part in parts[1:]:
        batches = Batches(part, size, length, seed=seed)
        held.append([batches(k) for k in range(max(1, min(evaluated, batches.windows // size)))])
    about = {"name": tokens.name, "tokens": len(tokens), "size": size, "length": length}
    return Data(Task("lm"), train, held[0], held[1], held[2], about)


def examples(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    *,
    texts: str | Sequence[str] = (),
    label: str = "",
    size: int = 16,
    length: int = 64,
    seed: int = 0,
    evaluated: int = 64,
    kind: str = "",
    classes: Sequence[str] = (),
) -> Data:
    """Labelled texts, shuffled by the seed and split into training, search, selection and test.

    Args:
        rows: One mapping each.
        tokenizer: Of Hugging Face.
        texts: Columns with one or two texts; not named: those with words in them, of more than two those of several.
        label: Column with the label.
        size: Rows per batch.
        length: Most tokens; longer texts are cut.
        seed: Of the split and the order.
        evaluated: Most batches of each later part.
        kind: "classification" or "regression"; empty: regression for numbers that are not whole.
        classes: What a model calls its classes, in its order; the labels' own order if they are others.

    Raises:
        ArgumentError: no rows, or no such columns.
    """
    if len(rows) < 20:
        raise ArgumentError(f"data: {len(rows)} rows. Allowed: 20 or more, to split in four.")
    label = label or next((name for name in LABELS if name in rows[0]), "")
    given = [texts] if isinstance(texts, str) and texts else list(texts)
    names = given or _texts(rows, label)
    if label not in rows[0] or not names or any(name not in rows[0] for name in names):
        raise ArgumentError(
            f"data: columns {', '.join(map(repr, rows[0]))}. Allowed: one or two texts, and a label called "
            f"{', '.join(LABELS[:-1])} or {LABELS[-1]}. Name others: --text COLUMN --label COLUMN (in Python "
            "texts=[...], label=...)."
        )
    for name in (label, *names):
        nothing = (None, "") if name == label else (None,)  # a text may be empty
        bare = [number for number, row in enumerate(rows, 1) if row.get(name) in nothing]
        if bare:
            told = ", ".join(map(str, bare[:3])) + (" ..." if len(bare) > 3 else "")
            raise ArgumentError(
                f"data: {len(bare)} of {len(rows)} rows have no {name!r} (rows {told}). Leave them out."
            )
    values, task = _labels([row[label] for row in rows], kind, classes)
    order = np.random.default_rng([seed, 41]).permutation(len(rows))
    encoded = [_encoded(tokenizer, [str(rows[i][name]) for name in names], length) for i in order]
    values = values[order]
    cuts = np.round(np.cumsum((0.0, *SHARES)) * len(rows)).astype(int)
    if task.kind == "regression":
        task = replace(task, centre=float(values[: cuts[1]].mean()))
    pad = tokenizer.pad_token_id or 0

    def made(places: Sequence[int]) -> dict[str, torch.Tensor]:
        return _padded([encoded[i] for i in places], values[list(places)], pad, task.kind)

    def train(k: int) -> dict[str, torch.Tensor]:
        orders: dict[int, np.ndarray] = {}
        places = []
        for number in range(k * size, (k + 1) * size):
            epoch, place = divmod(number, int(cuts[1]))
            if epoch not in orders:
                orders[epoch] = np.random.default_rng([seed, 42, epoch]).permutation(int(cuts[1]))
            places.append(int(orders[epoch][place]))
        return made(places)

    held = []
    for a, b in itertools.pairwise(cuts[1:]):
        places = list(range(int(a), int(b)))[: evaluated * size]
        held.append([made(places[i : i + size]) for i in range(0, len(places), size)])
    return Data(task, train, held[0], held[1], held[2], {"rows": len(rows), "texts": names, "label": label})


def _texts(rows: Sequence[Mapping[str, Any]], label: str) -> list[str]:
    """The one or two columns with words in them; where there are more, those of several words.

    Raises:
        ArgumentError: there are more than two, and nobody said which.
    """
    plain = [k for k, v in rows[0].items() if isinstance(v, str) and not _is_number(v)]
    words = [k for k in plain if k not in (label, "index", "id")]
    spaced = [k for k in words if 2 * sum(" " in str(row.get(k) or "").strip() for row in rows) >= len(rows)]
    found = spaced if spaced and len(words) > 2 else words
    if len(found) > 2:
        raise ArgumentError(
            f"data: {len(found)} columns hold texts: {', '.join(map(repr, found))}. Name the one or two that count: "
            "--text COLUMN (in Python texts=[...])."
        )
    return found


def _labels(given: Sequence[Any], kind: str, classes: Sequence[str] = ()) -> tuple[np.ndarray, Task]:
    """Labels as numbers, and the task that they make; classes in a model's order where it has all of them."""
    if kind:
        check("kind", kind, one_of=KINDS[1:])
    numbers = all(map(_is_number, given))
    wrong = (
        [v for v in given if not (_is_number(v) and np.isfinite(float(v)))] if numbers or kind == "regression" else []
    )
    if wrong:
        raise ArgumentError(
            f"data: {len(wrong)} of {len(given)} labels are no finite numbers, such as {wrong[0]!r}. Leave those rows "
            "out" + (", or say that labels are classes: --kind classification." if not numbers else ".")
        )
    if kind == "regression" or (not kind and numbers and any(float(v) != int(float(v)) for v in given)):
        return np.array([float(v) for v in given], dtype=np.float32), Task("regression")
    told = [str(int(float(v))) if numbers and float(v) == int(float(v)) else str(v) for v in given]
    words = sorted(set(told))
    if all(map(_is_number, words)):
        words.sort(key=float)  # 2 before 10
    names = tuple(classes) if set(words) <= set(classes) else tuple(words)
    place = {word: i for i, word in enumerate(names)}
    found = np.array([place[word] for word in told], dtype=np.int64)
    return found, Task("classification", len(names), float(np.bincount(found).max() / len(found)), names=names)


def classes_of(folder: str | Path | None) -> tuple[str, ...]:
    """What a classifier's folder calls its classes, in order; those without names of their own are 0, 1, 2, ..."""
    place = Path(folder or "") / "config.json"
    config = json.loads(place.read_text(encoding="utf-8")) if folder is not None and place.is_file() else {}
    if not any("SequenceClassification" in name for name in config.get("architectures") or ()):
        return ()
    named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # two are not written down
    names = [str(named[key]) for key in sorted(named, key=int)]
    plain = all(name == f"LABEL_{i}" for i, name in enumerate(names))
    return tuple(str(i) for i in range(len(names))) if plain else tuple(names)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _encoded(tokenizer: Any, texts: list[str], length: int) -> tuple[list[int], list[int]]:
    found = tokenizer(*texts, truncation=True, max_length=length)
    return found["input_ids"], found.get("token_type_ids") or [0] * len(found["input_ids"])


def _padded(rows: list[tuple[list[int], list[int]]], labels: Any, pad: int, kind: str) -> dict[str, torch.Tensor]:
    """Rows as one batch, as long as its longest."""
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for i, (tokens, kinds) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        types[i, : len(tokens)] = torch.tensor(kinds)
        mask[i, : len(tokens)] = 1
    told = torch.tensor(labels)
    found = {"input_ids": ids, "attention_mask": mask, "labels": told if kind == "classification" else told.float()}
    return {**found, "token_type_ids": types} if int(types.max()) > 0 else found


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
        kind: "classification" or "regression"; empty: regression for numbers that are not whole.
        classes: Names of the classes, in order; None: the model's.

    Raises:
        ArgumentError: no such file or folder, an empty one, or a table without a tokenizer.
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
            rows_of(place), tokenizer, size=size, length=length, seed=seed, texts=texts, label=label, kind=kind,
            classes=classes_of(model_folder) if classes is None else classes,
        )  # fmt: skip
    raw = gzip.decompress(place.read_bytes()) if place.suffix == ".gz" else place.read_bytes()
    if not raw:
        raise ArgumentError(f"data {str(path)!r} is empty. Allowed: some thousand letters or more.")
    if tokenizer is None:
        tokens = Tokens(np.frombuffer(raw, dtype=np.uint8), 256, place.name)
    else:
        ids = tokenizer(raw.decode("utf-8", errors="replace"), add_special_tokens=False)["input_ids"]
        tokens = Tokens(np.asarray(ids, dtype=np.int32), len(tokenizer), place.name)
    return language(tokens, size=size, length=length, seed=seed)


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
    with path.open(encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in stream if line.strip()]
        return list(csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
