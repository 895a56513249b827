"""What gradients of hyperparameters are worth: cleaning labels, tuning at equal time, 10 000 hyperparameters, a cell.

    python benchmarks/gradients.py [clean] [tune] [remedies] [many] [cell] [report] [picture]

Parts, all by default; cells that are done are read from docs/results/gradients/, so that the script can be stopped and
started again.

clean: digits, 700 training rows of which 30 % have a wrong label, 700 clean validation rows, 397 test rows. Softmax
regression; a weight for each training row is tuned in 40 outer steps of 60 inner ones. Seeds 3 to 12 (0 to 2 were
looked at while the setting was chosen). The best network by validation loss is judged; then one that is trained on
validation rows too, which is what one would use.
tune: a tanh network of 3 layers; a weight decay for each and a learning rate schedule of four knots are tuned for
validation loss by random, cqr, gp, gradients, gradients that follow half of the validation rows, drawn anew for each
outer step ("halves"; all rows choose the best step), and gradients that refine what cqr found in half of the time. Each
gets 5 seconds of one core: processor time, for the machine is shared; halves get as many steps as gradients made.
Judged by the test loss of the best by validation. Halves were chosen among remedies against overfitting on seeds 100
to 103, where they had the lowest mean test loss over the data sets; the judged seeds are 0 to 9.
remedies: what was tried against overfitting the validation rows, on the same problems with other seeds: 40 outer steps
that follow all validation rows, one half of them (the other half chooses the best step), or another half each step.
many: 10 000 hyperparameters, one weight for each of 10 000 rows, of which each method computes one hypergradient in a
process of its own: seconds beside plain training, most memory.
cell: operations of a cell chosen by one-step gradients on digits, trained from the start, beside random choices.
"""

from __future__ import annotations

import argparse
import json
import warnings

from _gradients_cells import COMPUTE, FOLDER, cells, one_of_many
from _gradients_report import picture, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["clean", "many", "cell", "tune", "remedies", "report"])
    parser.add_argument("--one", help="of part many: compute one method here and print it")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # "unreliable" is a column
    if given.one:
        print(json.dumps(one_of_many(given.one)))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in given.parts:
        if part in ("report", "picture"):
            report(__doc__ or "") if part == "report" else picture()
            continue
        path = FOLDER / f"{part}.json"
        done = json.loads(path.read_text()) if path.exists() else {}
        for name, what in cells(part):
            if name not in done:
                done[name] = COMPUTE[part](what)
                path.write_text(json.dumps(done, indent=1) + "\n")
                print(part, name, done[name], flush=True)


if __name__ == "__main__":
    main()
