"""muP by tables: what a tensor's role says about its start, its learning rate, its weight decay and Adam's epsilon.

Words: `m_in` and `m_out` are target / proxy of a tensor's input and output dimension (1 for one that never grows). A
tensor that grows in no dimension is `scalar`; in its output only `input` (embeddings, biases, gains); in its input only
`readout`; in both `hidden`. `bottleneck` is a map inside the network from a growing to a fixed dimension (keys of a
fixed number of heads, routers): no multiplier, by the spectral condition (a heuristic; see MU11).

    quantity                  input     hidden              readout (logits times alpha / m_in)   bottleneck
    standard deviation        sigma     sigma / sqrt(m_in)  sigma, or zero                        sigma / m_in
    rate, Adam                eta       eta / m_in          eta                                   eta / m_in
    rate, SGD                 eta m_out eta m_out / m_in    eta m_in                              eta / m_in
    decay (independent)       so that rate times decay is the same at every width
    decay in the gradient     w / m     w m_in / m_out      w / m                                 w m_in
    epsilon, Adam             e / m_out e / m_out           e / m_in                              e

Decay in the gradient is that of torch's Adam, RMSProp and Adagrad, which divide the sum; SGD divides nothing, and its
decay is the rate times w either way.

Depth, r = layers / proxy's layers: branches times r^-a, rates in blocks times r^(a-1), epsilons in blocks times r^-a;
a = 1 is CompleteP, a = 1/2 depth-muP. By default depth is not scaled; a target of another depth is warned of (MU09).

Source: Tensor Programs V, tables 3, 8 and 9 (rates, starts); arXiv 2602.10545 (coupled decay and epsilon); CompleteP
    (arXiv 2505.01618) for depth. Muon: the update's spectral norm is held at sqrt(n_out / n_in).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.base.checks import check

ROLES = ("scalar", "input", "hidden", "readout", "bottleneck")
DECAYS = ("independent", "sqrt", "timescale", "raw")
#: Optimisers by the column that they use: what divides gradients entry by entry scales as Adam does.
COLUMNS = {
    "adam": "adam",
    "adamw": "adam",
    "lion": "adam",
    "rmsprop": "adam",
    "adagrad": "adam",
    "adan": "adam",
    "sgd": "sgd",
    "muon": "muon",
}
#: Optimisers of torch that add weight decay to the gradient before they divide it.
COUPLED = ("adam", "rmsprop", "adagrad")
ALPHA = {"none": None, "completep": 1.0, "depth-mup": 0.5}


@dataclass(frozen=True)
class Row:
    """What a plan says about one tensor of the target.

    Args:
        name: Its name in the target; the first one, where several modules share it.
        template: The proxy's tensor that it is like.
        role: One of `ROLES`.
        kind: "weight", "bias", "gain" or "vector".
        shape: In the target.
        proxy_shape: In the proxy.
        m_in: target / proxy of the input dimension; 1 if that never grows.
        m_out: The same of the output dimension.
        depth: layers / proxy's layers for a tensor inside a block, else 1.
        start: "normal", "constant", or "own": the model's function starts it alike in every build, and that stays.
        sigma: The proxy's standard deviation, or the constant; of "own" the size of its values.
        value: The target's; of "own" the proxy's.
        aliases: Other names of the same tensor.
    """

    name: str
    template: str
    role: str
    kind: str
    shape: tuple[int, ...]
    proxy_shape: tuple[int, ...]
    m_in: float = 1.0
    m_out: float = 1.0
    depth: float = 1.0
    start: str = "normal"
    sigma: float = 0.0
    value: float = 0.0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Factors:
    """What the proxy's hyperparameters are multiplied by for one tensor."""

    lr: float
    weight_decay: float
    eps: float


def deviation(role: str, sigma: float, m_in: float) -> float:
    """Standard deviation at the start."""
    return {"hidden": sigma / math.sqrt(m_in), "bottleneck": sigma / m_in}.get(role, sigma)


def rate(row: Row, column: str) -> float:
    """Factor of the learning rate by width alone."""
    if row.role == "scalar":
        return 1.0
    if column == "sgd":
        return {"input": row.m_out, "hidden": row.m_out / row.m_in, "readout": row.m_in}.get(row.role, 1 / row.m_in)
    return 1 / row.m_in if row.role in ("hidden", "bottleneck") else 1.0


def epsilon(row: Row) -> float:
    """Factor of Adam's epsilon by width alone."""
    return 1 / row.m_in if row.role == "readout" else 1 / row.m_out


def coupled(row: Row) -> float:
    """Factor of a weight decay that is added to the gradient before Adam divides it."""
    return {
        "input": 1 / row.m_out,
        "hidden": row.m_in / row.m_out,
        "readout": 1 / row.m_in,
        "bottleneck": row.m_in,
    }.get(row.role, 1.0)


def factors(
    row: Row,
    *,
    optimiser: str = "adamw",
    alpha: float | None = None,
    decay: str = "independent",
    adjust: str = "original",
) -> Factors:
    """All factors of one tensor.

    Args:
        row: The tensor.
        optimiser: One of `COLUMNS`.
        alpha: Depth exponent; None: depth does not vary.
        decay: How weight decay goes with the rate. "independent": rate x decay is the same at all widths; "sqrt": decay
            of hidden tensors times sqrt(m_in) (an empirical law, arXiv 2510.15262); "raw": as it is; "timescale": as
            "independent" here (the plan divides by the steps too). Optimisers of `COUPLED` have a row of their own.
        adjust: Muon's own `adjust_lr_fn`.

    Raises:
        ArgumentError: an optimiser or decay that is not known.
    """
    check("optimiser", optimiser, one_of=COLUMNS)
    check("decay", decay, one_of=DECAYS)
    column = COLUMNS[optimiser]
    inside = 1.0 if alpha is None else row.depth ** (alpha - 1)
    lr = inside * (muon(row, adjust) if column == "muon" else rate(row, column))
    if decay == "raw":
        wd = 1.0
    elif decay == "sqrt":
        wd = math.sqrt(row.m_in) if row.role in ("hidden", "bottleneck") else 1.0
    elif optimiser in COUPLED:
        wd = coupled(row)
    else:
        wd = 1 / lr
    return Factors(lr, wd, epsilon(row) * (1.0 if alpha is None else row.depth**-alpha))


def muon(row: Row, adjust: str = "original") -> float:
    """Factor of Muon's rate, such that the update's spectral norm goes as sqrt(n_out / n_in).

    `torch.optim.Muon` multiplies by sqrt(max(1, out/in)) ("original") or 0.2 sqrt(max(out, in)) ("match_rms_adamw");
    what it does is divided out, so that the same rate is right at every width.
    """
    check("adjust", adjust, one_of=("original", "match_rms_adamw"))
    return math.sqrt(row.m_out / row.m_in) * _adjusted(row.proxy_shape, adjust) / _adjusted(row.shape, adjust)


def _adjusted(shape: Sequence[int], adjust: str) -> float:
    rows, columns = shape[0], shape[1]
    return math.sqrt(max(1, rows / columns)) if adjust == "original" else 0.2 * math.sqrt(max(rows, columns))
