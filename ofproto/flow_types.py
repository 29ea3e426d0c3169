"""Flow messages as Python values: what flow_mod.pyx returns to control code and tests, and takes from them."""

from __future__ import annotations

from typing import NamedTuple


class DecodedFlowMod(NamedTuple):
    """A flow-mod; members as in the FlowMod struct of flow_mod.pxd, match keys and the OfAct list as bytes."""

    value: bytes
    mask: bytes
    actions: bytes
    cookie: int
    cookie_mask: int
    new_cookie: int
    modify_cookie: bool
    table_id: int
    command: int
    version: int
    priority: int
    idle_timeout_s: int
    hard_timeout_s: int
    importance: int
    flags: int
    buffer_id: int
    out_port: int
    out_group: int


class DecodedFlowRequest(NamedTuple):
    """A flow or aggregate request; members as in the FlowStatsRequest struct of flow_mod.pxd."""

    value: bytes
    mask: bytes
    cookie: int
    cookie_mask: int
    table_id: int
    out_port: int
    out_group: int


class FlowStats(NamedTuple):
    """A flow to describe; members as in the FlowRow struct of flow_mod.pxd."""

    value: bytes
    mask: bytes
    actions: bytes = b""
    cookie: int = 0
    n_packets: int = 0
    n_bytes: int = 0
    duration_ns: int = 0
    idle_ns: int = 0
    hard_ns: int = 0
    priority: int = 0x8000
    idle_timeout_s: int = 0
    hard_timeout_s: int = 0
    importance: int = 0
    flags: int = 0
    table_id: int = 0
    reason: int = 0
