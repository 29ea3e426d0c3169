"""The one exception of RFC 7047 requests: an error word, optional details and the offending JSON.

Every failure that a client may cause ends here; the server turns it into the ``error`` object of RFC 7047 section 3.1.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from vslib.errors import PeerError

# The words that RFC 7047 and ovsdb-server put in the "error" member; clients compare them literally (DB.20).
SYNTAX = "syntax error"
UNKNOWN_COLUMN = "unknown column"
UNKNOWN_DATABASE = "unknown database"
UNKNOWN_FUNCTION = "unknown function"
UNKNOWN_MUTATOR = "unknown mutator"
CONSTRAINT = "constraint violation"
REFERENTIAL = "referential integrity violation"
DUPLICATE_NAME = "duplicate uuid-name"
DUPLICATE_UUID = "duplicate uuid"
DOMAIN = "domain error"
RANGE = "range error"
TIMED_OUT = "timed out"
ABORTED = "aborted"
NOT_OWNER = "not owner"
NOT_ALLOWED = "not allowed"
CANCELED = "canceled"
IO_ERROR = "I/O error"

MAX_SYNTAX_CHARS = 1000  # a megabyte of nonsense is not echoed back in full


class OvsdbError(PeerError):
    """A request that cannot be done; ``word`` is one of the constants above, ``details`` one sentence for people.

    ``syntax`` is the JSON value the complaint is about (any JSON type); ``NO_SYNTAX`` when there is none.
    """

    NO_SYNTAX: Any = object()

    def __init__(self, word: str, details: str = "", syntax: Any = NO_SYNTAX) -> None:
        super().__init__(f"{word}: {details}" if details else word)
        self.word = word
        self.details = details
        self.syntax = syntax

    def to_json(self) -> dict[str, Any]:
        """Return the ``<error>`` object of RFC 7047 section 3.1."""
        result: dict[str, Any] = {"error": self.word}
        if self.details:
            result["details"] = self.details
        if self.syntax is not OvsdbError.NO_SYNTAX:
            with contextlib.suppress(RecursionError, ValueError):  # nested too deep to print
                text = json.dumps(self.syntax, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
                result["syntax"] = text if len(text) <= MAX_SYNTAX_CHARS else text[:MAX_SYNTAX_CHARS] + "..."
        return result


def syntax_error(value: Any, details: str) -> OvsdbError:
    """Return (not raise) a ``syntax error`` about the JSON value ``value``."""
    return OvsdbError(SYNTAX, details, value)
