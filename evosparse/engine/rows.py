"""How headers, candidates and outcomes become rows of the campaign database, and are made of rows again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evosparse.engine.candidate import Candidate, Genome, Objectives, Outcome, Status
from evosparse.engine.codec import Damaged, from_json, to_json, to_text
from evosparse.engine.records import EncodedGenome, Header

Decode = Callable[[bytes], Genome]

HEADER = "document, data_hash, notes, base, objectives, versions, created"
OUTCOME = "status, measures, message, traceback, seconds, attempts"
CANDIDATE = f"uid, generation, population, contender, parents, {OUTCOME}, cached"  # the genome is in its own table


def header_row(header: Header) -> tuple:
    """Return the columns `HEADER`."""
    # The folder as JSON too, because a path need not be valid UTF-8.
    document, notes, base, objectives, versions = map(
        to_json, (header.document, header.notes, header.base, header.objectives, header.versions)
    )
    return document, header.data_hash, notes, base, objectives, versions, header.created


def read_header(row: Sequence) -> Header:
    """Return the header of the columns `HEADER`.

    Raises:
        Damaged: they are not what `header_row` returns.
    """
    document, data_hash, notes, base, objectives, versions, created = row
    return Header(
        document=from_json(document, dict, "the campaign"),
        data_hash=data_hash,
        notes=tuple(from_json(notes, list, "the notes")),
        base=from_json(base, str, "the folder of the campaign file"),
        objectives=from_json(objectives, dict, "the objectives"),
        versions=from_json(versions, dict, "the versions"),
        created=created,
    )


def outcome_row(outcome: Outcome) -> tuple:
    """Return the columns `OUTCOME`."""
    message, traceback = to_text(outcome.message), to_text(outcome.traceback)
    return str(outcome.status), to_json(outcome.measures), message, traceback, outcome.seconds, outcome.attempts


def read_outcome(row: Sequence) -> Outcome:
    """Return the outcome of the columns `OUTCOME`.

    Raises:
        Damaged: they are not what `outcome_row` returns.
    """
    status, measures, message, traceback, seconds, attempts = row
    if status not in tuple(Status):
        raise Damaged(f"expected a status of {', '.join(Status)}, got {status!r}")
    return Outcome(Status(status), from_json(measures, dict, "measures"), message, traceback, seconds, attempts)


def candidate_row(candidate: Candidate) -> tuple:
    """Return the columns `CANDIDATE` and the genome's key.

    Raises:
        ValueError: the candidate has not been evaluated.
    """
    if candidate.outcome is None:
        raise ValueError(f"candidate {candidate.uid} has not been evaluated")
    contender, parents = bool(candidate.contender), to_json(candidate.parents)
    identity = (candidate.uid, candidate.generation, candidate.population, contender, parents)
    return *identity, *outcome_row(candidate.outcome), bool(candidate.outcome.cached), candidate.genome.key


def read_candidate(row: Sequence, objectives: Objectives, decode: Decode | None) -> Candidate:
    """Return the candidate of the columns `CANDIDATE` and the genome's key and data, with its outcome and fitness.

    Args:
        row: the columns.
        objectives: what the fitness consists of.
        decode: reads the genome; None leaves it an `EncodedGenome`.

    Raises:
        Damaged: they are not what `candidate_row` returns, or the genome cannot be read.
    """
    uid, generation, population, contender, parents, *outcome, cached, key, data = row
    genome = EncodedGenome(key, data) if decode is None else decoded(uid, key, data, decode)
    parents = tuple(from_json(parents, list, f"the parents of candidate {uid}"))
    candidate = Candidate(genome, parents, population, bool(contender), uid, generation)
    try:
        candidate.judge(replace(read_outcome(outcome), cached=bool(cached)), objectives)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"expected finite measures of candidate {uid}, got {outcome[1]!r:.80} ({error})") from None
    return candidate


def decoded(uid: str, key: str, data: bytes, decode: Decode) -> Genome:
    """Return the genome of a candidate.

    Args:
        uid: of the candidate.
        key, data: of its genome, as stored.
        decode: reads the genome.

    Raises:
        Damaged: it cannot be read, or is another.
    """
    try:
        genome = decode(data)
    except Exception as error:  # a kind of genome may come from anybody's package
        what = f"{type(error).__name__}: {error}"
        raise Damaged(f"expected a genome of this kind and version for candidate {uid}, got {what}") from error
    if genome.key != key:
        raise Damaged(f"expected the genome {key[:12]} for candidate {uid}, got {genome.key[:12]}")
    return genome
