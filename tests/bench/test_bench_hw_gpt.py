"""Predicted decoders: encodings and networks by hand on a tiny file, and the published predictions."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, ChecksumError, DataMissing
from luthier.base.seeds import generator
from luthier.bench.families import hw_gpt_bench as hw
from luthier.testing.benchmark import check_benchmark

NEEDS_DATA = pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set")
SPACE = {"embed_dim": [192, 384, 768], "n_layer": [2, 3], "mlp_ratio": [2, 3, 4], "n_head": [4, 8, 12],
         "bias": ["True", "False"]}  # fmt: skip


def network(inputs, units, rng):
    sizes = [inputs, units, units, units, units, 1]
    found = {}
    for i in range(5):
        found[f"fc{i + 1}.weight"] = rng.uniform(0, 0.3, (sizes[i + 1], sizes[i])).astype(np.float32)
        found[f"fc{i + 1}.bias"] = rng.uniform(0.5, 1, sizes[i + 1]).astype(np.float32)
    return found


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {}
    for target in hw.TARGETS.values():
        inputs = 3 + 2 + 3 * 3 + 3 * 3 + 2 if target == "perplexity" else 2 + 3 + 3 + 1
        arrays |= {f"{target}/{key}": value for key, value in network(inputs, 6, rng).items()}
    place = tmp_path / "hw_gpt_bench"
    place.mkdir()
    np.savez(place / "gpt_s.npz", **arrays)
    (place / "gpt_s.json").write_text(json.dumps({"space": SPACE}))
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    monkeypatch.setattr(hw, "HASHES", {**hw.HASHES, "s": (None, None)})
    return arrays


def forward(arrays, target, x):
    x = np.array(x, dtype=float)
    for i in range(1, 6):
        x = arrays[f"{target}/fc{i}.weight"] @ x + arrays[f"{target}/fc{i}.bias"]
        x = np.maximum(x, 0) if i < 5 else x
    return x[0]


def test_encodings_by_hand(tiny):
    b = bench.load("hw_gpt_bench/s")
    shape = {"embed_dim": 384, "n_layer": 2, "mlp_ratio": [4, 2], "n_head": [4, 12], "bias": "False"}
    config = hw.configuration(shape)
    assert b.space.check(config) == config
    assert hw.architecture(config) == shape
    nothing = [0, 0, 0]
    one_hot = [0, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, *nothing, 1, 0, 0, 0, 0, 1, *nothing, 0, 1]
    scaled = [1 / 3, 0, 1, 0, -1, 0, 1, -1, 0]
    found = b.evaluate(config).metrics
    assert list(found) == list(hw.TARGETS)
    assert found["perplexity"] == pytest.approx(forward(tiny, "perplexity", one_hot))
    for name in ("params_m", "tflops", "float16_memory_mb", "bfloat16_memory_mb"):
        assert found[name] == pytest.approx(forward(tiny, hw.TARGETS[name], scaled))


def test_layers_beyond_the_depth_are_inactive(tiny):
    space = bench.load("hw_gpt_bench/s").space
    assert "n_head_2" not in space.check({**space.default(), "n_layer": 2}, fill=True)
    assert "n_head_2" in space.check({**space.default(), "n_layer": 3}, fill=True)


def test_battery(tiny):
    check_benchmark(bench.load("hw_gpt_bench/s"))
    check_benchmark(bench.load("hw_gpt_bench/s", objectives="perplexity, tflops, float16_memory_mb"))


def test_reference_is_worse_than_all_it_was_taken_from(tiny):
    b = bench.load("hw_gpt_bench/s")
    found = b.evaluate_batch(b.space.sample(hw._POOL, generator(0, "bench")))
    values = np.array([[one.metrics[o.name] for o in b.objectives] for one in found])
    best = values[values[:, 0].argmin()], values[values[:, 1].argmin()]
    assert (np.array(best) < b.reference).all()
    assert b.reference.tolist() == bench.load("hw_gpt_bench/s").reference.tolist()


def test_refusals(tiny, tmp_path):
    with pytest.raises(ArgumentError, match=r"objectives='params'\. Did you mean 'params_m'\?"):
        bench.load("hw_gpt_bench/s", objectives="params")
    with pytest.raises(ArgumentError, match="one or more metrics, each once"):
        bench.load("hw_gpt_bench/s", objectives="perplexity,perplexity")
    with pytest.raises(ArgumentError, match="has no task 'xl'"):
        bench.load("hw_gpt_bench/xl")
    with pytest.raises(DataMissing, match=r"gpt_m\.npz is not there"):
        bench.load("hw_gpt_bench/m")
    place = tmp_path / "hw_gpt_bench"
    (place / "gpt_m.npz").write_bytes(b"other")
    with pytest.raises(ChecksumError):
        bench.load("hw_gpt_bench/m")
    (place / "gpt_s.json").write_text(json.dumps({"space": {**SPACE, "n_layer": [2, 3, 4]}}))
    with pytest.raises(BenchmarkError, match=r"network of 'perplexity' takes 25 numbers; the space has 32\."):
        bench.load("hw_gpt_bench/s")
    del tiny["flops/fc3.bias"]
    np.savez(place / "gpt_s.npz", **tiny)
    (place / "gpt_s.json").write_text(json.dumps({"space": SPACE}))
    with pytest.raises(BenchmarkError, match=r"lacks the array 'flops/fc3\.bias'\. Fetch the file again\."):
        bench.load("hw_gpt_bench/s")


@NEEDS_DATA
@pytest.mark.parametrize("scale", "sml")
def test_published_predictions(scale):
    b = bench.load(f"hw_gpt_bench/{scale}")
    with open(os.path.join(os.environ["LUTHIER_DATA"], f"hw_gpt_bench/gpt_{scale}.json")) as file:
        golden = json.load(file)["golden"]
    found = b.evaluate_batch([hw.configuration(shape) for shape in golden["architectures"]])
    assert len(found) == 66
    for name, target in hw.TARGETS.items():
        assert [one.metrics[name] for one in found] == pytest.approx(golden["predictions"][target], rel=2e-5)
    check_benchmark(b)


@NEEDS_DATA
@pytest.mark.parametrize("scale", "sml")
def test_predictions_stay_physical(scale):
    b = bench.load(f"hw_gpt_bench/{scale}")
    found = b.evaluate_batch(b.space.sample(2000, generator(1, "bench")))
    for name, (low, high) in b.bounds.items():
        values = [one.metrics[name] for one in found]
        assert low < min(values) <= max(values) < high
        assert math.isinf(high)
