"""MMLU and PIQA on a small decoder and on sub-networks of it, beside its loss: what they can tell at this size."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from _shrink_runner import append
from _shrink_start import SPECIES, data_of, read
from transformers import LlamaConfig, LlamaForCausalLM

from luthier.shrink import SuperNet, preset, rank_units, read_questions, score_choices, search
from luthier.shrink.extraction import cut

TARGETS = (0.25, 0.5, 0.75)


def run(start: Path, trained: Path, text: str, tables: str, out: Path, *, limit: int, evals: int) -> None:
    """Score, and append lines.

    Args:
        start: Weights of the decoder before compression.
        trained: Weights of the super-network.
        text: Folder of the texts.
        tables: Folder of the questions.
        out: Lines.
        limit: Questions of each table.
        evals: Of the search.
    """
    torch.set_num_threads(1)
    data = data_of("decoder", 0, text, "", 32, 128, "cpu", 32, 2)
    model: Any = LlamaForCausalLM(LlamaConfig(**SPECIES)).eval()  # type: ignore[arg-type]
    whole = copy.deepcopy(model)
    read(model, start)
    read(whole, trained)
    net = SuperNet.from_model(whole)
    ranking = rank_units(net, data.calibration(2))
    front = search(net, preset(net.sizes, "small", ranking=ranking.layer_order), data, evals=evals, seed=0)
    models = {"start": model, "super-network, whole": whole}
    for share in TARGETS:
        models[f"sub-network {share:g}"] = cut(net, front.select(max_params=share).spec).eval()
    for table in ("piqa_valid.parquet", "mmlu.parquet"):
        asked = read_questions(Path(tables) / table, limit=limit, seed=0)
        for name, one in models.items():
            told = score_choices(one, asked, rows=8)
            loss = data.task.evaluate(one, data.test)["loss"]
            append(out, {"key": f"choices/{table}/{name}", "table": table.partition(".")[0], "model": name,
                         "loss": loss,
                         "parameters": sum(p.numel() for p in one.parameters()), "accuracy": told.accuracy,
                         "normalised": told.normalised, "low": told.low, "high": told.high, "chance": told.chance,
                         "questions": told.questions, "beyond_chance": told.beyond_chance})  # fmt: skip
            print(table, name, f"loss {loss:.3f}", told, flush=True)
