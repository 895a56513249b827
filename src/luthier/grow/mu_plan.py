"""MuPlan: what muP says about each tensor of a model, as data: inferred once, kept as JSON, applied to modules."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, SchemaError
from luthier.base.seeds import check_seed
from luthier.grow import _infer, roles, scaled
from luthier.grow._starts import cast, zero_rows
from luthier.grow._starts import start as start  # others take it from here
from luthier.grow.factories import Factory, factory_of, kind_of
from luthier.grow.tables import ALPHA, COLUMNS, Factors, Row, factors
from luthier.nets._torch import nn, torch

SCHEMA = 1


@dataclass(frozen=True)
class Options:
    """What a plan was inferred with, beside the sizes.

    Args:
        parametrization: "mup", or "standard" (the control: nothing is changed).
        depth: "none", "completep" or "depth-mup".
        zero_readout: An untied readout starts at zero: one of the two coordinates that shrink at the start are gone.
        zero_query: Queries start at zero: the other one.
        alpha_in: Tuned multiplier of the embedding's output.
        alpha_out: Of the logits.
        alpha_attention: Of queries times keys.
    """

    parametrization: str = "mup"
    depth: str = "none"
    zero_readout: bool = True
    zero_query: bool = False
    alpha_in: float = 1.0
    alpha_out: float = 1.0
    alpha_attention: float = 1.0

    def __post_init__(self) -> None:
        """Refuse words that are not known."""
        check("parametrization", self.parametrization, one_of=("mup", "standard"))
        check("depth", self.depth, one_of=ALPHA)
        for name in ("alpha_in", "alpha_out", "alpha_attention"):
            check(name, getattr(self, name), above=0)


@dataclass(frozen=True)
class MuPlan:
    """A plan: one row a tensor, one number a module that is scaled, and how to build the model.

    Args:
        model: Word of the factory; empty for a function that cannot be found again.
        proxy: Sizes of the proxy (where muP is the standard parametrisation).
        delta: Sizes that it was compared with.
        target: Sizes that the plan is for.
        options: What else it was inferred with.
        rows: By name of the tensor.
        multipliers: Module -> (number, "before" or "after").
        scales: Attention module -> (attribute, value).
        overrides: Roles that the user gave, by pattern.
        writers: Patterns of the last maps of residual branches.
        notes: What was seen while inferring; see `diagnostics`.
        factory: The function itself.
    """

    model: str
    proxy: Mapping[str, Any]
    delta: Mapping[str, Any]
    target: Mapping[str, Any]
    options: Options
    rows: Mapping[str, Row]
    multipliers: Mapping[str, tuple[float, str]]
    scales: Mapping[str, tuple[str, float]]
    overrides: Mapping[str, str] = field(default_factory=dict)
    writers: tuple[str, ...] = ()
    notes: tuple[tuple[str, str, str, str], ...] = ()
    factory: Factory | None = field(default=None, compare=False, repr=False)

    @classmethod
    def infer(
        cls,
        factory: str | Factory,
        *,
        proxy: Mapping[str, Any],
        target: Mapping[str, Any] | None = None,
        delta: Mapping[str, Any] | None = None,
        options: Options | None = None,
        overrides: Mapping[str, str] | None = None,
        writers: Sequence[str] | None = None,
    ) -> MuPlan:
        """Infer roles and factors from models on the meta device.

        Args:
            factory: "refgpt", "hf:TYPE", "package.module:function", or a function of sizes.
            proxy: Sizes of the proxy.
            target: Sizes of the target, or only those that differ; None: the proxy itself.
            delta: Sizes that differ from the proxy in everything that grows with width; None: made for architectures
                that are known.
            options: What else decides.
            overrides: Pattern -> role, for tensors whose role cannot be told, or was told wrongly.
            writers: Patterns of the last maps of residual branches; needed only when depth varies.

        Raises:
            ArgumentError: a role cannot be told, sizes do not fit, or a dimension grows that the delta left alone.

        Cost: one small model is built for its start values, the others have no memory.
        """
        make, word = factory_of(factory)
        found = _infer.infer(make, word, proxy, delta, target, options or Options(), overrides or {}, writers)
        return cls(**found, factory=make)

    def for_target(self, target: Mapping[str, Any], *, options: Options | None = None) -> MuPlan:
        """The plan of another target of the same proxy."""
        return type(self).infer(
            self.model if kind_of(self.model) else self._factory(),
            proxy=self.proxy,
            delta=self.delta,
            target=target,
            options=options or self.options,
            overrides=self.overrides,
            writers=self.writers or None,
        )

    def widened(self, ratio: float, *, options: Options | None = None) -> MuPlan:
        """The plan of a target whose every width-like size is `ratio` times the proxy's.

        Raises:
            ArgumentError: a size would not be whole.
        """
        return self.for_target(_infer.widened(self.proxy, self.delta, ratio), options=options)

    @property
    def fingerprint(self) -> str:
        """Sixteen letters that stand for the proxy: hyperparameters tuned at one fit plans of the same only.

        Of its model, its sizes, and the start of tensors outside of blocks (a target may have no blocks).
        """
        outside = [r for r in self.rows.values() if not re.search(r"(^|\.)\d+\.", r.template)]
        rows = sorted({(r.template, r.proxy_shape, round(r.sigma, 12)) for r in outside})
        text = json.dumps([self.model, dict(self.proxy), rows], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def alpha(self) -> float | None:
        """The depth exponent; None where depth is not scaled."""
        return ALPHA[self.options.depth] if self.options.parametrization == "mup" else None

    def factors(
        self, name: str, *, optimiser: str = "adamw", decay: str = "independent", adjust: str = "original"
    ) -> Factors:
        """What one tensor's rate, decay and epsilon are multiplied by."""
        if self.options.parametrization == "standard":
            return Factors(1.0, 1.0, 1.0)
        return factors(self.rows[name], optimiser=optimiser, alpha=self.alpha, decay=decay, adjust=adjust)

    # -- models --

    def build(
        self, *, seed: int = 0, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> nn.Module:
        """The target: built, scaled and started by the plan.

        Args:
            seed: Every tensor is drawn from its own generator of (seed, name): the same tensor in another plan is drawn
                alike, and no other draw is touched. Tensors that the function starts alike in every build stay so.
            device: Where; "meta" gives a model without values (with some where its function has to read values).
            dtype: Of parameters; None: the factory's own. Buffers (rotary frequencies, say) are never rounded.
        """
        check_seed(seed)
        cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            if torch.device(device).type == "meta":
                model = roles.on_meta(self._factory(), self.target)
            else:
                with torch.device(device):
                    model = self._factory()(**self.target)
        if dtype is not None:
            cast(model, dtype)
        self.apply(model)
        if self.options.parametrization == "mup" and torch.device(device).type != "meta":
            own = dict(model.named_parameters())
            with torch.no_grad():
                padding = zero_rows(model)
                for row in self.rows.values():
                    if row.start != "own":
                        own[row.name].copy_(start(row, seed))
                for values in padding:
                    values.zero_()
        return model

    def apply(self, model: nn.Module) -> nn.Module:
        """Scale modules of a model that exists; values stay as they are (a loaded checkpoint's, say).

        Raises:
            ArgumentError: it is not a model of the target's sizes.
        """
        self.check_shapes(model)
        if self.options.parametrization == "standard":
            return model
        modules = dict(model.named_modules())
        scaled.apply(model, self.multipliers)
        for name, (attribute, value) in self.scales.items():
            setattr(modules[name], attribute, value)
        return model

    def check_shapes(self, model: nn.Module) -> None:
        """Refuse a model of other sizes.

        Raises:
            ArgumentError: naming the first tensor that does not fit.
        """
        own = {name: tuple(p.shape) for name, p in model.named_parameters()}
        for name in sorted(own.keys() ^ self.rows.keys()):
            where = "the model" if name in self.rows else "the plan"
            raise ArgumentError(
                f"plan of {self.model or 'a model'} {dict(self.target)}: tensor {name!r} is not in {where}. Allowed: a "
                "model of the plan's own sizes (tied and untied readouts differ)."
            )
        for name, shape in own.items():
            if shape != tuple(self.rows[name].shape):
                raise ArgumentError(
                    f"plan of {self.model or 'a model'}: tensor {name!r} has shape {shape}, the plan says "
                    f"{tuple(self.rows[name].shape)}. Allowed: a model of the plan's own sizes."
                )

    def param_groups(
        self,
        model: nn.Module,
        *,
        lr: float,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        optimiser: str = "adamw",
        decay: str = "independent",
        adjust: str = "original",
        decay_vectors: bool = False,
        only: Iterable[str] | None = None,
        stretch: float = 1.0,
    ) -> list[dict[str, Any]]:
        """Parameter groups for any optimiser of torch.

        Args:
            model: The target (or anything with its tensors).
            lr: The proxy's tuned rate.
            weight_decay: The proxy's.
            eps: The proxy's; used by optimisers that divide.
            optimiser: Whose column counts, see `luthier.grow.tables.COLUMNS`.
            decay: How weight decay scales, see `factors`.
            adjust: Muon's own setting.
            decay_vectors: Biases and gains decay too; off by convention.
            only: Names of the tensors wanted (for two optimisers side by side).
            stretch: Steps of the target / steps of the proxy, for decay="timescale".

        Returns:
            Groups that torch takes; `names` and `mu` in each say what is in it and by what it was multiplied.
        """
        self.check_shapes(model)
        check("lr", lr, above=0)
        check("weight_decay", weight_decay, at_least=0)
        wanted = None if only is None else set(only)
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        for name, tensor in model.named_parameters():
            if not tensor.requires_grad or (wanted is not None and name not in wanted):
                continue
            row = self.rows[name]
            found = self.factors(name, optimiser=optimiser, decay=decay, adjust=adjust)
            decays = decay_vectors or row.kind == "weight"
            wd = weight_decay * found.weight_decay * decays / (stretch if decay == "timescale" else 1.0)
            key = (found.lr, found.eps, wd)
            if key not in groups:
                groups[key] = {"params": [], "lr": lr * found.lr, "weight_decay": wd, "names": []}
                groups[key]["mu"] = {"lr": found.lr, "eps": found.eps, "weight_decay": found.weight_decay * decays}
                if COLUMNS[optimiser] == "adam" and optimiser not in ("lion",):
                    groups[key]["eps"] = eps * found.eps
            groups[key]["params"].append(tensor)
            groups[key]["names"].append(name)
        return list(groups.values())

    # -- tables and files --

    def table(self, *, optimiser: str = "adamw", decay: str = "independent") -> list[dict[str, Any]]:
        """One mapping a tensor: what it is, and what is done to it."""
        found = []
        for name, row in self.rows.items():
            f = self.factors(name, optimiser=optimiser, decay=decay) if optimiser != "muon" else Factors(1, 1, 1)
            modules = [n.rpartition(".")[0] for n in (name, *row.aliases)]
            number = next((self.multipliers[m][0] for m in modules if m in self.multipliers), 1.0)
            found.append(
                {
                    "name": name,
                    "role": row.role,
                    "proxy": row.proxy_shape,
                    "target": row.shape,
                    "m_in": row.m_in,
                    "m_out": row.m_out,
                    "start": row.value if row.start == "normal" else "own" if row.start == "own" else f"={row.value:g}",
                    "multiplier": number,
                    "lr": f.lr,
                    "weight_decay": f.weight_decay if row.kind == "weight" else 0.0,
                    "eps": f.eps,
                }
            )
        return found

    def data(self) -> dict[str, Any]:
        """As JSON, schema 1."""
        return {
            "schema": SCHEMA,
            "kind": "luthier-mu-plan",
            "model": self.model,
            "proxy": dict(self.proxy),
            "delta": dict(self.delta),
            "target": dict(self.target),
            "options": asdict(self.options),
            "overrides": dict(self.overrides),
            "writers": list(self.writers),
            "multipliers": {name: list(pair) for name, pair in self.multipliers.items()},
            "scales": {name: list(pair) for name, pair in self.scales.items()},
            "notes": [list(note) for note in self.notes],
            "fingerprint": self.fingerprint,
            "rows": [asdict(row) for row in self.rows.values()],
        }

    @classmethod
    def of(cls, data: Mapping[str, Any], factory: Factory | None = None) -> MuPlan:
        """From JSON.

        Raises:
            SchemaError: it is no plan, or a newer luthier's.
        """
        if data.get("kind") != "luthier-mu-plan" or int(data.get("schema", 0)) > SCHEMA:
            raise SchemaError(
                f"a plan: kind {data.get('kind')!r}, schema {data.get('schema')!r}. Allowed: kind 'luthier-mu-plan', "
                f"schema up to {SCHEMA}."
            )
        rows = [_row(row) for row in data["rows"]]
        return cls(
            model=data["model"],
            proxy=data["proxy"],
            delta=data["delta"],
            target=data["target"],
            options=Options(**data["options"]),
            rows={row.name: row for row in rows},
            multipliers={name: (pair[0], pair[1]) for name, pair in data["multipliers"].items()},
            scales={name: (pair[0], pair[1]) for name, pair in data["scales"].items()},
            overrides=data["overrides"],
            writers=tuple(data["writers"]),
            notes=tuple((n[0], n[1], n[2], n[3]) for n in data["notes"]),
            factory=factory,
        )

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON."""
        Path(path).write_text(json.dumps(self.data(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path, factory: Factory | None = None) -> MuPlan:
        """Read a plan.

        Raises:
            SchemaError: it is none.
        """
        try:
            content = json.loads(Path(path).read_text())
        except json.JSONDecodeError as error:
            raise SchemaError(f"{path}: {error}. Allowed: a plan that `luthier grow inspect --out` wrote.") from error
        return cls.of(content, factory)

    def _factory(self) -> Factory:
        if self.factory is not None:
            return self.factory
        if not self.model:
            raise ArgumentError("plan: its model was made by a function that cannot be found again. Give `factory`.")
        return factory_of(self.model)[0]


def _row(data: Mapping[str, Any]) -> Row:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Row(**fields)
