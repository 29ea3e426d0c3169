"""Where files live: Open vSwitch's four directories, from the environment at the time of the call."""

from __future__ import annotations

import os


def rundir() -> str:
    """Return the directory of sockets and pid files (``OVS_RUNDIR``)."""
    return os.environ.get("OVS_RUNDIR") or "/run/openvswitch"


def logdir() -> str:
    """Return the directory of log files (``OVS_LOGDIR``)."""
    return os.environ.get("OVS_LOGDIR") or "/var/log/openvswitch"


def sysconfdir() -> str:
    """Return the directory of configuration (``OVS_SYSCONFDIR``)."""
    return os.environ.get("OVS_SYSCONFDIR") or "/etc"


def dbdir() -> str:
    """Return the directory of databases (``OVS_DBDIR``, else ``openvswitch`` below the configuration)."""
    return os.environ.get("OVS_DBDIR") or os.path.join(sysconfdir(), "openvswitch")


def abs_file(directory: str, name: str) -> str:
    """Return ``name`` itself if it is an absolute path, otherwise the file of that name in ``directory``."""
    return os.path.join(directory, name)
