"""The client side: replica, changes, transactions, lock, reconnecting; against our server and Debian's."""

import asyncio
import uuid

import pytest

from ovsdb.idl import Idl, TryAgain, TxnError
from ovsdb.server import Server
from tests.ovsdb.conftest import SCHEMA, Debians, needs_server
from vslib import jsonrpc
from vslib.errors import ConfigError, InternalError

TABLES = {
    "Open_vSwitch": None,
    "Bridge": ["name", "ports", "datapath_id", "external_ids", "flood_vlans"],
    "Port": None,
    "Mirror": None,
}


@pytest.fixture(params=["memory", "unix", pytest.param("debian", marks=[needs_server, pytest.mark.ovs_tools])])
def scene(request, tmp_path):
    """Run a coroutine function with an Idl of a fresh server that has a root row, and `connect`, which makes more."""
    real = Debians(tmp_path).start() if request.param == "debian" else None

    async def play(act):
        server = Server()
        if real is None:
            await server.open(str(tmp_path / "conf.db"), str(SCHEMA))
            await server.listen(f"punix:{tmp_path}/db.sock")
        idls = []

        async def connect(tables=None):
            idl = Idl(tables or TABLES)
            targets = {"memory": server.connect_local, "unix": lambda: f"unix:{tmp_path}/db.sock"}
            await idl.connect(real.target if real else targets[request.param]())
            idls.append(idl)
            return idl

        try:
            idl = await connect()
            txn = idl.txn("first row")
            txn.insert("Open_vSwitch", {})
            await txn.commit()
            await act(idl, connect)
        finally:
            for idl in idls:
                await idl.close()
            await server.close()

    try:
        yield lambda act: asyncio.run(asyncio.wait_for(play(act), 20))
    finally:
        if real is not None:
            real.end()


def root(idl):
    (row,) = idl.tables["Open_vSwitch"].rows.values()
    return row


async def add_bridge(idl, name, **columns):
    txn = idl.txn(f"add {name}")
    bridge = txn.insert("Bridge", {"name": name, **columns})
    txn.mutate(root(idl), "bridges", "insert", [bridge])
    await txn.commit()
    return idl.row("Bridge", bridge.uuid)


def test_values_have_python_types(scene):  # DB.46
    async def act(idl, _connect):
        bridge = await add_bridge(idl, "br0", external_ids={"b": "2", "a": "1"}, flood_vlans=[3, 1])
        assert (bridge.name, bridge.external_ids, bridge.flood_vlans) == ("br0", {"a": "1", "b": "2"}, (1, 3))
        assert bridge.datapath_id is None and bridge.ports == () and isinstance(bridge.uuid, uuid.UUID)
        assert root(idl).bridges == (bridge.uuid,) and root(idl).next_cfg == 0
        txn = idl.txn()
        txn.update(bridge, datapath_id="00ff", external_ids={}, flood_vlans=None)
        await txn.commit()
        assert (bridge.datapath_id, bridge.external_ids, bridge.flood_vlans) == ("00ff", {}, ())
        assert idl.tables["Bridge"].find(name="br0") is bridge
        with pytest.raises(AttributeError):
            _ = bridge.fail_mode

    scene(act)


def test_changes_of_others_are_tracked_and_merged(scene):  # DB.23, DB.24
    async def act(idl, connect):
        other = await connect()
        bridge = await add_bridge(idl, "br0")
        while not other.tables["Bridge"].rows:
            await other.wait_change()
        assert {(c.table, c.kind) for c in other.take_changes()} == {("Open_vSwitch", "insert"), ("Bridge", "insert")}
        for n in (1, 2):
            txn = idl.txn()
            txn.update(bridge, external_ids={"n": str(n)})
            await txn.commit()
        twin = other.row("Bridge", bridge.uuid)
        while twin.external_ids != {"n": "2"}:
            await other.wait_change()
        (change,) = other.take_changes()
        assert (change.kind, change.columns, change.row) == ("modify", {"external_ids"}, twin)
        txn = idl.txn()
        txn.mutate(root(idl), "bridges", "delete", [bridge])
        await txn.commit()
        while other.tables["Bridge"].rows:
            await other.wait_change()
        gone = {c.table: c for c in other.take_changes()}["Bridge"]
        assert (gone.kind, gone.row.name) == ("delete", "br0")

    scene(act)


def test_a_row_that_came_and_went_is_no_change(scene):
    async def act(idl, _connect):
        idl.take_changes()
        bridge = await add_bridge(idl, "br0")
        txn = idl.txn()
        txn.update(root(idl), bridges=[])
        await txn.commit()
        assert [c.table for c in idl.changes] == ["Open_vSwitch"] and bridge.uuid not in idl.tables["Bridge"].rows

    scene(act)


def test_verify_notices_a_faster_writer(scene):  # DB.12
    async def act(idl, connect):
        other = await connect()
        slow = idl.txn()
        slow.verify(root(idl), "next_cfg")
        slow.update(root(idl), next_cfg=100)
        fast = other.txn()
        fast.mutate(root(other), "next_cfg", "+=", 1)
        await fast.commit()
        with pytest.raises(TryAgain):
            await slow.commit()
        assert root(idl).next_cfg == 1

    scene(act)


def test_concurrent_increments_lose_nothing(scene):  # DB.10, DB.12
    async def act(idl, connect):
        async def increment(mine):
            for _ in range(10):
                while True:
                    txn = mine.txn()
                    txn.verify(root(mine), "cur_cfg")
                    txn.update(root(mine), cur_cfg=root(mine).cur_cfg + 1)
                    try:
                        await txn.commit()
                        break
                    except TryAgain:
                        continue

        await asyncio.gather(*[increment(await connect()) for _ in range(4)])
        while root(idl).cur_cfg != 40:
            await idl.wait_change()

    scene(act)


def test_updates_that_change_nothing_are_not_sent(scene):
    async def act(idl, _connect):
        bridge = await add_bridge(idl, "br0", external_ids={"a": "1"})
        txn = idl.txn()
        txn.update(bridge, external_ids={"a": "1"})
        assert await txn.commit() == []
        txn = idl.txn()
        txn.mutate(bridge, "external_ids", "delete", ["a"])
        txn.update(bridge, external_ids={"a": "1"})  # not a no-op behind the mutation
        await txn.commit()
        assert bridge.external_ids == {"a": "1"}
        txn = idl.txn()
        txn.update(bridge, external_ids={"b": "1"})
        txn.update(bridge, external_ids={"a": "1"})  # not a no-op behind the other update
        await txn.commit()
        assert bridge.external_ids == {"a": "1"}

    scene(act)


def test_refusals_and_mistakes_are_told_apart(scene):  # DB.20
    async def act(idl, _connect):
        await add_bridge(idl, "br0")
        with pytest.raises(TxnError, match="constraint violation") as caught:
            await add_bridge(idl, "br0")
        assert caught.value.word == "constraint violation" and "identical values" in caught.value.details
        txn = idl.txn()
        for wrong in ({"nope": 1}, {"name": 1}, {"flood_vlans": "x"}, {"external_ids": ["a"]}):
            with pytest.raises(InternalError):
                txn.insert("Bridge", wrong)
        with pytest.raises(InternalError):
            txn.insert("Interface", {})

    scene(act)


def test_lock_goes_from_hand_to_hand(scene):  # DB.26, DB.14
    async def act(idl, connect):
        other = await connect()
        assert await idl.lock("ovs_vswitchd") and idl.has_lock
        assert not await other.lock("ovs_vswitchd")
        with pytest.raises(TxnError, match="not owner"):
            await add_bridge(other, "br0")
        await add_bridge(idl, "br0")
        await idl.unlock()
        while not other.has_lock:
            await other.wait_change()
        await add_bridge(other, "br1")

    scene(act)


def test_columns_and_tables_that_the_server_lacks_are_missed_gently(scene):  # DB.41: newer than the server
    async def act(idl, connect):
        newer = await connect({"Open_vSwitch": ["next_cfg", "warp_factor"], "Warp": None})
        assert root(newer).warp_factor is None and not newer.tables["Warp"].rows
        txn = newer.txn()
        txn.update(root(newer), warp_factor=9, next_cfg=3)
        await txn.commit()
        assert root(newer).next_cfg == 3

    scene(act)


def test_an_unknown_database_is_an_operators_mistake(tmp_path):
    async def act():
        server = Server()
        await server.listen(f"punix:{tmp_path}/db.sock")
        with pytest.raises(ConfigError, match="unknown database"):
            await Idl({"Bridge": None}).connect(f"unix:{tmp_path}/db.sock")
        with pytest.raises(ConfigError):
            await Idl({"Bridge": None}).connect("carrier-pigeon:x")
        await server.close()

    asyncio.run(act())


def test_replica_survives_a_restart_of_the_server(tmp_path, monkeypatch):  # DB.24, DB.41
    monkeypatch.setattr("ovsdb.idl.MIN_BACKOFF_S", 0.02)

    async def serve():
        server = Server()
        await server.open(str(tmp_path / "conf.db"), str(SCHEMA))
        await server.listen(f"punix:{tmp_path}/db.sock")
        return server

    async def act():
        server = await serve()
        idl = Idl(TABLES)
        await idl.connect(f"unix:{tmp_path}/db.sock")
        txn = idl.txn()
        txn.insert("Open_vSwitch", {"next_cfg": 5})
        await txn.commit()
        await add_bridge(idl, "old")
        assert await idl.lock("mine")
        keep = root(idl)
        idl.take_changes()
        await server.close()
        while idl.connected:
            await idl.wait_change()
        assert not idl.has_lock
        with pytest.raises(jsonrpc.SessionClosed):
            await add_bridge(idl, "lost")
        server = Server()
        await server.open(str(tmp_path / "conf.db"), str(SCHEMA))
        behind = Idl(TABLES)
        await behind.connect(server.connect_local())
        txn = behind.txn()
        txn.update(root(behind), bridges=[])
        await txn.commit()
        await add_bridge(behind, "new")
        await server.listen(f"punix:{tmp_path}/db.sock")
        while not (idl.connected and idl.has_lock):
            await idl.wait_change()
        assert root(idl) is keep and [b.name for b in idl.tables["Bridge"].rows.values()] == ["new"]
        assert sorted((c.table, c.kind) for c in idl.take_changes()) == [
            ("Bridge", "delete"),
            ("Bridge", "insert"),
            ("Open_vSwitch", "modify"),
        ]
        await add_bridge(idl, "newer")
        await idl.close()
        await behind.close()
        await server.close()

    asyncio.run(asyncio.wait_for(act(), 20))


def test_connection_lost_in_between_is_made_up_for_by_the_history(tmp_path, monkeypatch):  # DB.24
    monkeypatch.setattr("ovsdb.idl.MIN_BACKOFF_S", 0.02)

    async def act():
        server = Server()
        await server.open(None, str(SCHEMA))
        await server.listen(f"punix:{tmp_path}/db.sock")
        idl, other = Idl(TABLES), Idl(TABLES)
        await idl.connect(f"unix:{tmp_path}/db.sock")
        await other.connect(server.connect_local())
        txn = other.txn()
        txn.insert("Open_vSwitch", {})
        await txn.commit()
        while not idl.tables["Open_vSwitch"].rows:
            await idl.wait_change()
        monkeypatch.setattr(Idl, "_drop_absent", None)  # must not be needed
        idl.session.abort("test")
        await add_bridge(other, "meanwhile")
        while not idl.tables["Bridge"].rows:
            await idl.wait_change()
        await idl.close()
        await other.close()
        await server.close()

    asyncio.run(asyncio.wait_for(act(), 20))
