"""Multiple choice: which of several answers a decoder finds likeliest, with the chance level and an interval.

    questions = read_questions("piqa_valid.parquet", limit=500)
    score_choices(model, questions, "MODEL").accuracy

Prompts and rules are those of the public evaluation harness (lm-eval), whose answers `harness` gives for comparison.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.imports import need
from luthier.shrink._torch import torch
from luthier.shrink.reading import TABLES, rows_of, tokenizer_of

LETTERS = "ABCD"
Z = 1.959963984540054  # of a two-sided interval of 95 %
Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        context: What is read first.
        options: Possible continuations, without the space before them.
        answer: Number of the right one.
    """

    context: str
    options: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class ChoiceScore:
    """How many were right.

    Args:
        accuracy: Share of questions whose right answer is the likeliest.
        normalised: The same with the log-likelihood divided by the answer's number of letters.
        low: Lower end of Wilson's 95 % interval of `accuracy`.
        high: Its upper end.
        chance: Accuracy of guessing.
        questions: How many.
    """

    accuracy: float
    normalised: float
    low: float
    high: float
    chance: float
    questions: int

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval leaves the chance level out; if not, models are better ranked by perplexity."""
        return not self.low <= self.chance <= self.high

    def __str__(self) -> str:
        told = "" if self.beyond_chance else "; the interval covers chance: rank by perplexity"
        return (
            f"accuracy {self.accuracy:.4f} [{self.low:.4f}, {self.high:.4f}] by chance {self.chance:.4f}, by letters "
            f"{self.normalised:.4f}, {self.questions} questions{told}"
        )


def read_questions(path: str | Path, *, limit: int | None = None, seed: int = 0, split: str = "test") -> list[Question]:
    """Questions of a local table.

    Args:
        path: With the columns of MMLU (subject, question, A to D, answer; and perhaps split) or of PIQA (goal, sol1,
            sol2, label).
        limit: Most questions, drawn by the seed; None: all.
        seed: Of the draw.
        split: Of MMLU: which rows.

    Raises:
        ArgumentError: no such file, or other columns.
    """
    place = Path(path)
    if not place.is_file():
        raise ArgumentError(f"questions {str(path)!r}: no such file. Allowed: a table such as MMLU's or PIQA's.")
    everything = rows_of(place)
    rows = [row for row in everything if row.get("split", split) == split]
    if everything and not rows:
        parts = ", ".join(sorted({repr(row["split"]) for row in everything}))
        raise ArgumentError(f"questions {str(path)!r}: no row of split {split!r}. Allowed: one of {parts}.")
    if rows and {"question", *LETTERS, "answer"} <= set(rows[0]):
        made = [_mmlu(row) for row in rows]
    elif rows and {"goal", "sol1", "sol2", "label"} <= set(rows[0]):
        made = [_piqa(row) for row in rows]
    else:
        columns = sorted(rows[0]) if rows else []
        raise ArgumentError(
            f"questions {str(path)!r}: columns {columns}. Allowed: question, A, B, C, D, answer; or goal, sol1, sol2, "
            "label."
        )
    if limit is None or limit >= len(made):
        return made
    limit = check("limit", limit, at_least=1, whole=True)
    picked = np.random.default_rng([seed, 61]).choice(len(made), size=limit, replace=False)
    return [made[i] for i in sorted(picked)]


def asks(path: str | Path) -> bool:
    """Whether a file is a table of questions."""
    place = Path(path)
    if place.suffix not in TABLES or not place.is_file():
        return False
    columns = set(next(iter(rows_of(place)), {}))
    return columns >= {"question", *LETTERS, "answer"} or columns >= {"goal", "sol1", "sol2", "label"}


def _mmlu(row: Mapping[str, Any]) -> Question:
    subject = str(row.get("subject", "")).replace("_", " ")
    head = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
    told = "\n".join(f"{letter}. {row[letter]}" for letter in LETTERS)
    right = _answer(row, "answer", LETTERS)
    return Question(f"{head}{str(row['question']).strip()}\n{told}\nAnswer:", tuple(LETTERS), right)


def _piqa(row: Mapping[str, Any]) -> Question:
    options = str(row["sol1"]), str(row["sol2"])
    return Question(f"Question: {row['goal']}\nAnswer:", options, _answer(row, "label", "01"))


def _answer(row: Mapping[str, Any], column: str, letters: Sequence[str]) -> int:
    """The place of the right answer, which is given as that or as its letter."""
    given = str(row[column]).strip()
    if given in list(letters):
        return list(letters).index(given)
    if given in map(str, range(len(letters))):
        return int(given)
    raise ArgumentError(
        f"questions: {column}={row[column]!r}. Allowed: {', '.join(letters)}, or 0 to {len(letters) - 1}."
    )


def score_choices(
    model: Any, questions: Sequence[Question], tokenizer: str | Path | Encode | None = None, *, rows: int = 32
) -> ChoiceScore:
    """Ask a decoder.

    Args:
        model: A causal model of transformers.
        questions: What is asked.
        tokenizer: A folder with one, a function from text to token numbers, or None: bytes.
        rows: Texts of a pass.

    Raises:
        ArgumentError: no questions.

    Source: the rules of lm-eval's multiple choice: log-likelihood of " " + option after the context, what is too long
        loses its beginning.
    Differs: texts that differ in their last token only are passed once.
    Cost: a forward pass for each option ("A" to "D": for each question).
    """
    if not questions:
        raise ArgumentError("questions: none. Allowed: one or more.")
    encode = tokenizer if callable(tokenizer) else encoder(tokenizer)
    longest = int(getattr(model.config, "max_position_embeddings", 2048))
    pairs = [_pair(encode, q.context, option, longest) for q in questions for option in q.options]
    likely = iter(_likelihoods(model, pairs, rows))
    right = by_letters = 0
    for question in questions:
        values = np.array([next(likely) for _ in question.options])
        right += int(values.argmax()) == question.answer
        lengths = np.array([max(1, len(option)) for option in question.options])
        by_letters += int((values / lengths).argmax()) == question.answer
    n = len(questions)
    low, high = wilson(right, n)
    chance = float(np.mean([1 / len(q.options) for q in questions]))
    return ChoiceScore(right / n, by_letters / n, low, high, chance, n)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, square = right / n, Z * Z / n
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def encoder(folder: str | Path | None) -> Encode:
    """Text to token numbers: by the tokenizer of a folder, else as bytes."""
    found = tokenizer_of(folder)
    if found is None:
        return lambda text: list(text.encode())
    return lambda text: list(found(text, add_special_tokens=False)["input_ids"])


def _pair(encode: Encode, context: str, option: str, longest: int) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """What is read, how many of its last places count, and the tokens expected there."""
    before, both = encode(context), encode(f"{context} {option}")
    goal = tuple(both[len(before) :])
    read = (before + list(goal))[-(longest + 1) : -1]
    goal = goal[-len(read) :]  # an answer longer than the model's positions counts by its end
    return tuple(read), len(goal), goal


def _likelihoods(model: Any, pairs: Sequence[tuple[tuple[int, ...], int, tuple[int, ...]]], rows: int) -> list[float]:
    """Log-likelihood of each goal; texts of like length go together, equal ones once."""
    device = next(model.parameters()).device
    texts = sorted({read for read, _, _ in pairs}, key=len)
    users: dict[tuple[int, ...], list[int]] = {}
    for number, (read, _, _) in enumerate(pairs):
        users.setdefault(read, []).append(number)
    found = [0.0] * len(pairs)
    was = model.training
    model.eval()
    with torch.no_grad():
        for first in range(0, len(texts), rows):
            part = texts[first : first + rows]
            ids = torch.zeros(len(part), max(map(len, part)), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for i, text in enumerate(part):
                ids[i, : len(text)], mask[i, : len(text)] = torch.tensor(text), 1
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            for i, text in enumerate(part):
                for number in users[text]:
                    _, n, goal = pairs[number]
                    said = torch.log_softmax(logits[i, len(text) - n : len(text)].float(), dim=-1)
                    found[number] = float(said[torch.arange(n), torch.tensor(goal)].sum())
    model.train(was)
    return found


def harness(model: Any, tokenizer: Any, questions: Sequence[Question], *, rows: int = 32) -> dict[str, float]:
    """The same questions asked by lm-eval, from a local file: "acc" and "acc_norm".

    Args:
        model: A causal model of transformers.
        tokenizer: A tokenizer of transformers.
        questions: What is asked.
        rows: Texts of a pass.

    Raises:
        MissingDependency: lm-eval is not installed (extra `eval`).
    """
    lm_eval = need("lm_eval", what="the evaluation harness", extra="eval")
    wrapper = need("lm_eval.models.huggingface", what="the evaluation harness", extra="eval").HFLM
    task = need("lm_eval.api.task", what="the evaluation harness", extra="eval").ConfigurableTask
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.jsonl"
        lines = [{"context": q.context, "options": list(q.options), "answer": q.answer} for q in questions]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        one = task(
            config={
                "task": "luthier_choices",
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": folder},
                "test_split": "test",
                "output_type": "multiple_choice",
                "doc_to_text": "{{context}}",
                "doc_to_choice": "{{options}}",
                "doc_to_target": "{{answer}}",
                "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
            }
        )
        asked = wrapper(pretrained=model, tokenizer=tokenizer, batch_size=rows, add_bos_token=False)
        found = lm_eval.evaluate(lm=asked, task_dict={"luthier_choices": one}, bootstrap_iters=0)
    told = found["results"]["luthier_choices"]
    return {name: float(told[f"{name},none"]) for name in ("acc", "acc_norm")}
