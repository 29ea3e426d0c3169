"""Command lines as GNU getopt_long reads them, with its messages, from a table of options (TL.01).

Own code because ``argparse`` takes 7 ms to import and words its errors otherwise, and scripts compare both.
"""

from __future__ import annotations

from vslib.errors import ConfigError

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NONE, REQUIRED, OPTIONAL = 0, 1, 2  # whether an option has an argument

# Options after which a program says something of itself and exits: what follows is not looked at.
LAST = ("help", "version", "option")

Found = tuple[str, "str | None"]


def parse(
    words: Sequence[str], long: Mapping[str, int], short: Mapping[str, str], *, permute: bool = False
) -> tuple[list[Found], list[str]]:
    """Return the options in ``words``, as (long name, argument or None), and the words left.

    ``long`` maps names without dashes to NONE, REQUIRED or OPTIONAL; ``short`` maps letters to long names. Options end
    at ``--``, after one of LAST and, unless ``permute``, at the first other word. Raises ConfigError with getopt's text
    for a wrong one.
    """
    found: list[Found] = []
    rest: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if found and found[-1][0] in LAST:
            return found, rest + list(words[at - 1 :])
        if word == "--":
            return found, rest + list(words[at:])
        if word.startswith("--"):
            at = _long(words, at, long, found)
        elif word.startswith("-") and word != "-":
            at = _short(words, at, long, short, found)
        elif permute:
            rest.append(word)
        else:
            return found, list(words[at - 1 :])
    return found, rest


def _long(words: Sequence[str], at: int, long: Mapping[str, int], found: list[Found]) -> int:
    """Take the long option in front of ``at``; return the index behind it and its argument."""
    typed, equals, value = words[at - 1][2:].partition("=")
    name = _complete(words[at - 1], typed, long)
    if not equals:
        if long[name] != REQUIRED:
            found.append((name, None))
            return at
        if at == len(words):
            raise ConfigError(f"option '--{name}' requires an argument")
        found.append((name, words[at]))
        return at + 1
    if long[name] == NONE:
        raise ConfigError(f"option '--{name}' doesn't allow an argument")
    found.append((name, value))
    return at


def _complete(word: str, typed: str, long: Mapping[str, int]) -> str:
    """Return the option that ``typed`` names or begins; raises ConfigError if that is none or several."""
    if typed in long:
        return typed
    names = [name for name in long if name.startswith(typed)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(f"unrecognized option '{word}'")
    listed = "".join(f" '--{name}'" for name in names)
    raise ConfigError(f"option '{word}' is ambiguous; possibilities:{listed}")


def _short(
    words: Sequence[str], at: int, long: Mapping[str, int], short: Mapping[str, str], found: list[Found]
) -> int:
    """Take the letters of the word in front of ``at``; return the index behind them and their argument."""
    letters = words[at - 1]
    for place, letter in enumerate(letters[1:], 2):
        name = short.get(letter)
        if name is None:
            raise ConfigError(f"invalid option -- '{letter}'")
        if long[name] == NONE:
            found.append((name, None))
            if name in LAST:
                return at
            continue
        if letters[place:] or long[name] == OPTIONAL:
            found.append((name, letters[place:] or None))
            return at
        if at == len(words):
            raise ConfigError(f"option requires an argument -- '{letter}'")
        found.append((name, words[at]))
        return at + 1
    return at
