"""vsctl: the command line to the configuration database, as ovs-vsctl(8) (TL.01).

Nothing is imported here that not every command needs: what counts is how soon the process is done.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name; the process's by default) and return the exit code."""
    from vslib.errors import SwitchError
    from vswitchd.vsctl import output
    from vswitchd.vsctl.context import Exit
    from vswitchd.vsctl.log import Log
    from vswitchd.vsctl.options import parse

    words = list(sys.argv[1:] if arguments is None else arguments)
    program = os.path.basename(sys.argv[0]) or "vsctl"
    log = None
    try:
        options = parse(words, output.Style())
        if options.action:
            from vswitchd.vsctl import help

            output.write(help.TEXTS[options.action](program))
        else:
            from vswitchd.vsctl.run import start

            log = Log(program, options)
            start(program, options, log, words)
        sys.stdout.flush()
    except Exit as end:
        return end.code
    except SwitchError as error:
        sys.stdout.flush()
        if log is not None:
            log.failed(str(error))
        output.complain(f"{program}: {error}")
        return 1
    except BrokenPipeError:  # the reader of our output has gone; the interpreter must not try to flush to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
