"""Order and durability: every request that reads or changes a database passes through one queue (DB.38).

Group commit: all transactions that are waiting run one after the other in memory, their records go to the log in one
write and one fsync (on a thread), and only then are monitors told and replies sent. Nothing else looks at the databases
meanwhile, so no client can see what a crash could still take back. If the disk refuses, the whole batch is undone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ovsdb.atoms import new_uuid
from ovsdb.error import CANCELED, IO_ERROR, OvsdbError
from ovsdb.filedb import FileDb
from ovsdb.monitor import Monitor, merge_deltas
from ovsdb.ops import Outcome, execute
from ovsdb.store import Database, Delta
from vslib import clock, vlog

log = vlog.get("ovsdb_server")

MAX_BATCH = 256  # transactions per fsync; more would only make the first of them wait
HISTORY_TXNS = 100  # as many as ovsdb-server keeps for monitor_cond_since
HISTORY_ROWS = 20_000  # ... unless they are large


class Watcher(Protocol):
    """Who owns monitors: told after each commit that touched them."""

    def flush(self) -> None:
        """Send what the monitors have gathered."""


class ServedDb:
    """A database, where it is kept, who watches it, and its recent history."""

    def __init__(self, db: Database, file: FileDb | None = None, *, read_only: bool = False) -> None:
        self.db = db
        self.file = file  # None: in memory only
        self.read_only = read_only
        self.last_id = new_uuid()  # of the newest transaction
        self.monitors: dict[Monitor, Watcher] = {}
        self._history: deque[tuple[str, Delta, int]] = deque()  # (id before it, delta, rows)
        self._history_rows = 0

    def publish(self, delta: Delta) -> None:
        """Note a durable change: history and monitors."""
        if not delta:
            return
        rows = sum(len(r) for r in delta.values())
        self._history.append((self.last_id, delta, rows))
        self._history_rows += rows
        while len(self._history) > HISTORY_TXNS or self._history_rows > HISTORY_ROWS:
            self._history_rows -= self._history.popleft()[2]
        self.last_id = new_uuid()
        for monitor, watcher in list(self.monitors.items()):
            monitor.add(delta)
            watcher.flush()

    def since(self, txn_id: str) -> Delta | None:
        """Return all changes after a transaction, None if that is not known any more."""
        if txn_id == self.last_id:
            return {}
        ids = [before for before, _, _ in self._history]
        if txn_id not in ids:
            return None
        return merge_deltas([delta for _, delta, _ in list(self._history)[ids.index(txn_id) :]])


@dataclass(eq=False, slots=True)
class Transaction:
    """One transact request on its way."""

    served: ServedDb
    operations: list[Any]
    owns_lock: Callable[[str], bool]
    reply: Callable[[list[Any] | None, dict[str, Any] | None], None]  # results or error
    started_ms: int = 0
    timer: clock.Handle | None = None
    done: bool = False

    def finish(self, results: list[Any] | None, error: dict[str, Any] | None = None) -> None:
        """Reply, once."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.done:
            self.done = True
            self.reply(results, error)


@dataclass(slots=True)
class _Batch:
    done: list[tuple[Transaction, Outcome]] = field(default_factory=list)
    records: dict[FileDb, list[bytes]] = field(default_factory=dict)


class Engine:
    """The queue and its task; ``inline_sync``: fsync on the loop's own thread (embedding, virtual time)."""

    def __init__(self, *, inline_sync: bool = False) -> None:
        self._queue: deque[Transaction | Callable[[], None]] = deque()
        self._waiting: list[Transaction] = []  # for a `wait` to come true, oldest first
        self._task: asyncio.Task[None] | None = None
        self._inline_sync = inline_sync

    def submit(self, item: Transaction | Callable[[], None]) -> None:
        """Queue a transaction, or a function that only reads databases."""
        if isinstance(item, Transaction) and not item.started_ms:
            item.started_ms = clock.CLOCK.now_ms()
        self._queue.append(item)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._pump())

    def cancel(self, txn: Transaction) -> None:
        """Cancel a transaction that has not been done yet (RFC 7047 section 4.1.4)."""
        if txn in self._waiting:
            self._waiting.remove(txn)
        elif txn in self._queue:
            self._queue.remove(txn)
        else:
            return
        txn.finish(None, OvsdbError(CANCELED, "canceled by request").to_json())

    def forget(self, txn: Transaction) -> None:
        """Drop a waiting transaction whose client has gone; one that is queued still runs, as if it had replied."""
        txn.done = True
        if txn in self._waiting:
            self._waiting.remove(txn)
            if txn.timer is not None:
                txn.timer.cancel()

    async def drain(self) -> None:
        """Return when everything queued has been done."""
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    async def _pump(self) -> None:
        while self._queue:
            batch = _Batch()
            while self._queue and len(batch.done) < MAX_BATCH:
                if not isinstance(self._queue[0], Transaction) and batch.done:
                    break  # a reader sees only what is on the disk
                item = self._queue.popleft()
                try:
                    self._run(item, batch)
                except Exception:
                    log.exception("a queued request failed")
            if batch.done:
                await self._finish(batch)
            if self._queue:
                await clock.CLOCK.sleep(0)

    def _run(self, item: Transaction | Callable[[], None], batch: _Batch) -> None:
        if not isinstance(item, Transaction):
            item()
        elif self._attempt(item, batch):
            self._retry_waiting(batch)

    def _attempt(self, txn: Transaction, batch: _Batch) -> bool:
        """Run a transaction; return True if it changed its database."""
        elapsed_ms = clock.CLOCK.now_ms() - txn.started_ms
        served = txn.served
        try:
            outcome = execute(
                served.db,
                txn.operations,
                elapsed_ms=elapsed_ms,
                owns_lock=txn.owns_lock,
                read_only=served.read_only,
            )
        except Exception as error:
            log.exception("transaction failed")
            txn.finish(None, OvsdbError("internal error", str(error)).to_json())
            return False
        if outcome.wait_ms is not None:
            self._wait(txn, outcome.wait_ms - elapsed_ms)
            return False
        if txn in self._waiting:
            self._waiting.remove(txn)
        batch.done.append((txn, outcome))
        if outcome.delta and served.file is not None:
            data = served.file.encode(outcome.delta, outcome.comment)
            if data:
                batch.records.setdefault(served.file, []).append(data)
        return bool(outcome.delta)

    def _wait(self, txn: Transaction, left_ms: int) -> None:
        if txn in self._waiting or txn.done:
            return
        self._waiting.append(txn)
        if left_ms < 1 << 40:  # the default timeout is 292 million years
            txn.timer = clock.CLOCK.call_later(left_ms / 1000 + 0.001, self._expire, txn)

    def _expire(self, txn: Transaction) -> None:
        if txn in self._waiting:
            self._waiting.remove(txn)
            self.submit(txn)

    def _retry_waiting(self, batch: _Batch) -> None:
        again = True
        while again:
            again = any(self._attempt(txn, batch) for txn in list(self._waiting))

    async def _finish(self, batch: _Batch) -> None:
        """Make a batch durable, then tell everybody."""
        try:
            await self._save(batch.records)
        except OSError as error:
            self._undo(batch, error)
            return
        for txn, outcome in batch.done:
            try:
                txn.served.publish(outcome.delta)
                txn.finish(outcome.results)
            except Exception:  # our bug costs one client its news, not everybody the queue
                log.exception("telling about a transaction failed")
        for file in batch.records:
            if file.should_compact():
                await self._compact(file)

    async def _save(self, records: dict[FileDb, list[bytes]]) -> None:
        for file, parts in records.items():
            size = file.size_bytes
            try:
                file.append(b"".join(parts))
                await self._blocking(file.sync)
            except OSError:
                file.undo(size)
                raise

    async def _blocking(self, work: Callable[[], None]) -> None:
        if self._inline_sync:
            work()
        else:
            await asyncio.get_running_loop().run_in_executor(None, work)

    def _undo(self, batch: _Batch, error: OSError) -> None:
        log.err("database cannot be written (%s), %d transactions are undone", error.strerror, len(batch.done))
        for txn, outcome in reversed(batch.done):
            txn.served.db.revert(outcome.delta)
        failure = OvsdbError(IO_ERROR, f"database cannot be written: {error.strerror}").to_json()
        for txn, outcome in batch.done:
            txn.finish([*outcome.results, failure])

    async def _compact(self, file: FileDb) -> None:
        try:
            await self._blocking(file.compact)
        except OSError as error:
            log.warn("%s: compaction failed: %s", file.path, error.strerror)
