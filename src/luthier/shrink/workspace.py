"""The folder of one compression: what was decided at each step, so that every step can go on where it was stopped.

run/config.json       model, data, space and what else was given
run/rank.json         importance, and the order that the weights are in
run/train/            checkpoints of the super-network's training
run/super/            the trained super-network, a plain folder of transformers, and where it comes from
run/search/study.db   the search; others are beside it, as search-random; run/front.json: what the last one has found
run/children/         extracted sub-networks
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import transformers

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, LuthierWarning
from luthier.base.files import new_folder, write_text
from luthier.nets.families import family_of
from luthier.shrink._fits import check_length
from luthier.shrink._permute import Order
from luthier.shrink._torch import torch
from luthier.shrink.extraction import ABOUT, extract
from luthier.shrink.front import Front
from luthier.shrink.importance import Ranking
from luthier.shrink.reading import read_data
from luthier.shrink.spaces import NetSpace, preset
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Data, Task

CONFIG, RANK, FRONT = "config.json", "rank.json", "front.json"


def open_model(folder: str | Path, task: Task | None = None, *, seed: int = 0) -> Any:
    """A model of transformers from a local folder, with the head that a task needs, in single precision.

    Half precision is emulated on processors, slowly; and where weights learn, a step of AdamW is often less than what
    it can tell apart.

    Args:
        folder: Its folder.
        task: What it is for; None: the class that its configuration names. A classifier's head for another number of
            answers is replaced by a new one.
        seed: Of a head that the checkpoint lacks.

    Raises:
        ArgumentError: there is no model, or its weights are not of the sizes that its configuration names.
    """
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise ArgumentError(f"model {str(folder)!r}: no config.json. Allowed: a local folder of transformers.")
    config = transformers.AutoConfig.from_pretrained(place, local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cls, more = _class(config, task)
        model, told = cls.from_pretrained(place, local_files_only=True, output_loading_info=True, **more)
    replaced = {key if isinstance(key, str) else key[0] for key in told["mismatched_keys"]}
    trunk = sorted(key for key in replaced if key.startswith(f"{model.base_model_prefix}."))
    if trunk:
        raise ArgumentError(f"model {str(folder)!r}: {trunk[0]} has another shape than config.json says.")
    if replaced and task is not None:
        warnings.warn(
            f"model {str(folder)!r}: its head has another number of answers than the {task.labels} of the data, and a "
            "new one takes its place.",
            LuthierWarning,
            stacklevel=2,
        )
    if task is not None and task.kind != "lm":
        _fit_task(model.float(), task, {*told["missing_keys"], *replaced})
    return model.float().eval()


def _fit_task(model: Any, task: Task, new: set[str]) -> None:
    """What a classifier's configuration says of its answers and its padding; a new head begins where it should."""
    if task.kind == "regression":
        _centred(model, new, task.centre)
    if task.names:
        model.config.id2label = dict(enumerate(task.names))
        model.config.label2id = {name: i for i, name in enumerate(task.names)}
    own = getattr(model.config, "pad_token_id", None)
    if task.pad is not None and (own is None or family_of(model.config).causal):
        model.config.pad_token_id = task.pad
    elif own is None:
        model.config.pad_token_id = 0


def _centred(model: Any, missing: Iterable[str], centre: float) -> None:
    """Begin a head that is new at the labels' mean: with steps of 1e-4 its bias would take thousands to get there."""
    for name, parameter in model.named_parameters():
        if name in missing and name.endswith("bias") and parameter.numel() == 1:
            with torch.no_grad():
                parameter.fill_(centre)


def _class(config: Any, task: Task | None) -> tuple[Any, dict[str, Any]]:
    named = [getattr(transformers, name, None) for name in config.architectures or []]
    if task is None:
        return (named[0] if named and named[0] is not None else transformers.AutoModel), {}
    if task.kind == "lm":
        return transformers.AutoModelForCausalLM, {}
    more: dict[str, Any] = {"num_labels": task.labels, "ignore_mismatched_sizes": True}
    return transformers.AutoModelForSequenceClassification, more


def checked_device(name: str) -> str:
    """A device of torch that is there.

    Raises:
        ArgumentError: it is not.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip().splitlines()[0]
        raise ArgumentError(
            f"device={name!r}: torch cannot use it ({told}). Allowed: cpu, or one that is there."
        ) from None
    return name


class Workspace:
    """One compression's folder.

    Args:
        folder: Where it lies.
        config: What was given; None: read it.
        device: Of torch, where models are put; not kept.

    Raises:
        ArgumentError: the folder holds another run, or none.
    """

    def __init__(self, folder: str | Path, config: Mapping[str, Any] | None = None, *, device: str = "cpu") -> None:
        self.folder = Path(folder)
        self.device = checked_device(device)
        path = self.folder / CONFIG
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if known is None and config is None:
            raise ArgumentError(f"{self.folder}: no run there. Begin one: luthier shrink train MODEL -d FILE -o RUN.")
        made = {p.name for p in self.folder.iterdir() if p.name[0] != "."} if self.folder.is_dir() else set()
        if config is not None and made <= {CONFIG}:
            known = None  # nothing was made of it yet: a wrong file may be put right
        self.config: dict[str, Any] = dict(known or {})
        free = () if made & {"train", "super"} else ("space", "multiple")  # a ranking holds for every space
        self.agree(**{name: value for name, value in (config or {}).items() if name not in free})
        self.folder.mkdir(parents=True, exist_ok=True)
        if config is not None:
            self.remember(**config)

    def agree(self, **given: Any) -> None:
        """Refuse what the run was begun with otherwise.

        Raises:
            ArgumentError: naming the first such setting.
        """
        for name, value in given.items():
            if name in self.config and self.config[name] != value:
                raise ArgumentError(
                    f"{self.folder}: was begun with {name}={self.config[name]!r}, now it is {value!r}. Allowed: the "
                    "same, or another folder."
                )

    def remember(self, **more: Any) -> None:
        """Keep a decision."""
        if {**self.config, **more} != self.config:
            self.config.update(more)
            write_text(self.folder / CONFIG, json.dumps(self.config, indent=1) + "\n")

    def data(self) -> Data:
        """The task and its data."""
        c = self.config
        sizes = {"size": c["batch"], "length": c["length"], "seed": c["seed"], "classes": c.get("classes")}
        columns: dict[str, Any] = {"texts": c.get("texts"), "label": c.get("label"), "kind": c.get("kind")}
        columns = {name: value or "" for name, value in columns.items()}
        found = read_data(c["data"], c["model"], **sizes, **columns)
        kept: dict[str, Any] = {"kind": found.task.kind} if found.task.kind != "lm" else {}
        if found.task.names:
            kept["classes"] = list(found.task.names)  # every step of a run answers in the same order
        new = {name: value for name, value in kept.items() if name not in c}
        if new:
            self.remember(**new)
        return found

    def model(self, task: Task) -> Any:
        """The model that the run began with."""
        model = open_model(self.config["model"], task, seed=self.config["seed"])
        check_length(model, self.config["length"])
        return model.to(self.device)

    @property
    def trained(self) -> bool:
        """Whether the super-network is there."""
        return (self.folder / "super" / "config.json").is_file()

    def ranking(self) -> Ranking | None:
        """Importance, if it was measured."""
        path = self.folder / RANK
        if not path.is_file():
            return None
        return Ranking.from_json(json.loads(path.read_text(encoding="utf-8"))["ranking"])

    def write_ranking(self, ranking: Ranking, order: Order) -> None:
        """Keep importance, and the order that follows from it.

        Raises:
            ArgumentError: something was made in another order already: what its trials name would be others.
        """
        made = [name for name in ("train", "super", "search") if (self.folder / name).exists()]
        old = self.ranking()
        if made:
            if old is None or old.layer_order != ranking.layer_order or self._order() != order:
                raise ArgumentError(
                    f"{self.folder}: holds {' and '.join(made)}, made in another order of the units: names of "
                    "sub-networks there would mean others here. Allowed: the same ranking, or another folder (--out)."
                )
            return
        write_text(self.folder / RANK, json.dumps({"ranking": ranking.to_json(), "order": order.to_json()}) + "\n")

    def _order(self) -> Order:
        return Order.from_json(json.loads((self.folder / RANK).read_text(encoding="utf-8"))["order"])

    def ordered(self, net: SuperNet, data: Data) -> SuperNet:
        """Put the super-network's units in the order that was kept."""
        ranking = self.ranking()
        if ranking is not None:
            net.permute_(self._order(), data.calibration(2))
            net.ranking = ranking.layer_order
        return net

    def provenance(self) -> dict[str, Any]:
        """What this run adds to where a model of it comes from: data and seed, and how its units were ranked."""
        names = ("data", "seed", "texts", "label", "kind")
        found: dict[str, Any] = {"trained_on": [{n: self.config[n] for n in names if n in self.config}]}
        path = self.folder / RANK
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            found["order"] = kept["order"]
            found["importance"] = {"method": kept["ranking"]["method"], "layers": kept["ranking"]["layers_by"]}
        return found

    def save_super(self, net: SuperNet) -> None:
        """Write the trained super-network, and where it comes from; it is there as a whole, or not."""
        with new_folder(self.folder / "super") as draft:
            net.model.save_pretrained(draft)
            (draft / ABOUT).write_text(json.dumps(self.provenance(), indent=1) + "\n", encoding="utf-8")

    def supernet(self) -> SuperNet:
        """The trained super-network, its weights in their order.

        Raises:
            ArgumentError: it is not trained yet.
        """
        if not self.trained:
            raise ArgumentError(f"{self.folder}: the super-network is not trained. luthier shrink train ... --out RUN.")
        net = SuperNet.from_model(open_model(self.folder / "super", None).to(self.device))
        ranking = self.ranking()
        net.ranking = () if ranking is None else ranking.layer_order
        return net

    def space(self, net: SuperNet) -> NetSpace:
        """The space that was chosen."""
        found = preset(net.sizes, self.config["space"], ranking=net.ranking, multiple=self.config["multiple"])
        found.check_empty()
        return found

    def front(self) -> Front:
        """What the search has found."""
        return Front.read(self.folder / FRONT)


def defaults(**given: Any) -> dict[str, Any]:
    """What a run's configuration has where nothing is given; paths are made absolute."""
    found: dict[str, Any] = {"space": "small", "batch": 16, "length": 64, "multiple": 8, "seed": 0}
    found |= {name: value for name, value in given.items() if value is not None}
    for name in ("model", "data"):
        if name in found:
            found[name] = str(Path(found[name]).resolve())
    found["batch"] = check("batch", found["batch"], at_least=1, whole=True)
    found["length"] = check("length", found["length"], at_least=2, whole=True)
    return found


def scratch(net: SuperNet, spec: SubNetSpec, *, seed: int = 0, task: Task | None = None) -> Any:
    """A model of a sub-network's shape with fresh weights: the control that has learnt nothing before.

    Args:
        net: The super-network.
        spec: Whose shape.
        seed: Of the weights.
        task: What it is for; the head of a regression begins at the labels' mean, as new heads do elsewhere.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(net.model)(net.model.config).eval().to(next(net.model.parameters()).device)
    if task is not None and task.kind == "regression":
        _centred(fresh, [name for name, _ in fresh.named_parameters()], task.centre)
    return extract(SuperNet.from_model(fresh), spec).model
