"""Target strings: ``unix:PATH``, ``tcp:HOST[:PORT]``, ``ptcp:[PORT][:HOST]`` and their kin, parsed; no I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

from vslib.errors import ConfigError

# Method -> (what carries it, whether it listens).
METHODS = {
    "unix": ("unix", False),
    "punix": ("unix", True),
    "tcp": ("tcp", False),
    "ptcp": ("tcp", True),
    "ssl": ("ssl", False),
    "pssl": ("ssl", True),
}
_HOST = r"\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*)"
_ACTIVE = re.compile(rf"(?:{_HOST})(?::(?P<port>[^:]*))?")
_PASSIVE = re.compile(rf"(?P<port>[^:\[\]]*)(?::(?:{_HOST}))?")


class Target(NamedTuple):
    """A parsed target; ``host`` and ``port`` are for tcp and ssl, ``path`` for unix."""

    text: str
    carrier: str  # unix, tcp or ssl
    passive: bool
    path: str
    host: str  # without brackets; empty: any address
    port: int  # 0 on a passive target: the kernel chooses


def parse_target(text: str, default_port: int | None = None) -> Target:
    """Return the parts of ``text``; ``default_port`` stands in where it names none.

    Raises ConfigError that says which part is wrong.
    """
    method, colon, rest = text.partition(":")
    if not colon or method not in METHODS:
        raise ConfigError(f'{text}: unknown target, use one of {", ".join(f"{name}:" for name in METHODS)}')
    carrier, passive = METHODS[method]
    if carrier == "unix":
        if not rest or "\0" in rest:
            raise ConfigError(f"{text}: bad or missing socket path")
        return Target(text, carrier, passive, rest, "", 0)
    found = (_PASSIVE if passive else _ACTIVE).fullmatch(rest)
    if found is None:
        raise ConfigError(f'{text}: cannot parse "{rest}" (IPv6 addresses belong in brackets)')
    six, four = found["six"], found["four"]
    host = six if six is not None else (four or "")
    if six is not None and ":" not in six:
        raise ConfigError(f'{text}: "{six}" is not an IPv6 address')
    if not host and not passive:
        raise ConfigError(f"{text}: missing host")
    return Target(text, carrier, passive, "", host, _port(text, found["port"], default_port, passive))


def _port(text: str, digits: str | None, default_port: int | None, passive: bool) -> int:
    if not digits:
        if default_port is None:
            raise ConfigError(f"{text}: missing port")
        return default_port
    if not digits.isascii() or not digits.isdigit() or not (0 if passive else 1) <= int(digits) <= 65535:
        raise ConfigError(f'{text}: bad port number "{digits}"')
    return int(digits)


def join_host(host: str, port: int) -> str:
    """Return ``HOST:PORT`` with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
