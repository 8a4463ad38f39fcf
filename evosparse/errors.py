"""The exceptions of evosparse: every one that a user can meet, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EvosparseError(Exception):
    """Base of every error that evosparse raises on purpose."""


class BadInput(EvosparseError):
    """What the user gave cannot be used; the message says what was expected, what came, where, and how to mend it."""


class SpecError(BadInput):
    """A campaign file, an override or a parameter is wrong."""


class DataError(BadInput):
    """A data set cannot be found or read, or does not fit its use."""


class PluginError(BadInput):
    """A user's function, class or module cannot be found, called or shipped."""


class StoreError(BadInput):
    """A run directory cannot be read, written or continued."""


class ClusterError(BadInput):
    """The Ray cluster cannot be reached or has not the resources asked for."""


class CampaignFailed(EvosparseError):
    """The campaign could not go on, although its input was valid."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant, and list them all.

    Args:
        word: the name that is not valid.
        valid: the names that are.

    Returns:
        ``did you mean 'x'? (valid: x, y, z)``, without the question when no name is near.
    """
    names = sorted(valid)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    question = f"did you mean {close[0]!r}? " if close else ""
    return f"{question}(valid: {', '.join(names)})"
