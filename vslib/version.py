"""What we are and which Open vSwitch we answer for; every text that names a version takes it from here."""

from __future__ import annotations

CYVSWITCH_VERSION = "0.1.0"
# The release whose interfaces we follow; scripts (ovs-save, ovs-lib) parse it out of ``version`` (MG.04).
OVS_VERSION = "3.1.0"


def version_text(program: str = "ovs-vswitchd") -> str:
    """Return the text of the ``version`` command of the daemon called ``program``, without a final newline."""
    return f"{program} (Open vSwitch) {OVS_VERSION}\ncyvswitch {CYVSWITCH_VERSION}"
