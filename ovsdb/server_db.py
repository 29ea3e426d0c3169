"""The `_Server` database: one row per database that the server has, so that clients can tell what they talk to (DB.05).

Every IDL monitors it before it looks at its own database. Interface facts: ovsdb-server(5); version as of 2.17.
"""

from __future__ import annotations

import json
from typing import Any

from ovsdb import schema
from ovsdb.atoms import new_uuid
from ovsdb.store import Database, Delta

_BOOLEAN = {"type": "boolean"}
_OPTIONAL_UUID = {"type": {"key": "uuid", "min": 0}}

SERVER_SCHEMA: dict[str, Any] = {
    "name": "_Server",
    "version": "1.2.0",
    "tables": {
        "Database": {
            "columns": {
                "name": {"type": "string"},
                "model": {"type": {"key": {"type": "string", "enum": ["set", ["standalone", "clustered", "relay"]]}}},
                "connected": _BOOLEAN,
                "leader": _BOOLEAN,
                "schema": {"type": {"key": "string", "min": 0}},
                "cid": _OPTIONAL_UUID,
                "sid": _OPTIONAL_UUID,
                "index": {"type": {"key": "integer", "min": 0}},
            }
        }
    },
}


def create() -> Database:
    """Return an empty `_Server` database."""
    return Database(schema.parse(SERVER_SCHEMA))


def add_row(server: Database, served: Database) -> Delta:
    """Note in `_Server` that the database ``served`` is there; returns the change."""
    txn = server.txn()
    row = {
        "name": (served.name,),
        "model": ("standalone",),
        "connected": (True,),
        "leader": (True,),
        "schema": (json.dumps(served.schema.to_json()),),
    }
    txn.insert("Database", new_uuid(), row)
    return txn.commit()


def remove_row(server: Database, name: str) -> Delta:
    """Note in `_Server` that a database has gone; returns the change."""
    txn = server.txn()
    for uuid, row in list(server.tables["Database"].rows.items()):
        if row["name"] == (name,):
            txn.delete("Database", uuid)
    return txn.commit()
