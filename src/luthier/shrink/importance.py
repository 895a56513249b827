"""How much each unit matters: by weights, by what flows through, by gradients; and the order that follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.nets.families import Layout
from luthier.shrink._permute import Order
from luthier.shrink._torch import nn, torch
from luthier.shrink.oracle import output_path
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.supernet import SuperNet, differentiable, evaluating, inputs, placed
from luthier.shrink.tasks import Data, Task

METHODS = ("magnitude", "activation", "flap", "taylor", "random")
LAYERS = ("block_influence", "mse", "loss", "first")
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Scores of all units; more matters more.

    Args:
        method: How units were scored.
        layers_by: How layers were.
        width: (E,) channels.
        heads: (L, H) query heads, group by group.
        inter: (L, U) neurons.
        layers: (L,) layers.
    """

    method: str
    layers_by: str
    width: Scores
    heads: Scores
    inter: Scores
    layers: Scores
    about: dict[str, Any] = field(default_factory=dict)

    def order(self, groups: int) -> Order:
        """The best first: groups by the sum of their heads, heads inside of their group."""
        depth, heads = self.heads.shape
        by_group = self.heads.reshape(depth, groups, heads // groups)
        return Order(
            _down(self.width),
            tuple(_down(row.sum(axis=1)) for row in by_group),
            tuple(tuple(_down(group) for group in row) for row in by_group),
            tuple(_down(row) for row in self.inter),
        )

    @property
    def layer_order(self) -> tuple[int, ...]:
        """Layers, the most important first."""
        return _down(self.layers)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        arrays = {name: getattr(self, name).tolist() for name in ("width", "heads", "inter", "layers")}
        return {"method": self.method, "layers_by": self.layers_by, **arrays, "about": self.about}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ranking:
        """From plain data."""
        width, heads, inter, layers = (
            np.asarray(data[name], dtype=float) for name in ("width", "heads", "inter", "layers")
        )
        return cls(data["method"], data["layers_by"], width, heads, inter, layers, dict(data.get("about", {})))


def _down(scores: Scores) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(-scores, kind="stable"))


def rank_units(
    net: SuperNet,
    batches: Sequence[Mapping[str, Any]] = (),
    *,
    method: str = "activation",
    layers: str = "block_influence",
    task: Task | None = None,
    seed: int = 0,
) -> Ranking:
    """Score every unit.

    "magnitude": norms of a unit's weights. "activation": what a unit adds to the stream, the root mean square of its
    activation times the norm of its outgoing weights; channels by their mean size behind the norms. "flap": the
    activation's variance times that norm squared. "taylor": the size of the sum of weight times gradient. "random":
    drawn.

    Args:
        net: The super-network, in its present order.
        batches: Calibration data; "magnitude" and "random" with `layers="first"` need none.
        method: One of `METHODS`.
        layers: "block_influence": 1 - mean cosine of a layer's input and output. "mse": the mean square of what it adds
            over that of its input. "loss": by how much the loss rises without it. "first": in their order.
        task: Whose loss "taylor" and "loss" take.
        seed: Of "random".

    Raises:
        ArgumentError: data or task are missing, or adapters are on.

    Source: magnitude and activation as in Minitron and Wanda-sp; An et al. 2024 (FLAP); Ma et al. 2023 (LLM-Pruner,
        Taylor); Men et al. 2024 (block influence); Nemotron Elastic (mse).
    Differs: heads are scored by what they add to the stream after the output projection.
    Cost: one pass over the data ("taylor": with gradients; "loss": one pass for each layer besides).
    """
    check("method", method, one_of=METHODS)
    check("layers", layers, one_of=LAYERS)
    if isinstance(batches, Data):
        raise ArgumentError("batches: a task with its data. Give some of it: data.calibration().")
    data_free = method in ("magnitude", "random") and layers == "first"
    if not batches and not data_free:
        raise ArgumentError(f"method={method!r}, layers={layers!r}: needs data. Give batches, or layers='first'.")
    if task is None and (method == "taylor" or layers == "loss"):
        raise ArgumentError(f"method={method!r}, layers={layers!r}: needs a task, whose loss is taken. Give task=...")
    net.plain("rank_units")
    with evaluating(net.model):
        if method == "magnitude":
            width, heads, inter = _magnitude(net)
        elif method == "random":
            width, heads, inter = _random(net, seed)
        elif method == "taylor":
            width, heads, inter = _taylor(net, batches, _given(task))
        else:
            width, heads, inter = _activation(net, batches, method)
        found = _layers(net, batches, layers, task)
    about = {"batches": len(batches), "seed": seed}
    return Ranking(method, layers, width, heads, inter, found, about)


def _given(task: Task | None) -> Task:
    assert task is not None
    return task


@contextmanager
def _removing(handles: Sequence[Any]) -> Iterator[None]:
    """Hooks go, whatever happens: an error or Ctrl-C leaves the model as it was."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Places:
    """Which places of the present batch hold tokens: padded ones say nothing of a unit."""

    def __init__(self) -> None:
        self._mask: torch.Tensor | None = None

    def read(self, given: Mapping[str, Any]) -> None:
        """Take over a batch's mask."""
        self._mask = given["attention_mask"].bool().flatten() if "attention_mask" in given else None

    def count(self, batch: Mapping[str, Any]) -> int:
        """How many tokens the present batch has."""
        return int(batch["input_ids"].numel() if self._mask is None else self._mask.sum())

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of tokens; (batch, length, size) -> (tokens, size)."""
        rows = x.detach().flatten(0, -2)
        return rows if self._mask is None else rows[self._mask]


def projection(net: SuperNet, layer: int, part: str) -> Any:
    """The module that ends a sub-layer of the super-network."""
    family = net.layout.family
    table = family.attention if part == "attention" else family.mlp
    block = net.model.get_submodule(net.layout.layer_path(layer))
    return block.get_submodule(output_path(table))


def columns(module: Any) -> torch.Tensor:
    """Weights of a projection as (outputs, inputs), detached."""
    weight: torch.Tensor = module.weight.detach().float()
    return weight.T if hasattr(module, "nf") else weight


def _magnitude(net: SuperNet) -> tuple[Scores, Scores, Scores]:
    sizes, layout = net.sizes, net.layout
    width = np.zeros(sizes.width)
    norms: dict[tuple[int, str], NDArray[np.float64]] = {}
    for entry in layout.unique():
        weight = net.model.get_parameter(entry.name).detach().double()
        if len(entry.dims) < 2:
            continue
        for dim, word in enumerate(entry.dims):
            squares = weight.square().sum(dim=1 - dim).cpu().numpy()
            if word == "width":
                width += squares
            elif entry.layer is not None:
                for key, values in _by_unit(word, squares, layout):
                    place = (entry.layer, key)
                    # the product over the matrices that a unit goes through: norm in times norm out
                    norms[place] = norms.get(place, np.ones(1)) * np.sqrt(values)
    heads = np.stack([norms[layer, "heads"] for layer in range(sizes.depth)])
    inter = np.stack([norms[layer, "inter"] for layer in range(sizes.depth)])
    return np.sqrt(width), heads, inter


def _by_unit(word: str, squares: Any, layout: Layout) -> Iterator[tuple[str, Any]]:
    """Sums of squares of rows as those of neurons or of query heads; values count for the heads that read them."""
    sizes = layout.sizes
    if word == "inter":
        yield "inter", squares
    elif word == "query":
        yield "heads", squares.reshape(sizes.heads, -1).sum(axis=1)
    elif word == "blocked":
        yield "heads", squares.reshape(3, sizes.heads, -1)[2].sum(axis=1)
    elif word == "interleaved":
        yield "heads", squares.reshape(sizes.heads, 3, -1)[:, 2].sum(axis=1)
    elif word == "group":
        yield "heads", np.repeat(squares.reshape(sizes.groups, -1).sum(axis=1), sizes.queries)


def _random(net: SuperNet, seed: int) -> tuple[Scores, Scores, Scores]:
    rng, s = np.random.default_rng([seed, 51]), net.sizes
    return rng.random(s.width), rng.random((s.depth, s.heads)), rng.random((s.depth, s.inter))


def _activation(net: SuperNet, batches: Sequence[Mapping[str, Any]], method: str) -> tuple[Scores, Scores, Scores]:
    sizes, moments = net.sizes, Moments(net, whole=False)
    places = moments.places
    width = np.zeros(sizes.width)
    handles = []

    def norm(module: nn.Module, given: Any, out: torch.Tensor) -> None:
        width.__iadd__(places.of(out).abs().double().sum(0).cpu().numpy())

    seen = set()
    for entry in net.layout.entries.values():
        if entry.dims == ("width",) and entry.name.endswith("weight") and entry.module not in seen:
            seen.add(entry.module)
            handles.append(net.model.get_submodule(entry.module).register_forward_hook(norm))
    with _removing(handles):
        moments.run(batches)
    heads, inter = np.zeros((sizes.depth, sizes.heads)), np.zeros((sizes.depth, sizes.inter))
    for layer in range(sizes.depth):
        second, mean = moments.second[layer, "mlp"], moments.mean[layer, "mlp"]
        out = columns(projection(net, layer, "mlp")).double().square().sum(0)
        spread = second - mean.square() if method == "flap" else second
        squares = (spread.clamp_min(0) * out).cpu()
        inter[layer] = (squares if method == "flap" else squares.sqrt()).numpy()
        blocks = moments.second[layer, "attention"]
        if method == "flap":
            mean = moments.mean[layer, "attention"].reshape(sizes.heads, -1)
            blocks = blocks - mean[:, :, None] * mean[:, None, :]
        weight = columns(projection(net, layer, "attention")).double()
        weight = weight.reshape(len(weight), sizes.heads, -1).transpose(0, 1)
        # mean square of what each head adds to the stream
        added = ((weight @ blocks) * weight).sum(dim=(1, 2)).clamp_min(0).cpu()
        heads[layer] = (added if method == "flap" else added.sqrt()).numpy()
    return width, heads, inter


class Moments:
    """First and second moments of what enters the projections that end sub-layers, over the tokens of batches.

    Args:
        net: The super-network.
        whole: All second moments, which `repair` needs; False: those of a neuron with itself and within each head, at
            a hundredth of the cost.

    Attributes:
        mean: (layer, part) -> (inputs,), in double precision.
        second: (layer, part) -> (inputs, inputs); if not whole, (inputs,) for "mlp" and (heads, head size, head size)
            for "attention".
        tokens: How many there were.
    """

    def __init__(self, net: SuperNet, *, whole: bool = True) -> None:
        net.plain("Moments")
        self.net, self.whole = net, whole
        self.mean: dict[tuple[int, str], torch.Tensor] = {}
        self.second: dict[tuple[int, str], torch.Tensor] = {}
        self.tokens = 0
        self.places = _Places()

    def _products(self, x: torch.Tensor, part: str) -> torch.Tensor:
        if self.whole:
            return x.T @ x
        if part == "mlp":
            return x.square().sum(0)
        by_head = x.reshape(len(x), self.net.sizes.heads, -1).transpose(0, 1)
        return by_head.transpose(1, 2) @ by_head

    def run(self, batches: Sequence[Mapping[str, Any]]) -> Moments:
        """Pass batches through the whole model; padded places do not count."""
        handles = []

        def listen(key: tuple[int, str]) -> Any:
            def hook(module: nn.Module, given: Any) -> None:
                x = self.places.of(given[0])
                # products of a batch in single precision, their sums in double; GPUs may have a coarser single one on
                x = x.double() if x.is_cuda else x.float()
                self.mean[key] = self.mean.get(key, torch.zeros(())) + x.sum(0).double()
                self.second[key] = self.second.get(key, torch.zeros(())) + self._products(x, key[1]).double()

            return hook

        for layer in range(self.net.sizes.depth):
            for part in ("attention", "mlp"):
                module = projection(self.net, layer, part)
                handles.append(module.register_forward_pre_hook(listen((layer, part))))
        with _removing(handles), torch.no_grad():
            for batch in batches:
                given = placed(inputs(batch), self.net.model)
                self.places.read(given)
                self.tokens += self.places.count(given)
                self.net.model(**given)
        for table in (self.mean, self.second):
            for key in table:
                table[key] = table[key] / max(1, self.tokens)
        return self


def _taylor(net: SuperNet, batches: Sequence[Mapping[str, Any]], task: Task) -> tuple[Scores, Scores, Scores]:
    sizes = net.sizes
    width = np.zeros(sizes.width)
    heads, inter = np.zeros((sizes.depth, sizes.heads)), np.zeros((sizes.depth, sizes.inter))
    with differentiable(net.model):
        for given in batches:
            batch = placed(given, net.model)
            net.model.zero_grad(set_to_none=True)
            task.loss(task.logits(net.model, batch), batch).backward()  # type: ignore[no-untyped-call]
            for layer in range(sizes.depth):
                for part, table in (("attention", heads), ("mlp", inter)):
                    module = projection(net, layer, part)
                    product = module.weight.detach() * module.weight.grad
                    by_input = (product.sum(1) if hasattr(module, "nf") else product.sum(0)).double()
                    table[layer] += by_input.reshape(table.shape[1], -1).sum(1).abs().cpu().numpy()
            for entry in net.layout.unique():
                if entry.dims == ("width",) and entry.name.endswith("weight"):
                    p = net.model.get_parameter(entry.name)
                    width += (p.detach() * p.grad).double().abs().cpu().numpy()
    return width, heads, inter


def _layers(net: SuperNet, batches: Sequence[Mapping[str, Any]], how: str, task: Task | None) -> Scores:
    depth = net.sizes.depth
    if how == "first":
        return np.arange(depth, 0, -1).astype(float)
    if how == "loss":
        return _loss_without(net, batches, _given(task))
    total, tokens, places = np.zeros(depth), 0, _Places()
    handles = []

    def listen(layer: int) -> Any:
        def hook(module: nn.Module, given: Any, named: Any, out: Any) -> None:
            x = places.of(given[0] if given else named["hidden_states"]).double()
            y = places.of(out[0] if isinstance(out, tuple) else out).double()
            if how == "mse":
                total[layer] += len(x) * float((y - x).square().mean() / x.square().mean().clamp_min(1e-12))
            else:
                total[layer] += float((1.0 - nn.functional.cosine_similarity(x, y, dim=-1)).sum())

        return hook

    for layer in range(depth):
        block = net.model.get_submodule(net.layout.layer_path(layer))
        handles.append(block.register_forward_hook(listen(layer), with_kwargs=True))
    with _removing(handles), torch.no_grad():
        for batch in batches:
            given = placed(inputs(batch), net.model)
            places.read(given)
            tokens += places.count(given)
            net.model(**given)
    return total / max(1, tokens)


def _loss_without(net: SuperNet, batches: Sequence[Mapping[str, Any]], task: Task) -> Scores:
    depth = net.sizes.depth
    if depth == 1:
        return np.ones(1)
    whole = task.evaluate(net.model, batches)["loss"]
    found = np.zeros(depth)
    for layer in range(depth):
        with net.active(SubNetSpec.uniform(net.sizes, layers=[i for i in range(depth) if i != layer])) as child:
            found[layer] = task.evaluate(child, batches)["loss"] - whole
    return found
