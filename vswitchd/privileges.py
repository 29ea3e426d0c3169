"""--user and --mlockall: what the daemon may do, and that its memory stays in RAM (MG.05).

Rights belong to threads, so all this happens before there is a second one.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import os
import pwd

from vslib.errors import ConfigError

# linux/capability.h, linux/prctl.h, sys/mman.h
CAP_NET_BROADCAST, CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK = 11, 12, 13, 14
CAPABILITY_VERSION = 0x20080522
PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 4, 8
MCL_CURRENT, MCL_FUTURE = 1, 2


def find_user(spec: str) -> tuple[pwd.struct_passwd, int]:
    """Return the account and group number of ``USER[:GROUP]``; raises ConfigError if there is no such."""
    name, colon, group = spec.partition(":")
    try:
        account = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError:
        raise ConfigError(f"user {name} not found, aborting.") from None
    if not colon:
        return account, account.pw_gid
    try:
        return account, grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"group {group} not found, aborting.") from None


def become_user(spec: str, keep_lock: bool, folders: list[str]) -> None:
    """Go on as ``USER[:GROUP]`` with the rights that a switch needs, and nothing more.

    keep_lock: keep CAP_IPC_LOCK, too; folders: made if missing, and given to the user then. Raises ConfigError.
    """
    account, gid = find_user(spec)
    if os.geteuid() != 0:
        if (os.geteuid(), os.getegid()) == (account.pw_uid, gid):
            return  # who it shall be it is already, with what rights it was given
        raise ConfigError(f"--user={spec} needs to be started by root, aborting.")
    for folder in folders:
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder)
            os.chown(folder, account.pw_uid, gid)
    libc = ctypes.CDLL(None, use_errno=True)
    kept = [CAP_NET_BROADCAST, CAP_NET_ADMIN, CAP_NET_RAW] + [CAP_IPC_LOCK] * keep_lock
    try:
        _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
        os.initgroups(account.pw_name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        _set_capabilities(libc, sum(1 << number for number in kept))
        # A change of user takes the right to look into one's own /proc away, where the namespaces are.
        _check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
    except OSError as error:
        raise ConfigError(f"could not become user {spec}: {error.strerror}, aborting.") from error


def _set_capabilities(libc: ctypes.CDLL, bits: int) -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)  # effective, permitted, inheritable; low words, then high
    _check(libc.capset(ctypes.byref(header), ctypes.byref(data)))


def lock_memory() -> str | None:
    """Keep all memory of the process, now and later, in RAM; return why that was not possible, None if it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _check(libc.mlockall(MCL_CURRENT | MCL_FUTURE))
    except OSError as error:
        return error.strerror
    return None


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
