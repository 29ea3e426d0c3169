"""TLS contexts for ``ssl:`` and ``pssl:``, built from key files when first needed and again when a file changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from vslib.errors import ConfigError

if TYPE_CHECKING:
    import ssl


class TlsFiles(NamedTuple):
    """Paths of PEM files; an empty path is not configured. ``ca_cert`` "none" accepts any peer."""

    private_key: str = ""
    certificate: str = ""
    ca_cert: str = ""


_files = TlsFiles()
_cache: dict[bool, tuple[tuple[object, ...], ssl.SSLContext]] = {}


def configure(private_key: str = "", certificate: str = "", ca_cert: str = "") -> None:
    """Use these PEM files for every later ``ssl:`` and ``pssl:`` stream; they are read when one is opened."""
    global _files
    _files = TlsFiles(private_key, certificate, ca_cert)
    _cache.clear()


def files() -> TlsFiles:
    """Return the files in use."""
    return _files


def context(server: bool) -> ssl.SSLContext:
    """Return the context of one side; raises ConfigError that names the missing or unusable file."""
    for name, path in _files._asdict().items():
        if not path:
            raise ConfigError(f"SSL requires {name.replace('_', ' ')} to be configured")
    stamp = tuple(_stamp(path) for path in _files)
    cached = _cache.get(server)
    if cached is None or cached[0] != stamp:
        cached = _cache[server] = (stamp, _build(server))
    return cached[1]


def _stamp(path: str) -> tuple[str, int, int]:
    """Return what changes when the file is replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_size


def _build(server: bool) -> ssl.SSLContext:
    import ssl

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False  # Open vSwitch's trust is the CA alone; certificates name no hosts
    made.verify_mode = ssl.CERT_NONE if _files.ca_cert == "none" else ssl.CERT_REQUIRED
    try:
        made.load_cert_chain(_files.certificate, _files.private_key)
        if _files.ca_cert != "none":
            made.load_verify_locations(_files.ca_cert)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use SSL files {_files.private_key}, {_files.certificate}, "
                          f"{_files.ca_cert}: {error}") from error
    return made
