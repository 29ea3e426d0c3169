"""The daemon on Debian's ovsdb-server instead of its embedded one (DB.41)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.peers.daemon import running, wait_until

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

pytestmark = [pytest.mark.root, pytest.mark.ovs_tools]


def test_a_stock_ovsdb_server_drives_the_daemon(tmp_path: Path) -> None:
    server_dir, folder = tmp_path / "server", tmp_path / "switch"
    server_dir.mkdir()
    folder.mkdir()
    database, socket = server_dir / "conf.db", server_dir / "db.sock"
    subprocess.run(["ovsdb-tool", "create", str(database), SCHEMA], check=True)
    server = subprocess.Popen(
        ["ovsdb-server", "-voff", f"--unixctl={server_dir}/ctl", f"--remote=punix:{socket}", str(database)]
    )
    try:
        wait_until(socket.exists, "ovsdb-server listens")
        (folder / "db.sock").symlink_to(socket)  # where ovs-vsctl looks
        with running(folder, f"unix:{socket}") as daemon:
            daemon.vsctl(
                "add-br", "br0", "--", "add-port", "br0", "in0", "--", "set", "interface", "in0", "type=internal"
            )
            assert daemon.vsctl("get", "interface", "in0", "ofport") == "1"
            assert daemon.vsctl("get", "open_vswitch", ".", "cur_cfg") == daemon.vsctl(
                "get", "open_vswitch", ".", "next_cfg"
            )
            assert "actions=NORMAL" in daemon.ok("ovs-ofctl", "dump-flows", "br0")
            (folder / "db.sock").unlink()
    finally:
        server.terminate()
        server.wait()
