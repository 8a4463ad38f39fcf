"""Every wrong campaign file gives one clear line for each problem, and every right one comes back equal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from beads import Beads, BeadsKind, Breed, Chain, Climb, Colours, Mutation, Nested, Order, Ring, StonesKind
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine import problem
from evosparse.engine.evaluate import Policy
from evosparse.engine.spec import CampaignSpec, Evaluation, Stop, differences, parse, read
from evosparse.errors import PluginError, SpecError
from evosparse.section import Section


@pytest.fixture(autouse=True)
def _two_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "kinds", lambda: {"beads": BeadsKind(), "stones": StonesKind()})


RIGHT: Mapping[str, object] = {"name": "necklace", "kind": "beads", "search": {"method": "climb", "climb": 3}}
RIGHT_FILE = "name: necklace\nkind: beads\nsearch: {method: climb, climb: 3}\n"


def lines_of(document: Mapping[str, object], *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(document, "f.yaml", overrides)
    return str(caught.value).splitlines()


BREED = {"method": "breed"}

# Three dots stand for what does not matter.
MALFORMED = {
    "quoted number": ({"seed": "0"}, "seed: expected a whole number ... got '0'; write a plain number, without quotes"),
    "truth for a number": ({"seed": True}, "seed: expected a ... got true; change it, or leave the key out for 0"),
    "seed too large": ({"seed": 2**63}, "seed: ... got 9223372036854775808; change it, or leave the key out for 0"),
    "negative seed": ({"seed": -1}, "seed: expected a whole number ... got -1; change it, or leave the key out for 0"),
    "half a generation": ({"stop": {"generations": 2.5}}, "stop.generations: ... got 2.5; change it ..."),
    "float for int": ({"stop": {"generations": 2.0}}, "stop.generations: expected a whole number ... got 2.0; write 2"),
    "null": ({"hall_of_fame": None}, "hall_of_fame: ... got null; change it, or leave the key out for 10"),
    "empty section": ({"stop": None}, "stop: expected a section with the keys ... got null; fill it in ..."),
    "text for a number": ({"stop": {"target": "high"}}, "stop.target: ... got 'high'; change it ..."),
    "list for a number": ({"stop": {"wall_time": [1]}}, "stop.wall_time: ... got [1]; change it ..."),
    "number for truth": ({"evaluation": {"cache": 1}}, "evaluation.cache: ... got 1; change it ..."),
    "batch of nothing": ({"evaluation": {"batch": 0}}, "evaluation.batch: ... got 0; change it ..."),
    "no nth of a GPU": (
        {"evaluation": {"gpus_per_worker": 0.3}},
        "evaluation.gpus_per_worker: expected a fraction 1/n of a GPU (...), or whole GPUs, got 0.3; round it",
    ),
    "GPU and a half": (
        {"evaluation": {"gpus_per_worker": 1.5}},
        "evaluation.gpus_per_worker: expected a fraction 1/n ... got 1.5; round it",
    ),
    "grain of a GPU": (
        {"evaluation": {"gpus_per_worker": 1e-9}},
        "evaluation.gpus_per_worker: expected a fraction 1/n ... got 1e-09; round it",
    ),
    "less than no GPU": (
        {"evaluation": {"gpus_per_worker": -1}},
        "evaluation.gpus_per_worker: expected a number >= 0 or null, got -1; change it, or leave the key out for null",
    ),
    "empty Hall of Fame": ({"hall_of_fame": 0}, "hall_of_fame: ... got 0; change it, or leave the key out for 10"),
    "number as a name": ({"name": 2024}, "name: expected text, got 2024; put it in quotes"),
    "path as a name": ({"name": "a/b"}, "name: expected a name for a folder ... got 'a/b'; rename it"),
    "parent as a name": ({"name": ".."}, "name: expected a name for a folder ... got '..'; rename it"),
    "option as a name": ({"name": "-rf"}, "name: expected a name for a folder ... got '-rf'; rename it"),
    "no name": ({"name": ...}, "name: expected text, got nothing; add it"),
    "no kind": ({"kind": ...}, "kind: expected the name of a kind ... got nothing; choose one (valid: beads, stones)"),
    "unknown kind": ({"kind": "bead"}, "kind: expected ... got 'bead'; did you mean 'beads'? (valid: beads, stones)"),
    "list as a kind": ({"kind": ["beads"]}, "kind: expected the ... got ['beads']; choose one (valid: beads, stones)"),
    "unknown engine key": ({"sed": 1}, "sed: unknown key; did you mean 'seed'? (valid: ...)"),
    "unknown kind key": ({"serch": 1}, "serch: unknown key; did you mean 'search'? (valid: ...)"),
    "the inner name": ({"problem": {}}, "problem: unknown key; remove it (valid: ...)"),
    "key of another kind": ({"weight": 1}, "weight: unknown key; remove it (valid: ...)"),
    "unknown nested key": ({"stop": {"generation": 1}}, "stop.generation: unknown key; ... 'generations'? ..."),
    "no tag": ({"search": {"climb": 3}}, "search.method: expected a ... got nothing; choose one (valid: breed, climb)"),
    "wrong tag": ({"search": {"method": "bred"}}, "search.method: ... got 'bred'; did you mean 'breed'? ..."),
    "number as a tag": ({"search": {"method": 5}}, "search.method: ... got 5; choose one (valid: breed, climb)"),
    "tag for a section": ({"search": "climb"}, "search: expected a section with the key ... got 'climb'; change it"),
    "no section": ({"search": ...}, "search: expected a section with the key method, got nothing; add it"),
    "missing below a tag": ({"search": {"method": "climb"}}, "search.climb: expected a whole ... got nothing; add it"),
    "key named as its tag": ({"search": {"method": "climb", "climb": 0}}, "search.climb: ... got 0; change it"),
    "beside such a key": (
        {"search": {"method": "climb", "climb": 1, "step": "x"}},
        "search.step: expected a number, got 'x'; change it, or leave the key out for 0.5",
    ),
    "key of another tag": ({"search": {**BREED, "climb": 3}}, "search.climb: unknown key for method 'breed' ..."),
    "two levels down": (
        {"search": {**BREED, "mutation": {"rate": 2}}},
        "search.mutation.rate: expected a number > 0 and <= 1, got 2; change it, or leave the key out for 0.1",
    ),
    "unknown there": (
        {"search": {**BREED, "mutation": {"rat": 1}}},
        "search.mutation.rat: unknown key; did you mean 'rate'? (valid: adaptive, rate)",
    ),
    "rule of a section": ({"search": {**BREED, "parents": 99}}, "search: expected at ... got 99; raise 'population'"),
    "name in a union": ({"search": {**BREED, "mode": "plan"}}, "search.mode: ... got 'plan'; did you mean 'plain'?"),
    "mapping in a union": ({"search": {**BREED, "mode": {"a": -1}}}, "search.mode.a: expected a ... got -1; change it"),
    "neither of a union": (
        {"search": {**BREED, "mode": 7}},
        "search.mode: expected 'plain' or 'elitist' or a section, each with a number >= 0, got 7; change it ...",
    ),
    "item of a list": ({"shape": {"sizes": [3, "4"]}}, "shape.sizes[1]: ... got '4'; write a plain number ..."),
    "scalar for a list": ({"shape": {"sizes": 3}}, "shape.sizes: expected a list, each a whole ... got 3; write [3]"),
    "second of a union": ({"shape": {"links": "x"}}, "shape.links: expected a whole number, got 'x'; change it"),
    "enumeration": ({"shape": {"links": 1, "order": "upp"}}, "shape.order: expected ... got 'upp'; did you mean 'up'?"),
    "unknown in a union": ({"shape": {"lings": 1}}, "shape.lings: unknown key; did you mean 'links'? ..."),
    "no section of a union": ({"shape": 7}, "shape: expected a section with the keys sizes or a ... got 7; change it"),
    "item too few": ({"span": [1]}, "span[1]: expected a number, got nothing; add it"),
    "item too many": ({"span": [1, 2, 3]}, "span: expected a list of 2 items: a whole ... got [1, 2, 3]; change it"),
    "list of sections": ({"marks": [{}, {"rate": 0}]}, "marks[1].rate: ... got 0; change it ..."),
    "short form": ({"colours": 5}, "colours: expected a section with the keys name, share, folder, got 5; change it"),
    "number for a path": ({"colours": {"name": "x", "folder": 3}}, "colours.folder: ... got 3; put it in quotes"),
    "truth in a union": ({"colours": {"name": "x", "share": True}}, "colours.share: ... got true; change it ..."),
    "NaN": ({"stop": {"target": float("nan")}}, "stop.target: expected a ... got nan; write one, or null for none"),
    "infinity": ({"parameters": {"a": [float("inf")]}}, "parameters.a[0]: ... got inf; write one, or null for none"),
    "number as a key": ({"parameters": {1: 2}}, "parameters: expected text as a key, got 1; put it in quotes"),
    "an object": ({"parameters": {"a": {3}}}, "parameters.a: ... got set: {3}; write it as text or as a number"),
    "error of the kind": ({"colours": "nowhere"}, "no colours of the name 'nowhere'"),
}


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_document_gives_one_line_with_key_and_value(change: Mapping[str, object], message: str) -> None:
    document = {key: value for key, value in {**RIGHT, **change}.items() if value is not ...}
    (line,) = lines_of(document)
    pattern = ".*".join(re.escape(part.strip()) for part in message.split("..."))
    assert re.fullmatch(f"f.yaml: {pattern}", line)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a campaign, got an empty file; begin with 'name: ...' and 'kind: ...'"),
        ("# only a comment\n", "expected a campaign, got an empty file; begin with 'name: ...' and 'kind: ...'"),
        ("- a\n- b\n", "expected lines 'key: value', got ['a', 'b']; begin with 'name: ...'"),
        ("just text", "expected lines 'key: value', got 'just text'; begin with 'name: ...'"),
        (RIGHT_FILE + "stop: [", "line 4, column 8: expected valid YAML, got: expected the node content, but found"),
        (RIGHT_FILE + "seed: '0'", "seed: expected a whole number >= 0 and < 9223372036854775808, got '0'; write a"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(content)
    with pytest.raises(SpecError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_right_file_is_read_with_its_overrides(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(RIGHT_FILE + "evaluation:\nlabel: x\n")
    spec = read(path, ["search.climb=7", "shape.sizes=[1, 2]", "stop.target=1e-3", "evaluation.batch=4", "label="])
    assert spec == CampaignSpec(
        name="necklace",
        kind="beads",
        stop=Stop(target=1e-3),
        evaluation=Evaluation(batch=4),
        problem=Beads(search=Climb(climb=7), shape=Ring(sizes=(1, 2))),
    )


def test_every_problem_gets_its_own_line() -> None:
    search = {"method": "breed", "population": 1}
    lines = lines_of({"kind": "beads", "seed": "0", "search": search, "span": 3, "stop": {"goal": 1}})
    assert [line.split(": ")[1] for line in lines] == ["name", "seed", "stop.goal", "search.population", "span"]


def test_with_an_unknown_kind_the_other_problems_are_still_told() -> None:
    kind, knd, serch = lines_of({"knd": "beads", "name": "x", "weight": 1, "serch": {}})
    assert kind.endswith("kind: expected the name of a kind of genome, got nothing; choose one (valid: beads, stones)")
    assert "knd: unknown key; did you mean 'kind'? (valid: " in knd
    assert "serch: unknown key; did you mean 'search'? (valid: " in serch
    assert "weight, " not in knd and knd.endswith(", weight)")


def test_a_long_value_is_shortened() -> None:
    (line,) = lines_of({**RIGHT, "seed": "x" * 1000})
    assert "got 'xxx" in line and len(line) < 200


def test_a_fault_inside_a_short_form_is_reported_at_the_key_that_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class NestedKind:
        class Spec(Section):
            nested: Nested

    monkeypatch.setattr(problem, "kinds", lambda: {"nested": NestedKind()})
    (line,) = lines_of({"name": "x", "kind": "nested", "nested": "red"})
    assert line.startswith("f.yaml: nested: expected a number, got 'x'")


def test_a_kind_cannot_claim_a_key_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        class Spec(Section):
            seed: int = 0

    monkeypatch.setattr(problem, "kinds", lambda: {"beads": Greedy()})
    with pytest.raises(PluginError, match="the kind 'beads' claims keys of the engine: seed; rename"):
        parse({"name": "x", "kind": "beads"})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.climb=abc", "--set search.climb=abc: search.climb: expected a whole number >= 1, got 'abc';"),
        ("search.clim=1", "--set search.clim=1: search.clim: unknown key for method 'climb'; did you mean 'climb'?"),
        ("search={method: climb, climb: 0}", "--set search={method: climb, climb: 0}: search.climb: expected a"),
        ("search={method: climb}", "--set search={method: climb}: search.climb: expected a whole number >= 1, got"),
        ("search.method=cimb", "--set search.method=cimb: search.method: expected a valid method, got 'cimb'; did"),
        ("search.method=breed", "f.yaml: search.climb: unknown key for method 'breed'; remove it (valid: "),
        ("shape.sizes=[1, 0]", "--set shape.sizes=[1, 0]: shape.sizes[1]: expected a whole number >= 1, got 0;"),
        ("kind=bead", "--set kind=bead: kind: expected the name of a kind of genome, got 'bead'; did you mean"),
        ("new.key=1", "f.yaml with --set new.key=1: new: unknown key; did you mean 'name'? (valid: "),
        ("name.first=x", "--set name.first=x: name: expected a section, got 'necklace'; set name as a whole"),
        ("stop.target=.nan", "--set stop.target=.nan: stop.target: expected a finite number, got nan; write one"),
        ("stop=", "--set stop=: stop: expected a section with the keys generations, evaluations, target, stagnation"),
    ],
)
def test_a_wrong_override_is_named_in_place_of_the_file(override: str, message: str) -> None:
    (line,) = lines_of(RIGHT, override)
    assert line.startswith(message)


def test_the_later_of_two_overrides_is_named() -> None:
    (line,) = lines_of(RIGHT, "search.climb=abc", "search={method: climb, climb: def}")
    assert line.startswith("--set search={method: climb, climb: def}: search.climb: ")
    (line,) = lines_of(RIGHT, "search={method: climb, climb: def}", "search.climb=abc")
    assert line.startswith("--set search.climb=abc: search.climb: ")


def test_a_rule_broken_by_overrides_names_the_file_and_them() -> None:
    document = {**RIGHT, "search": {"method": "breed", "parents": 5}}
    (line,) = lines_of(document, "search.population=3")
    assert line.startswith("f.yaml with --set search.population=3: search: expected at most 3 parents, got 5; ")


def test_overrides_leave_the_given_document_alone() -> None:
    document = json.loads(json.dumps(RIGHT))
    parse(document, overrides=["search.climb=9", "stop.target=1"])
    assert document == RIGHT


def test_the_document_has_every_default_filled_in_and_is_flat() -> None:
    assert parse(RIGHT).document() == {
        "name": "necklace",
        "kind": "beads",
        "seed": 0,
        "stop": {"generations": None, "evaluations": None, "target": None, "stagnation": None, "wall_time": None},
        "hall_of_fame": 10,
        "evaluation": {
            "batch": 16, "timeout": 300.0, "retries": 1, "memory_gib": 8.0, "cache": True, "workers": None,
            "gpus_per_worker": None,
        },
        "colours": {"name": "red", "share": 0.2, "folder": "here"},
        "shape": {"sizes": [3]},
        "search": {"method": "climb", "climb": 3, "step": 0.5},
        "span": [1, 2.0],
        "parameters": {},
        "label": None,
        "marks": [],
    }  # fmt: skip


numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
mutations = st.builds(Mutation, rate=st.floats(0.01, 1), adaptive=st.booleans())
specs = st.builds(
    CampaignSpec,
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", fullmatch=True),
    kind=st.just("beads"),
    seed=st.integers(0, 2**63 - 1),
    hall_of_fame=st.integers(1),
    stop=st.builds(
        Stop,
        generations=st.none() | st.integers(1),
        evaluations=st.none() | st.integers(1),
        target=st.none() | numbers,
        stagnation=st.none() | st.integers(1),
        wall_time=st.none() | st.integers(1, 10**6) | st.floats(1e-300, 1e300),
    ),
    evaluation=st.builds(
        Evaluation,
        batch=st.integers(1),
        timeout=st.floats(1e-3, 1e6),
        cache=st.booleans(),
        workers=st.none() | st.integers(0),
        gpus_per_worker=st.none() | st.integers(0, 8) | st.integers(1, 1000).map(lambda n: 1 / n),
    ),
    problem=st.builds(
        Beads,
        colours=st.builds(Colours, name=st.text(), share=st.integers() | numbers, folder=st.just(Path("a/b"))),
        shape=st.builds(Ring, sizes=st.lists(st.integers(1), max_size=4))
        | st.builds(Chain, links=st.integers(), order=st.sampled_from(Order)),
        search=st.builds(Climb, climb=st.integers(1), step=numbers)
        | st.builds(Breed, mutation=mutations, mode=st.just("elitist") | st.dictionaries(st.text(), st.floats(0, 1))),
        span=st.tuples(st.integers(), st.integers(-(10**6), 10**6) | numbers),
        parameters=st.dictionaries(st.text(), json_values, max_size=3),
        label=st.none() | st.text(),
        marks=st.lists(mutations, max_size=3),
    ),
)


@given(specs)
def test_what_document_returns_is_read_back_equal_even_through_json(spec: CampaignSpec) -> None:
    again = CampaignSpec.from_document(json.loads(json.dumps(spec.document())))
    assert again == spec
    assert json.dumps(again.document()) == json.dumps(spec.document())
    assert differences(spec, again) == []


@pytest.mark.parametrize(
    ("written", "share"), [(0.5, 1 / 2), (0.333, 1 / 3), (0.33, 1 / 3), (0.143, 1 / 7), (1, 1.0), (2, 2.0), (0, 0.0)]
)
def test_a_share_of_a_gpu_becomes_an_exact_fraction(written: float, share: float) -> None:
    assert Evaluation(gpus_per_worker=written).gpus_per_worker == share


def test_the_policy_is_the_evaluation_as_the_evaluators_know_it() -> None:
    assert Evaluation().policy == Policy()
    assert Evaluation(batch=3, timeout=2, retries=0, memory_gib=1).policy == Policy(3, 2.0, 0, 1.0)


def test_what_a_resumed_campaign_may_change_makes_no_difference() -> None:
    changed = parse(
        RIGHT,
        overrides=[
            "name=other", "stop={generations: 99, target: 0.5}",
            "evaluation={timeout: 1, retries: 0, memory_gib: 1, cache: false, workers: 2, gpus_per_worker: 1}",
        ],
    )  # fmt: skip
    assert changed != parse(RIGHT)
    assert differences(parse(RIGHT), changed) == []


def test_differences_show_both_values_of_all_that_decides_results() -> None:
    overrides = ["seed=1", "hall_of_fame=3", "evaluation.batch=8", "shape.sizes=[3, 4]", "search.step=0.95"]
    changed = parse(RIGHT, overrides=overrides)
    assert sorted(differences(parse(RIGHT), changed)) == [
        "evaluation.batch: 16 -> 8",
        "hall_of_fame: 10 -> 3",
        "search.step: 0.5 -> 0.95",
        "seed: 0 -> 1",
        "shape.sizes: [3] -> [3, 4]",
    ]


def test_differences_between_methods_and_kinds_name_what_the_other_has_not() -> None:
    bred = parse({**RIGHT, "search": {"method": "breed"}})
    lines = differences(parse(RIGHT), bred)
    assert 'search.method: "climb" -> "breed"' in lines
    assert "search.climb: 3 -> (absent)" in lines
    assert "search.mutation.rate: (absent) -> 0.1" in lines
    assert 'kind: "beads" -> "stones"' in differences(bred, parse({"name": "x", "kind": "stones"}))
