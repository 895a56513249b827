"""What a text and a model have to be for a run on the next token; told before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from luthier.base.errors import ArgumentError
from luthier.grow.diagnostics import validate
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch
from luthier.nets.data import Tokens

SEES = 1e-4  # of the largest logit; what a causal model computes of earlier positions is the same to rounding


def check_text(plan: MuPlan, *texts: Tokens) -> None:
    """Refuse a text that is no row of tokens, or has tokens that the model lacks.

    Raises:
        ArgumentError: it is.
    """
    own = next((plan.target[name] for name in ("vocabulary", "vocab_size") if name in plan.target), None)
    for text in texts:
        if not isinstance(text, Tokens):
            raise ArgumentError(f"text={text!r}. Allowed: tokens, as luthier.nets.read_text gives.")
        most = int(text.values.max()) if len(text) else 0
        if own is not None and most >= own:
            raise ArgumentError(
                f"text {text.name!r}: token {most}, and the model has {own}. Allowed: a proxy with a vocabulary of "
                f"{text.vocabulary}."
            )


def check_model(plan: MuPlan, batch: int, length: int, model: nn.Module | None = None) -> None:
    """Refuse a plan with an error, a model that is too short for a text's rows, and one that sees later tokens.

    Args:
        plan: The plan.
        batch: Rows of a step.
        length: Tokens of a row.
        model: The plan's model; None: it is built.

    Raises:
        ArgumentError: one of them.
    """
    validate(plan)
    model = plan.build() if model is None else model
    most = positions(model)
    if most is not None and length > most:
        raise ArgumentError(
            f"length={length}: the model has {most} learned positions. Allowed: length up to so many (--length, or "
            "`length` of a Hyper or in its file), or a proxy with more of them."
        )
    if length < 2:
        return
    device = next(model.parameters()).device
    first = torch.arange(batch * length, device=device).view(batch, length) % 2  # every vocabulary has two tokens
    half = length // 2
    first[:, half:] = 0  # all later ones differ at once, and alike: in a long row one alone would hardly be seen
    second = first.clone()
    second[:, half:] = 1
    was = model.training
    with torch.no_grad(), _read(plan, model.eval()):
        outs = [model(ids) for ids in (first, second)]
    model.train(was)
    a, b = ((out if isinstance(out, torch.Tensor) else out.logits)[:, :half].float() for out in outs)
    largest, apart = float(a.abs().max()), float((a - b).abs().max())
    if apart > SEES * largest:
        raise ArgumentError(
            f"model={plan.model or 'a function'!r}: other later tokens change the logits before them by {apart:.3g} "
            f"(the largest is {largest:.3g}). Runs, sweeps and checks predict the next token, which such a model has "
            "in view. Allowed: causal models ('refgpt', 'hf:llama', 'hf:gpt2'). Of encoders there are plans and "
            "`inspect`; train them with a loop and a loss of your own: plan.build(), plan.param_groups(model, ...)."
        )


def positions(model: nn.Module) -> int | None:
    """How many positions a model has learned values for; None where they are computed."""
    for path, module in model.named_modules():
        last = path.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and ("pos" in last or last == "wpe"):
            behind = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from there
            own = getattr(getattr(model, "config", None), "max_position_embeddings", None)
            return min(module.num_embeddings - behind, own if isinstance(own, int) else module.num_embeddings)
    return None


@contextmanager
def _read(plan: MuPlan, model: nn.Module) -> Iterator[None]:
    """Readouts that are still zero have other values meanwhile: without, all logits are alike."""
    own = dict(model.named_parameters())
    zero = [own[n] for n, row in plan.rows.items() if row.role == "readout" and n in own and not own[n].any()]
    draw = torch.Generator().manual_seed(0)
    for tensor in zero:
        tensor.copy_(torch.randn(tensor.shape, generator=draw))
    try:
        yield
    finally:
        for tensor in zero:
            tensor.zero_()
