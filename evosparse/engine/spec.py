"""Campaign files: one flat YAML mapping, in which the engine's sections and those of a kind stand side by side.

Whatever is wrong with a file, an override or a stored document ends in one SpecError with a line for each problem.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SerializeAsAny, ValidationError

from evosparse.engine import problem as registry
from evosparse.engine.document import Key, Override, apply, dotted, load_yaml, parse_override, plain, read_text, show
from evosparse.engine.evaluate import Policy
from evosparse.engine.explain import Complaint, explain, suggest
from evosparse.errors import EvosparseError, PluginError, SpecError
from evosparse.section import Section

_FREE = ("name", "stop")  # what a resumed campaign may change; of `evaluation`, everything but `batch`
_SMALLEST_SHARE = 0.001
_OPEN_ENDED = 10  # generations of a search that has no length of its own, when nobody asks for another number


def _folder_name(name: str) -> str:
    if len(name) > 100 or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) or name.endswith("."):
        raise ValueError(
            f"expected a name for a folder, of at most 100 letters (a-z, A-Z), digits and '-', '_', '.', "
            f"neither beginning with '-' or '.' nor ending with '.', got {show(name)}; rename it"
        )
    return name


def _gpu_share(gpus: float) -> float:
    """Make a fraction 1/n exact, so that n workers fill a GPU."""
    if gpus == 0 or gpus >= 1 and gpus.is_integer():
        return gpus
    share = 1 / round(1 / gpus) if _SMALLEST_SHARE <= gpus < 1 else 0.0
    if abs(gpus - share) > 0.01 * share:
        raise ValueError(f"expected a fraction 1/n of a GPU (0.5, 0.333, 0.25), or whole GPUs, got {gpus}; round it")
    return share


class Stop(Section):
    """When the search ends: as soon as one of the criteria holds.

    Attributes:
        generations: number of generations; None for the length that the search has of its own, or 10 where it has none.
        evaluations: number of candidates proposed.
        target: value that the first objective reaches.
        stagnation: generations without a better best.
        wall_time: seconds spent in generations.
    """

    generations: int | None = Field(None, ge=1)
    evaluations: int | None = Field(None, ge=1)
    target: float | None = None
    stagnation: int | None = Field(None, ge=1)
    wall_time: float | None = Field(None, gt=0)

    def last_generation(self, length: int | None) -> int:
        """Return after how many generations a search ends at the latest.

        Args:
            length: that the search has of its own, `Search.generations`.
        """
        return self.generations or length or _OPEN_ENDED


class Evaluation(Section):
    """Who evaluates, and with how much patience.

    Attributes:
        batch: number of genomes evaluated together; it affects the last bits of results, whoever the workers are.
        timeout: seconds allowed for each genome.
        retries: further attempts for a genome that failed.
        memory_gib: what an evaluation on a worker may allocate, in GiB.
        cache: whether genomes that express the same, with equal seeds, are evaluated only once.
        workers: number of worker processes; None for one on each core, 0 for none: everything in this process.
        gpus_per_worker: a fraction 1/n or a whole number; None to share what the cluster has.
    """

    batch: int = Field(Policy.batch, ge=1)
    timeout: float = Field(Policy.timeout, gt=0)
    retries: int = Field(Policy.retries, ge=0)
    memory_gib: float = Field(Policy.memory_gib, gt=0)
    cache: bool = True
    workers: int | None = Field(None, ge=0)
    gpus_per_worker: Annotated[float, Field(ge=0), AfterValidator(_gpu_share)] | None = None

    @property
    def policy(self) -> Policy:
        """The part that an evaluator needs."""
        return Policy(batch=self.batch, timeout=self.timeout, retries=self.retries, memory_gib=self.memory_gib)


class CampaignSpec(Section):
    """Everything that defines a campaign.

    Attributes:
        name: for tables, and name of its run directory.
        kind: name of the kind of genome.
        seed: decides every random draw.
        hall_of_fame: number of the best candidates that are kept.
        stop: when the search ends.
        evaluation: batch size, patience, cache and workers.
        problem: the sections of the kind, an instance of its ``Spec``.
    """

    name: Annotated[str, AfterValidator(_folder_name)]
    kind: str
    seed: int = Field(0, ge=0, lt=2**63)
    stop: Stop = Stop()
    hall_of_fame: int = Field(10, ge=1)
    evaluation: Evaluation = Evaluation()
    problem: SerializeAsAny[Section]

    def document(self) -> dict[str, Any]:
        """Return the flat mapping of a campaign file, of JSON values, with every default filled in."""
        return self.model_dump(mode="json", exclude={"problem"}) | self.problem.model_dump(mode="json")

    @classmethod
    def from_document(cls, document: Mapping[str, object], source: str = "campaign") -> CampaignSpec:
        """Read what `document` returned; the result is equal.

        Args:
            document: a flat mapping.
            source: what errors name as the place.

        Raises:
            SpecError: it is no valid campaign.
        """
        return parse(document, source)


def read(path: Path, overrides: Sequence[str] = ()) -> CampaignSpec:
    """Read a campaign file.

    Args:
        path: a YAML file.
        overrides: ``a.b=value`` each, with a value in YAML, as given to ``--set``.

    Raises:
        SpecError: the file or an override is wrong; the message has one line for each problem.
    """
    source = str(path)
    document = load_yaml(read_text(Path(path)), source)
    if document is None:
        raise SpecError(f"{source}: expected a campaign, got an empty file; begin with 'name: ...' and 'kind: ...'")
    if not isinstance(document, dict):
        raise SpecError(f"{source}: expected lines 'key: value', got {show(document)}; begin with 'name: ...'")
    return parse(document, source, overrides)


def parse(document: Mapping[str, object], source: str = "campaign", overrides: Sequence[str] = ()) -> CampaignSpec:
    """Validate a flat mapping as a campaign.

    Args:
        document: the engine's sections and those of the kind, side by side.
        source: what errors name as the place.
        overrides: ``a.b=value`` each, with a value in YAML.

    Raises:
        SpecError: the document or an override is wrong; the message has one line for each problem.
        PluginError: the kind claims a key of the engine.
    """
    whole = plain(document, source)
    changes = [parse_override(text) for text in overrides]
    apply(changes, whole)
    spec, complaints = _validate(whole)
    if spec is None:
        raise SpecError("\n".join(dict.fromkeys(_line(complaint, whole, source, changes) for complaint in complaints)))
    return spec


def differences(first: CampaignSpec, second: CampaignSpec) -> list[str]:
    """Say what two campaigns differ in that decides their results.

    Returns:
        Lines such as ``search.sparsity: 0.9 -> 0.95``; empty if the one may be continued as the other.
    """
    before, after = (dict(_flat(_decisive(spec.document()))) for spec in (first, second))
    keys = dict.fromkeys([*before, *after])
    pairs = {key: (before.get(key, "(absent)"), after.get(key, "(absent)")) for key in keys}
    return [f"{dotted(key)}: {old} -> {new}" for key, (old, new) in pairs.items() if old != new]


def _validate(document: dict[str, Any]) -> tuple[CampaignSpec | None, list[Complaint]]:
    """Validate both halves of a document, and collect what is wrong with either."""
    own_keys = [key for key in CampaignSpec.model_fields if key != "problem"]
    own = {key: value for key, value in document.items() if key in own_keys}
    rest = {key: value for key, value in document.items() if key not in own_keys}
    installed = registry.kinds()
    name = document.get("kind")
    if not isinstance(name, str) or name not in installed:
        _, complaints = _attempt(CampaignSpec, {**own, "kind": "", "problem": Section()})
        got = show(name) if "kind" in document else "nothing"
        mend = suggest(name, installed, "choose one")
        unknown = Complaint(("kind",), f"expected the name of a kind of genome, got {got}; {mend}")
        possible = {*own_keys, *(key for kind in installed.values() for key in kind.Spec.model_fields)}
        stray = [key for key in rest if key not in possible]
        complaints += [Complaint((key,), f"unknown key; {suggest(key, possible, 'remove it')}") for key in stray]
        return None, [unknown, *complaints]

    model = installed[name].Spec
    clash = sorted(set(model.model_fields) & set(own_keys))
    if clash:
        raise PluginError(f"the kind {name!r} claims keys of the engine: {', '.join(clash)}; rename them in its Spec")
    problem, their_complaints = _attempt(model, rest, own_keys)
    spec, complaints = _attempt(CampaignSpec, {**own, "problem": Section() if problem is None else problem})
    complaints += their_complaints
    return (None if complaints else spec), complaints


def _attempt(model: type[Section], values: dict[str, Any], beside: Sequence[str] = ()) -> tuple[Any, list[Complaint]]:
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        return None, explain(error, model, beside)
    except EvosparseError as error:  # from a validator of the kind's
        return None, [Complaint((), str(error))]


def _line(complaint: Complaint, document: dict[str, Any], source: str, overrides: Sequence[Override]) -> str:
    key = _as_written(complaint.key, document)
    where = f"{dotted(key)}: " if key else ""
    return f"{_origin(key, source, overrides)}: {where}{complaint.text}"


def _as_written(key: Key, document: dict[str, Any]) -> Key:
    """Cut a key where the document has a short form, such as a name in place of a section."""
    value: Any = document
    for depth, step in enumerate(key):
        if not isinstance(value, dict | list):
            return key[:depth]
        inside = step in value if isinstance(value, dict) else isinstance(step, int) and step < len(value)
        value = value[step] if inside else {}
    return key


def _origin(key: Key, source: str, overrides: Sequence[Override]) -> str:
    """Name the override that wrote the value at a key; else the file, with the overrides that wrote below the key."""
    for override in reversed(overrides):
        if key and key[: len(override.key)] == override.key:
            return override.source
    below = [override.source for override in overrides if override.key[: len(key)] == key]
    return f"{source} with {' '.join(below)}" if key and below else source


def _decisive(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _FREE} | {
        "evaluation": {"batch": document["evaluation"]["batch"]}
    }


def _flat(value: object, key: Key = ()) -> Iterator[tuple[Key, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, (*key, name))
    else:
        yield key, json.dumps(value, ensure_ascii=False)
