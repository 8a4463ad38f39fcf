"""Genomes that express the same are evaluated alike, once, and yet kept each with its own genes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign_toys import Bits, BitsKind, BitsProblem, Counting
from phenotype_toys import Spelling, SpellingProblem

from evosparse.engine.campaign import Campaign
from evosparse.engine.candidate import Candidate, expressed
from evosparse.engine.evaluate import Job
from evosparse.engine.listeners import Listener
from evosparse.engine.records import EncodedGenome
from evosparse.engine.spec import Evaluation
from evosparse.engine.store import Store
from evosparse.errors import StoreError

CACHED = Evaluation(workers=0, batch=4)
UNCACHED = Evaluation(workers=0, batch=4, cache=False)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evosparse.engine.problem.kinds", lambda: {"bits": BitsKind()})


def finished(
    problem: BitsProblem, folder: Path, evaluation: Evaluation = CACHED, generations: int = 8
) -> list[Candidate]:
    """Run a campaign to its end, and return all its candidates as the database holds them."""
    with Campaign(problem, out=folder, evaluation=evaluation) as campaign:
        campaign.run(generations)
        return list(campaign.store.candidates(decode=problem.stage.genomes.from_bytes))


def digest_of(folder: Path) -> str:
    with Store.open(folder) as store:
        return store.digest()


def test_the_key_of_an_evaluation_is_that_of_what_is_expressed() -> None:
    one, silent, other = Spelling(3, 1), Spelling(3, 2), Spelling(4, 1)
    assert one.key != silent.key and Job.of(one, 7).seed == Job.of(silent, 7).seed != Job.of(other, 7).seed
    assert Job.of(one, 7).genome != Job.of(silent, 7).genome


def test_a_genome_without_a_phenotype_expresses_itself_and_one_with_is_not_asked_for_its_key() -> None:
    class Keyless(Spelling):
        @property
        def key(self) -> str:
            raise AssertionError("computed for nothing")

    assert expressed(Bits(3)) == Bits(3).key
    assert expressed(EncodedGenome("k", b"")) == "k"
    assert expressed(Keyless(3, 1)) == Spelling(3, 2).phenotype


def test_a_fault_inside_a_phenotype_is_not_taken_for_its_absence() -> None:
    class Faulty(Spelling):
        @property
        def phenotype(self) -> str:
            return self.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        expressed(Faulty(1, 2))


def test_with_the_cache_equal_phenotypes_are_evaluated_once(tmp_path: Path) -> None:
    counting = Counting()
    candidates = finished(SpellingProblem(counting), tmp_path / "run")
    assert Counter(counting.asked) == dict.fromkeys((one.genome.value for one in candidates), 1)
    assert len(counting.asked) < len({one.genome.key for one in candidates})


def test_without_the_cache_equal_phenotypes_have_outcomes_equal_to_the_bit(tmp_path: Path) -> None:
    candidates = finished(SpellingProblem(), tmp_path / "uncached", UNCACHED)
    measured = {(one.genome.value, one.outcome.measures["noisy"].hex()) for one in candidates}
    assert len(measured) == len({one.genome.value for one in candidates}) < len({one.genome.key for one in candidates})
    assert not any(one.outcome.cached for one in candidates)
    finished(SpellingProblem(), tmp_path / "cached")
    assert digest_of(tmp_path / "cached") == digest_of(tmp_path / "uncached")


def test_a_resumed_campaign_evaluates_no_phenotype_twice(tmp_path: Path) -> None:
    known = {one.genome.value for one in finished(SpellingProblem(Counting()), tmp_path / "run", generations=1)}
    counting = Counting()
    with Campaign.resume(tmp_path / "run", problem=SpellingProblem(counting)) as resumed:
        resumed.run(30)
        found = {one.genome.value for one in resumed.store.candidates(decode=Spelling.from_bytes)}
    assert sorted(counting.asked) == sorted(found - known) != []


def test_silent_genes_survive_the_store_and_a_resumed_campaign_goes_on_from_them(tmp_path: Path) -> None:
    proposed: dict[str, Spelling] = {}

    class Watching(Listener):
        def generation(self, campaign: Campaign, candidates: list[Candidate]) -> None:
            proposed.update({one.uid: one.genome for one in candidates})

    with Campaign(SpellingProblem(), out=tmp_path / "parts", evaluation=CACHED) as campaign:
        campaign.run(1, listener=Watching())
    for generations in range(2, 9):
        with Campaign.resume(tmp_path / "parts", problem=SpellingProblem()) as campaign:
            campaign.run(generations, listener=Watching())
    with Store.open(tmp_path / "parts") as store:
        assert {one.uid: one.genome for one in store.candidates(decode=Spelling.from_bytes)} == proposed
    finished(SpellingProblem(), tmp_path / "whole")
    assert digest_of(tmp_path / "parts") == digest_of(tmp_path / "whole")


@pytest.mark.parametrize("objectives", [{"ones": "max"}, {"ones": "max", "value": "min"}])
def test_the_hall_of_fame_holds_each_phenotype_once(tmp_path: Path, objectives: dict[str, str]) -> None:
    class Both(Counting):
        def evaluate(self, genomes: list[Spelling], seeds: list[object]) -> list[dict[str, float]]:
            return [{"ones": genome.value.bit_count(), "value": genome.value} for genome in genomes]

    fitness = Both()
    fitness.objectives = objectives
    finished(SpellingProblem(fitness), tmp_path / "run")
    with Campaign.resume(tmp_path / "run", problem=SpellingProblem(fitness)) as resumed:
        resumed.run(12)
        values = [member.genome.value for member in resumed.hall_of_fame]
    assert len(values) == len(set(values)) > 1


def test_the_cache_of_a_resumed_campaign_decodes_no_genome_that_expresses_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(BitsProblem(), tmp_path / "run", generations=4)
    decoded: list[bytes] = []
    monkeypatch.setattr(Bits, "from_bytes", _counted(decoded, Bits.from_bytes))
    with Campaign.resume(tmp_path / "run") as resumed:
        several = len(resumed.hall_of_fame) + len(resumed.problem.search.population)
        known = len(resumed.store.outcomes())
    assert len(decoded) <= several < known


def test_a_damaged_genome_is_refused_when_its_phenotype_is_asked_for(tmp_path: Path) -> None:
    finished(SpellingProblem(), tmp_path / "run", generations=1)

    def refuse(data: bytes) -> Spelling:
        raise ValueError("these are no genes")

    with Store.open(tmp_path / "run") as store:
        assert len(store.outcomes()) == 12
        with pytest.raises(StoreError, match=r"a genome of this kind .* these are no genes"):
            store.outcomes(refuse)


def _counted(asked: list[bytes], decode: Callable[[bytes], Bits]) -> Callable[[bytes], Bits]:
    def counted(data: bytes) -> Bits:
        asked.append(data)
        return decode(data)

    return counted
