"""Where the time of a campaign goes: the fitness, the search, and everything around them, with the wall time of all.

Each campaign runs in a process of its own, as a user starts it. ``training`` is the time that evaluations took, divided
by the workers; ``search`` is ask, tell and commit; ``ray`` is the rest of the time between asking for evaluations and
having them (starting workers, sending, waiting), ``start`` is the time before: imports, data, the run directory.
With ``--together N`` the same is measured again for N campaigns that are started at once, as users of one machine do.

    EVOSPARSE_DATA=data python experiments/benchmarks/campaign.py experiments/kstarts_mnist.yaml --workers 2
    python experiments/benchmarks/campaign.py experiments/masks_genetic_digits.yaml --workers 1 --together 2 --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

PARTS = ("start", "training", "search", "ray")


def main() -> None:
    """Measure and print, or be one of the campaigns that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a campaign file")
    parser.add_argument("--set", action="append", default=[], help="an override, as of evosparse run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--together", type=int, default=1, help="how many campaigns at once, beside one alone")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.out is not None:
        print(json.dumps(run(options.file, options.set, options.workers, options.out)))
        return
    report: dict[str, object] = {"file": options.file.name, "set": options.set, "workers": options.workers}
    report |= {"cpus": os.cpu_count(), "load": os.getloadavg()}
    # In turns, so that whatever else the machine does falls on both alike.
    rounds = [[start(options, number) for number in sizes(options.together)] for _ in range(options.repeats)]
    alone = [measured for together in rounds for measured in together[0]]
    report["alone"] = summary(alone)
    if options.together > 1:
        beside = [measured for together in rounds for measured in together[1]]
        report[f"{options.together} at once"] = summary(beside)
        report["slower"] = median(one["seconds"] for one in beside) / median(one["seconds"] for one in alone)
    digests = {one["digest"] for one in alone} | {one["digest"] for together in rounds for one in together[-1]}
    print(json.dumps(report | {"digests": sorted(digests), "load_after": os.getloadavg()}, indent=2))


def sizes(together: int) -> list[int]:
    """Return how many campaigns run at once in each part of a round."""
    return [1] if together == 1 else [1, together]


def start(options: argparse.Namespace, number: int) -> list[Mapping[str, object]]:
    """Run campaigns at once, each in its own process, and return what each measured."""
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for index in range(number):
            command = [sys.executable, __file__, str(options.file), "--workers", str(options.workers)]
            command += ["--out", str(Path(folder) / str(index)), *(f"--set={change}" for change in options.set)]
            processes.append((time.perf_counter(), subprocess.Popen(command, stdout=subprocess.PIPE)))
        found = []
        for begun, process in processes:
            output = json.loads(process.communicate()[0].decode().splitlines()[-1])
            found.append(output | {"seconds": time.perf_counter() - begun})
        return found


def summary(runs: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """Return medians over runs, and each run's whole time."""
    parts = {part: round(median(one[part] for one in runs), 2) for part in PARTS}
    seconds = median(one["seconds"] for one in runs)
    shares = {part: round(value / seconds, 3) for part, value in parts.items()}
    return {"seconds": round(seconds, 2), "each": [round(one["seconds"], 2) for one in runs], **parts, "shares": shares}


def run(file: Path, overrides: Sequence[str], workers: int, out: Path) -> Mapping[str, object]:
    """Run one campaign, and tell how long its parts took.

    Only names that every version has are used, so that two versions can be compared by this script.
    """
    begun = time.perf_counter()
    from evosparse.engine.campaign import Campaign
    from evosparse.engine.spec import read

    campaign = Campaign.from_spec(read(file, overrides), out, file.parent.resolve())
    ready = time.perf_counter()
    search = Timer()
    problem, store = campaign.problem, campaign.store
    for thing, name in ((problem.search, "ask"), (problem.search, "tell"), (store, "commit")):
        setattr(thing, name, search.timed(getattr(thing, name)))
    campaign.run(workers=workers)
    done = time.perf_counter()
    evaluated = [candidate.outcome.seconds for candidate in store.candidates()]
    examined = [result.outcome.seconds for result in store.trials()]
    training = sum([*evaluated, *examined]) / max(1, workers)
    digest = store.digest()
    campaign.close()
    rest = done - ready - search.seconds - training
    return {"start": ready - begun, "training": training, "search": search.seconds, "ray": rest, "digest": digest}


class Timer:
    """Adds up the time that functions take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable) -> Callable:
        """Return the function, timed."""

        def call(*arguments: object) -> object:
            begun = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - begun

        return call


if __name__ == "__main__":
    main()
