"""The command line: one function per command, and the only room that prints.

What a command is asked for goes to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the
campaign failed, 2 bad input, 130 interrupted and resumable.
"""

from __future__ import annotations

import sys

from evosparse.cli import running, sparsify, stored, compare, again  # noqa: F401, I001 - each adds its commands, in order
from evosparse.cli.common import app
from evosparse.errors import BadInput, CampaignFailed

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line and turn errors into messages and exit codes."""
    try:
        app()
    except BadInput as error:
        _complain(error, 2)
    except CampaignFailed as error:
        _complain(error, 1)


def _complain(error: Exception, code: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)
