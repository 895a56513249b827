"""Tokens: local text by bytes or by a tokenizer, a synthetic language of known entropy, batches by number.

For example:

    text = read_text(["book.txt"])                       # bytes; or tokenizer="folder/of/a/tokenizer"
    train, held_out = text.split(0.1)
    batches = Batches(train, size=16, length=128, seed=0)
    batches(7)                                           # always the same batch number 7
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.imports import need
from luthier.base.seeds import check_seed
from luthier.nets._torch import nn, torch

TABLE = 4096  # largest vocabulary of the synthetic language whose pairs are kept in a table
SEED_ORDER, SEED_LANGUAGE = 21, 22  # streams: the order of windows, the synthetic language


class Tokenizer(Protocol):
    """Text -> numbers."""

    def encode(self, text: str) -> Sequence[int]:
        """Numbers of a text."""
        ...


@dataclass(frozen=True)
class Tokens:
    """A long row of tokens.

    Args:
        values: (n,) whole numbers from 0.
        vocabulary: How many different numbers there may be.
        name: What they are of.
        floor: Entropy in nats per token, where it is known.
    """

    values: np.ndarray
    vocabulary: int
    name: str
    floor: float | None = None

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.values)

    @property
    def fingerprint(self) -> str:
        """Sixteen letters that stand for exactly these tokens."""
        return hashlib.blake2b(np.ascontiguousarray(self.values).tobytes(), digest_size=8).hexdigest()

    def split(self, held_out: float = 0.1) -> tuple[Tokens, Tokens]:
        """The first part for training, the last for validation: no window straddles the two.

        Args:
            held_out: Share of the last part, in (0, 1).
        """
        check("held_out", held_out, above=0, below=1)
        cut = len(self.values) - max(1, round(held_out * len(self.values)))
        return replace(self, values=self.values[:cut]), replace(self, values=self.values[cut:])


class Batches:
    """Batch number k, from 0: windows in an order that (seed, epoch) decides; within an epoch none comes twice.

    Args:
        tokens: Where windows are cut from, one beside the other.
        size: Windows per batch.
        length: Targets per window; a window has one token more.
        seed: Of the order.
        start: Windows that were used before: a grown model continues the stream where its source stopped.

    Raises:
        ArgumentError: fewer tokens than one window needs.
    """

    def __init__(self, tokens: Tokens, size: int, length: int, *, seed: int = 0, start: int = 0) -> None:
        size, length = (
            check(name, value, at_least=1, whole=True) for name, value in (("size", size), ("length", length))
        )
        start = check("start", start, at_least=0, whole=True)
        self.tokens, self.size, self.length, self.seed, self.start = tokens, size, length, check_seed(seed), start
        self.windows = (len(tokens) - 1) // length
        if self.windows < 1:
            raise ArgumentError(
                f"tokens={tokens.name!r}: {len(tokens)} tokens. Allowed: at least {length + 1}, for length={length}."
            )
        self._order: tuple[int, np.ndarray] | None = None

    def __call__(self, k: int) -> dict[str, torch.Tensor]:
        """`input_ids` and `targets`, both (size, length), int64."""
        first = self.start + k * self.size
        rows = [self._window(first + i) for i in range(self.size)]
        both = torch.from_numpy(np.stack(rows).astype(np.int64))
        return {"input_ids": both[:, :-1].contiguous(), "targets": both[:, 1:].contiguous()}

    def after(self, batches: int) -> int:
        """The cursor after so many batches: `start` of who continues."""
        return self.start + batches * self.size

    def epochs(self, batches: int) -> float:
        """How often so many batches go through the tokens."""
        return (self.start + batches * self.size) / self.windows

    def _window(self, number: int) -> np.ndarray:
        epoch, place = divmod(number, self.windows)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, SEED_ORDER, epoch]).permutation(self.windows))
        begin = int(self._order[1][place]) * self.length
        return np.asarray(self.tokens.values[begin : begin + self.length + 1])


def read_text(
    paths: str | Path | Iterable[str | Path],
    *,
    tokenizer: str | Path | Tokenizer = "bytes",
    limit: int | None = None,
) -> Tokens:
    """Local text files as tokens, in the order given.

    Args:
        paths: One file or folder, or several; of folders their `.txt`, `.md` and `.py` files, sorted.
        tokenizer: "bytes" (vocabulary 256); a folder or file of a Hugging Face tokenizer, or such an object: texts get
            no special tokens; or an object with `encode`.
        limit: Most tokens.

    Raises:
        ArgumentError: no text there, or no tokenizer.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise ArgumentError(f"paths={[str(p) for p in paths]!r}: no text there. Allowed: files, or folders with some.")
    name = ", ".join(str(file) for file in files[:3]) + (" ..." if len(files) > 3 else "")
    if tokenizer == "bytes":
        raw = b"".join(file.read_bytes() for file in files)
        return Tokens(np.frombuffer(raw, dtype=np.uint8)[:limit], 256, name)
    encode, vocabulary = _encoder(tokenizer)
    values: list[int] = []
    for file in files:
        values.extend(encode(file.read_text(encoding="utf-8", errors="replace")))
        if limit is not None and len(values) >= limit:
            break
    return Tokens(np.asarray(values[:limit], dtype=np.int32), vocabulary, name)


def python_library(limit: int | None = 4_000_000) -> Tokens:
    """Bytes of the standard library's own source: natural text that every Python brings along.

    Args:
        limit: Most bytes.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [f for f in sorted(root.glob("*.py")) + sorted(root.glob("[a-z]*/*.py")) if "site-packages" not in f.parts]
    found = read_text(files, limit=limit)
    return replace(found, name="the Python standard library")


def synthetic(n: int, *, vocabulary: int = 64, seed: int = 0, fan: int = 8, copy: float = 0.0) -> Tokens:
    """A language whose entropy is known: each next token depends on the two before it.

    The next token is drawn among `fan` candidates with Zipf's weights; which they are, the pair before it decides.
    With `copy` > 0 spans of 16 tokens repeat what stood 64 tokens before: what induction heads learn.

    Args:
        n: Tokens.
        vocabulary: Different tokens, 2 to 65,536.
        seed: Of language and text.
        fan: Candidates after each pair.
        copy: Share of the text that is copied, in [0, 0.9].

    Returns:
        The tokens; `floor` is the entropy per token when `copy` is 0, else None.
    """
    n = check("n", n, at_least=2, whole=True)
    vocabulary = check("vocabulary", vocabulary, at_least=2, at_most=65_536, whole=True)
    fan = check("fan", fan, at_least=1, at_most=vocabulary, whole=True)
    check("copy", copy, at_least=0, at_most=0.9)
    rng = np.random.default_rng([check_seed(seed), SEED_LANGUAGE])
    weights = 1 / np.arange(1, fan + 1)
    weights /= weights.sum()
    picks = rng.choice(fan, size=n, p=weights)
    pair = _pairs(vocabulary, rng)
    values = np.zeros(n, dtype=np.int32)
    values[:2] = rng.integers(0, vocabulary, size=2)
    copied = rng.random(n // 16 + 1) < copy
    a, b = int(values[0]), int(values[1])
    for i in range(2, n):
        if i >= 64 and copied[i // 16]:
            c = int(values[i - 64])
        else:
            base, stride = pair(a, b)
            c = int((base + picks[i] * stride) % vocabulary)
        values[i] = c
        a, b = b, c
    floor = float(-(weights * np.log(weights)).sum()) if copy == 0 else None
    return Tokens(values, vocabulary, f"synthetic language (vocabulary {vocabulary}, fan {fan}, copy {copy:g})", floor)


def _pairs(vocabulary: int, rng: np.random.Generator) -> Callable[[int, int], tuple[int, int]]:
    """Pair of tokens -> first candidate, and the step from each to the next: a table, or computed where it is large."""
    prime = np.flatnonzero(np.gcd(np.arange(vocabulary), vocabulary) == 1)  # so that candidates differ
    prime = prime if len(prime) else np.array([1])
    if vocabulary <= TABLE:
        bases = rng.integers(0, vocabulary, size=(vocabulary, vocabulary))
        strides = rng.choice(prime, size=(vocabulary, vocabulary))
        return lambda a, b: (bases[a, b], strides[a, b])
    language = int(rng.integers(0, 2**62))

    def computed(a: int, b: int) -> tuple[int, int]:
        digest = hashlib.blake2b(f"{language}/{a}/{b}".encode(), digest_size=16).digest()
        first, second = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
        return first % vocabulary, int(prime[second % len(prime)])

    return computed


def held_out_loss(
    batches: Callable[[int], dict[str, torch.Tensor]], count: int, *, name: str = "val_loss"
) -> Callable[[nn.Module], dict[str, float]]:
    """An `evaluate` for the loop: mean loss in nats per token over the first `count` batches."""
    from luthier.nets.training import next_token

    count = check("count", count, at_least=1, whole=True)
    stored = [batches(k) for k in range(count)]

    def evaluate(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        with torch.no_grad():
            losses = [float(next_token(model, {k: v.to(device) for k, v in batch.items()})) for batch in stored]
        return {name: sum(losses) / len(losses)}

    return evaluate


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(f for f in path.rglob("*") if f.suffix in (".txt", ".md", ".py") and f.is_file())
    if not path.is_file():
        raise ArgumentError(f"text {str(path)!r}: no such file. Allowed: files, or folders with some.")
    return [path]


def _encoder(tokenizer: str | Path | Tokenizer) -> tuple[Callable[[str], Sequence[int]], int]:
    if not isinstance(tokenizer, str | Path):
        if callable(tokenizer) and hasattr(tokenizer, "add_special_tokens"):  # of transformers
            return _plain(tokenizer), len(tokenizer)
        if hasattr(tokenizer, "get_vocab_size"):  # of tokenizers
            own: Any = tokenizer
            return lambda text: list(own.encode(text, add_special_tokens=False).ids), int(own.get_vocab_size())
        known = getattr(tokenizer, "vocab_size", None) or getattr(tokenizer, "vocabulary", None)
        if known is None:
            raise ArgumentError("tokenizer: does not say how many tokens it has. Give it `vocab_size`.")
        return tokenizer.encode, int(known)
    found: Any
    if not Path(tokenizer).exists():
        raise ArgumentError(
            f"tokenizer={str(tokenizer)!r}: not there. Allowed: 'bytes', a folder or file of a Hugging Face tokenizer, "
            "or an object with `encode`."
        )
    if Path(tokenizer).is_file():
        found = need("tokenizers", what="a tokenizer file", extra="llm").Tokenizer.from_file(str(tokenizer))
        return lambda text: list(found.encode(text, add_special_tokens=False).ids), int(found.get_vocab_size())
    auto = need("transformers", what="a Hugging Face tokenizer", extra="llm").AutoTokenizer
    try:
        found = auto.from_pretrained(str(tokenizer), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"tokenizer={str(tokenizer)!r}: no tokenizer that transformers can read there.") from error
    return _plain(found), len(found)


def _plain(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """A tokenizer of transformers without the tokens that it puts around a text."""
    return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])
