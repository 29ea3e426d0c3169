"""The lock table of one server (RFC 7047 sections 4.1.8-4.1.10): who owns each lock and who waits for it (DB.26).

Owners are opaque objects (the server's clients). Functions return whom to tell what; sending is the caller's.
"""

from __future__ import annotations

from typing import Any

from ovsdb.atoms import ID_RE
from ovsdb.error import syntax_error

Notice = tuple[Any, str, str]  # client, "locked" or "stolen", lock name


def parse_name(params: Any, method: str) -> str:
    """Return the lock name of a lock, steal or unlock request; raises OvsdbError."""
    if isinstance(params, list) and len(params) == 1 and isinstance(params[0], str) and ID_RE.fullmatch(params[0]):
        return str(params[0])
    raise syntax_error(params, f"{method} request params must be <id>")


class LockTable:
    """Locks by name; the first client of each list is the owner, the others wait in order."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Any]] = {}

    def owns(self, client: Any, name: str) -> bool:
        """True if the client holds the lock."""
        queue = self._queues.get(name)
        return bool(queue) and queue[0] is client  # type: ignore[index]

    def lock(self, client: Any, name: str, *, steal: bool) -> tuple[bool, list[Notice]]:
        """Ask for a lock; return (owned now, notices). Raises OvsdbError if the client asked before."""
        queue = self._queues.setdefault(name, [])
        if client in queue:
            method = "steal" if steal else "lock"
            raise syntax_error([name], f'must issue "unlock" before new "{method}"')
        if not steal:
            queue.append(client)
            return queue[0] is client, []
        queue.insert(0, client)
        return True, [(loser, "stolen", name) for loser in queue[1:2]]

    def unlock(self, client: Any, name: str) -> list[Notice]:
        """Give a lock or the place in its queue up; raises OvsdbError if the client never asked."""
        queue = self._queues.get(name, [])
        if client not in queue:
            raise syntax_error([name], 'unlock: "unlock" without "lock" or "steal"')
        owned = queue[0] is client
        queue.remove(client)
        if not queue:
            del self._queues[name]
        return [(heir, "locked", name) for heir in queue[:1]] if owned else []

    def drop(self, client: Any) -> list[Notice]:
        """Forget a client that has gone."""
        held = [name for name, queue in self._queues.items() if client in queue]
        return [notice for name in held for notice in self.unlock(client, name)]
