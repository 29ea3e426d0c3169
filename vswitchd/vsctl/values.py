"""Values as operators type and read them: ``[1, 2]``, ``{a=b, "c d"="e"}``, ``@name``, ``1-5`` (ovs-vsctl(8)).

Parsing raises ConfigError with Open vSwitch's words. A value is a list (atom or set) or a dict (map), as in
`ovsdb.blocking`; sets and maps are sorted when printed.
"""

from __future__ import annotations

from ovsdb.blocking import Uuid
from vslib.errors import ConfigError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ovsdb.blocking import Datum
    from vswitchd.vsctl.schema import Base, Column

    Symbols = Callable[[str, Base], Uuid]  # "@name" and what it is referred to by -> UUID

DELIMITERS = frozenset(":=, []{}!<>")
BLANKS = " \t\n\v\f\r"
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
MAX_RANGE = 4096
BOOLEANS = {**dict.fromkeys(("true", "yes", "on", "1"), True), **dict.fromkeys(("false", "no", "off", "0"), False)}
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
ESCAPED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
PLAIN = LETTERS | frozenset("0123456789-.")
HEX = frozenset("0123456789abcdefABCDEF")
DIGITS = frozenset("0123456789")


# --- tokens --------------------------------------------------------------------------------------------------------


def token(text: str, at: int) -> tuple[str, int]:
    """Return the word at ``at``, up to a delimiter outside quotes, and where it ends; raises ConfigError."""
    start, quoted = at, False
    while at < len(text):
        letter = text[at]
        if not quoted and letter in DELIMITERS:
            break
        at += 1
        if letter == "\\":
            if at == len(text):
                raise ConfigError(f"{text[start:]}: backslash at end of argument")
            at += 1
        elif letter == '"':
            quoted = not quoted
    if quoted:
        raise ConfigError(f"{text[start:]}: quoted string extends past end of argument")
    return text[start:at], at


def skip_blanks(text: str, at: int) -> int:
    """Return the first position from ``at`` on that holds no white space."""
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def is_uuid(text: str) -> bool:
    """Tell whether ``text`` is a whole UUID."""
    return len(text) == 36 and is_uuid_start(text)


def is_uuid_start(text: str) -> bool:
    """Tell whether ``text`` could be the first characters of a UUID."""
    if len(text) > 36:
        return False
    return all((letter == "-") if at in (8, 13, 18, 23) else letter in HEX for at, letter in enumerate(text))


# --- atoms ---------------------------------------------------------------------------------------------------------


def _integer(text: str, _base: Base, _symbols: Symbols | None) -> Any:
    return whole_number(text)


def whole_number(text: str) -> int:
    """Return a decimal integer of 64 bits; raises ConfigError."""
    sign = 1 if text[:1] in ("+", "-") else 0
    if text[sign:] and DIGITS.issuperset(text[sign:]):
        number = int(text)
        if INT_MIN <= number <= INT_MAX:
            return number
    raise ConfigError(f'"{text}" is not a valid integer or range')


def _real(text: str, _base: Base, _symbols: Symbols | None) -> Any:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number - number != 0 or "_" in text:
        raise ConfigError(f'"{text}" is not a valid real number')
    return number


def _boolean(text: str, _base: Base, _symbols: Symbols | None) -> Any:
    if text not in BOOLEANS:
        raise ConfigError(f'"{text}" is not a valid boolean (use "true" or "false")')
    return BOOLEANS[text]


def _string(text: str, _base: Base, _symbols: Symbols | None) -> Any:
    if not text:
        raise ConfigError('An empty string is not valid as input; use "" to represent the empty string')
    if not text.startswith('"'):
        return text
    if len(text) < 2 or not text.endswith('"'):
        raise ConfigError(f"{text}: missing quote at end of quoted string")
    return _unescape(text, text[1:-1])


def _unescape(whole: str, text: str) -> str:
    """Return the string that JSON's escapes in ``text`` stand for."""
    if "\\" not in text:
        return text
    parts: list[str] = []
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter != "\\":
            parts.append(letter)
            continue
        kind = text[at : at + 1]
        at += 1
        if kind in ESCAPES:
            parts.append(ESCAPES[kind])
        elif kind == "u":
            parts.append(_code_unit(whole, text[at : at + 4]))
            at += 4
        else:
            raise ConfigError(f"{whole}: bad escape \\{kind}")
    try:  # two escapes may be the halves of one character
        return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ConfigError(f"{whole}: malformed \\u escape") from None


def _code_unit(whole: str, digits: str) -> str:
    if len(digits) != 4 or not HEX.issuperset(digits):
        raise ConfigError(f"{whole}: malformed \\u escape")
    return chr(int(digits, 16))


def _uuid(text: str, base: Base, symbols: Symbols | None) -> Any:
    if text.startswith("@") and symbols is not None:
        return symbols(text, base)
    if not is_uuid(text):
        raise ConfigError(f'"{text}" is not a valid UUID')
    return Uuid(text.lower())


ATOMS: dict[str, Callable[[str, Base, Symbols | None], Any]] = {
    "integer": _integer, "real": _real, "boolean": _boolean, "string": _string, "uuid": _uuid,
}  # fmt: skip


def parse_atom(text: str, base: Base, symbols: Symbols | None = None) -> Any:
    """Return the atom that ``text`` means, checked against the type's constraints; raises ConfigError."""
    atom = ATOMS[base.kind](text, base, symbols)
    if base.enum is not None or base.low is not None or base.high is not None:
        _check(atom, base)
    return atom


def _check(atom: Any, base: Base) -> None:
    """Raise ConfigError if an atom breaks its type's constraints."""
    said = _complaint(atom, base)
    if said:
        raise ConfigError(f"constraint violation: {said}")


def _complaint(atom: Any, base: Base) -> str:
    low, high = base.low, base.high
    if base.enum is not None:
        listed = ", ".join(atom_text(each) for each in base.enum)
        return "" if atom in base.enum else f"{atom_text(atom)} is not one of the allowed values ([{listed}])"
    size, named, kind, unit = atom, atom_text(atom), "value", ""
    if base.kind == "string":
        size, named, kind = len(atom), f'"{atom}" length {len(atom)}', "length"
        unit = "allowed "
    if (low is None or size >= low) and (high is None or size <= high):
        return ""
    if base.kind != "string" and low is not None and high is not None:
        return f"{named} is not in the valid range {low} to {high} (inclusive)"
    if low is not None and size < low:
        return f"{named} is less than minimum {unit or 'allowed '}{kind} {low}"
    return f"{named} is greater than maximum {unit or 'allowed '}{kind} {high}"


def _parse_range(text: str, base: Base) -> list[int] | None:
    """Return the integers of ``low-high``; None if ``text`` is no range."""
    dash = text.find("-", 1)
    if dash < 0:
        return None
    try:
        low, high = whole_number(text[:dash]), whole_number(text[dash + 1 :])
    except ConfigError:
        return None
    if high < low:
        raise ConfigError(f'"{text}" is not a valid range. Range end cannot be before start.')
    if high - low >= MAX_RANGE:
        _check(low, base)
        _check(high, base)
        raise ConfigError(f'Range "{text}" is too big. Maximum allowed size is {MAX_RANGE}.')
    _check(low, base)
    _check(high, base)
    return list(range(low, high + 1))


# --- values --------------------------------------------------------------------------------------------------------


def parse_value(text: str, column: Column, symbols: Symbols | None = None) -> Datum:
    """Return the value of the column's type that ``text`` means; raises ConfigError."""
    is_map = column.value is not None
    opening, closing, what = ("{", "}", "map") if is_map else ("[", "]", "set")
    at = skip_blanks(text, 0)
    if at == len(text):
        raise ConfigError(f'use "{opening}{closing}" to specify the empty {what}')
    end = ""
    if text[at] == opening:
        end = closing
        at = skip_blanks(text, at + 1)
    pairs, at = _members(text, at, end, column, symbols)
    if end:
        if at == len(text):
            raise ConfigError(f'{text}: missing "{end}" at end of data')
        if skip_blanks(text, at + 1) < len(text):
            raise ConfigError(f'{text}: trailing garbage after "{end}"')
    return _sized(text, pairs, column)


def _members(
    text: str, at: int, end: str, column: Column, symbols: Symbols | None
) -> tuple[list[tuple[Any, Any]], int]:
    """Return the (key, value) pairs from ``at`` to the delimiter ``end``, and where that is."""
    pairs: list[tuple[Any, Any]] = []
    while at < len(text) and text[at] != end:
        if text[at] in DELIMITERS:
            raise ConfigError(f'{text}: unexpected "{text[at]}" parsing {column.describe()}')
        start = at
        word, at = token(text, at)
        if column.value is None:
            numbers = _parse_range(word, column.key) if column.key.kind == "integer" else None
            keys = [parse_atom(word, column.key, symbols)] if numbers is None else numbers
            pairs.extend((key, None) for key in keys)
        else:
            key = parse_atom(word, column.key, symbols)
            at = skip_blanks(text, at)
            if text[at : at + 1] != "=":
                raise ConfigError(_no_equals(text, start, at))
            word, at = token(text, skip_blanks(text, at + 1))
            pairs.append((key, parse_atom(word, column.value, symbols)))
        at = skip_blanks(text, at)
        if text[at : at + 1] == ",":
            at = skip_blanks(text, at + 1)
    return pairs, at


def _no_equals(text: str, start: int, at: int) -> str:
    found = text[at : at + 1]
    # At the end of the text the original prints a NUL, which ends its message there.
    return f'{text[start:]}: syntax error at "' + (f'{found}" expecting "="' if found else "")


def _sized(text: str, pairs: list[tuple[Any, Any]], column: Column) -> Datum:
    """Return the pairs as a value of the column, after looking at their number and for duplicates."""
    is_map = column.value is not None
    unit = "pair(s)" if is_map else "value(s)"
    if len(pairs) < column.n_min:
        raise ConfigError(f"{text}: {len(pairs)} {unit} specified but the minimum number is {column.n_min}")
    if len(pairs) > column.n_max:
        raise ConfigError(f"{text}: {len(pairs)} {unit} specified but the maximum number is {column.n_max}")
    if len({key for key, _ in pairs}) < len(pairs):
        what = "map contains duplicate key" if is_map else "set contains duplicate value"
        raise ConfigError(f"{text}: {what}")
    return dict(pairs) if is_map else [key for key, _ in pairs]


# --- printing ------------------------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """Return a string in JSON's quotes, with nothing escaped that need not be."""
    return '"' + "".join(ESCAPED.get(c) or (c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def _needs_quotes(text: str) -> bool:
    if text[:1] not in LETTERS or not text or not PLAIN.issuperset(text):
        return True
    return text in ("true", "false") or is_uuid(text)


def atom_text(atom: Any) -> str:
    """Return an atom as operators read it."""
    if isinstance(atom, bool):
        return "true" if atom else "false"
    if isinstance(atom, Uuid):
        return str(atom)
    if isinstance(atom, str):
        return quoted(atom) if _needs_quotes(atom) else atom
    return f"{atom:.15g}" if isinstance(atom, float) else str(atom)


def value_text(value: Datum, column: Column) -> str:
    """Return a column's value as operators read it."""
    if isinstance(value, dict) or column.value is not None:
        pairs = sorted(value.items()) if isinstance(value, dict) else []
        return "{" + ", ".join(f"{atom_text(key)}={atom_text(atom)}" for key, atom in pairs) + "}"
    text = ", ".join(atom_text(atom) for atom in sorted(value))
    return text if column.n_max == 1 and value else f"[{text}]"


def _bare_atom(atom: Any) -> str:
    return str(atom) if isinstance(atom, str) else atom_text(atom)


def value_bare(value: Datum) -> str:
    """Return a value without brackets, braces and quotes, members separated by blanks."""
    if isinstance(value, dict):
        return " ".join(f"{_bare_atom(key)}={_bare_atom(atom)}" for key, atom in sorted(value.items()))
    return " ".join(_bare_atom(atom) for atom in sorted(value))


def value_json(value: Datum, column: Column) -> Any:
    """Return a value in the notation of RFC 7047 section 5.1."""

    def plain(atom: Any) -> Any:
        return ["uuid", str(atom)] if isinstance(atom, Uuid) else atom

    if isinstance(value, dict) or column.value is not None:
        pairs = sorted(value.items()) if isinstance(value, dict) else []
        return ["map", [[plain(key), plain(atom)] for key, atom in pairs]]
    if len(value) == 1:
        return plain(value[0])
    return ["set", [plain(atom) for atom in sorted(value)]]
