"""``python -m ovsdb DATABASE SCHEMA TARGET...``: the server by itself, for tests and experiments; ends on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from ovsdb.server import Server
from vslib.errors import SwitchError


async def serve(path: str, schema_path: str, targets: list[str]) -> None:
    """Serve one database on ``targets`` until SIGTERM or SIGINT; prints ``ready`` once clients may connect."""
    server = Server()
    await server.open(path, schema_path)
    try:
        for target in targets:
            await server.listen(target)
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        print("ready", flush=True)
        await ended.wait()
    finally:
        await server.close()


def main(args: list[str]) -> int:
    """Run; return the exit status."""
    if len(args) < 3:
        print("usage: python -m ovsdb DATABASE SCHEMA TARGET...", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(args[0], args[1], args[2:]))
    except SwitchError as error:
        print(f"ovsdb: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
