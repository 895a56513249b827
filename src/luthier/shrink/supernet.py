"""The super-network: one model whose weights hold all its sub-networks."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.nets.families import Layout, Sizes, layout
from luthier.shrink._permute import Order, permute
from luthier.shrink._shell import Shell
from luthier.shrink._torch import nn, torch
from luthier.shrink.spec import SubNetSpec

KEPT = 64  # shells in memory; one holds no weights, only modules
#: How far a permuted model's output may be from what it was, as a share of the largest: sums are rounded in another
#: order. Twelve layers in bfloat16 were 0.017 apart at most, a wrong order of heads is by some tenths.
MOVED, MOVED_HALF = 1e-4, 5e-2

_active: ContextVar[tuple[tuple[int, nn.Module], ...]] = ContextVar("luthier.shrink.active", default=())


class SuperNet:
    """A model of transformers, and the sub-networks inside it.

        net = SuperNet.from_model(model)
        with net.active(spec) as child:     # modules of its own on the same weights
            child(**batch)                  # or net(**batch)

    Args:
        model: The model. It stays what it is; `permute_` reorders its weights without changing what it computes.
        layout: What its parameters are.
    """

    def __init__(self, model: Any, layout: Layout) -> None:
        self.model, self.layout = model, layout
        self.order: Order | None = None  # how it was permuted, in terms of the model it began as
        self.ranking: tuple[int, ...] = ()  # layers, the most important first
        self.adapters: Any = None  # a `Lora` while one is on
        self._shells: OrderedDict[SubNetSpec, Shell] = OrderedDict()
        self._place: Any = None  # where the model was, and in which precision, when the shells were made

    @classmethod
    def from_model(cls, model: Any) -> SuperNet:
        """The super-network of a model.

        Args:
            model: A model of transformers, of a family that `luthier.nets.families` knows, as its configuration says.

        Raises:
            ArgumentError: the family is not known, a parameter could not be matched, or the model was pruned already.
        """
        if getattr(model, "config", None) is None:
            given = f"model={model!r}" if isinstance(model, str | Path) else f"model: a {type(model).__name__}"
            raise ArgumentError(f"{given}. Allowed: a model of transformers, such as shrink.load(folder) reads.")
        return cls(model, layout(model))

    @property
    def sizes(self) -> Sizes:
        """Sizes of the whole."""
        return self.layout.sizes

    @property
    def full(self) -> SubNetSpec:
        """The specification of the whole."""
        return SubNetSpec.full(self.sizes)

    @contextmanager
    def active(self, spec: SubNetSpec, *, dropout: bool = True) -> Iterator[nn.Module]:
        """A sub-network, ready to run; inside the context `net(...)` runs it too.

        Its weights are slices of the super-network's, so gradients arrive there. Other threads may have other
        sub-networks active at the same time.

        Args:
            spec: Which one.
            dropout: False: without dropout, whatever the super-network's mode.

        Raises:
            ArgumentError: it is not a sub-network of this model.
        """
        child = self.shell(spec).refresh(self.adapters)
        wanted = self.model.training and dropout
        if child.training != wanted:
            child.train(wanted)
        token = _active.set((*_active.get(), (id(self), child)))
        try:
            yield child
        finally:
            _active.reset(token)

    def shell(self, spec: SubNetSpec) -> Shell:
        """The modules of a sub-network, kept for the next time."""
        first = next(self.model.parameters())
        if self._place != (first.device, first.dtype):
            self._shells.clear()  # their buffers are copies, and stayed behind when the model was moved
            self._place = (first.device, first.dtype)
        shell = self._shells.get(spec)
        if shell is None:
            spec.check(self.sizes)
            shell = self._shells[spec] = Shell(self.model, self.layout, spec)
            if len(self._shells) > KEPT:
                self._shells.popitem(last=False)
        else:
            self._shells.move_to_end(spec)
        return shell

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Run the sub-network that is active here, or the whole; with its adapters, where some are on."""
        for owner, child in reversed(_active.get()):
            if owner == id(self):
                return child(*given, **named)
        if self.adapters is None:
            return self.model(*given, **named)
        with self.active(self.full) as whole:
            return whole(*given, **named)

    def plain(self, what: str) -> None:
        """Refuse to do with adapters on what would be done to the weights alone.

        Args:
            what: What was asked for.

        Raises:
            ArgumentError: adapters are on.
        """
        if self.adapters is not None:
            raise ArgumentError(
                f"{what}: adapters are on, and only the weights beneath them would count. Allowed: a super-network "
                "without adapters. merge() or remove() them first."
            )

    def permute_(self, order: Order, batches: Sequence[Mapping[str, Any]] = ()) -> SuperNet:
        """Put the most important units first, everywhere; what the model computes stays the same.

        Args:
            order: For the width and each layer's groups, queries and neurons: places in the order wanted.
            batches: Inputs on which that is checked; two are enough.

        Raises:
            ArgumentError: the order is not one of this model; adapters are on; the model answers with something that
                is no finite number; or an output has changed by more than 1e-4 of the largest (a twentieth in half
                precision), and the weights were put back.
        """
        order.check(self.sizes)
        self.plain("permute_")
        before = [self._said(batch) for batch in batches]
        if not all(bool(torch.isfinite(old).all()) for old in before):
            raise ArgumentError(
                f"batches: {type(self.model).__name__} answers with numbers that are not finite before anything is "
                "permuted. Allowed: a model that computes. Is it trained to the end, and its precision wide enough?"
            )
        bar = MOVED_HALF if half(self.model) else MOVED
        permute(self.model, self.layout, order)
        for batch, old in zip(batches, before, strict=True):
            # a model without a head answers with the stream, whose channels have moved with the rest
            moved = old if self.layout.trunk else old[..., list(order.width)]
            if apart(self._said(batch), moved) > bar:
                permute(self.model, self.layout, order.inverse())
                raise ArgumentError(
                    f"permuting {type(self.model).__name__} changed its output: its family's description is "
                    "wrong. Check it with luthier.shrink.verify."
                )
        self.order = order if self.order is None else order.after(self.order)
        return self

    def _said(self, batch: Mapping[str, Any]) -> torch.Tensor:
        given = placed(inputs(batch), self.model)
        with evaluating(self.model), torch.no_grad():
            return counted(output(self.model(**given)), given)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module has its own mode again, whatever happened."""
    learning = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in learning:
            module.training = True


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Gradients of all parameters, frozen ones too; afterwards flags and gradients are what they were."""
    kept = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    try:
        for p, _, _ in kept:
            p.requires_grad_(True)
        yield
    finally:
        for p, learned, grad in kept:
            p.requires_grad_(learned)
            p.grad = grad


def half(*models: nn.Module) -> bool:
    """Whether one of them has parameters in half precision."""
    return any(p.dtype in (torch.float16, torch.bfloat16) for model in models for p in model.parameters())


def counted(said: torch.Tensor, given: Mapping[str, Any]) -> torch.Tensor:
    """Of an answer for each token the rows that count: padded places say nothing."""
    return said[given["attention_mask"].bool()] if "attention_mask" in given and said.dim() == 3 else said


def apart(found: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest difference as a share of the largest number; infinite where something is no finite number."""
    size = float(reference.abs().max())
    share = float((found.float() - reference.float()).abs().max()) / max(size, 1e-6)
    return share if math.isfinite(share) else math.inf


def inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What of a batch a model takes: no labels, no targets."""
    return {key: value for key, value in batch.items() if key not in ("labels", "targets")}


def placed(batch: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """A batch where the model is."""
    parameter = next(iter(model.parameters()), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    return {key: value.to(device) for key, value in batch.items()}


def cached(found: Any) -> dict[str, Any]:
    """What a decoder's answer holds of keys and values, under the name by which the next pass takes it."""
    name = "cache" if hasattr(found, "cache") else "past_key_values"  # 5.17 has the long one, 5.24 the short
    return {name: getattr(found, name), "use_cache": True}


def output(found: Any) -> torch.Tensor:
    """The logits of a model's answer, or the last hidden states of one without a head.

    Raises:
        ArgumentError: the answer has neither, as that of a head with two.
    """
    if isinstance(found, torch.Tensor):
        return found
    for name in ("logits", "last_hidden_state"):
        tensor: torch.Tensor | None = getattr(found, name, None)
        if tensor is not None:
            return tensor
    has = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
    raise ArgumentError(
        f"the model answers with {has}. Allowed: models that answer with logits or last_hidden_state, such as those "
        "for causal or masked language models and for classification. Take the class without this head."
    )
