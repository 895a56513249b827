"""Where models come from: a function of sizes, or a word that stands for one.

"refgpt"                     the reference decoder of luthier.nets
"hf:llama"                   a causal language model of transformers of that type; hf:llama/MaskedLM another head
"package.module:function"    your own
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.imports import need
from luthier.nets._torch import nn

Factory = Callable[..., nn.Module]

#: Names of sizes that grow with width, the delta's ratios, and the width's own name.
_KNOBS: dict[str, dict[str, int]] = {
    "refgpt": {"d_model": 2, "heads": 2, "kv_heads": 2, "d_ff": 3},
    "gpt2": {"n_embd": 2, "n_head": 2, "n_inner": 3},
    "gpt_neox": {"hidden_size": 2, "num_attention_heads": 2, "intermediate_size": 3},
    "bert": {"hidden_size": 2, "num_attention_heads": 2, "intermediate_size": 3},
    "roberta": {"hidden_size": 2, "num_attention_heads": 2, "intermediate_size": 3},
    "llama": {"hidden_size": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 3},
}
for _like in ("mistral", "qwen2", "qwen3", "granite"):
    _KNOBS[_like] = _KNOBS["llama"]
#: Names that configurations take without listing them.
_ELDER = ("rope_theta", "rope_scaling", "torch_dtype", "attn_implementation")
#: Sizes that families of transformers make from others where they are not named.
_FOLLOWING = ("n_inner", "num_key_value_heads", "head_dim")
_LAYERS = {"refgpt": "layers", "gpt2": "n_layer"}


def factory_of(where: str | Factory) -> tuple[Factory, str]:
    """The function, and the word that finds it again.

    Raises:
        ArgumentError: nothing is found there.
    """
    if isinstance(where, nn.Module) or not (isinstance(where, str) or callable(where)):
        raise ArgumentError(
            f"model: a {type(where).__name__}. Allowed: 'refgpt', 'hf:TYPE', 'package.module:function' or a function "
            "of sizes that builds it: it is built at several."
        )
    if not isinstance(where, str):
        module, name = getattr(where, "__module__", ""), getattr(where, "__qualname__", "")
        return where, f"{module}:{name}" if name.isidentifier() else ""
    if where == "refgpt":
        from luthier.nets.refgpt import refgpt

        return refgpt, where
    if where.startswith("hf:"):
        return _hugging_face(where), where
    module, colon, name = where.partition(":")
    if not colon:
        folder = Path(where) / "config.json"
        more = " A folder is not read: name its type and sizes." if folder.is_file() else ""
        raise ArgumentError(f"model={where!r}. Allowed: 'refgpt', 'hf:TYPE' or 'package.module:function'.{more}")
    module = module.removesuffix(".py")
    try:
        found = getattr(_imported(module), name)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"model={where!r}: {error}. Allowed: a function that can be imported.") from error
    return found, f"{module}:{name}"  # one word for one function, whichever way it was written


def _imported(name: str) -> Any:
    """A module, also of the working folder: an installed command does not look there by itself."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _hugging_face(where: str) -> Factory:
    kind, _, head = where[3:].partition("/")
    transformers = need("transformers", what=f"model {where!r}", extra="llm")
    if kind not in transformers.models.auto.configuration_auto.CONFIG_MAPPING:
        known = [name for name in _KNOBS if name != "refgpt"]
        raise ArgumentError(f"model={where!r}: transformers has no type {kind!r}. {did_you_mean(kind, known)}")
    usual = "MaskedLM" if kind in ("bert", "roberta", "distilbert") else "CausalLM"
    auto = getattr(transformers, f"AutoModelFor{head or usual}")

    def make(**sizes: Any) -> nn.Module:
        _known(kind, sizes)
        found: nn.Module = auto.from_config(transformers.AutoConfig.for_model(kind, **sizes))
        return found

    return make


def _known(kind: str, sizes: Mapping[str, Any]) -> None:
    """Refuse sizes that a configuration lacks: transformers would keep its own, of billions of parameters, in silence.

    Raises:
        ArgumentError: naming the first.
    """
    transformers = need("transformers", what=f"model 'hf:{kind}'", extra="llm")
    usual = transformers.AutoConfig.for_model(kind)
    known = {*usual.to_dict(), *usual.attribute_map, *_ELDER}
    for name in sizes:
        if name not in known and not hasattr(usual, name):
            numbers = [n for n, value in usual.to_dict().items() if isinstance(value, int | float)]
            raise ArgumentError(f"sizes: hf:{kind} has no {name!r}. {did_you_mean(name, numbers)}")


def kind_of(word: str) -> str:
    """The architecture's name: "refgpt", "llama"; empty where it is your own."""
    return word if word == "refgpt" else word[3:].partition("/")[0] if word.startswith("hf:") else ""


def knobs(word: str) -> Mapping[str, int]:
    """Sizes that grow with width, and by how much the delta should differ; empty where that is not known."""
    return _KNOBS.get(kind_of(word), {})


def layers_knob(word: str) -> str:
    """The name of the number of layers."""
    return _LAYERS.get(kind_of(word), "num_hidden_layers" if word.startswith("hf:") else "layers")


def full_sizes(word: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes with every knob spelt out, so that a delta and a target can multiply them."""
    kind = kind_of(word)
    if kind == "refgpt":
        from luthier.nets.refgpt import RefConfig

        config = RefConfig.of(dict(sizes)).data()
        return {**sizes, **{name: config[name] for name in (*_KNOBS[kind], "d_head")}}
    if not kind:
        return dict(sizes)
    transformers = need("transformers", what=f"model {word!r}", extra="llm")
    _known(kind, sizes)
    own = transformers.AutoConfig.for_model(kind, **sizes)
    filled: dict[str, Any] = {name: getattr(own, name, None) for name in knobs(word)}
    if kind == "gpt2" and filled["n_inner"] is None:
        filled["n_inner"] = 4 * filled["n_embd"]
    if getattr(own, "head_dim", None) is not None and kind not in ("gpt2", "gpt_neox", "bert", "roberta"):
        filled["head_dim"] = own.head_dim
    return {**sizes, **{k: v for k, v in filled.items() if v is not None}}


def following(word: str, proxy: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A proxy's sizes with some changed, and what follows from them made anew.

    A knob of a family of transformers follows where the proxy has what the family itself would have taken: GPT-2's
    inner width is four times its width, key heads are as many as heads where nothing else is said.

    Args:
        word: Of the factory.
        proxy: Every knob spelt out, see `full_sizes`.
        changes: Sizes of a target or a delta.
    """
    if kind_of(word) in ("", "refgpt"):
        return {**proxy, **changes}
    named = {name: value for name, value in proxy.items() if not (name in _FOLLOWING and _usual(word, proxy, name))}
    return full_sizes(word, {**named, **changes})


def _usual(word: str, sizes: Mapping[str, Any], name: str) -> bool:
    """Whether the family would have taken the same size where nothing is said."""
    try:
        return bool(full_sizes(word, {n: v for n, v in sizes.items() if n != name})[name] == sizes[name])
    except Exception:  # families refuse sizes in ways of their own: then it has to be named
        return False


def delta_of(word: str, proxy: Mapping[str, Any]) -> dict[str, Any]:
    """A delta for a known architecture: every width-like size differs, heads grow at a fixed width.

    Raises:
        ArgumentError: the architecture is not known.
    """
    known = knobs(word)
    if not known:
        raise ArgumentError(
            "delta: missing. Allowed: the proxy's sizes with every width-like one changed (width, heads, inner width), "
            "so that dimensions that grow can be told from those that do not."
        )
    return {**proxy, **{name: proxy[name] * ratio for name, ratio in known.items() if name in proxy}}
