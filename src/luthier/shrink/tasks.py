"""What a network is for: its loss, its score, and local data split for training, search, selection and test.

Text files make a language-modelling task, tables of texts and labels (CSV, TSV, JSON lines, Parquet) a classification
or regression task. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.nets.data import Batches, Tokens
from luthier.shrink._torch import nn, torch
from luthier.shrink.supernet import inputs, output, placed

Batch = Mapping[str, Any]
KINDS = ("lm", "classification", "regression")
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
        pad: Token that fills rows of texts; None: rows are of one length. A model whose answer is that of a row's last
            word has to know it.
    """

    kind: str
    labels: int = 1
    chance: float = 0.0
    centre: float = 0.0
    names: tuple[str, ...] = ()
    pad: int | None = None

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

    def identity(self) -> dict[str, Any]:
        """What tells these data from others, as JSON: where they come from, and letters that stand for batch 0."""
        digest = hashlib.blake2b(digest_size=8)
        for name, tensor in sorted(self.train(0).items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        about: dict[str, Any] = json.loads(json.dumps(self.about, default=str))
        return {"task": self.task.kind, **about, "batch": digest.hexdigest()}


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
    pad: int | None = None,
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
        pad: Fills rows if the tokenizer names no token for that; None: token 0.

    Raises:
        ArgumentError: few rows, no such columns, or labels that are all the same.
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
    fill = int(next(n for n in (tokenizer.pad_token_id, pad, 0) if n is not None))
    encoded = [_encoded(tokenizer, [str(rows[i][name]) for name in names], length, fill) for i in order]
    values = values[order]
    cuts = np.round(np.cumsum((0.0, *SHARES)) * len(rows)).astype(int)
    if task.kind == "regression":
        task = replace(task, centre=float(values[: cuts[1]].mean()))
    task = replace(task, pad=fill)

    def made(places: Sequence[int]) -> dict[str, torch.Tensor]:
        return _padded([encoded[i] for i in places], values[list(places)], fill, task.kind)

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
    if len(set(map(str, given))) < 2:
        raise ArgumentError(f"data: all {len(given)} labels are {given[0]!r}. Allowed: two or more that differ.")
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


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _encoded(tokenizer: Any, texts: list[str], length: int, fill: int) -> tuple[list[int], list[int]]:
    """Tokens and their types; a text without any is one padding token that counts.

    A row in which nothing counts would be answered from its padding, which is as long as its batch has it.
    """
    found = tokenizer(*texts, truncation=True, max_length=length)
    ids = found["input_ids"] or [fill]
    return ids, found.get("token_type_ids") or [0] * len(ids)


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
