"""One bad candidate costs one candidate: a whole campaign on Ray workers in which genomes misbehave in every way."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from evosparse import Campaign, Stop
from evosparse.cli import app
from evosparse.engine.spec import CampaignSpec, parse
from evosparse.engine.store import Store
from evosparse.errors import CampaignFailed
from evosparse.masks import Mask

PLUGIN = '''
import os
import signal

from evosparse.masks import TrainedFitness

KINDS = ("raise", "nan", "keys", "hang", "allocate", "kill")


def kind_of(mask):
    """The way in which a genome misbehaves; most behave."""
    number = int(mask.key, 16) % 17
    return KINDS[number] if number < len(KINDS) else ""


class Trap(TrainedFitness):
    def __init__(self, armed: bool) -> None:
        super().__init__(epochs=1)
        self.armed = armed

    def evaluate(self, genomes, seeds):
        kinds = [kind_of(mask) if self.armed else "" for mask in genomes]
        for kind in kinds:
            if kind == "raise":
                raise RuntimeError("this genome is cursed")
            if kind == "hang":
                while True:
                    pass
            if kind == "allocate":
                hoard = []
                while True:
                    hoard.append(bytearray(1 << 24))
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        results = list(super().evaluate(genomes, seeds))
        for index, kind in enumerate(kinds):
            if kind == "nan":
                results[index] = {"accuracy": float("nan")}
            if kind == "keys":
                results[index] = {"acuracy": 0.9}
        return results
'''
EXPECTED = {
    "raise": ("failed", "this genome is cursed"),
    "nan": ("invalid", "finite"),
    "keys": ("invalid", "expected the objectives accuracy, got acuracy"),
    "hang": ("timeout", "did not return"),
    "allocate": ("failed", "memory_gib"),
    "kill": ("crashed", ""),
}


def campaign(armed: bool) -> CampaignSpec:
    return parse(
        {
            "name": "trap",
            "kind": "masks",
            "seed": 490,  # with which one genome of each kind is drawn
            "network": {"name": "mlp", "hidden": [16]},
            "search": {"method": "kstarts", "scope": "global", "k": 20, "sparsity": 0.9},
            "fitness": {"function": "trap.py:Trap", "parameters": {"armed": armed}},
            "evaluation": {"batch": 4, "timeout": 6.0, "retries": 1, "memory_gib": 0.5},
            "examination": {"epochs": 1, "seeds": 1, "baselines": []},
            "hall_of_fame": 20,
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    folder = tmp_path_factory.mktemp("trap")
    (folder / "trap.py").write_text(PLUGIN)
    for armed, workers in ((False, 0), (True, 2)):
        spec = campaign(armed)
        with Campaign.from_spec(spec, folder / f"run-{armed}", folder) as made:
            made.run(workers=workers)
    return {armed: folder / f"run-{armed}" for armed in (False, True)}


def kind_of(mask: Mask) -> str:
    number = int(mask.key, 16) % 17
    return list(EXPECTED)[number] if number < len(EXPECTED) else ""


def test_the_campaign_finishes_and_the_others_are_those_of_a_run_without(runs: dict[bool, Path]) -> None:
    with Store.open(runs[False]) as store:
        without = {c.genome.key: c.outcome for c in store.candidates(decode=Mask.from_bytes)}
    with Store.open(runs[True]) as store:
        assert store.finished
        found = list(store.candidates(decode=Mask.from_bytes))
        members = store.hall_of_fame(Mask.from_bytes)
    kinds = {kind_of(candidate.genome) for candidate in found}
    assert kinds == {"", *EXPECTED}, "the seed must give every kind"
    good = {candidate.genome.key: candidate.outcome for candidate in found if not kind_of(candidate.genome)}
    assert good and all(outcome.measures == without[key].measures for key, outcome in good.items())
    assert {member.genome.key for member in members} == good.keys()


def test_show_tells_why_each_failed(runs: dict[bool, Path]) -> None:
    with Store.open(runs[True]) as store:
        bad = [candidate for candidate in store.candidates(decode=Mask.from_bytes) if kind_of(candidate.genome)]
    for candidate in bad:
        status, message = EXPECTED[kind_of(candidate.genome)]
        assert candidate.outcome.status == status and candidate.outcome.attempts <= 2
        printed = CliRunner().invoke(app, ["show", str(runs[True]), candidate.uid]).output
        assert status in printed and message in printed


def test_a_campaign_whose_candidates_all_fail_says_so(tmp_path: Path) -> None:
    (tmp_path / "all_bad.py").write_text(
        "import evosparse\n\n\n@evosparse.fitness(maximize='x')\ndef bad(mask):\n    raise ValueError('never')\n"
    )
    spec = parse(
        {
            "name": "bad",
            "kind": "masks",
            "search": {"method": "genetic", "population": 4, "elites": 1},
            "fitness": "all_bad.py:bad",
        }
    ).model_copy(update={"stop": Stop(generations=2)})
    with Campaign.from_spec(spec, tmp_path / "run", tmp_path) as made, pytest.raises(CampaignFailed, match="show"):
        made.run(workers=0)
