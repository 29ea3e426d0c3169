"""Tell how a packet is translated, as Open vSwitch's ofproto/trace does (AP.13): events of a translation to text.

The same compiled translation runs as for a packet that misses; its hooks (xlate/report.pxd) record events, and this
module makes a tree and then text of them. No sockets, no daemon. Thread rule: control thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from datapath import dp_text
from datapath.drops import DROPS
from datapath.slots import PIPELINE, places
from ofproto.act_text import format_actions, range_text
from ofproto.exact_text import format_exact, format_megaflow, put_slot, slot_of
from ofproto.fields import FIELDS
from ofproto.flow_text import format_match
from ofproto.numbers import OFPP_UNSET
from ofproto.switch import BridgeHandle, SwitchHandle
from ofproto.value_text import format_value, hex_text, port_text
from ofproto.xlate.record import EventKind, Note

KEY_BYTES = max(p.offset + p.slot.n_bytes for p in places().values() if p.slot.scope != PIPELINE)
Names = Mapping[int, str]

DETAIL, WARNING, ERROR = " -> {}", " >> {}", " >>>> {} <<<<"


class Event(NamedTuple):
    """One event as the recorder hands it out; the members are those of Event in xlate/record.pxd.

    rule: (value, mask, priority, cookie) of the rule that a table gave, or None.
    """

    kind: int
    note: int
    table_id: int
    n_bits: int
    bridge_id: int
    number: int
    aux: int
    data: bytes
    rule: tuple[bytes, bytes, int, int] | None

    @property
    def vlan(self) -> int:
        """The VLAN that the note names, in the low half of `aux`."""
        return self.aux & 0xFFFF


@dataclass
class Node:
    """A line of the tree: `opens` for bridges, tables and the action set, whose lines follow as children."""

    text: str
    opens: bool = False
    bridge: bool = False
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """What the text depends on besides the events.

    bridges: name by bridge id; ports: port names by number for each bridge id; named: print names in place of numbers.
    """

    bridges: Mapping[int, str]
    ports: Mapping[int, Names]
    named: bool = False

    def names(self, bridge_id: int) -> Names:
        """Return the names to print for a bridge's port numbers, none unless asked for."""
        return self.ports.get(bridge_id, {}) if self.named else {}

    def port_name(self, event: Event) -> str:
        """Return the name of the port that an event is about."""
        return self.ports.get(event.bridge_id, {}).get(event.number, str(event.number))


# -- sentences ---------------------------------------------------------------------------------------------------------


def _mac(event: Event) -> str:
    return event.data.hex(":")


# Note -> its form and its sentence, given the event and the setting.
NOTES: dict[int, tuple[str, Callable[[Event, Setting], str]]] = {
    Note.NOTE_SAME_PORT: (WARNING, lambda e, s: "skipping output to input port"),
    Note.NOTE_NO_PORT: (WARNING, lambda e, s: "Nonexistent output port"),
    Note.NOTE_OUTPUT_REG: (DETAIL, lambda e, s: f"output port is {port_text(e.number, s.names(e.bridge_id))}"),
    Note.NOTE_NO_FWD: (DETAIL, lambda e, s: "OFPPC_NO_FWD set, skipping output"),
    Note.NOTE_TTL_4: (WARNING, lambda e, s: "IPv4 decrement TTL exception"),
    Note.NOTE_TTL_6: (WARNING, lambda e, s: "IPv6 decrement TTL exception"),
    Note.NOTE_STACK_UNDERFLOW: (ERROR, lambda e, s: "stack underflow"),
    Note.NOTE_TOO_DEEP: (ERROR, lambda e, s: "over max translation depth 64"),
    Note.NOTE_TOO_MANY_RESUBMITS: (ERROR, lambda e, s: "over 4096 resubmit actions"),
    Note.NOTE_STACK_FULL: (ERROR, lambda e, s: "over 512 values on the stack"),
    Note.NOTE_UNMET_PREREQS: (
        WARNING, lambda e, s: f"unmet prerequisites for {FIELDS[e.number].name}, set_field ignored",
    ),
    Note.NOTE_UNKNOWN_PORT: (ERROR, lambda e, s: f"received packet on unknown port {port_text(e.number)}"),
    Note.NOTE_NO_BUNDLE: (WARNING, lambda e, s: "no input bundle, dropping"),
    Note.NOTE_VLAN_NOT_ADMITTED: (
        ERROR, lambda e, s: f"dropping VLAN {e.vlan} packet received on port {s.port_name(e)} not configured for "
        f"trunking VLAN {e.vlan}",
    ),
    Note.NOTE_TAG_ON_ACCESS_PORT: (
        ERROR, lambda e, s: f"dropping VLAN {e.vlan} tagged packet received on port {s.port_name(e)} configured as "
        f"VLAN {e.aux >> 16} access port",
    ),
    Note.NOTE_VLAN_DROPPED: (WARNING, lambda e, s: "disallowed VLAN VID for this input port, dropping"),
    Note.NOTE_RESERVED_MAC: (DETAIL, lambda e, s: "packet has reserved destination MAC, dropping"),
    Note.NOTE_LEARNED: (
        DETAIL, lambda e, s: f"learned that {_mac(e)} is on port {s.port_name(e)} in VLAN {e.vlan}",
    ),
    Note.NOTE_FORWARDING: (DETAIL, lambda e, s: "forwarding to learned port"),
    Note.NOTE_LEARNED_ON_INPUT: (DETAIL, lambda e, s: "learned port is input port, dropping"),
    Note.NOTE_FLOODING: (DETAIL, lambda e, s: "no learned MAC for destination, flooding"),
    Note.NOTE_QUEUE: (DETAIL, lambda e, s: f"queue = {hex_text(e.number)}"),
    Note.NOTE_CUT: (ERROR, lambda e, s: "too much happens, the rest is left out"),
}  # fmt: skip

# What stands for the rule of a table that gave none.
NO_RULE: dict[int, str] = {
    Note.NOTE_NO_MATCH: "No match.",
    Note.NOTE_PACKET_IN: 'No match, and a "packet-in" is generated.',
    Note.NOTE_STANDALONE: "No match, and the fail mode is standalone.",
    Note.NOTE_FRAGMENT: 'Packets are IP fragments and the fragment handling mode is "drop".',
}

# Drop reasons that end a translation, in Open vSwitch's words.
FAILURES = {
    "recursion_too_deep": "Recursion too deep", "too_many_resubmits": "Too many resubmits",
    "stack_too_deep": "Stack too deep",
}  # fmt: skip


# -- the tree ----------------------------------------------------------------------------------------------------------


def _bridge_node(event: Event, setting: Setting) -> Node:
    return Node(f'bridge("{setting.bridges.get(event.bridge_id, "?")}")', True, True)


def _rule_text(rule: tuple[bytes, bytes, int, int], names: Names) -> str:
    value, mask, priority, cookie = rule
    match = format_match(value, mask, names)
    text = f"{match}, priority {priority}" if match else f"priority {priority}"
    return f"{text}, cookie {cookie:#x}" if cookie else text


def _table_node(event: Event, setting: Setting) -> Node:
    rule = NO_RULE.get(event.note, "") if event.rule is None else _rule_text(event.rule, setting.names(event.bridge_id))
    return Node(f"{event.table_id:2}. {rule}", True)


def _action_node(event: Event, setting: Setting) -> Node:
    return Node(format_actions(event.data, setting.names(event.bridge_id)))


def _set_node(event: Event, setting: Setting) -> Node:
    verb = "was" if event.note == Note.NOTE_SET_WAS else "is"
    if not event.data:
        return Node(f" -> action set {verb} empty")
    return Node(f" -> action set {verb}: {format_actions(event.data, setting.names(event.bridge_id))}")


def _value_node(event: Event, _setting: Setting) -> Node:
    row = FIELDS[event.number]
    words = [int.from_bytes(event.data[at : at + 8], "little") for at in range(0, len(event.data), 8)]
    value = sum(word << 64 * i for i, word in enumerate(words))
    whole = event.n_bits == row.n_bits
    text = format_value(row, value, row.valid_bits) if whole else hex_text(value)
    return Node(f" -> {range_text(row, event.aux, event.n_bits)} is now {text}")


def _note_node(event: Event, setting: Setting) -> Node:
    form, sentence = NOTES[event.note]
    return Node(form.format(sentence(event, setting)))


_NODES: dict[int, Callable[[Event, Setting], Node]] = {
    EventKind.EVENT_BRIDGE: _bridge_node,
    EventKind.EVENT_TABLE: _table_node,
    EventKind.EVENT_ACTION_SET: lambda event, setting: Node("--. Executing action set:", True),
    EventKind.EVENT_ACTION: _action_node,
    EventKind.EVENT_SET: _set_node,
    EventKind.EVENT_VALUE: _value_node,
    EventKind.EVENT_NOTE: _note_node,
}


def tree(events: list[Event], setting: Setting) -> list[Node]:
    """Return the events as lines under the bridges and tables in which they happened."""
    top: list[Node] = []
    open_lists = [top]
    for event in events:
        if event.kind == EventKind.EVENT_CLOSE:
            open_lists.pop()
            continue
        node = _NODES[event.kind](event, setting)
        first = event.kind == EventKind.EVENT_ACTION_SET and len(open_lists) == 2 and bool(open_lists[1])
        # The action set of the bridge that received the packet stands with its first table's actions.
        (open_lists[1][-1].children if first else open_lists[-1]).append(node)
        if node.opens:
            open_lists.append(node.children)
    return top


def tree_lines(nodes: list[Node], level: int = 0) -> list[str]:
    """Return a tree as indented lines; the last block of a list is not indented more, so that chains stay flat."""
    lines = []
    # a list of its own instead of recursion: 64 resubmits in 64 bridges would be too deep for Python
    pending = [(node, level, node is nodes[-1]) for node in reversed(nodes)]
    while pending:
        node, at, last = pending.pop()
        here = at if last and node.opens else at + 1
        indent = " " * (4 * here)
        lines += ["", indent + node.text, indent + "-" * len(node.text)] if node.bridge else [indent + node.text]
        below = here + (here - at)
        pending += [(child, below, child is node.children[-1]) for child in reversed(node.children)]
    return lines


# -- the whole ---------------------------------------------------------------------------------------------------------


def explain(
    switch: SwitchHandle, bridge: BridgeHandle, key: bytes, *, learn: bool = False, now_ns: int = 0,
    named: bool = False, dp_names: Names | None = None,
) -> str:
    """Return the way of a packet through `bridge` as text, in Open vSwitch's layout.

    key: a FlowKey whose in_port is an OpenFlow number; learn: as if a packet came, so that MAC addresses are learned
    (nothing is ever counted or sent); now_ns: the time, for ageing; named: print port names in place of numbers;
    dp_names: names of datapath ports.
    """
    in_port = slot_of(key, "in_port")
    result = switch.trace(bridge.id, in_port, key, learn=learn, now_ns=now_ns)
    handles = switch.bridges.values()
    setting = Setting({b.id: b.name for b in handles}, {b.id: b.port_names for b in handles}, named)
    names = setting.names(bridge.id)
    lines = [f"Flow: {format_exact(key, names)}"]
    lines += tree_lines(tree([Event(*row) for row in result["events"]], setting))
    lines += ["", f"Final flow: {_final(key, result['key'], names)}"]
    lines += [f"Megaflow: {format_megaflow(key, result['mask'], names)}"]
    actions = dp_text.format_actions(
        result["ops"], key[:KEY_BYTES], (dp_names or {}) if named else None, sends=learn
    )
    lines += [f"Datapath actions: {actions}", *_failure(result)]
    return "\n".join(lines)


def _final(start: bytes, end: bytes, names: Names) -> str:
    unchanged = put_slot(start, "actset_output", OFPP_UNSET) == end
    return "unchanged" if unchanged else format_exact(end, names)


def _failure(result: dict[str, Any]) -> list[str]:
    reason = result["failed"] or result["error"]
    if not reason:
        return []
    symbol, sentence = DROPS[reason]
    return [f"Translation failed ({FAILURES.get(symbol, sentence)}), packet is dropped."]
