"""The genome of three functions: bytes give it back, and its two hashes depend on what they say."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from activation_strategies import alphabet, genomes, grids
from hypothesis import given, settings
from hypothesis import strategies as st

from evosparse.activations.cgp import CGP, Grid
from evosparse.activations.genome import Formula, Genes, Triple, everywhere
from evosparse.activations.tree import GeneticProgramming, Tree
from evosparse.nets import ROLES

SYMBOLS = alphabet(constants=(0.5, -1.0))
FORMULAS = st.sampled_from(["relu(x)", "x", "0.5", "max(tanh(x), 0.1 * x)"]).map(lambda text: Formula(alphabet(), text))


def formulas(*texts: str) -> Triple:
    """Return a triple of given functions."""
    return Triple(ROLES[: len(texts)], tuple(Formula(alphabet(), text) for text in texts))


@st.composite
def triples(draw: st.DrawFn) -> Triple:
    """One to three functions of mixed encodings and alphabets."""
    genes = draw(st.lists(genomes() | FORMULAS, min_size=1, max_size=3))
    return Triple(ROLES[: len(genes)], tuple(genes), draw(st.integers(0, len(genes) - 1)))


@given(triples())
@settings(max_examples=200, deadline=None)
def test_bytes_give_the_same_genome_back(triple: Triple) -> None:
    for again in (Triple.from_bytes(triple.to_bytes()), pickle.loads(pickle.dumps(triple))):
        assert again == triple and again.key == triple.key and again.phenotype == triple.phenotype
        assert again.to_bytes() == triple.to_bytes() and again.expressions == triple.expressions
        assert again.individual == triple.genes[triple.active] == again.genes[again.active]


def test_every_encoding_survives_beside_the_others() -> None:
    rng = np.random.default_rng(0)
    mixed: tuple[Genes, ...] = (
        CGP(rows=2).random(SYMBOLS, rng), GeneticProgramming().random(alphabet(), rng), Formula(SYMBOLS, "x + 2.0"),
    )  # fmt: skip
    again = Triple.from_bytes(Triple(ROLES, mixed, 2).to_bytes())
    assert (
        [type(genes) for genes in again.genes] == [Grid, Tree, Formula] and again.genes == mixed and again.active == 2
    )
    assert len(json.loads(again.to_bytes())["alphabets"]) == 2


def test_bytes_of_another_version_are_refused() -> None:
    document = json.loads(formulas("relu(x)").to_bytes())
    document["version"] += 1
    with pytest.raises(ValueError, match="expected activation functions of version 1, got 2"):
        Triple.from_bytes(json.dumps(document).encode())


@given(triples(), triples())
@settings(deadline=None)
def test_the_key_tells_genomes_apart(first: Triple, second: Triple) -> None:
    assert (first.key == second.key) == (first == second)


@given(triples(), st.data())
@settings(deadline=None)
def test_the_phenotype_is_the_canonical_functions_by_role(triple: Triple, data: st.DataObject) -> None:
    written = tuple(Formula(alphabet(), str(genes.expression.canonical)) for genes in triple.genes)
    other = Triple(triple.roles, written, data.draw(st.integers(0, len(written) - 1)))
    assert other.phenotype == triple.phenotype


def test_other_functions_or_roles_have_another_phenotype() -> None:
    base = formulas("relu(x)", "tanh(x)")
    others = [formulas("tanh(x)", "relu(x)"), formulas("relu(x)"), formulas("relu(x)", "tanh(x)", "x")]
    others.append(Triple(("input", "output"), base.genes))
    others.append(formulas("relu(x)", "tanh(x) + 0.5"))
    assert len({base.phenotype, *(other.phenotype for other in others)}) == 6
    assert formulas("relu(x)", "x + tanh(x)").phenotype == formulas("relu(x)", "tanh(x) + x").phenotype
    assert formulas("relu(x)", "x + tanh(x)").key != formulas("relu(x)", "tanh(x) + x").key


@given(grids(), st.integers(0, 2))
@settings(deadline=None)
def test_other_genes_in_one_place_leave_the_rest(genes: Grid, place: int) -> None:
    base = formulas("relu(x)", "tanh(x)", "x")
    other = base.with_function(place, genes)
    assert other.active == place and other.individual == genes and other.roles == base.roles
    assert [own for number, own in enumerate(other.genes) if number != place] == [
        own for number, own in enumerate(base.genes) if number != place
    ]
    assert other.function(ROLES[place]) == genes.expression.canonical


def test_a_genome_is_described_by_role() -> None:
    assert formulas("relu(x)", "tanh(x) + x", "x").describe() == "input relu(x) | hidden tanh(x) + x | output x"
    assert everywhere(ROLES, Formula(alphabet(), "elu(x)")).describe() == "elu(x) everywhere"
    assert everywhere(("hidden",), Formula(alphabet(), "elu(x)")).roles == ("hidden",)
