"""See mod_store.pxd: 100,000 flow-mods of a bundle are one object for Python's collector, not 100,000."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from datapath.bytes cimport load_be16 as get16, load_be32 as get32
from ofproto.codec cimport out_room
from ofproto.flow_edit cimport EDIT_BATCH, FlowEditor, bundle_run, op_decode, op_refusal
from ofproto.intake cimport RUN_FLOW_MODS, bundle_add_head, run_of

from vslib.errors import InternalError

cdef enum:
    ADD_BYTES = 8              # of a bundle-add's body before the message in it

MESSAGE_OVERHEAD_BYTES = MESSAGE_OVERHEAD


cdef class ModStore:
    """Whole messages in order, each as long as its header says: flow-mods, or with `inside` bundle-adds, which hold the
    flow-mod at that byte.
    """

    def __cinit__(self, inside: int = 0):
        self.inside = inside

    def __dealloc__(self):
        free(self.data.data)

    def __len__(self) -> int:
        return self.n

    cdef int put(self, const uint8_t *msg, uint32_t length) noexcept nogil:
        cdef uint8_t *room = out_room(&self.data, length)
        if room == NULL:
            return -1
        memcpy(room, msg, length)
        self.n = self.n + 1        # in place it would need the GIL where None is checked for (make check-debug)
        return 0

    def append(self, bytes msg) -> None:
        """Add one message; raises MemoryError, and InternalError for one that is not as long as it says."""
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(msg)
        cdef Py_ssize_t length = PyBytes_GET_SIZE(msg)
        if length < 8 + self.inside or get16(data + 2) != length:
            raise InternalError(f"a message of {length} bytes whose header says otherwise")
        if self.inside and not 8 <= get16(data + self.inside + 2) <= length - self.inside:
            raise InternalError("a message in a bundle-add that is longer than that")
        if self.put(data, <uint32_t>length) < 0:
            raise MemoryError

    def message(self, index: int) -> bytes:
        """Return message number `index`; raises IndexError."""
        cdef uint32_t at = 0, left = index
        if not 0 <= index < self.n:
            raise IndexError(index)
        while left:
            at += get16(self.data.data + at + 2)
            left -= 1
        return PyBytes_FromStringAndSize(<char *>self.data.data + at, get16(self.data.data + at + 2))

    @property
    def n_bytes(self) -> int:
        """Bytes of all messages."""
        return self.data.length


cdef const uint8_t *cut_messages(const uint8_t *at, const uint8_t *end, uint32_t inside,
                                 Messages *batch) noexcept nogil:
    batch.n = 0
    while at < end and batch.n < EDIT_BATCH:
        batch.data[batch.n] = at + inside
        batch.lengths[batch.n] = get16(at + inside + 2)
        at += get16(at + 2)
        batch.n += 1
    return at


cdef void decode_batch(FlowEditor *ed, const Messages *batch, bint in_command) noexcept nogil:
    cdef uint32_t i
    for i in range(batch.n):
        op_decode(&ed.ops[i], batch.data[i], batch.lengths[i], in_command)


cdef bint same_bundle(const uint8_t *a, const uint8_t *b) noexcept nogil:
    """Whether two bodies of bundle-adds name the same bundle and flags."""
    return get32(a) == get32(b) and get16(a + 6) == get16(b + 6)


cdef int take_adds(FlowEditor *ed, ModStore store, BundleAdds *run) noexcept nogil:
    """See collect_adds; run.at is moved on. 0, -1 without memory."""
    cdef const uint8_t *msg = run.at
    cdef const uint8_t *first = run.at
    cdef const uint8_t *inner
    cdef uint8_t version = run.at[0] if run.at < run.end else 0
    cdef uint32_t head = bundle_add_head(version), length, inner_length
    while msg < run.end:
        length = get16(msg + 2)
        inner = msg + head + ADD_BYTES
        inner_length = get16(inner + 2)
        if (not 8 <= inner_length <= length - head - ADD_BYTES or get32(inner + 4) != get32(msg + 4)
                or not same_bundle(msg + head, first + head)
                or run_of(inner, inner_length, version) != RUN_FLOW_MODS
                or <Py_ssize_t>length + MESSAGE_OVERHEAD > run.room
                or op_refusal(&ed.ops[0], inner, inner_length, run.in_command)):
            return 0
        if store.put(msg, length) < 0:
            return -1
        run.room -= length + MESSAGE_OVERHEAD
        msg += length
        run.at = msg
    return 0


cdef uint32_t run_store(FlowEditor *ed, ModStore store, bint in_command, Py_ssize_t *n_done) noexcept nogil:
    """Apply a store as part of the bundle under way; 0 or the error of the message behind `n_done`."""
    cdef Messages batch
    cdef const uint8_t *at = store.data.data
    cdef const uint8_t *end = at + store.data.length
    cdef uint32_t done
    while at < end:
        at = cut_messages(at, end, store.inside, &batch)
        decode_batch(ed, &batch, in_command)
        done = bundle_run(ed, batch.n)
        n_done[0] += done
        if done < batch.n:
            return ed.ops[done].error
    return 0
