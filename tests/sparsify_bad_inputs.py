"""What a user can get wrong in a campaign over published methods: methods, parameters, sparsities, plug-ins.

A file beside `bad_inputs`, which has the other kinds and says what a case is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bad_inputs import Case, file

SPARSIFY = """
name: published
kind: sparsify
data: wine
network: {name: mlp, hidden: [8]}
methods: [snip, rigl]
sparsities: [0.5]
seeds: 1
epochs: 1
evaluation: {workers: 0}
"""
OWN = "from evosparse.sparsify import Pruning\n\n\nclass Own(Pruning):\n    method: str = 'own'\n"
SCORES = "\n    def scores(self, cohort, number, connections, turn):\n        return connections\n"


def published(name: str, text: str, *told: str, prepare: Callable[[], object] = lambda: None) -> Case:
    """An override that is wrong, on a campaign file that is right."""

    def whole() -> None:
        Path("published.yaml").write_text(SPARSIFY)
        prepare()

    return Case(name, ("run", "published.yaml", "--set", text), told, whole)


SPARSIFY_CASES = [
    published("an unknown sparsifier", "methods=[snap]", "methods[0]: unknown method 'snap'", "did you mean 'snip'?"),
    published("an unknown parameter of a sparsifier", "methods=[{method: rigl, fractoin: 0.1}]",
              "methods[0]: rigl.fractoin: unknown key", "did you mean 'fraction'?"),
    published("a parameter out of range", "methods=[snip, {method: rigl, fraction: 2}]",
              "methods[1]: rigl.fraction", ">= 0 and < 1", "got 2"),
    published("a misspelt reset", "methods=[{method: lottery, reset: rewnd}]", "lottery.reset", "did you mean 'rewind'?"),
    published("a number for sparsifiers", "methods=3", "methods: expected a list", "got 3"),
    published("a sparsifier without a name", "methods=[{fraction: 0.1}]", "methods[0]: expected the name of a method"),
    published("no sparsifiers", "methods=[]", "methods: expected at least one method", "got an empty list"),
    published("a sparsifier twice", "methods=[snip, snip]", "each method with each sparsity once", "'snip 0.5' twice"),
    published("a sparsity twice", "sparsities=[0.5, 0.5]", "each method with each sparsity once", "'snip 0.5' twice"),
    published("all weights removed", "sparsities=[0.5, 1.0]", "sparsities[1]: expected a number >= 0 and < 1", "got 1.0"),
    published("one sparsity that is none", "sparsities=1.0", "sparsities: expected a number >= 0 and < 1", "got 1.0"),
    published("a sparsity in words", "sparsities=high", "sparsities: expected a number", "got 'high'"),
    published("a sparsity that leaves nothing", "sparsities=[0.999]", "0.999 leaves none of", "128 weights", "lower it"),
    published("a sparsity that empties layers", "sparsities=[0.99]", "methods: rigl 0.99", "leaves 1 connections"),
    published("a layer that is none",
              "methods=[{method: han, distribution: {distribution: explicit, layers: {hiden1: 0.5}}}]",
              "methods: han", "names 'hiden1'", "did you mean 'hidden1'?"),
    published("a support that tells of the examples", "methods=[{method: lsg, support: raw_topk}]",
              "methods[0]: lsg.support: expected a support that keeps privacy", "got 'raw_topk'", "choose random_k"),
    published("private training of a shuffled deck", "methods=[{method: lsg, sampling: shuffle}]",
              "methods[0]: lsg: expected sampling: poisson", "got 'shuffle'", "noise_multiplier: 0"),
    published("no seeds at all", "seeds=0", "seeds: expected a whole number >= 1", "got 0"),
    published("no epochs at all", "epochs=0", "epochs: expected a whole number >= 1", "got 0"),
    published("a sparsifier that is nowhere", "methods=['nowhere.py:Own']", "'nowhere.py' not found", "mend the path"),
    published("a function for a sparsifier", "methods=['os.path:join']", "expected a class of", "Sparsifier"),
    published("half a sparsifier", "methods=['half_method.py:Own']", "is no whole method: define scores",
              prepare=file("half_method.py", OWN)),
    published("an unknown parameter of one's own", "methods=[{method: 'spare_method.py:Own', rouns: 2}]",
              "spare_method.py:Own.rouns: unknown key", "did you mean 'rounds'?",
              prepare=file("spare_method.py", OWN + SCORES)),
]  # fmt: skip
