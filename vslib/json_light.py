"""JSON for programs that live for milliseconds: CPython's own C scanner and encoder without the package ``json``.

Importing ``json`` costs 6 ms, for regular expressions that only its Python versions need, and ``msgspec`` 23 ms; an
empty Python takes 9 ms. The names below are those that ``json`` itself uses; where they are missing, it does the work.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

try:
    import _json as _c_json

    _json: Any = _c_json  # its stub knows only how json itself calls it

    class _Plain:
        """What the scanner asks about its decoder: nothing out of the ordinary, as ``json.loads`` has it."""

        strict = True
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = float
        memo: dict[str, Any] = {}

    _scan: Callable[[str, int], tuple[Any, int]] = _json.make_scanner(_Plain)
    _encode = _json.make_encoder(None, None, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
    if "".join(_encode({"a": _scan('["\\u00e9", 1.5]', 0)[0]}, 0)) != '{"a": ["\\u00e9", 1.5]}':
        raise ImportError("not the C functions that json uses")
    _encoded: Callable[[Any], str] = lambda value: "".join(_encode(value, 0))  # noqa: E731
except Exception:  # another Python, or a later one that has changed them
    import json

    _scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # undocumented, but there since 2.6
    _encoded = json.dumps

BLANKS = " \t\r\n"
_NUMBER_ENDS = ("", ".", "e", "E", "e+", "e-", "E+", "E-")  # the digits to come decide whether they belong to it
_NAMES = ("true", "false", "null", "NaN", "Infinity", "-Infinity")


class Unfinished(Exception):
    """The text ended before its JSON value did."""


def scan(text: str, position: int = 0) -> tuple[Any, int]:
    """Return the JSON value that starts at ``position`` of ``text``, blanks before it skipped, and where it ends.

    Raises Unfinished if more text could make it valid, ValueError (``msg``, ``pos``) if none could.
    """
    while position < len(text) and text[position] in BLANKS:
        position += 1
    try:
        return _scan(text, position)
    except StopIteration as error:
        # The scanner stops at what starts no value; the text may end inside a name, or before it.
        if any(name.startswith(text[error.value :]) for name in _NAMES):
            raise Unfinished from None
        raise ValueError(f"no JSON value at character {error.value}") from None
    except ValueError as error:
        where = getattr(error, "pos", 0)
        if text[where:] in _NUMBER_ENDS or "Unterminated" in str(error) or "Invalid \\" in str(error):
            raise Unfinished from None
        raise


def loads(text: str | bytes) -> Any:
    """Return the one JSON value in ``text``; raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value, end = scan(text)
    except Unfinished:
        raise ValueError("the JSON text ends early") from None
    if text[end:].strip(BLANKS):
        raise ValueError(f"extra text at character {end}")
    return value


def dumps(value: Any) -> str:
    """Return ``value`` as JSON text in ASCII on one line, as ``json.dumps`` does; raises TypeError."""
    return _encoded(value)
