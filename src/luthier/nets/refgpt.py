"""RefGPT: the reference decoder, one readable file; its tensors are named as Hugging Face's Llama names them.

Pre-norm blocks of attention and feed-forward; RMSNorm or LayerNorm, rotary or learned positions, grouped heads, SwiGLU
or GELU, tied or untied readout, and the four scalars that muP needs (on embedding, attention, branches and logits).
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from typing import Any

from luthier.base.checks import check, check_fields
from luthier.base.errors import ArgumentError, did_you_mean
from luthier.nets._torch import nn, torch


@dataclass(frozen=True, kw_only=True)
class RefConfig:
    """Sizes and kinds of a RefGPT.

    Args:
        vocabulary: Tokens it knows.
        d_model: Width of the residual stream.
        layers: Blocks; 0 is allowed (the start of depth growth).
        heads: Query heads.
        kv_heads: Key and value heads; None: as many as query heads.
        d_head: Width of one head; None: d_model / heads.
        d_ff: Width inside the feed-forward part; None: 4 d_model for GELU, 8/3 d_model rounded up to 8 for SwiGLU.
        context: Longest input.
        norm: "rms" or "layer".
        positions: "rope" or "learned".
        mlp: "swiglu" or "gelu".
        tied: The readout shares the embedding's weight.
        bias: Linear maps have biases.
        gains: "trainable" or "fixed" norm gains; large ablations found that trained ones can break transfer.
        init_std: Standard deviation of every matrix at the start (no smaller one for branches' outputs).
        embedding_multiplier: On the embedding's output.
        attention_multiplier: Of queries times keys; None: 1/sqrt(d_head).
        residual_multiplier: On each branch's output.
        logits_scaling: Logits are divided by it.
        rope_base: Of the rotary frequencies.
        norm_eps: Inside the norms.
        dropout: On embeddings and branches.
    """

    vocabulary: int = 256
    d_model: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int | None = None
    d_head: int | None = None
    d_ff: int | None = None
    context: int = 128
    norm: str = "rms"
    positions: str = "rope"
    mlp: str = "swiglu"
    tied: bool = False
    bias: bool = False
    gains: str = "fixed"
    init_std: float = 0.02
    embedding_multiplier: float = 1.0
    attention_multiplier: float | None = None
    residual_multiplier: float = 1.0
    logits_scaling: float = 1.0
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Fill what follows from the rest, and refuse what does not fit."""
        check_fields(self, "vocabulary", "d_model", "heads", "context", at_least=1, whole=True)
        check_fields(self, "layers", at_least=0, whole=True)
        for name, words in _WORDS.items():
            check(name, getattr(self, name), one_of=words)
        set_ = object.__setattr__
        if self.kv_heads is None:
            set_(self, "kv_heads", self.heads)
        if self.d_head is None:
            if self.d_model % self.heads:
                raise ArgumentError(f"heads={self.heads}: d_model={self.d_model} is no multiple. Or name d_head.")
            set_(self, "d_head", self.d_model // self.heads)
        if self.d_ff is None:
            wide = 4 * self.d_model if self.mlp == "gelu" else -(-8 * self.d_model // 24) * 8
            set_(self, "d_ff", wide)
        check_fields(self, "kv_heads", "d_head", "d_ff", at_least=1, whole=True)
        if self.heads % self.n_kv:
            raise ArgumentError(f"kv_heads={self.kv_heads}: heads={self.heads} is no multiple of it.")
        if self.positions == "rope" and self.head % 2:
            raise ArgumentError(f"d_head={self.d_head}: rotary positions turn pairs. Allowed: an even number.")

    @property
    def n_kv(self) -> int:
        """Key and value heads."""
        return int(self.kv_heads or self.heads)

    @property
    def head(self) -> int:
        """Width of one head."""
        return int(self.d_head or 0)

    @property
    def ff(self) -> int:
        """Width of the feed-forward part."""
        return int(self.d_ff or 0)

    def parameters(self, *, embedding: bool = True) -> int:
        """Number of parameters; without `embedding`, what is in the blocks (and the last norm) only."""
        d, b = self.d_model, int(self.bias)
        q, kv = self.heads * self.head, self.n_kv * self.head
        attention = d * (2 * q + 2 * kv) + b * (q + 2 * kv + d)
        maps = 3 if self.mlp == "swiglu" else 2
        feed = maps * d * self.ff + b * ((maps - 1) * self.ff + d)
        norm = d * (2 if self.norm == "layer" else 1)
        inner = self.layers * (attention + feed + 2 * norm) + norm
        table = self.vocabulary * d * (1 if self.tied else 2) + (self.context * d if self.positions == "learned" else 0)
        return inner + (table if embedding else 0)

    def flops_per_token(self, length: int | None = None) -> float:
        """Operations of a forward and backward pass: 6 per weight used in a product, and attention's own products.

        Args:
            length: Of the inputs; None: the context.
        """
        products = self.parameters(embedding=False) + self.vocabulary * self.d_model
        attention = 12 * self.layers * self.heads * self.head * (length or self.context)
        return float(6 * products + attention)

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, data: dict[str, Any]) -> RefConfig:
        """From a mapping; unknown words are refused.

        Raises:
            ArgumentError: naming the unknown word.
        """
        known = {f.name for f in fields(cls)}
        for name in data:
            if name not in known:
                raise ArgumentError(f"{name}: not known to RefGPT. {did_you_mean(name, known)}")
        return cls(**data)


_WORDS = {
    "norm": ("rms", "layer"),
    "positions": ("rope", "learned"),
    "mlp": ("swiglu", "gelu"),
    "gains": ("trainable", "fixed"),
}


class Norm(nn.Module):
    """RMSNorm (no bias) or LayerNorm over the last axis; `weight` is the gain."""

    def __init__(self, width: int, kind: str, *, eps: float, fixed: bool) -> None:
        super().__init__()
        self.kind, self.eps = kind, eps
        self.weight = nn.Parameter(torch.ones(width), requires_grad=not fixed)
        self.bias = nn.Parameter(torch.zeros(width), requires_grad=not fixed) if kind == "layer" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        if self.kind == "layer":
            return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return nn.functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Causal attention with grouped heads; `scale` multiplies queries times keys."""

    def __init__(self, config: RefConfig) -> None:
        super().__init__()
        c = config
        self.heads, self.kv_heads, self.head_dim, self.rope_base = c.heads, c.n_kv, c.head, c.rope_base
        self.rotary = c.positions == "rope"
        self.scale = c.attention_multiplier if c.attention_multiplier is not None else 1 / math.sqrt(c.head)
        self.q_proj = nn.Linear(c.d_model, c.heads * c.head, bias=c.bias)
        self.k_proj = nn.Linear(c.d_model, c.n_kv * c.head, bias=c.bias)
        self.v_proj = nn.Linear(c.d_model, c.n_kv * c.head, bias=c.bias)
        self.o_proj = nn.Linear(c.heads * c.head, c.d_model, bias=c.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) -> the same shape."""
        shape = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (f(x).view(shape).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        if self.rotary:
            cos, sin = rotation(x.shape[1], self.head_dim, self.rope_base, x.device, x.dtype)
            q, k = turn(q, cos, sin), turn(k, cos, sin)
        out = nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=self.scale, enable_gqa=self.kv_heads != self.heads
        )
        found: torch.Tensor = self.o_proj(out.transpose(1, 2).flatten(2))
        return found


class FeedForward(nn.Module):
    """SwiGLU (gate, up, down) or GELU (up, down)."""

    def __init__(self, config: RefConfig) -> None:
        super().__init__()
        c = config
        self.gate_proj = nn.Linear(c.d_model, c.ff, bias=c.bias) if c.mlp == "swiglu" else None
        self.up_proj = nn.Linear(c.d_model, c.ff, bias=c.bias)
        self.down_proj = nn.Linear(c.ff, c.d_model, bias=c.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., d_model) -> the same shape."""
        inner = self.up_proj(x)
        inner = nn.functional.gelu(inner) if self.gate_proj is None else nn.functional.silu(self.gate_proj(x)) * inner
        found: torch.Tensor = self.down_proj(inner)
        return found


class Block(nn.Module):
    """x + r attention(norm(x)), then x + r feed_forward(norm(x))."""

    def __init__(self, config: RefConfig) -> None:
        super().__init__()
        fixed = config.gains == "fixed"
        self.input_layernorm = Norm(config.d_model, config.norm, eps=config.norm_eps, fixed=fixed)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = Norm(config.d_model, config.norm, eps=config.norm_eps, fixed=fixed)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)
        self.residual_multiplier = config.residual_multiplier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, d_model) -> the same shape."""
        x = x + self.dropout(self.self_attn(self.input_layernorm(x))) * self.residual_multiplier
        found: torch.Tensor = x + self.dropout(self.mlp(self.post_attention_layernorm(x))) * self.residual_multiplier
        return found


class Decoder(nn.Module):
    """Embedding, blocks and the last norm: all but the readout."""

    def __init__(self, config: RefConfig) -> None:
        super().__init__()
        c = config
        self.embed_tokens = nn.Embedding(c.vocabulary, c.d_model)
        self.embed_positions = nn.Embedding(c.context, c.d_model) if c.positions == "learned" else None
        self.layers = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = Norm(c.d_model, c.norm, eps=c.norm_eps, fixed=c.gains == "fixed")
        self.dropout = nn.Dropout(c.dropout)
        self.embedding_multiplier = c.embedding_multiplier

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, length) -> (batch, length, d_model)."""
        x = self.embed_tokens(tokens) * self.embedding_multiplier
        if self.embed_positions is not None:
            x = x + self.embed_positions(torch.arange(tokens.shape[1], device=tokens.device))
        x = self.dropout(x)
        for block in self.layers:
            x = block(x)
        found: torch.Tensor = self.norm(x)
        return found


class RefGPT(nn.Module):
    """The reference decoder.

    Args:
        config: Its sizes and kinds.
        seed: Of the initial weights; None: torch's own generator.
    """

    def __init__(self, config: RefConfig, *, seed: int | None = None) -> None:
        super().__init__()
        self.config = config
        with nullcontext() if seed is None else torch.random.fork_rng(devices=[]):  # torch's layers draw when made
            self.model = Decoder(config)
            self.lm_head = nn.Linear(config.d_model, config.vocabulary, bias=False)
        if config.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._start(seed)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(batch, length) token numbers -> (batch, length, vocabulary) logits."""
        found: torch.Tensor = self.lm_head(self.model(input_ids)) / self.config.logits_scaling
        return found

    def _start(self, seed: int | None) -> None:
        first = next(self.parameters())
        draw = None if seed is None or first.is_meta else torch.Generator(device=first.device).manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=self.config.init_std, generator=draw)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)


def rotation(
    length: int, width: int, base: float, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (length, width) of the rotary angles position * base^(-2i/width); both halves are alike."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    frequencies = base ** (-torch.arange(0, width, 2, device=device, dtype=wide) / width)
    angles = torch.outer(torch.arange(length, device=device, dtype=wide), frequencies)
    both = torch.cat([angles, angles], dim=-1)
    return both.cos().to(dtype), both.sin().to(dtype)


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate pairs (i, i + width/2) of the last axis."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def refgpt(**sizes: Any) -> RefGPT:
    """A RefGPT of these sizes, on torch's current device: the factory that muP plans are inferred from."""
    return RefGPT(RefConfig.of(sizes))
