"""Whether a model can read a task's data: told before anything is computed, where torch would only name sizes.

And whether a training has come to its end.
"""

from __future__ import annotations

from typing import Any

from luthier.base.errors import ArgumentError
from luthier.nets.families import family_of
from luthier.nets.training import History
from luthier.shrink.tasks import Data


class Diverged(ArgumentError):
    """The loss of a training was no finite number, so that the model is of no use."""


def check_trained(what: str, history: History, *, steps: int, lr: float) -> None:
    """Refuse a model whose training has diverged, before it is written as a trained one.

    Args:
        what: Was trained; begins the message.
        history: Of its training.
        steps: That it should have had.
        lr: Its highest rate.

    Raises:
        Diverged: it has.
    """
    if history.diverged:
        raise Diverged(
            f"{what}: its training diverged at step {history.step} of {steps}: the loss is no finite number, and "
            f"nothing counts as trained. It had lr={lr:g}. Give a lower --lr, and another folder (--out)."
        )


def check_length(model: Any, length: int, *, name: str = "length", more: int = 0) -> None:
    """Refuse sequences that are longer than the model's positions.

    Args:
        model: A model of transformers.
        length: Tokens.
        name: Of the argument that said so.
        more: Tokens that come after them.

    Raises:
        ArgumentError: they are.
    """
    most = getattr(model.config, "max_position_embeddings", None)
    if most is not None:
        most -= family_of(model.config).position_offset
        if length + more > most:
            after = f", and {more} more" if more else ""
            allowed = f"{most - more}" if more else "so many"
            raise ArgumentError(f"{name}={length}{after}: the model has {most} positions. Allowed: at most {allowed}.")


def check_fits(model: Any, data: Any) -> None:
    """Refuse data that the model cannot read or answer.

    Args:
        model: A model of transformers.
        data: What should be a task with its data.

    Raises:
        ArgumentError: no data, longer texts than positions, tokens that the model lacks, another head, or another
            token for padding.
    """
    if not isinstance(data, Data):
        raise ArgumentError(f"data={_named(data)}. Allowed: what read_data, examples or language gives.")
    if getattr(model, "config", None) is None:
        raise ArgumentError(f"model={_named(model)}. Allowed: a model of transformers; load(folder) reads one.")
    ids = [batch["input_ids"] for batch in (*data.search, *data.select, *data.test)]
    if not ids:
        return
    check_length(model, max(batch.shape[-1] for batch in ids))
    table = model.get_input_embeddings()
    most = max(int(batch.max()) for batch in ids)
    if table is not None and most >= table.num_embeddings:
        raise ArgumentError(
            f"data: token {most}, and the model has {table.num_embeddings}. Read the data with the model's own "
            "tokenizer: read_data(file, model_folder)."
        )
    _check_head(model, data)
    _check_pad(model, data)


def _check_head(model: Any, data: Data) -> None:
    kind, labels = data.task.kind, data.task.labels
    classifies = "SequenceClassification" in type(model).__name__
    if (kind == "lm") == classifies:
        wanted = "a language model" if kind == "lm" else "a model for sequence classification"
        raise ArgumentError(f"data: {kind}, and the model is a {type(model).__name__}. Allowed: {wanted}.")
    if classifies and model.config.num_labels != labels:
        raise ArgumentError(
            f"data: {labels} label{'s' if labels > 1 else ''}, and the model's head has {model.config.num_labels}. "
            f"Load it with num_labels={labels}."
        )


def _check_pad(model: Any, data: Data) -> None:
    """Padding has to be the model's own where it finds a row's last word by it."""
    pad, own = data.task.pad, getattr(model.config, "pad_token_id", None)
    if pad is not None and own != pad and family_of(model.config).causal:
        raise ArgumentError(
            f"data: rows are filled with token {pad}, the model's pad_token_id is {own}; its answer would depend on "
            f"what else is in a batch. Set model.config.pad_token_id = {pad}, or read the data with the model's own "
            "tokenizer."
        )


def _named(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
