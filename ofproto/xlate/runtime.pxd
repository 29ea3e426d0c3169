"""What a SwitchHandle runs translation with: a context per forwarder, the punt rings, the hooks for the datapath."""

from datapath.ports.port cimport FORWARDERS_MAX
from datapath.upcall cimport ExecuteHook, MissHook
from ofproto.punt cimport PuntQueue
from ofproto.switch cimport Switch, SwitchHandle
from ofproto.xlate.context cimport XlateContext
from ofproto.xlate.translate cimport PacketOutJob

cdef enum:
    CONTROL_CONTEXT = FORWARDERS_MAX   # of the control thread

cdef struct Engine:            # MissHandler.ctx
    Switch *sw
    PuntQueue punts
    (XlateContext *)[FORWARDERS_MAX + 1] contexts

cdef class Runtime:
    cdef Engine engine

cdef class SwitchMissHook(MissHook):
    cdef SwitchHandle owner            # keeps the engine alive

cdef struct PacketOutCtx:      # ExecuteHook.ctx
    Engine *engine
    PacketOutJob job

cdef class PacketOut(ExecuteHook):
    cdef PacketOutCtx state
    cdef bytes ofacts
    cdef SwitchHandle owner
