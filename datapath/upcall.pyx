"""The Python classes of upcall.pxd: handles that carry C function pointers from ofproto to the datapath."""


cdef class MissHook:
    """Handle of a MissHandler; subclasses fill in ``handler`` and keep what its ``ctx`` points to."""


cdef class ExecuteHook:
    """How one packet-out frame is translated; subclasses fill in ``ctx`` and ``translate``."""
