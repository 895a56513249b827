"""Makes `foreign/syne_tune/`: a tiny Syne Tune experiment, run by Syne Tune itself.

Not run by the tests. In an environment of its own: `pip install syne-tune`, then `python make_syne_tune_fixture.py`.
Made with syne-tune 0.16.0. What luthier reads of the tuner's folder is kept: the results, the metadata, and each
trial's configuration with the marks `end` and `stop`; the trials' output is left out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import textwrap
from pathlib import Path

HOME = tempfile.mkdtemp()
os.environ["SYNETUNE_FOLDER"] = HOME  # read when syne_tune is imported

from syne_tune import StoppingCriterion, Tuner  # noqa: E402
from syne_tune.backend import LocalBackend  # noqa: E402
from syne_tune.config_space import choice, loguniform, randint  # noqa: E402
from syne_tune.optimizer.baselines import ASHA  # noqa: E402

TRAIN = """
    import argparse, time
    from syne_tune import Reporter

    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    parser.add_argument("--width", type=int)
    parser.add_argument("--act", type=str)
    parser.add_argument("--epochs", type=int)
    given, _ = parser.parse_known_args()
    if given.act == "elu" and given.width > 40:
        raise RuntimeError("no memory left")
    report = Reporter()
    for epoch in range(1, given.epochs + 1):
        time.sleep(0.1)
        report(epoch=epoch, accuracy=given.width / 64 - abs(given.lr - 0.01) - 0.5 / epoch, cost=float(given.width))
"""


def main() -> None:
    """Run the experiment and copy what is wanted."""
    script = Path(HOME) / "train.py"
    script.write_text(textwrap.dedent(TRAIN), encoding="utf-8")
    space = {
        "lr": loguniform(1e-4, 1e-1),
        "width": randint(8, 64),
        "act": choice(["relu", "gelu", "elu"]),
        "epochs": 9,
    }
    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(script)),
        scheduler=ASHA(
            space, metric="accuracy", do_minimize=False, time_attr="epoch", max_t=9, grace_period=1, random_seed=3
        ),
        stop_criterion=StoppingCriterion(max_num_trials_finished=9),
        n_workers=2,
        sleep_time=0.05,
        max_failures=9,
        tuner_name="tiny",
        suffix_tuner_name=False,
        save_tuner=False,
    )
    tuner.run()
    made, kept = Path(tuner.tuner_path), Path(__file__).parent / "foreign" / "syne_tune"
    shutil.rmtree(kept, ignore_errors=True)
    wanted = {"results.csv.zip", "metadata.json", "config.json", "end", "stop"}
    for path in (path for path in made.rglob("*") if path.name in wanted):
        copy = kept / path.relative_to(made)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


if __name__ == "__main__":
    main()
