"""The super-network: one model whose weights hold all its sub-networks."""

from __future__ import annotations

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
        """Run the sub-network that is active here, or the whole."""
        for owner, child in reversed(_active.get()):
            if owner == id(self):
                return child(*given, **named)
        return self.model(*given, **named)

    def permute_(self, order: Order, batches: Sequence[Mapping[str, Any]] = ()) -> SuperNet:
        """Put the most important units first, everywhere; what the model computes stays the same.

        Args:
            order: For the width and each layer's groups, queries and neurons: places in the order wanted.
            batches: Inputs on which that is checked; two are enough.

        Raises:
            ArgumentError: the order is not one of this model; or an output has changed by more than 1e-4 of the
                largest (single precision rounds sums in another order), and the weights were put back.
        """
        order.check(self.sizes)
        before = [self._logits(batch) for batch in batches]
        permute(self.model, self.layout, order)
        for batch, old in zip(batches, before, strict=True):
            new = self._logits(batch)
            if float((new - old).abs().max()) > 1e-4 * max(1e-6, float(old.abs().max())):
                permute(self.model, self.layout, order.inverse())
                raise ArgumentError(
                    f"permuting {type(self.model).__name__} changed its output: its family's description is "
                    "wrong. Check it with luthier.shrink.verify."
                )
        self.order = order if self.order is None else order.after(self.order)
        return self

    def _logits(self, batch: Mapping[str, Any]) -> torch.Tensor:
        was = self.model.training
        self.model.eval()
        with torch.no_grad():
            found = output(self.model(**placed(inputs(batch), self.model)))
        self.model.train(was)
        return found


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
    """The logits of a model's answer, or the last hidden states of one without a head."""
    if isinstance(found, torch.Tensor):
        return found
    logits = getattr(found, "logits", None)
    tensor: torch.Tensor = found.last_hidden_state if logits is None else logits
    return tensor
