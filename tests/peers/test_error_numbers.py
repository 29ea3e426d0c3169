"""Every error's bytes, in OpenFlow 1.0 and 1.3, against those that ovs-ofctl makes for the same name (MS.02, OF.35)."""

from __future__ import annotations

import subprocess

import pytest

from ofproto.errors import ERRORS, encode_error

pytestmark = pytest.mark.ovs_tools

UNKNOWN_MESSAGE_TYPE = 99


def made_by_ovs_ofctl(name: str, request: bytes) -> bytes:
    command = ["ovs-ofctl", "encode-error-reply", name, request.hex()]
    dump = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    rows = [line[8:58].replace("-", " ") for line in dump.splitlines() if line.startswith("0000")]
    return bytes.fromhex("".join(rows))


@pytest.mark.parametrize("version", [1, 4])
def test_every_error_has_the_bytes_that_open_vswitch_gives_it(version):
    request = bytes([version, UNKNOWN_MESSAGE_TYPE, 0, 8, 0, 0, 0, 1])
    for name in ERRORS:
        assert (name, encode_error(name, version, 1, request)) == (name, made_by_ovs_ofctl(name, request))
