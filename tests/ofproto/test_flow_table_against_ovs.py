"""The same flow-mods to our tables and to a real ovs-vswitchd: same errors, same flows (OF.02 to OF.06)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ofproto.errors import OpenFlowError, decode_error
from ofproto.flow_table import FlowTables
from ofproto.numbers import NICIRA
from ofproto.switch import SwitchHandle
from tests.ofproto import flow_messages as wire
from tests.ofproto.real_switch import NXT_FLOW_MOD_TABLE_ID, Session, installed, real_switch
from tests.oracle.flow_table_naive import ADD, ANY, DELETE, MODIFY_STRICT, TABLE_ALL, TABLE_HIDDEN, Mod

pytestmark = [pytest.mark.ovs_tools, pytest.mark.skipif(not installed(), reason="needs openvswitch-switch")]

ERROR, MULTIPART_REPLY = 1, 19
WORDS = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 3), (2, 3), (1, ANY), (2, ANY)]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Connections of OpenFlow 1.0 (with table numbers in flow-mods) and 1.3 to a real switch."""
    with real_switch(tmp_path_factory.mktemp("ovs")) as path:
        both = {version: Session(path, version) for version in (1, 4)}
        vendor = NICIRA.to_bytes(4, "big") + NXT_FLOW_MOD_TABLE_ID.to_bytes(4, "big") + b"\1" + bytes(7)
        assert both[1].call(wire.header(1, 4, vendor)) == []
        yield both
        for session in both.values():
            session.close()


def random_mod(rng: random.Random) -> Mod:
    command, version = rng.choice([ADD, ADD, ADD, 1, 2, 3, 4]), rng.choice([1, 4])
    mod = Mod(
        command, version,
        table=rng.choice([0, 0, 1, TABLE_HIDDEN, TABLE_ALL]),
        match=rng.choice(WORDS) + rng.choice(WORDS),
        priority=rng.randrange(3),
        cookie=rng.randrange(4),
        cookie_mask=rng.choice([0, 0, 1, 3]) if version == 4 and command != ADD else 0,
        idle=rng.choice([0, 300]),
        hard=rng.choice([0, 400]),
        flags=rng.randrange(8) & (7 if version == 4 else 3),
        out_port=rng.choice([ANY, ANY, 1, 2]),
        buffer_id=rng.choice([ANY] * 9 + [5]),
    )
    if command <= MODIFY_STRICT:
        return replace(mod, outputs=tuple(rng.sample([1, 2, 3], rng.randrange(command != ADD, 3))))
    # The real switch's table 254 holds rules of its own; ours decides a miss in translation.
    return replace(mod, table=0) if mod.table == TABLE_HIDDEN else mod


def timeless(bodies: list[bytes]) -> list[tuple]:
    return [row[:8] + row[9:] for row in wire.read_flows(bodies)]


def ask(session: Session, tables: FlowTables) -> tuple[list[tuple], list[tuple]]:
    """Return the flows of the real switch and ours."""
    request = wire.flow_request()
    replies = [reply[16:] for reply in session.call(request) if reply[1] == MULTIPART_REPLY]
    return timeless(replies), timeless(tables.flow_stats(request, 4, False, 0))


@pytest.mark.parametrize("seed", range(12))
def test_random_flow_mods_leave_the_flows_and_errors_that_open_vswitch_has(sessions, seed):
    rng = random.Random(seed)
    tables = FlowTables(SwitchHandle().add_bridge("br0", bytes(6)))
    sessions[4].call(wire.flow_mod(Mod(DELETE, table=TABLE_ALL)))
    for _ in range(30):
        mod = random_mod(rng)
        message = wire.flow_mod(mod)
        want = [decode_error(reply)[0] for reply in sessions[mod.version].call(message) if reply[1] == ERROR]
        try:
            tables.flow_mod(message, nxt_table_id=True)
            said = []
        except OpenFlowError as error:
            said = [error.name]
        assert (mod, said) == (mod, want)
        real, ours = ask(sessions[4], tables)
        assert (mod, ours) == (mod, real)
