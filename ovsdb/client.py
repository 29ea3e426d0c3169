"""One-shot requests to an OVSDB server: connect, ask, disconnect. For tools and tests; a daemon uses `idl`."""

from __future__ import annotations

from typing import Any

from ovsdb.error import OvsdbError
from vslib import jsonrpc, stream

DEFAULT_PORT = 6640
TIMEOUT_S = 10.0


async def call(target: str, method: str, params: list[Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Send one request to ``target`` (``unix:PATH``, ``tcp:HOST[:PORT]`` ...) and return its result.

    Raises ConfigError (bad target), OSError (no connection), OvsdbError (the server's error), jsonrpc.SessionClosed,
    TimeoutError after ``timeout_s`` seconds.
    """
    session = jsonrpc.Session(await stream.connect(target, DEFAULT_PORT), probe_s=0.0)
    session.start()
    try:
        return await session.call(method, params, timeout_s)
    except jsonrpc.RpcError as error:
        raise _as_ovsdb(error.error) from error
    finally:
        session.close()


async def transact(target: str, db: str, *operations: dict[str, Any], timeout_s: float = TIMEOUT_S) -> list[Any]:
    """Run one transaction and return the operations' results; raises OvsdbError for the first that failed."""
    results: list[Any] = await call(target, "transact", [db, *operations], timeout_s)
    for result in results:
        if isinstance(result, dict) and result.get("error"):
            raise _as_ovsdb(result)
    return results


def _as_ovsdb(error: Any) -> OvsdbError:
    if not isinstance(error, dict):
        return OvsdbError(str(error))
    return OvsdbError(str(error.get("error")), str(error.get("details", "")), error.get("syntax", OvsdbError.NO_SYNTAX))
