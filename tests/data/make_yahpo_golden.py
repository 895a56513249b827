"""Makes yahpo_golden.json: random configurations of every YAHPO scenario and what its network says of them.

    LUTHIER_DATA=... python tests/data/make_yahpo_golden.py

Nothing of luthier is used: the published JSON files are read as they are, the inputs are laid out by hand, and
onnxruntime is called with its defaults on one row at a time. Values of continuous inputs are rounded, so that the file
says exactly what was asked. The numbers are outputs of the networks in GitHub slds-lmu/yahpo_data (Apache-2.0).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

ROWS = 6


def drawn(entry, rng):
    """A value of a hyperparameter, as the published space describes it."""
    if entry["type"] == "categorical":
        return entry["choices"][int(rng.integers(len(entry["choices"])))]
    low, high = entry["lower"], entry["upper"]
    value = float(np.exp(rng.uniform(np.log(low), np.log(high)))) if entry["log"] else float(rng.uniform(low, high))
    if entry["type"] == "uniform_int":
        return min(max(round(value), low), high)
    return min(max(float(f"{value:.6g}"), low), high)


def holds(condition, config):
    """Whether a condition of the published space holds."""
    given = config.get(condition["parent"])
    return given in condition["values"] if condition["type"] == "IN" else given == condition["value"]


def rows_of(folder, rng):
    """Configurations of a scenario, each with its task, its fidelity and all targets."""
    meta, encoding, space = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("meta", "encoding", "config_space")
    )
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    entries = {entry["name"]: entry for entry in space["hyperparameters"]}
    found = []
    for _ in range(ROWS):
        config = {name: drawn(entry, rng) for name, entry in entries.items()}
        for other in meta["fidelity"][1:]:
            config[other] = entries[other]["upper"]  # luthier's readers ask for all repetitions
        for _ in entries:  # a parent may itself be inactive
            for condition in space.get("conditions", []):
                if not holds(condition, config):
                    config.pop(condition["child"], None)
        cat = np.array([[encoding[name][config.get(name, "#na#")] for name in meta["x_cat"]]], dtype=np.int32)
        cont = np.array([[config.get(name, 0.0) for name in meta["x_cont"]]], dtype=np.float32)
        [values] = session.run(None, {"x_cat": cat, "x_cont": cont})[0].tolist()
        task = config.pop(meta["instance_name"])
        fidelity = {name: config.pop(name) for name in meta["fidelity"]}
        found.append({
            "task": task, "fidelity": fidelity, "config": config,
            "values": {name: float(f"{value:.7g}") for name, value in zip(meta["targets"], values, strict=True)},
        })  # fmt: skip
    return found


def main():
    base = Path(os.environ["LUTHIER_DATA"]) / "yahpo"
    rng = np.random.default_rng(20211)
    found = {}
    for folder in sorted(path.parent for path in base.glob("*/model.onnx")):
        sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        found[folder.name] = {"sha256": sha256, "rows": rows_of(folder, rng)}
    about = {
        "source": "outputs of the networks in GitHub slds-lmu/yahpo_data, commit efdab9072f63 (Apache-2.0)",
        "onnxruntime": onnxruntime.__version__,
        "scenarios": found,
    }
    Path(__file__).with_name("yahpo_golden.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
