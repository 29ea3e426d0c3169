"""ERRORS (OF.35, MS.02): numbers by version, messages, and the generated files."""

from __future__ import annotations

import pytest

from datapath import gen
from ofproto import gen_docs
from ofproto.errors import (
    BY_CODE13,
    ERRORS,
    VERSIONS,
    Code,
    OpenFlowError,
    code13,
    decode_error,
    encode_error,
    error_payload,
)
from ofproto.numbers import NICIRA, ONF
from vslib.errors import PeerError


@pytest.mark.parametrize(
    ("name", "version", "code"),
    [
        ("OFPBRC_BAD_TYPE", 1, Code(0, 1, 1)),
        ("OFPBMC_BAD_FIELD", 4, Code(0, 4, 6)),
        ("OFPBMC_BAD_PREREQ", 1, Code(NICIRA, 1, 260)),
        ("OFPBMC_BAD_PREREQ", 4, Code(0, 4, 9)),
        ("OFPFMFC_OVERLAP", 1, Code(0, 3, 1)),
        ("OFPFMFC_OVERLAP", 4, Code(0, 5, 3)),
        ("OFPBIC_DUP_INST", 4, Code(ONF, 0xFFFF, 2600)),
        ("OFPBIC_DUP_INST", 5, Code(0, 3, 9)),
        ("NXBRC_MUST_BE_ZERO", 4, Code(NICIRA, 0xFFFF, 4)),
        ("OFPBFC_BAD_ID", 4, Code(ONF, 0xFFFF, 2302)),
        ("OFPBRC_IS_SECONDARY", 4, Code(0, 1, 10)),
    ],
)
def test_numbers_by_version(name, version, code):
    assert ERRORS[name].codes[version] == code


@pytest.mark.parametrize("version", VERSIONS)
def test_every_error_message_is_read_back(version):
    shared = {"OFPBRC_IS_SECONDARY", "OFPBIC_BAD_EXP_TYPE"}  # older versions give them another error's number
    for name, row in ERRORS.items():
        if version in row.codes and name not in shared:
            assert decode_error(encode_error(name, version, 9, b"offender")) == (name, b"offender")


def test_message_quotes_the_offender_and_its_xid():
    message = encode_error("OFPBRC_BAD_LEN", 4, 0x11223344, bytes(100))
    assert message[:12] == bytes.fromhex("04010070 11223344 0001 0006".replace(" ", ""))
    assert message[12:] == bytes(100)
    assert len(encode_error("OFPBRC_BAD_LEN", 4, 1, bytes(0xFFFF))) <= 0xFFFF


def test_nicira_error_of_openflow10_is_wrapped():
    assert error_payload("OFPBMC_DUP_FIELD", 1) == bytes.fromhex("b0c2 0000 00002320 0001 0105".replace(" ", ""))


def test_error_that_a_version_cannot_say():
    assert decode_error(encode_error("OFPBFC_BAD_ID", 1, 1, b""))[0] == "NXBRC_UNENCODABLE_ERROR"


def test_c_numbers_are_distinct_and_lead_back():
    assert len({code13(name) for name in ERRORS}) == len(ERRORS)
    assert all(BY_CODE13[code13(name)].name == name for name in ERRORS)
    assert OpenFlowError.from_code13(code13("OFPBMC_BAD_VALUE")).name == "OFPBMC_BAD_VALUE"


@pytest.mark.parametrize("message", ["", "0401000c000000000063 0063", "0401000c00000000ffff0001"])
def test_malformed_error_messages(message):
    with pytest.raises(PeerError):
        decode_error(bytes.fromhex(message))


@pytest.mark.parametrize("name", sorted(gen_docs.GENERATED))
def test_generated_files_are_fresh(name):
    assert (gen.ROOT / name).read_text() == gen_docs.GENERATED[name](), "run python -m ofproto.gen_docs"
