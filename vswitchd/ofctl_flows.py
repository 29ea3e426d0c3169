"""Commands of ofctl that show and edit flows: COMMANDS (TL.02)."""

from __future__ import annotations

import gc
import sys
from array import array
from collections.abc import Callable, Iterable

import ofproto.flow_mod as codec
from ofproto import messages, ofctl_decode, ofctl_flow, ofctl_json, ofctl_print, wire
from ofproto import ofctl_protocol as formats
from ofproto.errors import decode_error
from ofproto.fields import Field
from ofproto.numbers import OFP10
from ofproto.ofctl_actions import read_actions
from ofproto.ofctl_build import flow_mod, flow_request
from ofproto.ofctl_decode import Row
from ofproto.ofctl_flow import ADD, DELETE, DELETE_STRICT, MODIFY, MODIFY_STRICT, QUERY, FlowMod, FlowReader
from ofproto.ofctl_print import message_text
from vslib.errors import ConfigError, PeerError
from vswitchd.ofctl import Settings
from vswitchd.ofctl_connection import Connection, Failed
from vswitchd.ofctl_show import names_of, port_reader, put

# Formats in the order in which they are tried: for edits the plainest that will do, for dumps the one that tells most.
EDIT_ORDER = sorted(formats.WIRE_VERSION)
DUMP_ORDER = (formats.OF14, formats.OF13, formats.NXM, formats.NXM_TID, formats.STD, formats.STD_TID)
NO_BUFFER = 0xFFFFFFFF


class Lazy:
    """A connection that is made when it is first needed: port names, then the edits."""

    def __init__(self, settings: Settings, target: str) -> None:
        self.settings, self.target = settings, target
        self.made: Connection | None = None

    def get(self) -> Connection:
        """Return the connection."""
        if self.made is None:
            self.made = self.settings.connect(self.target)
        return self.made

    def __enter__(self) -> Lazy:
        return self

    def __exit__(self, *_: object) -> None:
        if self.made is not None:
            self.made.close()


def reader_of(settings: Settings, lazy: Lazy) -> FlowReader:
    return FlowReader(port_reader(settings, lazy.get))


def usable_formats(settings: Settings, usable: int) -> int:
    """Return the formats that can say what is to be said and are allowed; raises ConfigError."""
    allowed = settings.formats()
    if not usable & allowed:
        raise ConfigError(
            f"none of the usable flow formats ({formats.formats_text(usable)}) is among the allowed flow formats "
            f"({formats.formats_text(allowed)})"
        )
    return usable & allowed


# -- dumps -----------------------------------------------------------------------------------------------------------


def _query(settings: Settings, lazy: Lazy, args: list[str]) -> FlowMod:
    flow = reader_of(settings, lazy).flow(args[1] if len(args) > 1 else "", QUERY)
    usable_formats(settings, flow.formats)
    return flow


def dump_flows(settings: Settings, args: list[str]) -> int:
    """Show flows."""
    with Lazy(settings, args[0]) as lazy:
        flow = _query(settings, lazy, args)
        connection = lazy.get()
        form = connection.choose_form(flow.formats, DUMP_ORDER)
        plain = settings.stats and not settings.sort and not settings.show_names and not settings.json
        rows: list[Row] = []
        for part in connection.replies(flow_request(flow, form, connection.xid())):
            if part[1] == 1:
                raise Failed(message_text(part, {}))
            if plain:
                put(message_text(part, {}))
            else:
                rows += ofctl_decode.flows(part)
        if not plain:
            _print_flows(settings, _sorted(settings, rows), names_of(connection, settings.show_names))
    return 0


def _print_flows(settings: Settings, rows: list[Row], names: ofctl_print.Names) -> None:
    if settings.json:
        put(ofctl_json.dumps([ofctl_json.flow(row, names) for row in rows]))
    else:
        for row in rows:
            row.pop("idle_age", None)  # as ovs-ofctl: only whole messages are printed with ages
            row.pop("hard_age", None)
        sys.stdout.writelines(ofctl_print.flow_text(row, names, settings.stats) + "\n" for row in rows)


def _sorted(settings: Settings, rows: list[Row]) -> list[Row]:
    """Sort by the fields of --sort and --rsort, the first most important; without a field a flow comes last.

    What is equal then is sorted by falling priority.
    """
    if settings.sort:
        rows = sorted(rows, key=lambda flow: -int(flow["priority"]))
    for name, downwards in reversed(settings.sort):
        row = ofctl_flow.field_named(name) if name else None
        sign = -1 if downwards else 1

        def key(flow: Row, row: Field | None = row, sign: int = sign) -> tuple[int, int]:
            value = flow["priority"] if row is None else ofctl_flow.matched_value(flow["key"], row)
            return (1, 0) if value is None else (0, sign * value)

        rows = sorted(rows, key=key)
    return rows


def dump_aggregate(settings: Settings, args: list[str]) -> int:
    """Show the sums over flows."""
    with Lazy(settings, args[0]) as lazy:
        flow = _query(settings, lazy, args)
        connection = lazy.get()
        form = connection.choose_form(flow.formats, DUMP_ORDER)
        reply = connection.transact(flow_request(flow, form, connection.xid(), aggregate=True))
        if reply[1] == 1:
            raise Failed(message_text(reply, {}))
    put(ofctl_json.dumps([ofctl_decode.aggregate(reply)]) if settings.json else message_text(reply, {}))
    return 0


# -- edits -----------------------------------------------------------------------------------------------------------


def lines_of(name: str, failing: str = "open failed") -> list[str]:
    """Return the lines of a file, of standard input for `-`; raises ConfigError."""
    if name == "-":
        return sys.stdin.read().split("\n")
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except OSError as error:
        raise ConfigError(f"{name}: {failing} ({error.strerror})") from None


FIRST_XID = 0x10000  # of edits sent in one go: the one with this many more is the edit of that index


class Batch:
    """Edits as messages in one format. They are encoded as they come, in the plainest format that has done so far;
    if a later one needs another, all are read again. That keeps 100 bytes of a flow, not 2 kB.
    """

    def __init__(self, form: int) -> None:
        self.form = form
        self.usable = formats.ANY
        self.messages: list[bytes] = []
        self.lines = array("L")  # of the file, 0 without one
        self.whole = True  # whether `messages` are all there

    def add(self, flow: FlowMod, allowed: int, name: str) -> None:
        """Add an edit; raises ConfigError for one that fits no message."""
        self.usable &= flow.formats
        if not self.form & flow.formats:
            self.form = next((form for form in EDIT_ORDER if form & self.usable & allowed), self.form)
            self.whole = self.whole and not self.messages
        if not self.form & flow.formats or self.form not in _ENCODED:
            self.whole = False
            return
        try:
            self.messages.append(flow_mod(flow, self.form, FIRST_XID + len(self.messages)))
        except ValueError as error:
            raise ConfigError(f"{name}:{flow.line}: {error}" if flow.line else str(error)) from None
        self.lines.append(flow.line)


_ENCODED = frozenset(form for form, version in formats.WIRE_VERSION.items() if version in formats.SPOKEN)


def batch_of(settings: Settings, flows: Iterable[FlowMod], name: str, form: int = 0) -> Batch:
    """Return edits encoded in a format, by default in the plainest that is allowed and will do."""
    allowed = form or settings.formats()
    batch = Batch(next(one for one in EDIT_ORDER if one & allowed))
    for flow in flows:
        batch.add(flow, allowed, name)
    return batch


def send(settings: Settings, connection: Connection, batch: Batch, name: str) -> None:
    """Send edits in one go; raises Failed with all that the switch refused, by line when they are from a file."""
    if settings.bundle:
        _send_bundle(connection, batch)
        return
    failures: list[bytes] = []
    connection.pipeline(batch.messages, failures.append)
    texts = []
    for failure in failures:
        index = wire.xid_of(failure) - FIRST_XID
        line = batch.lines[index] if 0 <= index < len(batch.lines) else 0
        texts.append((f"{name}:{line}: " if line else "") + message_text(failure, {}))
    if texts:
        raise Failed("".join(texts))


def _send_bundle(connection: Connection, batch: Batch) -> None:
    """Send edits as one bundle; raises PeerError if they were not done, when the reasons have been told."""
    failures: list[bytes] = []
    if connection.bundle(batch.messages, failures.append):
        return
    for failure in failures:
        error, data = decode_error(failure)
        index = wire.xid_of(failure) - FIRST_XID
        refused = batch.messages[index] if 0 <= index < len(batch.messages) else data
        sys.stderr.write(f"Error {error} for: {message_text(refused, {})}")
    raise PeerError(f"talking to {connection.target} (Protocol error)")


def edit(settings: Settings, lazy: Lazy, flows: Callable[[], Iterable[FlowMod]], name: str) -> int:
    """Send edits, which `flows` returns anew each time; raises ConfigError or Failed."""
    batch = batch_of(settings, flows(), name)
    usable = usable_formats(settings, batch.usable)
    connection = lazy.get()
    form = connection.form if connection.form & usable else connection.choose_form(usable, EDIT_ORDER)
    if form != batch.form or not batch.whole:
        batch = batch_of(settings, flows(), name, form)
    send(settings, connection, batch, name)
    return 0


def _from_file(settings: Settings, target: str, name: str, command: int | None) -> int:
    gc.disable()  # a hundred thousand flows are a hundred thousand objects, none of them garbage
    with Lazy(settings, target) as lazy:
        reader, lines = reader_of(settings, lazy), lines_of(name)
        return edit(settings, lazy, lambda: ofctl_flow.read_file(reader, name, lines, command), name)


def _from_text(settings: Settings, target: str, text: str, command: int) -> int:
    if text == "-":
        return _from_file(settings, target, text, None if command == ADD else command)
    with Lazy(settings, target) as lazy:
        flows = [reader_of(settings, lazy).flow(text, command)]
        return edit(settings, lazy, lambda: flows, "")


def add_flow(settings: Settings, args: list[str]) -> int:
    """Add a flow."""
    return _from_text(settings, args[0], args[1], ADD)


def add_flows(settings: Settings, args: list[str]) -> int:
    """Add the flows of a file."""
    return _from_file(settings, args[0], args[1], None)


def mod_flows(settings: Settings, args: list[str]) -> int:
    """Change the actions of flows."""
    return _from_text(settings, args[0], args[1], MODIFY_STRICT if settings.strict else MODIFY)


def del_flows(settings: Settings, args: list[str]) -> int:
    """Delete flows."""
    text = args[1] if len(args) > 1 else ""
    return _from_text(settings, args[0], text, DELETE_STRICT if settings.strict else DELETE)


# -- without a switch ------------------------------------------------------------------------------------------------


def _parse(settings: Settings, flows: list[FlowMod]) -> int:
    usable = formats.ANY
    for flow in flows:
        usable &= flow.formats
    allowed = settings.formats()
    chosen = next((form for form in EDIT_ORDER if form & usable & allowed), 0)
    if not chosen:
        put(f"usable protocols: {formats.formats_text(usable)}\n")
        raise ConfigError("no usable protocol")
    put(f"usable protocols: {formats.formats_text(usable)}\nchosen protocol: {formats.formats_text(chosen)}\n")
    if formats.WIRE_VERSION[chosen] not in formats.SPOKEN:
        raise formats.not_spoken(formats.formats_text(chosen))
    for xid, flow in enumerate(flows, start=1):
        put(message_text(flow_mod(flow, chosen, xid), {}))
    return 0


def parse_flow(settings: Settings, args: list[str]) -> int:
    """Show the message for a flow."""
    return _parse(settings, [FlowReader().flow(args[0], ADD)])


def parse_flows(settings: Settings, args: list[str]) -> int:
    """Show the messages for the flows of a file."""
    return _parse(settings, list(ofctl_flow.read_file(FlowReader(), args[0], lines_of(args[0]), None)))


# -- packets ----------------------------------------------------------------------------------------------------------


def _old_packets(switch: str, reader: FlowReader, args: list[str]) -> tuple[int, bytes, int, list[bytes]]:
    """Return input port, OfAct list, formats and packets of `IN_PORT ACTIONS PACKET...`."""
    port = reader.ports.find(args[0])
    if port is None:
        raise ConfigError(f"{switch}: unknown port `{args[0]}'")
    acts, usable = read_actions(args[1], reader.ports, False)
    return port, acts, usable, [ofctl_flow.frame_of(text) for text in args[2:]]


def packet_out(settings: Settings, args: list[str]) -> int:
    """Send packets through actions."""
    with Lazy(settings, args[0]) as lazy:
        reader = reader_of(settings, lazy)
        if len(args) > 2:
            port, acts, usable, frames = _old_packets(args[0], reader, args[1:])
        else:
            port, acts, usable, frames = ofctl_flow.packet_out(reader, args[1])
        usable_formats(settings, usable)
        connection = lazy.get()
        for frame in frames:
            connection.order(packet_out_message(connection, port, acts, frame))
    return 0


def packet_out_message(connection: Connection, port: int, acts: bytes, frame: bytes) -> bytes:
    """Return a packet-out."""
    version = connection.version
    wire_acts = codec.encode_actions(acts, version)
    number = port & 0xFFFF if version == OFP10 else port
    head = messages.PACKET_OUT[version].pack(buffer_id=NO_BUFFER, in_port=number, actions_len=len(wire_acts))
    return connection.build("OFPT_PACKET_OUT", head + wire_acts + frame)


COMMANDS: dict[str, Callable[[Settings, list[str]], int]] = {
    "dump-flows": dump_flows,
    "dump-aggregate": dump_aggregate,
    "add-flow": add_flow,
    "add-flows": add_flows,
    "mod-flows": mod_flows,
    "del-flows": del_flows,
    "packet-out": packet_out,
    "parse-flow": parse_flow,
    "parse-flows": parse_flows,
}
