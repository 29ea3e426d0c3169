"""Commands of ofctl that show and change the switch and its ports: COMMANDS (TL.02)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ofproto import messages, ofctl_decode, ofctl_json, ofctl_print
from ofproto.numbers import OFP10, OFPP_ANY
from ofproto.ofctl_decode import Row
from ofproto.ofctl_print import message_text
from ofproto.ofctl_values import Ports
from vslib.errors import ConfigError
from vswitchd.ofctl import Settings
from vswitchd.ofctl_connection import Connection

DEFAULT_PAYLOAD_BYTES = 64
MAX_PAYLOAD_BYTES = 0xFFFF - 8
PINGS = 10


# -- ports by name ---------------------------------------------------------------------------------------------------


def ports_of(connection: Connection) -> list[Row]:
    """Return the descriptions of all ports."""
    if connection.version == OFP10:
        rows: list[Row] = ofctl_decode.features(connection.ask("OFPT_FEATURES_REQUEST"))["ports"]
        return rows
    parts = connection.ask_all("OFPST_PORT_DESC request")
    return [row for part in parts for row in ofctl_decode.port_list(ofctl_decode.body_of(part), connection.version)]


def names_of(connection: Connection, wanted: bool) -> dict[int, str]:
    """Return the ports' names by number, empty if they are not wanted or would be ambiguous."""
    if not wanted:
        return {}
    rows = [row for row in ports_of(connection) if row["port_no"] < 0xFFFFFF00]
    names = [row["name"] for row in rows]
    return {row["port_no"]: row["name"] for row in rows if names.count(row["name"]) == 1}


def port_reader(settings: Settings, connection: Callable[[], Connection]) -> Ports:
    """Return what knows the names of the switch's ports; it asks when it meets one."""

    def load() -> dict[str, int]:
        found: dict[str, int] = {}
        for row in ports_of(connection()):
            found[row["name"]] = row["port_no"]
        return found

    return Ports(None if settings.names is False else load)


def find_port(settings: Settings, connection: Connection, text: str) -> int:
    """Return a port's 32-bit number; raises ConfigError."""
    port = port_reader(settings, lambda: connection).find(text)
    if port is None:
        raise ConfigError(f"{connection.name}: unknown port `{text}'")
    return port


def put(text: str) -> None:
    """Write to standard output."""
    sys.stdout.write(text)


# -- looking ---------------------------------------------------------------------------------------------------------


def show(settings: Settings, args: list[str]) -> int:
    """Show features, ports and fragment handling."""
    with settings.connect(args[0]) as connection:
        features = connection.ask("OFPT_FEATURES_REQUEST")
        later = [] if connection.version == OFP10 else connection.ask_all("OFPST_PORT_DESC request")
        config = connection.ask("OFPT_GET_CONFIG_REQUEST")
    if not settings.json:
        put("".join(message_text(part, {}) for part in (features, *later, config)))
        return 0
    version = features[0]
    row = ofctl_json.features(ofctl_decode.features(features), version)
    for part in later:
        listed = ofctl_decode.port_list(ofctl_decode.body_of(part), version)
        row.setdefault("ports", []).extend(ofctl_json.port(port, version) for port in listed)
    put(ofctl_json.dumps([row | ofctl_json.config(ofctl_decode.config(config))]))
    return 0


def dump_desc(settings: Settings, args: list[str]) -> int:
    """Show who made the switch."""
    with settings.connect(args[0]) as connection:
        reply = connection.ask("OFPST_DESC request")
    put(ofctl_json.dumps([ofctl_decode.desc(reply)]) if settings.json else message_text(reply, {}))
    return 0


def _rows_or_text(settings: Settings, parts: list[bytes], names: ofctl_print.Names,
                  rows: Callable[[bytes], list[Row]]) -> None:  # fmt: skip
    if settings.json:
        put(ofctl_json.dumps([row for part in parts for row in rows(part)]))
    else:
        put("".join(message_text(part, names) for part in parts))


def dump_tables(settings: Settings, args: list[str]) -> int:
    """Show the counts of the flow tables."""
    with settings.connect(args[0]) as connection:
        parts = connection.ask_all("OFPST_TABLE request")
    _rows_or_text(settings, parts, {}, ofctl_decode.table_stats)
    return 0


def dump_ports(settings: Settings, args: list[str]) -> int:
    """Show the counters of one port or all."""
    with settings.connect(args[0]) as connection:
        port = find_port(settings, connection, args[1]) if len(args) > 1 else OFPP_ANY
        number = port & 0xFFFF if connection.version == OFP10 else port
        body = messages.PORT_REQUEST[connection.version].pack(port=number)
        request = connection.build("OFPST_PORT request", body)
        parts = list(connection.replies(request))
        names = names_of(connection, settings.show_names and not settings.json)
    if parts[0][1] == 1:
        put(message_text(parts[0], {}))
        return 0
    _rows_or_text(settings, parts, names, lambda part: list(map(ofctl_json.port_stats, ofctl_decode.port_stats(part))))
    return 0


def dump_ports_desc(settings: Settings, args: list[str]) -> int:
    """Describe the ports; OpenFlow 1.5 alone could choose one, so all are shown."""
    with settings.connect(args[0]) as connection:
        if len(args) > 1:
            find_port(settings, connection, args[1])
        parts = connection.ask_all("OFPST_PORT_DESC request")
        version = connection.version

    def rows(part: bytes) -> list[Row]:
        listed = ofctl_decode.port_list(ofctl_decode.body_of(part), version)
        return [ofctl_json.port(row, version) for row in listed]

    _rows_or_text(settings, parts, {}, rows)
    return 0


# -- changing --------------------------------------------------------------------------------------------------------

# What a port can be told: the bit of its configuration that is set when it must NOT do so.
_PORT_BITS = {"up": 1, "stp": 2, "receive": 4, "receive-stp": 8, "flood": 16, "forward": 32, "packet-in": 64}


def _port_change(word: str) -> tuple[int, int]:
    """Return bits and mask of what a word asks for; raises ConfigError."""
    text = word.lower()
    off = text.startswith("no")
    name = text[3:] if text.startswith("no-") else text[2:] if off else text
    if text == "down":
        return 1, 1
    if name not in _PORT_BITS or (off and name == "up"):
        raise ConfigError(f"unknown mod-port command '{word}'")
    bit = _PORT_BITS[name]
    return bit if off else 0, bit


def mod_port(settings: Settings, args: list[str]) -> int:
    """Change a port's configuration."""
    bits, mask = _port_change(args[2])
    with settings.connect(args[0]) as connection:
        rows = ports_of(connection)
        wanted = Ports().find(args[1])  # a number or a reserved port; names are compared below
        row = next((row for row in rows if row["port_no"] == wanted or row["name"] == args[1]), None)
        if row is None:
            raise ConfigError(f"{args[0]}: couldn't find port `{args[1]}'")
        mac = bytes.fromhex(row["hw_addr"].replace(":", ""))
        number = row["port_no"] & 0xFFFF if connection.version == OFP10 else row["port_no"]
        layout = messages.PORT_MOD[connection.version]
        connection.order(
            connection.build("OFPT_PORT_MOD", layout.pack(port=number, mac=mac, config=bits, mask=mask))
        )
    return 0


def get_frags(settings: Settings, args: list[str]) -> int:
    """Show how fragments are handled."""
    with settings.connect(args[0]) as connection:
        row = ofctl_decode.config(connection.ask("OFPT_GET_CONFIG_REQUEST"))
    mode = ofctl_print.FRAGS[row["flags"] & 3]
    put(ofctl_json.dumps([{"flags": mode}]) if settings.json else f"{mode}\n")
    return 0


def set_frags(settings: Settings, args: list[str]) -> int:
    """Change how fragments are handled, and see that it is so."""
    modes = {name: number for number, name in ofctl_print.FRAGS.items()}
    if args[1] not in modes:
        raise ConfigError(f"{args[1]}: unknown fragment handling mode")
    mode = modes[args[1]]
    with settings.connect(args[0]) as connection:
        before = ofctl_decode.config(connection.ask("OFPT_GET_CONFIG_REQUEST"))
        if before["flags"] & 3 != mode:
            flags = before["flags"] & ~3 | mode
            body = messages.SWITCH_CONFIG.pack(flags=flags, miss_send_len=before["miss_send_len"])
            connection.order(connection.build("OFPT_SET_CONFIG", body))
            after = ofctl_decode.config(connection.ask("OFPT_GET_CONFIG_REQUEST"))
            if after["flags"] & 3 != mode:
                raise ConfigError(
                    f"{args[0]}: setting fragment handling mode failed (this switch probably doesn't support mode "
                    f'"{args[1]}")'
                )
    return 0


# -- echoes ----------------------------------------------------------------------------------------------------------


def probe(settings: Settings, args: list[str]) -> int:
    """See that a switch answers."""
    with settings.connect(args[0]) as connection:
        reply = connection.transact(connection.build("OFPT_ECHO_REQUEST"))
    if len(reply) != 8:
        raise ConfigError("reply does not match request")
    return 0


def _payload(text: str) -> int:
    size = int(text) if text.isascii() and text.isdigit() else 0
    if size > MAX_PAYLOAD_BYTES:
        raise ConfigError(f"payload must be between 0 and {MAX_PAYLOAD_BYTES} bytes")
    return size


def ping(settings: Settings, args: list[str]) -> int:
    """Time echoes."""
    from vslib.clock import CLOCK

    size = _payload(args[1]) if len(args) > 1 else DEFAULT_PAYLOAD_BYTES
    rows = []
    with settings.connect(args[0]) as connection:
        for _ in range(PINGS):
            payload = os.urandom(size)
            request = connection.build("OFPT_ECHO_REQUEST", payload)
            begin_ns = CLOCK.now_ns()
            reply = connection.transact(request)
            took_ms = (CLOCK.now_ns() - begin_ns) / 1e6
            if reply[1] != 3 or reply[8:] != payload:
                put(f"Reply does not match request:\n{message_text(request, {})}{message_text(reply, {})}")
            if settings.json:
                rows.append({"bytes": size, "xid": int.from_bytes(reply[4:8], "big"), "time_ms": round(took_ms, 3)})
            else:
                put(f"{size} bytes from {args[0]}: xid={reply[4:8].hex()} time={took_ms:.1f} ms\n")
    if settings.json:
        put(ofctl_json.dumps(rows))
    return 0


def benchmark(settings: Settings, args: list[str]) -> int:
    """Time many echoes, one after the other."""
    from vslib.clock import CLOCK

    size, count = _payload(args[1]), int(args[2]) if args[2].isascii() and args[2].isdigit() else 0
    put(f"Sending {count} packets * {size + 8} bytes (with header) = {count * (size + 8)} bytes total\n")
    with settings.connect(args[0]) as connection:
        begin_ns = CLOCK.now_ns()
        for _ in range(count):
            connection.transact(connection.build("OFPT_ECHO_REQUEST", bytes(size)))
        seconds = (CLOCK.now_ns() - begin_ns) / 1e9
    rate = count / seconds if seconds else 0
    put(f"Finished in {1000 * seconds:.1f} ms ({rate:.0f} packets/s) ({rate * (size + 8):.0f} bytes/s)\n")
    return 0


COMMANDS: dict[str, Callable[[Settings, list[str]], int]] = {
    "show": show,
    "dump-desc": dump_desc,
    "dump-tables": dump_tables,
    "dump-ports": dump_ports,
    "dump-ports-desc": dump_ports_desc,
    "mod-port": mod_port,
    "get-frags": get_frags,
    "set-frags": set_frags,
    "probe": probe,
    "ping": ping,
    "benchmark": benchmark,
}
