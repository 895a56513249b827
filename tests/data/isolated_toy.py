"""A benchmark that is not luthier's, for any Python from 3.6 on: what it does to its process is a hyperparameter."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time

DEEDS = ["answer", "print", "diverge", "raise", "exit", "die", "fault", "leave", "hang", "deaf", "eat", "killed"]
DEEDS += ["once", "odd"]


def open_toy(note="", mark="", batch=False):
    """What the worker calls."""
    if note == "broken":
        raise RuntimeError("no such data")
    if note == "slow":
        time.sleep(60)
    if note == "vague":
        return Vague()
    return BatchToy(mark) if batch else Toy(mark)


class Vague:
    """Describes nothing."""

    def describe(self):
        return {}

    def evaluate(self, config, resource, seed):
        return {}


class Toy:
    """Answers x squared, or misbehaves."""

    def __init__(self, mark):
        self.mark, self.asked = mark, 0

    def describe(self):
        hyperparameters = [
            {"name": "x", "type": "float", "low": -1.0, "high": 1.0},
            {"name": "does", "type": "choice", "values": DEEDS},
        ]
        return {
            "space": {"hyperparameters": hyperparameters},
            "fidelity": ["epoch", 1, 4],
            "objectives": [["loss", "min"]],
            "constraints": [["size", 1.0]],
            "card": {"source": "a test", "licence": "none", "description": "x squared", "checksum": {"file": "0" * 64}},
            "bounds": {"loss": [0.0, 1.0]},
            "trains": False,
            "continues": False,
        }

    def evaluate(self, config, resource, seed):
        self.asked += 1
        deed = getattr(self, config["does"], None)
        if deed is not None:
            deed()
        metrics = {"loss": config["x"] ** 2 / resource, "size": 0.5}
        if config["does"] == "diverge":
            metrics["loss"] = math.nan
        if config["does"] == "odd":
            return {"metrics": metrics, "status": "great"}
        info = {"python": list(sys.version_info[:2]), "asked": self.asked, "threads": os.environ["OMP_NUM_THREADS"]}
        return {"metrics": metrics, "seconds": 2.0 * resource, "info": info}

    def print(self):
        print("printed")
        os.write(1, b"written\n")
        subprocess.check_call([sys.executable, "-c", "print('printed by a child')"])
        assert sys.stdin.read() == ""

    def exit(self):
        sys.exit("enough")

    def die(self):
        sys.stderr.write("last words\n")
        os._exit(3)

    def fault(self):
        ctypes.string_at(0)

    def hang(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(self.mark, "a") as file:
            file.write(str(child.pid) + "\n")
        time.sleep(600)

    def deaf(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(600)

    def eat(self):
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1 << 16) * 64))

    def leave(self):
        """A child goes on and holds whatever this process had open."""
        if os.fork() == 0:
            time.sleep(600)
        os._exit(4)

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def once(self):
        """Killed from outside the first time, well the second."""
        if not os.path.exists(self.mark):
            open(self.mark, "w").close()
            self.killed()


def _raise(self):
    raise ValueError("this configuration is ill")


setattr(Toy, "raise", _raise)  # a word that Python keeps for itself


class BatchToy(Toy):
    """Answers many at once."""

    def evaluate_batch(self, configs, resource, seed):
        found = [self.evaluate(config, resource, seed) for config in configs]
        for one in found:
            one["info"]["batch"] = len(configs)
        return found
