"""ERRORS: every OpenFlow error by name, with its numbers in each version (OF.35), and its message form (MS.02).

A row says under which numbers a version knows the error: `OF1.1+(4,6)` = type and code of the specification from 1.1
on; `NX1.0(0,263)` = the Nicira extension inside OpenFlow 1.0 and 1.1, which has a type and a code; `NX1.2+(2)` and
`ONF1.3(2600)` = an experimenter error of OpenFlow 1.2 and later, which has a code only. An error that a version cannot
express is sent as NXBRC_UNENCODABLE_ERROR, as Open vSwitch does.

C code names an error by one number, `type << 16 | code` in OpenFlow 1.3 numbering (`code13`); experimenter errors have
type 0xffff, and the few that OpenFlow 1.3 does not have get type 0xfffe and their row number. `of_error.pxd` is
generated from this table.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from ofproto.numbers import NICIRA, ONF
from vslib.errors import PeerError

OPENFLOW = 0
VERSIONS = (1, 2, 3, 4, 5, 6)

_OFPT_ERROR = 1
_EXPERIMENTER_TYPE = 0xFFFF        # OFPET_EXPERIMENTER, OpenFlow 1.2 and later
_NX_VENDOR_TYPE = 0xB0C2           # NXET_VENDOR, OpenFlow 1.0 and 1.1
_ABSENT_TYPE = 0xFFFE
_VENDORS = {"OF": OPENFLOW, "NX": NICIRA, "ONF": ONF}
_RANGE = re.compile(r"(OF|NX|ONF)1\.(\d)(?:(\+)|-1\.(\d))?\((\d+)(?:,(\d+))?\)")


@dataclass(frozen=True, slots=True)
class Code:
    """An error's numbers in one version: vendor (0 = standard), type and code."""

    vendor: int
    type: int
    code: int


@dataclass(frozen=True, slots=True)
class Error:
    """One row of ERRORS: name, and codes by OpenFlow wire version (1 = 1.0 ... 6 = 1.5)."""

    name: str
    codes: dict[int, Code]


def _error(name: str, spec: str) -> Error:
    codes: dict[int, Code] = {}
    for match in _RANGE.finditer(spec):
        vendor, first, open_end, last, a, b = match.groups()
        low = int(first) + 1
        high = VERSIONS[-1] if open_end else int(last) + 1 if last else low
        code = Code(_VENDORS[vendor], int(a) if b else _EXPERIMENTER_TYPE, int(b or a))
        codes.update(dict.fromkeys(range(low, high + 1), code))
    return Error(name, codes)


_ROWS: tuple[Error, ...] = (
    _error("OFPHFC_INCOMPATIBLE", "OF1.0+(0,0)"),
    _error("OFPHFC_EPERM", "OF1.0+(0,1)"),
    _error("OFPBRC_BAD_VERSION", "OF1.0+(1,0)"),
    _error("OFPBRC_BAD_TYPE", "OF1.0+(1,1)"),
    _error("OFPBRC_BAD_STAT", "OF1.0+(1,2)"),
    _error("OFPBRC_BAD_VENDOR", "OF1.0+(1,3)"),
    _error("OFPBRC_BAD_SUBTYPE", "OF1.0+(1,4)"),
    _error("OFPBRC_EPERM", "OF1.0+(1,5)"),
    _error("OFPBRC_BAD_LEN", "OF1.0+(1,6)"),
    _error("OFPBRC_BUFFER_EMPTY", "OF1.0+(1,7)"),
    _error("OFPBRC_BUFFER_UNKNOWN", "OF1.0+(1,8)"),
    _error("OFPBRC_BAD_TABLE_ID", "NX1.0(1,512) OF1.1+(1,9)"),
    _error("OFPBRC_IS_SECONDARY", "OF1.0-1.1(1,5) OF1.2+(1,10)"),
    _error("OFPBRC_BAD_PORT", "NX1.0-1.1(1,514) OF1.2+(1,11)"),
    _error("OFPBRC_BAD_PACKET", "OF1.2+(1,12)"),
    _error("OFPBRC_MULTIPART_BUFFER_OVERFLOW", "OF1.3+(1,13)"),
    _error("NXBRC_NXM_INVALID", "NX1.0-1.1(1,256) NX1.2+(2)"),
    _error("NXBRC_NXM_BAD_TYPE", "NX1.0-1.1(1,257) NX1.2+(3)"),
    _error("NXBRC_MUST_BE_ZERO", "NX1.0-1.1(1,515) NX1.2+(4)"),
    _error("NXBRC_BAD_REASON", "NX1.0-1.1(1,516) NX1.2+(5)"),
    _error("NXBRC_FM_BAD_EVENT", "NX1.0-1.1(1,520) NX1.2+(9)"),
    _error("NXBRC_UNENCODABLE_ERROR", "NX1.0-1.1(1,521) NX1.2+(10)"),
    _error("OFPBAC_BAD_TYPE", "OF1.0+(2,0)"),
    _error("OFPBAC_BAD_LEN", "OF1.0+(2,1)"),
    _error("OFPBAC_BAD_VENDOR", "OF1.0+(2,2)"),
    _error("OFPBAC_BAD_VENDOR_TYPE", "OF1.0+(2,3)"),
    _error("OFPBAC_BAD_OUT_PORT", "OF1.0+(2,4)"),
    _error("OFPBAC_BAD_ARGUMENT", "OF1.0+(2,5)"),
    _error("OFPBAC_EPERM", "OF1.0+(2,6)"),
    _error("OFPBAC_TOO_MANY", "OF1.0+(2,7)"),
    _error("OFPBAC_BAD_QUEUE", "OF1.0+(2,8)"),
    _error("OFPBAC_BAD_OUT_GROUP", "NX1.0(2,9) OF1.1+(2,9)"),
    _error("OFPBAC_MATCH_INCONSISTENT", "NX1.0(1,522) OF1.1+(2,10)"),
    _error("OFPBAC_UNSUPPORTED_ORDER", "OF1.1+(2,11)"),
    _error("OFPBAC_BAD_TAG", "OF1.1+(2,12)"),
    _error("OFPBAC_BAD_SET_TYPE", "NX1.0-1.1(1,523) OF1.2+(2,13)"),
    _error("OFPBAC_BAD_SET_LEN", "NX1.0-1.1(1,524) OF1.2+(2,14)"),
    _error("OFPBAC_BAD_SET_ARGUMENT", "NX1.0-1.1(1,525) OF1.2+(2,15)"),
    _error("OFPBAC_BAD_SET_MASK", "ONF1.3-1.4(4250) OF1.5+(2,16)"),
    _error("NXBAC_MUST_BE_ZERO", "NX1.0-1.1(2,256) NX1.2+(11)"),
    _error("NXBAC_BAD_CONJUNCTION", "NX1.0-1.1(2,526) NX1.2+(15)"),
    _error("OFPBIC_UNKNOWN_INST", "OF1.1+(3,0)"),
    _error("OFPBIC_UNSUP_INST", "NX1.0(2,257) OF1.1+(3,1)"),
    _error("OFPBIC_BAD_TABLE_ID", "OF1.1+(3,2)"),
    _error("OFPBIC_UNSUP_METADATA", "OF1.1+(3,3)"),
    _error("OFPBIC_UNSUP_METADATA_MASK", "OF1.1+(3,4)"),
    _error("OFPBIC_BAD_EXPERIMENTER", "OF1.1+(3,5)"),
    _error("OFPBIC_BAD_EXP_TYPE", "OF1.1(3,5) OF1.2+(3,6)"),
    _error("OFPBIC_BAD_LEN", "OF1.2+(3,7)"),
    _error("OFPBIC_EPERM", "OF1.2+(3,8)"),
    _error("OFPBIC_DUP_INST", "NX1.1(3,256) ONF1.2-1.3(2600) OF1.4+(3,9)"),
    _error("OFPBMC_BAD_TYPE", "OF1.1+(4,0)"),
    _error("OFPBMC_BAD_LEN", "OF1.1+(4,1)"),
    _error("OFPBMC_BAD_TAG", "OF1.1+(4,2)"),
    _error("OFPBMC_BAD_DL_ADDR_MASK", "OF1.1+(4,3)"),
    _error("OFPBMC_BAD_NW_ADDR_MASK", "OF1.1+(4,4)"),
    _error("OFPBMC_BAD_WILDCARDS", "NX1.0(1,262) OF1.1+(4,5)"),
    _error("OFPBMC_BAD_FIELD", "NX1.0(0,263) OF1.1+(4,6)"),
    _error("OFPBMC_BAD_VALUE", "NX1.0(1,258) OF1.1+(4,7)"),
    _error("OFPBMC_BAD_MASK", "NX1.0-1.1(1,259) OF1.2+(4,8)"),
    _error("OFPBMC_BAD_PREREQ", "NX1.0-1.1(1,260) OF1.2+(4,9)"),
    _error("OFPBMC_DUP_FIELD", "NX1.0-1.1(1,261) OF1.2+(4,10)"),
    _error("OFPBMC_EPERM", "OF1.2+(4,11)"),
    _error("OFPFMFC_UNKNOWN", "OF1.1+(5,0)"),
    _error("OFPFMFC_TABLE_FULL", "OF1.0(3,0) OF1.1+(5,1)"),
    _error("OFPFMFC_BAD_TABLE_ID", "OF1.1+(5,2)"),
    _error("OFPFMFC_OVERLAP", "OF1.0(3,1) OF1.1+(5,3)"),
    _error("OFPFMFC_EPERM", "OF1.0(3,2) OF1.1+(5,4)"),
    _error("OFPFMFC_BAD_TIMEOUT", "OF1.1+(5,5)"),
    _error("OFPFMFC_BAD_EMERG_TIMEOUT", "OF1.0(3,3)"),
    _error("OFPFMFC_BAD_COMMAND", "OF1.0(3,4) OF1.1+(5,6)"),
    _error("OFPFMFC_BAD_FLAGS", "NX1.0(3,258) NX1.1(5,258) OF1.2+(5,7)"),
    _error("OFPFMFC_UNSUPPORTED", "OF1.0(3,5)"),
    _error("NXFMFC_HARDWARE", "NX1.0-1.1(5,256) NX1.2+(12)"),
    _error("NXFMFC_BAD_TABLE_ID", "NX1.0-1.1(5,257) NX1.2+(13)"),
    _error("OFPGMFC_GROUP_EXISTS", "NX1.0(6,0) OF1.1+(6,0)"),
    _error("OFPGMFC_INVALID_GROUP", "NX1.0(6,1) OF1.1+(6,1)"),
    _error("OFPGMFC_WEIGHT_UNSUPPORTED", "NX1.0(6,2) OF1.1+(6,2)"),
    _error("OFPGMFC_OUT_OF_GROUPS", "NX1.0(6,3) OF1.1+(6,3)"),
    _error("OFPGMFC_OUT_OF_BUCKETS", "NX1.0(6,4) OF1.1+(6,4)"),
    _error("OFPGMFC_CHAINING_UNSUPPORTED", "NX1.0(6,5) OF1.1+(6,5)"),
    _error("OFPGMFC_WATCH_UNSUPPORTED", "NX1.0(6,6) OF1.1+(6,6)"),
    _error("OFPGMFC_LOOP", "NX1.0(6,7) OF1.1+(6,7)"),
    _error("OFPGMFC_UNKNOWN_GROUP", "NX1.0(6,8) OF1.1+(6,8)"),
    _error("OFPGMFC_CHAINED_GROUP", "NX1.0-1.1(6,9) OF1.2+(6,9)"),
    _error("OFPGMFC_BAD_TYPE", "NX1.0-1.1(6,10) OF1.2+(6,10)"),
    _error("OFPGMFC_BAD_COMMAND", "NX1.0-1.1(6,11) OF1.2+(6,11)"),
    _error("OFPGMFC_BAD_BUCKET", "NX1.0-1.1(6,12) OF1.2+(6,12)"),
    _error("OFPGMFC_BAD_WATCH", "NX1.0-1.1(6,13) OF1.2+(6,13)"),
    _error("OFPGMFC_EPERM", "NX1.0-1.1(6,14) OF1.2+(6,14)"),
    _error("OFPGMFC_UNKNOWN_BUCKET", "NX1.0-1.1(6,15) OF1.5+(6,15)"),
    _error("OFPGMFC_BUCKET_EXISTS", "NX1.0-1.1(6,16) OF1.5+(6,16)"),
    _error("OFPPMFC_BAD_PORT", "OF1.0(4,0) OF1.1+(7,0)"),
    _error("OFPPMFC_BAD_HW_ADDR", "OF1.0(4,1) OF1.1+(7,1)"),
    _error("OFPPMFC_BAD_CONFIG", "OF1.1+(7,2)"),
    _error("OFPPMFC_BAD_ADVERTISE", "OF1.1+(7,3)"),
    _error("OFPPMFC_EPERM", "OF1.2+(7,4)"),
    _error("OFPTMFC_BAD_TABLE", "OF1.1+(8,0)"),
    _error("OFPTMFC_BAD_CONFIG", "OF1.1+(8,1)"),
    _error("OFPTMFC_EPERM", "OF1.2+(8,2)"),
    _error("OFPQOFC_BAD_PORT", "OF1.0(5,0) OF1.1+(9,0)"),
    _error("OFPQOFC_BAD_QUEUE", "OF1.0(5,1) OF1.1+(9,1)"),
    _error("OFPQOFC_EPERM", "OF1.0(5,2) OF1.1+(9,2)"),
    _error("NXQOFC_QUEUE_ERROR", "NX1.4+(23)"),
    _error("OFPSCFC_BAD_FLAGS", "OF1.1+(10,0)"),
    _error("OFPSCFC_BAD_LEN", "OF1.1+(10,1)"),
    _error("OFPSCFC_EPERM", "OF1.2+(10,2)"),
    _error("OFPRRFC_STALE", "OF1.2+(11,0)"),
    _error("OFPRRFC_UNSUP", "OF1.2+(11,1)"),
    _error("OFPRRFC_BAD_ROLE", "NX1.0-1.1(1,513) OF1.2+(11,2)"),
    _error("OFPMMFC_UNKNOWN", "OF1.3+(12,0)"),
    _error("OFPMMFC_METER_EXISTS", "OF1.3+(12,1)"),
    _error("OFPMMFC_INVALID_METER", "OF1.3+(12,2)"),
    _error("OFPMMFC_UNKNOWN_METER", "OF1.3+(12,3)"),
    _error("OFPMMFC_BAD_COMMAND", "OF1.3+(12,4)"),
    _error("OFPMMFC_BAD_FLAGS", "OF1.3+(12,5)"),
    _error("OFPMMFC_BAD_RATE", "OF1.3+(12,6)"),
    _error("OFPMMFC_BAD_BURST", "OF1.3+(12,7)"),
    _error("OFPMMFC_BAD_BAND", "OF1.3+(12,8)"),
    _error("OFPMMFC_BAD_BAND_VALUE", "OF1.3+(12,9)"),
    _error("OFPMMFC_OUT_OF_METERS", "OF1.3+(12,10)"),
    _error("OFPMMFC_OUT_OF_BANDS", "OF1.3+(12,11)"),
    _error("OFPTFFC_BAD_TABLE", "OF1.3+(13,0)"),
    _error("OFPTFFC_BAD_METADATA", "OF1.3+(13,1)"),
    _error("OFPTFFC_EPERM", "OF1.3+(13,5)"),
    _error("OFPBPC_BAD_TYPE", "NX1.0-1.1(13,2) NX1.2(25) OF1.3(13,2) OF1.4+(14,0)"),
    _error("OFPBPC_BAD_LEN", "NX1.0-1.1(13,3) NX1.2(26) OF1.3(13,3) OF1.4+(14,1)"),
    _error("OFPBPC_BAD_VALUE", "NX1.0-1.1(13,4) NX1.2(27) OF1.3(13,4) OF1.4+(14,2)"),
    _error("OFPBPC_TOO_MANY", "NX1.0-1.1(14,3) NX1.2(28) ONF1.3(4443) OF1.4+(14,3)"),
    _error("OFPBPC_DUP_TYPE", "NX1.0-1.1(14,4) NX1.2(29) ONF1.3(4444) OF1.4+(14,4)"),
    _error("OFPBPC_BAD_EXPERIMENTER", "NX1.0-1.1(14,5) NX1.2(30) ONF1.3(4445) OF1.4+(14,5)"),
    _error("OFPBPC_BAD_EXP_TYPE", "NX1.0-1.1(14,6) NX1.2(31) ONF1.3(4446) OF1.4+(14,6)"),
    _error("OFPBPC_BAD_EXP_VALUE", "NX1.0-1.1(14,7) NX1.2(32) ONF1.3(4447) OF1.4+(14,7)"),
    _error("OFPBPC_EPERM", "NX1.0-1.1(14,8) NX1.2(33) ONF1.3(4448) OF1.4+(14,8)"),
    _error("OFPACFC_INVALID", "ONF1.3(2370) OF1.4+(15,0)"),
    _error("OFPACFC_UNSUPPORTED", "ONF1.3(2371) OF1.4+(15,1)"),
    _error("OFPACFC_EPERM", "ONF1.3(2372) OF1.4+(15,2)"),
    _error("OFPBFC_UNKNOWN", "ONF1.3(2300) OF1.4+(17,0)"),
    _error("OFPBFC_EPERM", "ONF1.3(2301) OF1.4+(17,1)"),
    _error("OFPBFC_BAD_ID", "ONF1.3(2302) OF1.4+(17,2)"),
    _error("OFPBFC_BUNDLE_EXIST", "ONF1.3(2303) OF1.4+(17,3)"),
    _error("OFPBFC_BUNDLE_CLOSED", "ONF1.3(2304) OF1.4+(17,4)"),
    _error("OFPBFC_OUT_OF_BUNDLES", "ONF1.3(2305) OF1.4+(17,5)"),
    _error("OFPBFC_BAD_TYPE", "ONF1.3(2306) OF1.4+(17,6)"),
    _error("OFPBFC_BAD_FLAGS", "ONF1.3(2307) OF1.4+(17,7)"),
    _error("OFPBFC_MSG_BAD_LEN", "ONF1.3(2308) OF1.4+(17,8)"),
    _error("OFPBFC_MSG_BAD_XID", "ONF1.3(2309) OF1.4+(17,9)"),
    _error("OFPBFC_MSG_UNSUP", "ONF1.3(2310) OF1.4+(17,10)"),
    _error("OFPBFC_MSG_CONFLICT", "ONF1.3(2311) OF1.4+(17,11)"),
    _error("OFPBFC_MSG_TOO_MANY", "ONF1.3(2312) OF1.4+(17,12)"),
    _error("OFPBFC_MSG_FAILED", "ONF1.3(2313) OF1.4+(17,13)"),
    _error("OFPBFC_TIMEOUT", "ONF1.3(2314) OF1.4+(17,14)"),
    _error("OFPBFC_BUNDLE_IN_PROGRESS", "ONF1.3(2315) OF1.4+(17,15)"),
    _error("OFPBFC_BAD_VERSION", "NX1.4-1.5(22)"),
    _error("OFPMOFC_UNKNOWN", "OF1.4+(16,0)"),
    _error("OFPMOFC_MONITOR_EXISTS", "NX1.0-1.1(1,517) NX1.2-1.3(6) OF1.4+(16,1)"),
    _error("OFPMOFC_INVALID_MONITOR", "OF1.4+(16,2)"),
    _error("OFPMOFC_UNKNOWN_MONITOR", "NX1.0-1.1(1,519) NX1.2-1.3(8) OF1.4+(16,3)"),
    _error("OFPMOFC_BAD_COMMAND", "OF1.4+(16,4)"),
    _error("OFPMOFC_BAD_FLAGS", "NX1.0-1.1(1,518) NX1.2-1.3(7) OF1.4+(16,5)"),
    _error("OFPMOFC_BAD_TABLE_ID", "OF1.4+(16,6)"),
    _error("OFPMOFC_BAD_OUT", "OF1.4+(16,7)"),
    _error("NXTTMFC_BAD_COMMAND", "NX1.0-1.1(1,527) NX1.2+(16)"),
    _error("NXTTMFC_BAD_OPT_LEN", "NX1.0-1.1(1,528) NX1.2+(17)"),
    _error("NXTTMFC_BAD_FIELD_IDX", "NX1.0-1.1(1,529) NX1.2+(18)"),
    _error("NXTTMFC_TABLE_FULL", "NX1.0-1.1(1,530) NX1.2+(19)"),
    _error("NXTTMFC_ALREADY_MAPPED", "NX1.0-1.1(1,531) NX1.2+(20)"),
    _error("NXTTMFC_DUP_ENTRY", "NX1.0-1.1(1,532) NX1.2+(21)"),
    _error("NXR_NOT_SUPPORTED", "NX1.0-1.1(1,533) NX1.2+(34)"),
    _error("NXR_STALE", "NX1.0-1.1(1,534) NX1.2+(35)"),
    _error("NXST_NOT_CONFIGURED", "NX1.0-1.1(1,535) NX1.2+(36)"),
    _error("NXFMFC_INVALID_TLV_FIELD", "NX1.0-1.1(1,536) NX1.2+(37)"),
    _error("NXTTMFC_INVALID_TLV_DEL", "NX1.0-1.1(1,537) NX1.2+(38)"),
    _error("NXBAC_BAD_HEADER_TYPE", "NX1.3+(39)"),
    _error("NXBAC_UNKNOWN_ED_PROP", "NX1.3+(40)"),
    _error("NXBAC_BAD_ED_PROP", "NX1.3+(41)"),
    _error("NXBAC_CT_DATAPATH_SUPPORT", "NX1.0(1,265) NX1.3+(42)"),
    _error("NXBMC_CT_DATAPATH_SUPPORT", "NX1.0(1,264) NX1.3+(43)"),
    _error("NXTFFC_DUP_TABLE", "NX1.3+(44)"),
    _error("OFPBRC_MULTIPART_REQUEST_TIMEOUT", "ONF1.3(2640) OF1.4+(1,14)"),
)

ERRORS: dict[str, Error] = {row.name: row for row in _ROWS}
UNENCODABLE = ERRORS["NXBRC_UNENCODABLE_ERROR"]

_NUMBER = {row.name: i for i, row in enumerate(_ROWS)}


def code13(name: str) -> int:
    """Return the number that C code uses for an error: `type << 16 | code`, OpenFlow 1.3 numbering; raises KeyError."""
    code = ERRORS[name].codes.get(4)
    if code is None:
        return _ABSENT_TYPE << 16 | _NUMBER[name]
    return code.type << 16 | code.code


BY_CODE13: dict[int, Error] = {code13(row.name): row for row in reversed(_ROWS)}


def _by_version(version: int) -> dict[Code, Error]:
    # Where a version gives two errors one number, the row that comes first names it.
    return {row.codes[version]: row for row in reversed(_ROWS) if version in row.codes}


_BY_CODE: dict[int, dict[Code, Error]] = {version: _by_version(version) for version in VERSIONS}


class OpenFlowError(PeerError):
    """A peer's message breaks OpenFlow; `name` is a key of ERRORS. Answer it with `encode_error`."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name

    @classmethod
    def from_code13(cls, code: int) -> OpenFlowError:
        """Return the exception for a number of `code13`; raises KeyError."""
        return cls(BY_CODE13[code].name)


def error_payload(name: str, version: int) -> bytes:
    """Return type, code and experimenter fields of an error message body in a wire version (1-6); raises KeyError."""
    code = ERRORS[name].codes.get(version) or UNENCODABLE.codes[version]
    if code.vendor == OPENFLOW:
        return struct.pack("!HH", code.type, code.code)
    if version < 3:
        return struct.pack("!HHIHH", _NX_VENDOR_TYPE, 0, code.vendor, code.type, code.code)
    return struct.pack("!HHI", _EXPERIMENTER_TYPE, code.code, code.vendor)


def encode_error(name: str, version: int, xid: int, offender: bytes) -> bytes:
    """Return an OFPT_ERROR message in a wire version (1-6) that quotes `offender`; raises KeyError for an unknown name.

    OpenFlow asks for at least 64 bytes of the offending message; all that fits is quoted.
    """
    body = error_payload(name, version) + offender[: 0xFFFF - 24]
    return struct.pack("!BBHI", version, _OFPT_ERROR, 8 + len(body), xid) + body


def decode_error(message: bytes) -> tuple[str, bytes]:
    """Return the name of an OFPT_ERROR message's error and the data it quotes; raises PeerError if it is malformed."""
    if len(message) < 12:
        raise PeerError(f"OpenFlow error message of {len(message)} bytes is too short")
    version, _, _, _, kind, number = struct.unpack_from("!BBHIHH", message)
    code, data = Code(OPENFLOW, kind, number), 12
    if version < 3 and kind == _NX_VENDOR_TYPE and number == 0 and len(message) >= 20:
        code, data = Code(*struct.unpack_from("!IHH", message, 12)), 20
    elif version >= 3 and kind == _EXPERIMENTER_TYPE and len(message) >= 16:
        code, data = Code(struct.unpack_from("!I", message, 12)[0], kind, number), 16
    row = _BY_CODE.get(version, {}).get(code)
    if row is None:
        raise PeerError(f"unknown OpenFlow error type {kind} code {number} in version {version}")
    return row.name, message[data:]
