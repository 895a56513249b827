"""Sub-networks as models of their own: checkpoints that stock transformers loads, or that `load` reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from safetensors.torch import load_file, save_file

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.files import into_folder
from luthier.nets.families import layout as read_layout
from luthier.shrink._shell import Shell, child_config
from luthier.shrink._torch import nn, torch
from luthier.shrink.spec import SubNetSpec, count
from luthier.shrink.supernet import SuperNet

FORMATS = ("auto", "hf-stock", "hf-custom")
WEIGHTS, SPEC, ABOUT = "model.safetensors", "spec.json", "luthier.json"
CARRIED = ("generation_config.json", "chat_template.jinja", "vocab.txt", "merges.txt", "vocab.json", "spiece.model",
           "sentencepiece.bpe.model")  # fmt: skip


@dataclass
class Child:
    """A sub-network on its own.

    Args:
        model: Its modules, with weights of their own.
        spec: What it is of its parent.
        format: "hf-stock": a plain model of transformers; "hf-custom": one that `luthier.shrink.load` reads.
        about: Where it comes from.
        source: Folder of the parent, whose tokenizer goes along.
    """

    model: Any
    spec: SubNetSpec
    format: str
    about: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None

    @property
    def parameters(self) -> int:
        """Number of parameters, tied ones once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def save(self, folder: str | Path) -> Path:
        """Write it: weights, configuration, specification, where it comes from, tokenizer.

        Args:
            folder: Where to; it is made, and files of the same names in it are replaced.
        """
        place = Path(folder)
        if place.exists() and not place.is_dir():
            raise ArgumentError(f"folder={str(folder)!r}: a file is there. Allowed: a folder, new or not.")
        with into_folder(place) as draft:
            if self.format == "hf-stock":
                self.model.save_pretrained(draft)
            else:
                _save_custom(self, draft)
            if self.source is not None and self.source.resolve() != place.resolve():
                for path in self.source.iterdir():
                    if path.name in CARRIED or path.name.startswith(("tokenizer", "special_tokens", "added_tokens")):
                        shutil.copyfile(path, draft / path.name)
            (draft / SPEC).write_text(json.dumps(self.spec.to_json()) + "\n", encoding="utf-8")
            about = {"format": self.format, "spec": self.spec.to_json(), **self.about}
            (draft / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return place


def extract(net: SuperNet, spec: SubNetSpec, *, format: str = "auto", source: str | Path | None = None) -> Child:
    """A sub-network with weights of its own.

    Args:
        net: The super-network.
        spec: Which sub-network.
        format: "hf-stock", "hf-custom", or "auto": stock where the family's stock class can have this shape.
        source: Folder of the parent; its tokenizer and generation settings go along.

    Raises:
        ArgumentError: stock was asked for and cannot express this shape; the nearest that it can is named. Or adapters
            are on.

    Cost: the memory of the child (and, for a custom one, of nothing else).
    """
    check("format", format, one_of=FORMATS)
    if not isinstance(spec, SubNetSpec):
        raise ArgumentError(
            f"spec: a {type(spec).__name__}. Allowed: a sub-network's specification, such as point.spec."
        )
    spec.check(net.sizes)
    reason = why_not_stock(net, spec)
    if format == "hf-stock" and reason:
        near = nearest_stock(net, spec)
        hint = "" if near is None else f" The nearest that can be: {near} ({json.dumps(near.to_json())})."
        raise ArgumentError(f"{spec}: {reason}.{hint} Or take format='hf-custom', which luthier.shrink.load reads.")
    stock = format != "hf-custom" and not reason
    model = cut(net, spec, stock=stock)
    about = {
        "family": net.layout.family.name,
        "class": type(net.model).__name__,
        "parent": fingerprint(net.model),
        "parent_config": net.model.config.to_dict(),
        "without": _lacking(net.model),
        "order": None if net.order is None else net.order.to_json(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    return Child(model, spec, "hf-stock" if stock else "hf-custom", about, None if source is None else Path(source))


def cut(net: SuperNet, spec: SubNetSpec, *, stock: bool = False) -> Any:
    """The modules of `extract` alone, without a word of where they come from: to be trained or timed and forgotten.

    Args:
        net: The super-network.
        spec: Which sub-network.
        stock: As a plain model of transformers.
    """
    net.plain("cutting a sub-network out")
    shell = Shell(net.model, net.layout, spec.check(net.sizes))
    model = _stock(net, shell, spec) if stock else _own(shell)
    return model.train(net.model.training)


def fingerprint(model: nn.Module) -> str:
    """Sixteen letters that stand for a model's weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def why_not_stock(net: SuperNet, spec: SubNetSpec) -> str:
    """Why the family's stock class cannot have a shape; empty if it can."""
    family, sizes = net.layout.family, net.sizes
    if not spec.is_uniform:
        return "its layers differ, and a stock configuration has one size for all"
    heads = spec.per_layer[0].heads
    if family.coupled and spec.width != heads * sizes.head_dim:
        return (
            f"{family.name}'s stock class computes head size = width / heads, which would be {spec.width}/{heads} and "
            f"not {sizes.head_dim}"
        )
    scaled = family.depth_scaled and getattr(net.model.config, family.depth_scaled, False)
    if scaled and spec.layers != tuple(range(len(spec.layers))):
        return f"{family.depth_scaled} ties a layer's attention to its number, and layers would be renumbered"
    try:
        type(net.model.config).from_dict(child_config(net.model.config, net.layout, spec).to_dict())
    except Exception as error:  # whatever a configuration class raises for a shape that it refuses
        return f"{family.name}'s stock configuration refuses it ({_last_line(error)})"
    return ""


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip().rstrip(".") if str(error).strip() else type(error).__name__


def nearest_stock(net: SuperNet, spec: SubNetSpec) -> SubNetSpec | None:
    """The uniform sub-network nearest in size to one that stock classes cannot express; None if there is none."""
    sizes = net.sizes

    def mean(parts: list[int], whole: int) -> int:
        kept = [part for part in parts if part]
        return round(sum(kept) / len(kept)) if kept else whole

    groups = mean([count(one.groups) for one in spec.per_layer], sizes.groups)
    queries = mean([count(one.queries) for one in spec.per_layer], sizes.queries)
    inter = mean([count(one.inter) for one in spec.per_layer], sizes.inter)
    layers = list(spec.layers) or [0]
    candidates = []
    for g in range(1, sizes.groups + 1):
        for q in range(1, sizes.queries + 1):
            for width in {spec.width, g * q * sizes.head_dim, *(w for w in range(8, sizes.width + 1, 8))}:
                if 1 <= width <= sizes.width:
                    off = abs(g * q - groups * queries) / sizes.heads + abs(width - spec.width) / sizes.width
                    candidates.append((off, width, g, q))
    for _, width, g, q in sorted(candidates)[:200]:
        found = SubNetSpec.uniform(sizes, width=width, layers=layers, groups=g, queries=q, inter=inter)
        if not why_not_stock(net, found):
            return found
    return None


def _stock(net: SuperNet, shell: Shell, spec: SubNetSpec) -> Any:
    """A plain model of transformers with the sub-network's weights."""
    config = type(net.model.config).from_dict(child_config(net.model.config, net.layout, spec).to_dict())
    config._attn_implementation = net.model.config._attn_implementation
    model: Any = _empty(type(net.model), config).to(next(net.model.parameters()).device)
    _leave_out(model, _lacking(net.model))
    weights = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in _weights(shell).items():
        own = weights.pop(name, None)
        if own is None or own.shape != tensor.shape:
            raise ArgumentError(f"{name}: {tuple(tensor.shape)} has no place in {type(model).__name__}.")
        own.data = tensor.detach().clone().contiguous()  # in its own precision; tied ones twice, to the same
    for name, buffer in shell.model.named_buffers():
        place, _, key = name.rpartition(".")
        held = model.get_submodule(place)._buffers
        if held.get(key) is not None and held[key].shape == buffer.shape:
            held[key] = buffer.clone()  # the parent's: rotary frequencies are not of the weights' precision
    if weights:
        raise ArgumentError(f"{type(model).__name__} has parameters that the sub-network lacks: {sorted(weights)[:4]}.")
    model.generation_config = getattr(net.model, "generation_config", None)
    return model


def _lacking(model: Any) -> list[str]:
    """Paths of modules that this model was made without, though its class may have them, such as BERT's pooler."""
    paths = ((path, name) for path, module in model.named_modules() for name, m in module._modules.items() if m is None)
    return [f"{path}.{name}" if path else name for path, name in paths]


def _leave_out(model: nn.Module, paths: Iterable[str]) -> nn.Module:
    """Take out what another model of the class lacks."""
    for path in paths:
        place, _, name = path.rpartition(".")
        model.get_submodule(place)._modules[name] = None
    return model


def _empty(cls: Any, config: Any) -> Any:
    """A model whose weights are about to be replaced; drawing them leaves the process's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        return cls(config)


def _weights(shell: Shell) -> dict[str, torch.Tensor]:
    """The sub-network's parameters under each of their names."""
    shell.refresh()
    return {f"{p}.{k}" if p else k: t for p, k, t in _named(shell.model)}


def _named(model: nn.Module) -> Iterator[tuple[str, str, torch.Tensor]]:
    for path, module in model.named_modules(remove_duplicate=False):
        for key, tensor in module._parameters.items():
            if tensor is not None:
                yield path, key, tensor


def _own(shell: Shell) -> nn.Module:
    """The shell's modules with weights of their own; tied ones stay tied."""
    tied: dict[tuple[int, ...], nn.Parameter] = {}
    shell.refresh()
    for path, key, tensor in list(_named(shell.model)):
        same = (tensor.data_ptr(), *tensor.shape, *tensor.stride())
        if same not in tied or tensor.numel() == 0:
            tied[same] = nn.Parameter(tensor.detach().clone().contiguous())
        shell.model.get_submodule(path)._parameters[key] = tied[same]
    for module in shell.model.modules():
        for key, buffer in module._buffers.items():
            module._buffers[key] = None if buffer is None else buffer.clone()
    return shell.model


def _save_custom(child: Child, place: Path) -> None:
    """Weights, and the configuration in the public layout of layers that differ."""
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, parameter in child.model.named_parameters(remove_duplicate=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            tensors[name] = parameter.detach().cpu().contiguous()
    save_file(tensors, place / WEIGHTS, metadata={"format": "pt"})
    (place / "config.json").write_text(json.dumps(public_config(child), indent=1) + "\n", encoding="utf-8")


def public_config(child: Child) -> dict[str, Any]:
    """The configuration of a child whose layers differ, with `per_layer_config` as transformers names it.

    Each layer has the attributes in which it differs, and "skip" with the sub-layers that it lacks.
    """
    config = dict(child.model.config.to_dict())
    from luthier.nets.families import family_of

    names = family_of(child.model.config).sizes
    layers: dict[str, dict[str, Any]] = {}
    for place, one in enumerate(child.spec.per_layer):
        own: dict[str, Any] = {names["heads"]: one.heads, names["inter"]: count(one.inter)}
        if "groups" in names:
            own[names["groups"]] = count(one.groups)
        skip = [part for part, kept in (("attention", one.heads), ("mlp", count(one.inter))) if not kept]
        own = {key: value for key, value in own.items() if value}
        layers[str(place)] = {**own, **({"skip": skip} if skip else {})}
    config["per_layer_config"] = layers
    config["architectures"] = [child.about["class"]]
    return config


def load(folder: str | Path) -> nn.Module:
    """A model that `Child.save` has written, of either format; also any model of transformers.

    Args:
        folder: Where it lies.

    Raises:
        ArgumentError: the folder holds no model, or its weights are not those of its specification.
    """
    place = Path(folder)
    about = about_of(place)
    without = about.get("without", ())
    if about.get("format") != "hf-custom":
        return _leave_out(_plain(place), without)
    cls = getattr(transformers, str(about["class"]), None)
    if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
        raise ArgumentError(f"{place}: class {about['class']!r} is not one of transformers.")
    parent_config = transformers.AutoConfig.for_model(**about["parent_config"])
    parent = _leave_out(_empty(cls, parent_config), without)
    spec = SubNetSpec.from_json(about["spec"])
    model = _own(Shell(parent, read_layout(parent), spec))
    tensors = load_file(place / WEIGHTS)
    first: dict[int, str] = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters(remove_duplicate=False):
            owner = first.setdefault(id(parameter), name)
            if owner not in tensors or tensors[owner].shape != parameter.shape:
                raise ArgumentError(f"{place}: {name} is missing in {WEIGHTS}, or has another shape than {SPEC} says.")
            parameter.data = tensors[owner].clone()
    return model.eval()


def about_of(place: Path) -> Mapping[str, Any]:
    """What luthier has written into a model's folder of where it comes from; empty where it has not."""
    try:
        found: dict[str, Any] = json.loads((place / ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _plain(place: Path) -> nn.Module:
    if not (place / "config.json").is_file():
        raise ArgumentError(f"{place}: no config.json. Allowed: a folder that save_pretrained or luthier has written.")
    config = transformers.AutoConfig.from_pretrained(place)
    for name in config.architectures or []:
        cls = getattr(transformers, name, None)
        if cls is not None:
            model: nn.Module = cls.from_pretrained(place)
            return model
    found: nn.Module = transformers.AutoModel.from_pretrained(place)
    return found
