"""What each extra is there for, in a few lines of Python that run where only the wheel and that extra are installed."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SERVE = """
import urllib.request
import luthier as lu
from luthier.serve import Server
study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder="served")
study.run(lambda run: run.config["x"], trials=12)
study.close()
with Server("served", port=0) as server:
    text = urllib.request.urlopen(server.url).read().decode()
    key = text.partition("/studies/")[2].partition('"')[0]
    page = urllib.request.urlopen(f"{server.url}studies/{key}").read()
assert b"trials-table" in page and "served" in text
"""
BENCH = """
import h5py, onnxruntime, xgboost
import luthier as lu
study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random")
study.run(lambda run: run.config["x"], trials=3)
study.export("trials.parquet")
"""
DOCS = f"""
import os, subprocess, sys
command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", {str(ROOT / "mkdocs.yml")!r}]
subprocess.run([*command, "-d", os.path.abspath("site")], check=True)
subprocess.run([sys.executable, {str(ROOT / "tools" / "check_links.py")!r}, "--site", "site"], check=True)
"""
BOTORCH = """
import luthier as lu
study = lu.Study(lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1)), searcher="botorch")
found = study.run(lambda run: (run.config["x"] - 0.3) ** 2 + (run.config["y"] - 0.6) ** 2, trials=25)
assert found.best.metrics["loss"] < 0.01, found
"""
RAY = """
import luthier as lu
study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder="study")
study.run(lambda run: run.config["x"], trials=4, workers=2, executor="ray")
assert [trial.status.value for trial in study.trials] == ["completed"] * 4
"""
SLURM = """
import luthier as lu
study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder="study")
study.run(lambda run: run.config["x"], trials=2, executor={"name": "slurm", "cluster": "local"})
assert [trial.status.value for trial in study.trials] == ["completed"] * 2
"""
POSTGRES = """
import luthier as lu
from luthier.testing import postgres
if postgres.missing() is None:
    with postgres.Server() as server, lu.Study({"x": lu.Float(0, 1)}, searcher="random", storage=server.new()) as study:
        study.run(lambda run: run.config["x"], trials=4)
        assert len(study.trials) == 4
else:
    import psycopg
"""
OPT = "import cmaes, pymoo"
MODEL = """
import subprocess, sys, torch, transformers
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32, "vocab_size": 256}
heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256}
torch.manual_seed(0)
config = transformers.LlamaConfig(**sizes, **heads, bos_token_id=0, eos_token_id=0, pad_token_id=0)
model = transformers.LlamaForCausalLM(config).eval()
"""
LLM = (
    MODEL
    + """
model.save_pretrained("model")
subprocess.run([sys.executable, "-m", "luthier", "shrink", "inspect", "model"], check=True)
"""
)
EVAL = (
    MODEL
    + """
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from luthier.shrink import Question, score_choices
from luthier.shrink.choices import harness
letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
rest = [b for b in range(256) if b not in letters]
written = {**{b: chr(b) for b in letters}, **{b: chr(256 + i) for i, b in enumerate(rest)}}
made = Tokenizer(models.BPE(vocab={written[b]: b for b in range(256)}, merges=[]))
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token=written[0], eos_token=written[0])
asked = [Question(f"Question {i}\\nAnswer:", ("pull it", "push", "wait"), i % 3) for i in range(30)]
own, theirs = score_choices(model, asked), harness(model, tokenizer, asked)
assert abs(own.accuracy - theirs["acc"]) < 1e-9, (own, theirs)
"""
)
#: Every example of examples/integrations; that of transformers where it is installed: the extra does not bring it.
INTEGRATIONS = f"""
import importlib.util, pathlib, subprocess, sys
more = {{"hydra_sweeper": ["--multirun", "hydra/sweeper=luthier"]}}
examples = sorted(pathlib.Path({str(ROOT / "examples" / "integrations")!r}).glob("*.py"))
ran = []
for example in examples:
    if example.stem == "transformers_trainer" and importlib.util.find_spec("transformers") is None:
        continue
    folder = pathlib.Path(example.stem)
    folder.mkdir()
    done = subprocess.run([sys.executable, str(example), *more.get(example.stem, [])], cwd=folder,
                          capture_output=True, text=True)
    assert done.returncode == 0, (example.stem, done.stdout, done.stderr)
    ran.append(example.stem)
assert len(ran) >= 7, ran
"""
TEST = """
import subprocess, sys
for command in (["pytest", "--version"], ["ruff", "--version"], ["mypy", "--version"]):
    subprocess.run([sys.executable, "-m", *command], check=True)
"""
ALL = (SERVE, BENCH, OPT, POSTGRES, SLURM, BOTORCH, RAY, LLM, EVAL, INTEGRATIONS)
#: Programs of an extra, one after another, each in a process and a folder of its own.
SMOKE: dict[str, tuple[str, ...]] = {
    "serve": (SERVE,),
    "bench": (BENCH,),
    "opt": (OPT,),
    "postgres": (POSTGRES,),
    "slurm": (SLURM,),
    "docs": (DOCS,),
    "botorch": (BOTORCH,),
    "ray": (RAY,),
    "llm": (LLM,),
    "eval": (EVAL,),
    "integrations": (INTEGRATIONS,),
    "test": (TEST, BENCH, SERVE, LLM),
    "all": ALL,
}
