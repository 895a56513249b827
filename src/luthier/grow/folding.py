"""Numbers into weights: a model of transformers with a plan's multipliers becomes a plain one of the same function.

`save_pretrained` writes tensors and configuration, and neither has the multipliers: what stock transformers loads from
there has other logits. Here each number is multiplied into the weights that it stands beside; training that model on is
another parametrisation.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

from luthier.base.errors import LuthierWarning, UnsupportedError
from luthier.grow import roles, scaled
from luthier.nets._torch import nn, torch

ROUNDING = 1e-4  # of the largest logit: a number times a weight is rounded once more


def fold(model: nn.Module) -> Any:
    """The same function without multipliers: stock modules, attention's scale as the configuration says it.

    Args:
        model: A model of transformers.

    Returns:
        Another model of the same class and configuration. Where embedding and readout share a tensor and have not the
        same number it has two tensors, and a warning says so.

    Raises:
        UnsupportedError: an attention whose queries are not known, or the logits are not the same.
    """
    config: Any = copy.deepcopy(model.config)
    tied = _tied(model)
    if tied:
        config.tie_word_embeddings = False
        warnings.warn(
            f"embedding and readout ({tied}) share a tensor and have different multipliers: they are written as two "
            "tensors, with tie_word_embeddings=False.",
            LuthierWarning,
            stacklevel=3,
        )
    found: Any = type(model)(config).to(next(model.parameters()).dtype)
    found.load_state_dict(model.state_dict())
    own, modules = dict(model.named_modules()), dict(found.named_modules())
    done: set[int] = set()
    with torch.no_grad():
        for path, module in modules.items():
            number = scaled.multiplier_of(own[path])
            if number == 1:
                continue
            for name, tensor in module.named_parameters(recurse=False):
                beside = name == "weight" or not isinstance(own[path], scaled._Before)  # a readout's bias stays
                if beside and id(tensor) not in done:
                    tensor.mul_(number)
                    done.add(id(tensor))
        for path, module, word, _ in roles.attentions(found):
            ratio = float(getattr(own[path], word)) / float(getattr(module, word)) if word else 1.0
            if abs(ratio - 1) > 1e-12:
                _turn_up(path, module, ratio)
    _check(model, found)
    return found.train(model.training)


def _tied(model: nn.Module) -> str:
    """The readout that shares a tensor with an embedding of another number; empty where there is none."""
    owners: dict[int, list[tuple[str, float]]] = {}
    for path, module in model.named_modules():
        tensor = getattr(module, "weight", None)
        if isinstance(tensor, nn.Parameter):
            owners.setdefault(id(tensor), []).append((path, scaled.multiplier_of(module)))
    shared = [found for found in owners.values() if len({number for _, number in found}) > 1]
    return shared[0][-1][0] if shared else ""


def _turn_up(path: str, module: nn.Module, ratio: float) -> None:
    """Multiply an attention's queries."""
    parts = dict(module.named_children())
    name = next((word for word in _QUERIES if word in parts), None)
    if name is None:
        raise UnsupportedError(
            f"{path}: attention has a scale of its own, and which of {sorted(parts)} makes its queries is not known. "
            f"Allowed: {', '.join(_QUERIES)}."
        )
    for tensor in parts[name].parameters(recurse=False):
        _QUERIES[name](tensor, module, ratio)


def _all(tensor: torch.Tensor, module: Any, ratio: float) -> None:
    tensor.mul_(ratio)


def _first_third(tensor: torch.Tensor, module: Any, ratio: float) -> None:
    tensor[..., : tensor.shape[-1] // 3].mul_(ratio)  # GPT-2's maps are stored input first


def _by_head(tensor: torch.Tensor, module: Any, ratio: float) -> None:
    tensor.view(-1, 3, module.head_size, *tensor.shape[1:])[:, 0].mul_(ratio)  # queries, keys, values of each head


#: What makes queries -> how they are multiplied. A norm of queries comes first: behind it nothing else is seen.
_QUERIES: dict[str, Callable[[torch.Tensor, Any, float], None]] = {
    "q_norm": _all,
    "q_proj": _all,
    "query": _all,
    "c_attn": _first_third,
    "query_key_value": _by_head,
}


def _check(model: nn.Module, found: nn.Module) -> None:
    device = next(model.parameters()).device
    ids = torch.arange(16, device=device).view(2, 8) % int(getattr(model.config, "vocab_size", 2))
    found.to(device)
    both = []
    for one in (model, found):
        was = one.training
        with torch.no_grad():
            out = one.eval()(ids)
        one.train(was)
        if getattr(out, "logits", None) is None:
            return  # a head for something else
        both.append(out.logits.double())
    a, b = both
    most, apart = float(a.abs().max()), float((a - b).abs().max())
    coarse = 16 * torch.finfo(next(model.parameters()).dtype).eps
    if not apart <= max(ROUNDING, coarse) * max(most, 1e-12):
        raise UnsupportedError(
            f"{type(model).__name__}: with its numbers in the weights the logits differ by {apart:.3g}, the largest is "
            f"{most:.3g}: this architecture uses them in a way that is not known here. Allowed: plans of "
            "parametrization='standard', or another family."
        )
