"""Where the shrink benchmark's cells begin: models, data on the device, and super-networks that several cells need."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _shrink_runner import Cell, Setting, locked
from safetensors.torch import load_file, save_file

from luthier.nets.data import Batches, Tokens
from luthier.shrink import (
    CostModel,
    Data,
    Distil,
    NetSpace,
    Order,
    SuperNet,
    Task,
    finetune,
    preset,
    rank_units,
    read_data,
    train,
)
from luthier.shrink.supernet import placed
from luthier.shrink.workspace import open_model

TABLES = {"qnli": "qnli_dev.parquet", "stsb": "stsb_open_subset.parquet"}
TEXTS = ("wikitext2_valid.txt.gz", "wikitext2_test.txt.gz", "tinyshakespeare.txt.gz")
SHARES = (0.7, 0.1, 0.1, 0.1)
SPECIES = {
    "vocab_size": 256, "hidden_size": 256, "num_hidden_layers": 6, "intermediate_size": 704, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 32, "max_position_embeddings": 512, "tie_word_embeddings": True,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip

TINY = {**SPECIES, "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 160, "head_dim": 8}


@dataclasses.dataclass
class Super:
    """A trained super-network.

    Args:
        net: It.
        space: What it was trained for.
        seconds: That training took.
    """

    net: SuperNet
    space: NetSpace
    seconds: float


def decodes(cell: Cell) -> bool:
    """Whether the cell is about the decoder."""
    return cell.task == "decoder"


@functools.lru_cache(maxsize=4)
def data_of(
    task: str, seed: int, folder: str, model: str, rows: int, length: int, device: str, looked: int, most: int
) -> Data:
    """A task, split by the seed; what is only looked at lies on the device, in large batches."""
    if task == "decoder":
        return _text(folder, seed, rows, length, device, looked, most)
    path = Path(folder) / TABLES[task]
    small, large = (read_data(path, model, size=size, length=length, seed=seed) for size in (rows, looked))
    held = (
        [{k: v.to(device) for k, v in b.items()} for b in p[:most]] for p in (large.search, large.select, large.test)
    )
    return Data(small.task, small.train, *held, small.about)


def _text(folder: str, seed: int, rows: int, length: int, device: str, looked: int, most: int) -> Data:
    """Bytes of all texts; each text is split by itself, so that all parts hold all texts."""
    parts: list[list[np.ndarray]] = [[], [], [], []]
    for name in TEXTS:
        raw = np.frombuffer(gzip.decompress((Path(folder) / name).read_bytes()), dtype=np.uint8)
        cuts = np.round(np.cumsum((0.0, *SHARES)) * len(raw)).astype(int)
        for part, (a, b) in zip(parts, itertools.pairwise(cuts), strict=True):
            part.append(raw[a:b])
    tokens = [Tokens(np.concatenate(part), 256, "texts") for part in parts]
    held = []
    for one in tokens[1:]:
        batches = Batches(one, looked, length, seed=0)
        held.append([{k: v.to(device) for k, v in batches(i).items()} for i in range(min(4, most))])
    return Data(Task("lm"), Batches(tokens[0], rows, length, seed=seed), *held, {})


def data_for(cell: Cell, setting: Setting) -> Data:
    """The cell's task."""
    o = setting.options
    folder = o["text"] if decodes(cell) else o["data"]
    length = o["length_lm"] if decodes(cell) else o["length"]
    return data_of(cell.task, cell.seed, folder, o["model"], o["rows"], length, setting.device, o["looked"], o["most"])


def rate(cell: Cell, setting: Setting) -> float:
    """Highest learning rate."""
    return float(setting.options["lr_lm" if decodes(cell) else "lr"])


def begin(cell: Cell, setting: Setting) -> SuperNet:
    """The model before any compression: the encoder with a new head, or the decoder that was trained here."""
    data = data_for(cell, setting)
    if not decodes(cell):
        return SuperNet.from_model(open_model(setting.options["model"], data.task, seed=cell.seed).to(setting.device))
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(cell.seed)
    model: Any = LlamaForCausalLM(LlamaConfig(**(TINY if setting.options.get("tiny") else SPECIES))).to(setting.device)
    path = setting.scratch / f"start-{cell.seed}.safetensors"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            finetune(model, data, steps=setting.steps("start"), lr=1e-3, seed=cell.seed)
            keep(model, path)
        read(model, path)
    return SuperNet.from_model(model.eval())


def keep(model: Any, path: Path, *, half: bool = False) -> None:
    """Write a model's weights."""
    tensors = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    save_file({k: v.half() if half else v for k, v in tensors.items()}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def read(model: Any, path: Path) -> None:
    """Read a model's weights."""
    tensors = load_file(path)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])


def super_of(cell: Cell, setting: Setting, *, strategy: str = "full", space: str = "small") -> Super:
    """The super-network of a seed: units in order, trained by a strategy; trained once, then read."""
    net, data = begin(cell, setting), data_for(cell, setting)
    path = setting.scratch / f"{cell.task}-{cell.seed}-{strategy}-{space}.safetensors"
    about = path.with_suffix(".json")
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            ranking = rank_units(net, data.calibration(8))
            order = ranking.order(net.sizes.groups)
            net.permute_(order)
            named = preset(net.sizes, space, ranking=ranking.layer_order)
            start = time.perf_counter()
            train(net, named, data, strategy="sandwich" if strategy == "full" else strategy,
                  kd=Distil() if strategy == "full" else None, steps=setting.steps("super", cell),
                  lr=rate(cell, setting), seed=cell.seed)  # fmt: skip
            told = {"order": order.to_json(), "layers": ranking.layer_order, "seconds": time.perf_counter() - start}
            about.write_text(json.dumps(told))
            keep(net.model, path)
            return Super(net, named, told["seconds"])
    told = json.loads(about.read_text())
    net.permute_(Order.from_json(told["order"]))
    read(net.model, path)
    return Super(net, preset(net.sizes, space, ranking=told["layers"]), told["seconds"])


def targets(net: SuperNet, setting: Setting) -> dict[float, int]:
    """Shares of the parameters beside the tables -> numbers of all parameters."""
    full = CostModel(net.layout).cost(net.full)
    return {
        share: round(share * full.non_embedding) + full.parameters - full.non_embedding
        for share in setting.options["targets"]
    }


def judged(model: Any, data: Data) -> dict[str, float]:
    """Loss and score on the test part."""
    return {name: round(value, 6) for name, value in data.task.evaluate(model, data.test).items()}


def constant(data: Data) -> dict[str, float]:
    """Loss and score on the test part of the best constant answer."""
    key = "targets" if data.task.kind == "lm" else "labels"
    told = np.concatenate([batch[key].cpu().numpy().ravel() for batch in data.test])
    if data.task.kind == "regression":
        return {"loss": float(told.var()), "correlation": 0.0}
    shares = np.unique(told, return_counts=True)[1] / len(told)
    loss = float(-(shares * np.log(shares)).sum())
    return {"loss": loss, **({"accuracy": float(shares.max())} if data.task.kind == "classification" else {})}


__all__ = ["begin", "constant", "data_for", "decodes", "judged", "keep", "placed", "rate", "super_of", "targets"]
