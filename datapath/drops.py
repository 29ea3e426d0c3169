"""DROPS: every reason for which a packet ends here, as (symbol, sentence).

Each reason has a counter in every forwarder and every port; `gen.py` writes the C enum `drops.pxd` from this table. A
new reason is a new row, nothing else.
"""

from __future__ import annotations

DROPS: tuple[tuple[str, str], ...] = (
    ("none", "The packet was not dropped."),
    # -- while receiving and parsing
    ("rx_too_short", "The frame was shorter than an Ethernet header."),
    ("rx_too_long", "The frame was longer than the largest buffer."),
    ("rx_no_buffer", "No packet buffer was free."),
    ("rx_bad_vnet_header", "The virtio-net header pointed outside the frame or named an offload that cannot be."),
    ("rx_port_disabled", "The receiving port is administratively down or does not receive."),
    # -- no way to handle the packet
    ("miss_no_bridge", "The receiving port belongs to no bridge."),
    ("miss_failed", "The packet missed the cache and translation could not run."),
    ("table_miss", "No flow matched and the table's miss behaviour is to drop."),
    ("no_output", "The flows that matched had no output action."),
    ("explicit_drop", "The flow that matched has the action drop."),
    # -- translation errors
    ("recursion_too_deep", "Resubmits or patch ports were nested deeper than 64."),
    ("too_many_resubmits", "One packet caused more than 4096 resubmits."),
    ("stack_too_deep", "More values were pushed on the stack than it holds."),
    ("too_many_actions", "Translation produced more datapath actions than a program holds."),
    ("invalid_action", "An action cannot be applied to this packet."),
    ("ttl_expired", "The TTL was 1 or less when it was to be decremented."),
    ("not_in_pipeline", "An output port does not exist."),
    ("same_port", "The output port is the input port."),
    ("port_no_forward", "The output port is configured not to forward."),
    ("patch_no_peer", "The patch port has no peer."),
    # -- action NORMAL
    ("vlan_not_allowed", "The receiving port does not carry the packet's VLAN."),
    ("vlan_tagged_on_access", "A tagged packet arrived on an access port."),
    ("reserved_multicast", "The destination is a reserved multicast address that bridges do not forward."),
    ("no_flood_ports", "No other port carries the packet's VLAN."),
    ("own_source", "The destination was learned on the port that the packet came from."),
    # -- while executing and sending
    ("action_bad_packet", "A datapath action found the packet too short for its header."),
    ("tx_no_port", "The datapath port to send to no longer exists."),
    ("tx_full", "The output queue was full."),
    ("tx_down", "The output device is down or gone."),
    ("tx_too_long", "The frame is longer than the output device's MTU allows."),
    ("tx_no_gso", "A GSO frame could not be segmented: its headers are not those of its GSO type."),
    ("tx_error", "The kernel refused the frame."),
    ("controller_queue_full", "The queue of packets for controllers was full."),
    ("out_of_memory", "Memory for the work could not be had."),
)


def number(symbol: str) -> int:
    """Return the enum value of drop reason `symbol`; raises KeyError for an unknown one."""
    return _NUMBERS[symbol]


DROP_NAMES = tuple(symbol for symbol, _ in DROPS)  # by enum value
_NUMBERS = {symbol: index for index, symbol in enumerate(DROP_NAMES)}
