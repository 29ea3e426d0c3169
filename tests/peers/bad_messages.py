"""OpenFlow messages with something wrong in them, by `struct` alone: BAD_10 and BAD_13, by name."""

from __future__ import annotations

import struct

NX, STRANGER = 0x2320, 0x00ABCDEF
ALL_WILD = 0x3820FF
ANY, ANY16 = 0xFFFFFFFF, 0xFFFF


def message(version: int, kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body) if length is None else length, 0x1234) + body


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


# --- OpenFlow 1.0


def of10(kind: int, body: bytes = b"") -> bytes:
    return message(1, kind, body)


def vendor10(subtype: int, body: bytes = b"", vendor: int = NX) -> bytes:
    return of10(4, struct.pack("!II", vendor, subtype) + body)


def mod10(actions: bytes = b"", command: int = 0, flags: int = 0, buffer_id: int = ANY, match: bytes = b"") -> bytes:
    match = match or struct.pack("!I36x", ALL_WILD)
    return of10(14, match + struct.pack("!QHHHHIHH", 0, command, 0, 0, 1, buffer_id, ANY16, flags) + actions)


def nx_mod(entries: bytes, actions: bytes = b"", match_len: int | None = None) -> bytes:
    n = len(entries) if match_len is None else match_len
    return vendor10(13, struct.pack("!QHHHHIHHH6x", 0, 0, 0, 0, 1, ANY, ANY16, 0, n) + pad8(entries) + actions)


def nx_action(subtype: int, body: bytes = bytes(6), vendor: int = NX) -> bytes:
    return struct.pack("!HHIH", ANY16, 10 + len(body), vendor, subtype) + body


def out10(actions: bytes, in_port: int = 0xFFF8, buffer_id: int = ANY, actions_len: int | None = None) -> bytes:
    n = len(actions) if actions_len is None else actions_len
    return of10(13, struct.pack("!IHH", buffer_id, in_port, n) + actions + bytes(60))


def nxm(cls: int, field: int, payload: bytes, masked: bool = False) -> bytes:
    return struct.pack("!I", cls << 16 | field << 9 | masked << 8 | len(payload)) + payload


IP = nxm(0, 3, b"\x08\x00")
OUTPUT_1 = struct.pack("!HHHH", 0, 8, 1, 0)

BAD_10 = {
    "unknown type": of10(99),
    "unknown vendor": vendor10(1, vendor=STRANGER),
    "vendor without subtype": of10(4, struct.pack("!I", NX)),
    "unknown Nicira message": vendor10(999),
    "unknown statistics": of10(16, struct.pack("!HH", 99, 0)),
    "statistics of an unknown vendor": of10(16, struct.pack("!HHII", ANY16, 0, STRANGER, 0)),
    "unknown Nicira statistics": of10(16, struct.pack("!HHII4x", ANY16, 0, NX, 99)),
    "statistics without type": of10(16),
    "description with a body": of10(16, struct.pack("!HH", 0, 0) + b"body"),
    "flow statistics cut short": of10(16, struct.pack("!HH", 1, 0) + bytes(10)),
    "port statistics of a missing port": of10(16, struct.pack("!HHH6x", 4, 0, 99)),
    "features request with a body": of10(5, b"12345678"),
    "barrier with a body": of10(18, b"12345678"),
    "flow-mod cut short": of10(14, bytes(20)),
    "flow-mod with an unknown command": mod10(command=9),
    "flow-mod with an emergency flag": mod10(flags=4),
    "flow-mod with a buffer": mod10(buffer_id=7),
    "unknown action": mod10(struct.pack("!HH4x", 77, 8)),
    "action of no length": mod10(struct.pack("!HH4x", 0, 0)),
    "action of a wrong length": mod10(struct.pack("!HH12x", 0, 16)),
    "action of an odd length": mod10(struct.pack("!HH4x", 0, 7)),
    "action beyond the end": mod10(struct.pack("!HH4x", 0, 64)),
    "output to port 0": mod10(struct.pack("!HHHH", 0, 8, 0, 0)),
    "output to a reserved port": mod10(struct.pack("!HHHH", 0, 8, 0xFF10, 0)),
    "output to NONE": mod10(struct.pack("!HHHH", 0, 8, ANY16, 0)),
    "VLAN ID too large": mod10(struct.pack("!HHHH", 1, 8, 5000, 0)),
    "VLAN priority too large": mod10(struct.pack("!HHB3x", 2, 8, 9)),
    "TOS with ECN bits": mod10(struct.pack("!HHB3x", 8, 8, 3)),
    "enqueue to the controller": mod10(struct.pack("!HHH6xI", 11, 16, 0xFFFD, 1)),
    "action of an unknown vendor": mod10(nx_action(1, vendor=STRANGER)),
    "unknown Nicira action": mod10(nx_action(200)),
    "action of the vendor too short": mod10(struct.pack("!HHI", ANY16, 8, NX)),
    "load of too many bits": mod10(nx_action(7, struct.pack("!HIQ", 31 << 6 | 31, 0x00010004, 0))),
    "load of a value too large": mod10(nx_action(7, struct.pack("!HIQ", 0 << 6 | 7, 0x00010004, 256))),
    "load to a read-only field": mod10(nx_action(7, struct.pack("!HIQ", 15, 0x00000602, 5))),
    "load to an unknown field": mod10(nx_action(7, struct.pack("!HIQ", 15, 0x0BAD0604, 5))),
    "move from an unknown field": mod10(nx_action(6, struct.pack("!HHHII", 16, 0, 0, 0x0BAD0004, 0x00010004))),
    "move beyond the end": mod10(nx_action(6, struct.pack("!HHHII", 32, 4, 0, 0x00010004, 0x00010204))),
    "move to an unknown field": mod10(nx_action(6, struct.pack("!HHHII", 16, 0, 0, 0x00010004, 0x0BAD0004))),
    "push of an unknown field": mod10(nx_action(27, struct.pack("!HIH6x", 0, 0x0BAD0004, 16))),
    "pop to a read-only field": mod10(nx_action(28, struct.pack("!HIH6x", 0, 0x00000602, 16))),
    "output to an unknown field": mod10(nx_action(15, struct.pack("!HIH6x", 15, 0x0BAD0004, 0))),
    "output to an unknown field, second form": mod10(nx_action(32, struct.pack("!HHI6x", 15, 0, 0x0BAD0004))),
    "resubmit to a table with padding set": mod10(nx_action(14, struct.pack("!HB3s", 1, 2, b"abc"))),
    "output to a register too wide": mod10(nx_action(15, struct.pack("!HIH6x", 31 << 6 | 31, 0x00010004, 0))),
    "flow format that is none": vendor10(12, struct.pack("!I", 9)),
    "packet-in format that is none": vendor10(16, struct.pack("!I", 9)),
    "role that is none": vendor10(10, struct.pack("!I", 9)),
    "controller id with padding set": vendor10(20, struct.pack("!6sH", b"abcdef", 1)),
    "packet-out from a missing port": out10(OUTPUT_1, in_port=0xFF01),
    "packet-out with a buffer": out10(OUTPUT_1, buffer_id=9),
    "packet-out with a bad action": out10(struct.pack("!HH4x", 77, 8)),
    "packet-out with actions beyond the end": out10(OUTPUT_1, actions_len=4000),
    "packet-out cut short": of10(13, bytes(4)),
    "port-mod of a missing port": of10(15, struct.pack("!H6sIII4x", 99, bytes(6), 0, 0, 0)),
    "port-mod with another address": of10(15, struct.pack("!H6sIII4x", 1, b"\2\2\2\2\2\2", 0, 0, 0)),
    "queue configuration of a missing port": of10(20, struct.pack("!H2x", 99)),
    "a reply that nobody asked for": of10(6, bytes(24)),
    "a packet-in from a controller": of10(10, bytes(20)),
    "another version": message(4, 5),
    "match too long": nx_mod(IP, match_len=4000),
    "unknown field": nx_mod(nxm(0x0BAD, 1, b"1234")),
    "field of a wrong length": nx_mod(nxm(0, 3, b"\x08")),
    "field cut short": nx_mod(struct.pack("!I", 3 << 9 | 200)),
    "field twice": nx_mod(IP + IP),
    "field without its prerequisite": nx_mod(nxm(0, 6, b"\x06")),
    "mask where none is allowed": nx_mod(nxm(0, 3, b"\x08\x00\xff\xff", True)),
    "value outside of its mask": nx_mod(IP + nxm(0, 7, bytes([10, 0, 0, 1, 255, 0, 0, 0]), True)),
    "TOS with ECN bits in a match": nx_mod(IP + nxm(0, 5, b"\x03")),
    "registers of a wrong length": nx_mod(nxm(1, 0, b"12")),
    "set of a port without a protocol": nx_mod(IP, struct.pack("!HHH2x", 10, 8, 80)),
}


# --- OpenFlow 1.3


def of13(kind: int, body: bytes = b"") -> bytes:
    return message(4, kind, body)


def oxm_match(entries: bytes = b"", kind: int = 1, length: int | None = None) -> bytes:
    return pad8(struct.pack("!HH", kind, 4 + len(entries) if length is None else length) + entries)


def mod13(
    body: bytes = b"", match: bytes = b"", command: int = 0, table: int = 0, flags: int = 0, buffer_id: int = ANY
) -> bytes:
    """`body` is the instructions."""
    head = struct.pack("!QQBBHHHIIIH2x", 0, 0, table, command, 0, 0, 1, buffer_id, ANY, ANY, flags)
    return of13(14, head + (match or oxm_match()) + body)


def apply(*actions: bytes, kind: int = 4) -> bytes:
    data = b"".join(actions)
    return struct.pack("!HH4x", kind, 8 + len(data)) + data


def oxm(field: int, payload: bytes, masked: bool = False) -> bytes:
    return nxm(0x8000, field, payload, masked)


def set_field(entry: bytes) -> bytes:
    return pad8(struct.pack("!HH", 25, (4 + len(entry) + 7) // 8 * 8) + entry)


def output13(port: int) -> bytes:
    return struct.pack("!HHIH6x", 0, 16, port, 0)


def part(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return of13(18, struct.pack("!HH4x", kind, flags) + body)


IP13, TCP13 = oxm(5, b"\x08\x00"), oxm(10, b"\x06")

BAD_13 = {
    "unknown type": of13(99),
    "another version": message(1, 5),
    "unknown experimenter": of13(4, struct.pack("!II", STRANGER, 1)),
    "unknown Nicira message": of13(4, struct.pack("!II", NX, 999)),
    "unknown multipart": part(99),
    "multipart of an unknown experimenter": part(ANY16, struct.pack("!II", STRANGER, 1)),
    "multipart without type": of13(18),
    "description with a body": part(0, bytes(8)),
    "flow statistics cut short": part(1, bytes(8)),
    "flow statistics with a bad match": part(1, struct.pack("!B3xII4xQQ", 255, ANY, ANY, 0, 0) + oxm_match(kind=7)),
    "port statistics of a missing port": part(4, struct.pack("!I4x", 99)),
    "barrier with a body": of13(20, b"12345678"),
    "flow-mod cut short": of13(14, bytes(20)),
    "flow-mod with an unknown command": mod13(command=9),
    "flow-mod with a buffer": mod13(buffer_id=7),
    "flow-mod with unknown flags": mod13(flags=0x100),
    "flow-mod for all tables": mod13(table=255),
    "match of an unknown type": mod13(match=oxm_match(kind=7)),
    "match too short": mod13(match=oxm_match(length=2)),
    "match too long": mod13(match=oxm_match(length=4000)),
    "unknown field": mod13(match=oxm_match(oxm(99, b"1234"))),
    "field twice": mod13(match=oxm_match(IP13 + IP13)),
    "field without its prerequisite": mod13(match=oxm_match(oxm(11, b"\x0a\0\0\1"))),
    "port without a protocol": mod13(match=oxm_match(IP13 + oxm(13, b"\0\x50"))),
    "mask where none is allowed": mod13(match=oxm_match(oxm(5, b"\x08\0\xff\xff", True))),
    "value outside of its mask": mod13(match=oxm_match(oxm(3, b"\1\1\1\1\1\1" + bytes(6), True))),
    "field of a wrong length": mod13(match=oxm_match(oxm(5, b"\x08"))),
    "VLAN ID too large": mod13(match=oxm_match(oxm(6, b"\xff\xff"))),
    "DSCP too large": mod13(match=oxm_match(IP13 + oxm(8, b"\xff"))),
    "in_port too large": mod13(match=oxm_match(oxm(0, b"\0\1\0\0"))),
    "unknown instruction": mod13(struct.pack("!HH4x", 77, 8)),
    "instruction of no length": mod13(struct.pack("!HH4x", 4, 0)),
    "instruction beyond the end": mod13(struct.pack("!HH4x", 4, 80)),
    "instruction of a wrong length": mod13(struct.pack("!HH12x", 1, 16)),
    "instruction twice": mod13(apply() + apply()),
    "instruction of an experimenter": mod13(struct.pack("!HHI", ANY16, 8, STRANGER)),
    "goto to the table itself": mod13(struct.pack("!HHB3x", 1, 8, 3), table=3),
    "goto back": mod13(struct.pack("!HHB3x", 1, 8, 1), table=3),
    "meter that does not exist": mod13(struct.pack("!HHI", 6, 8, 1)),
    "unknown action": mod13(apply(struct.pack("!HH4x", 77, 8))),
    "action of no length": mod13(apply(struct.pack("!HH4x", 0, 0))),
    "output to port 0": mod13(apply(output13(0))),
    "output to ANY": mod13(apply(output13(ANY))),
    "output to a reserved port": mod13(apply(output13(0xFFFFFF10))),
    "output to a port between": mod13(apply(output13(0x12345))),
    "group that does not exist": mod13(apply(struct.pack("!HHI", 22, 8, 5))),
    "push of a strange tag": mod13(apply(struct.pack("!HHH2x", 17, 8, 0x1234))),
    "set-field without its prerequisite": mod13(apply(set_field(oxm(13, b"\0\x50")))),
    "set-field of a read-only field": mod13(apply(set_field(oxm(5, b"\x08\0")))),
    "set-field of an unknown field": mod13(apply(set_field(oxm(99, b"1234")))),
    "set-field of a wrong length": mod13(apply(set_field(oxm(3, b"1234")))),
    "set-field with something behind": mod13(apply(struct.pack("!HHI", 25, 16, 0x80000C02) + b"\0\1\0\0\0\0\0\1")),
    "set-field of a VLAN ID without a tag": mod13(apply(set_field(oxm(6, b"\x10\5")))),
    "pop of no tag": mod13(apply(struct.pack("!HH4x", 18, 8))),
    "decrement without IP": mod13(apply(struct.pack("!HH4x", 24, 8))),
    "write-actions with resubmit": mod13(apply(nx_action(14, struct.pack("!HB3x", 1, 2)), kind=3)),
    "write-actions with a note": mod13(apply(nx_action(8), kind=3)),
    "packet-out from a missing port": of13(13, struct.pack("!IIH6x", ANY, 0x12345, 0) + bytes(60)),
    "packet-out with a buffer": of13(13, struct.pack("!IIH6x", 5, 1, 0)),
    "packet-out with a bad action": of13(13, struct.pack("!IIH6x", ANY, 1, 8) + struct.pack("!HH4x", 77, 8)),
    "packet-out with actions beyond the end": of13(13, struct.pack("!IIH6x", ANY, 1, 800)),
    "port-mod of a missing port": of13(16, struct.pack("!I4x6s2xIII4x", 99, bytes(6), 0, 0, 0)),
    "port-mod with another address": of13(16, struct.pack("!I4x6s2xIII4x", 1, b"\2\2\2\2\2\2", 0, 0, 0)),
    "table-mod of a missing table": of13(17, struct.pack("!B3xI", 254, 0)),
    "role that is none": of13(24, struct.pack("!I4xQ", 9, 0)),
    "group that is not there": of13(15, struct.pack("!HBxI", 1, 0, 5)),
    "group of an unknown type": of13(15, struct.pack("!HBxI", 0, 77, 5)),
    "group command that is none": of13(15, struct.pack("!HBxI", 9, 0, 5)),
    "meter command that is none": of13(29, struct.pack("!HHI", 9, 1, 5)),
    "queue configuration of a missing port": of13(22, struct.pack("!I4x", 99)),
    "a reply that nobody asked for": of13(6, bytes(24)),
    "a flow-removed from a controller": of13(11, bytes(48)),
}
