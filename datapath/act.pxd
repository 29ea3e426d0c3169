"""Action programs: what a megaflow does to its packets.

A program is a flat array of fixed-size ops. Translation (ofproto) writes it with the act_* builders below; the
forwarder runs it over all packets of a batch that hit the megaflow. Header rewrites are generic: `ACT_SET` writes
masked bytes of one key slot to the place where the packet keeps it (table EDITS in edit.pyx), with the checksum kept
right.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum ActKind:
    ACT_OUTPUT = 1             # arg = datapath port number
    ACT_SET = 2                # slot, value, mask: masked write of a header slot (at most 16 bytes)
    ACT_PUSH_VLAN = 3          # arg = TPID << 16 | TCI, host order (the CFI/present bit 0x1000 is not sent)
    ACT_POP_VLAN = 4
    ACT_PUNT = 5               # cookie = what the miss handler's `punt` gets (a controller action); flags = ActPunt
    ACT_DROP = 6               # arg = DropReason, aux = table that decided (0xff: none); always the last op
    ACT_SET_MARK = 7           # arg = value, aux32 = mask of pkt_mark
    ACT_SET_PRIORITY = 8       # arg = skb_priority
    ACT_TRUNC = 9              # arg = longest length in bytes for the next output only
    N_ACT_KINDS = 10

cdef enum:
    PROGRAM_OPS_MAX = 4096     # ops in one program
    PROGRAM_HOMES = 4096       # programs that are found again to be shared (a power of two)

cdef struct ActOp:             # 48 bytes
    uint8_t kind               # ActKind
    uint8_t slot               # SlotNumber for ACT_SET
    uint16_t aux
    uint32_t arg
    uint32_t aux32
    uint32_t reserved
    uint8_t[16] value          # ACT_SET: network byte order, slot's size; ACT_PUNT: first 8 bytes unused
    uint8_t[16] mask           # ACT_SET: 1 bits are written
    # ACT_PUNT keeps its 64-bit cookie in value[0..7] (native order); see act_punt(). For dumps: aux = OFPR_* reason,
    # arg = controller id << 16 | longest length in bytes, mask[0..7] = the rule's cookie (native order).

cdef struct EditWord:          # what a plan does to one 8-byte word of a frame, all in the frame's own order
    uint32_t at                # bytes from the start of the frame, a multiple of 8
    uint64_t keep              # bits that stay
    uint64_t value             # the others
    uint64_t ip4               # bits written that the IPv4 header checksum covers
    uint64_t l4                # bits written that the checksum of layer 4 covers

cdef struct EditPlan:          # what a run of ACT_SET does to frames of one shape (edit_plan.pxd)
    EditPlan *next             # of the same run, for another shape
    uint32_t shape
    bint by_op                 # the ops cannot be taken together: one by one
    uint32_t n_words
    uint16_t ip4_csum          # where the IPv4 header checksum is, bytes from the start of the frame; 0 = it stays
    uint16_t l4_csum           # where the checksum of layer 4 is; 0 = it stays
    uint16_t ip4_new           # sums of the bits that are written
    uint16_t l4_new
    bint udp                   # layer 4 is UDP: a checksum of 0 is none
    EditWord[1] words          # n_words entries

cdef struct SetRun:            # adjacent ACT_SETs of a program
    uint32_t n_ops
    EditPlan *plans            # one per shape met so far; the last one used is first

cdef struct Program:           # immutable once installed but for plans and group; shared by reference count
    uint32_t refs              # forwarder-local count (programs never cross forwarders)
    uint32_t n_ops
    uint32_t batch             # serial of the last batch in which `group` was set
    uint16_t group             # its group in that batch
    uint16_t reserved
    uint32_t n_runs
    SetRun *runs               # n_runs entries, behind the ops
    Program **home             # where it can be found, if it still stands there; NULL = nowhere
    ActOp[1] ops               # n_ops entries

cdef struct Programs:          # a forwarder's, by hash: of two with the same home the later one is found
    Program *homes[PROGRAM_HOMES]

cdef struct ActBuf:            # grows while translation writes; reused from miss to miss
    ActOp *ops
    uint32_t n
    uint32_t capacity
    bint overflow              # PROGRAM_OPS_MAX exceeded or no memory: the caller must drop with DROP_TOO_MANY_ACTIONS

cdef int actbuf_init(ActBuf *buf) noexcept nogil
cdef void actbuf_free(ActBuf *buf) noexcept nogil
# a zeroed op at the end, NULL (and overflow set) if full
cdef ActOp *act_add(ActBuf *buf, uint8_t kind) noexcept nogil
cdef void act_output(ActBuf *buf, uint32_t port_no) noexcept nogil
cdef void act_set(ActBuf *buf, uint8_t slot, const uint8_t *value, const uint8_t *mask, uint32_t n_bytes) noexcept nogil
cdef void act_push_vlan(ActBuf *buf, uint16_t tpid, uint16_t tci) noexcept nogil
cdef void act_pop_vlan(ActBuf *buf) noexcept nogil
cdef void act_punt(ActBuf *buf, uint64_t cookie) noexcept nogil
cdef uint64_t act_punt_cookie(const ActOp *op) noexcept nogil
cdef void act_drop(ActBuf *buf, uint32_t reason, uint16_t table) noexcept nogil
cdef Program *program_make(const ActBuf *buf) noexcept nogil        # refs 1; NULL without memory
# One with these ops: a reference of one that is there, or a new one; NULL without memory.
cdef Program *program_share(Programs *programs, const ActBuf *buf) noexcept nogil
cdef void program_unref(Program *program) noexcept nogil
cdef bint program_equal(const Program *a, const ActBuf *b) noexcept nogil
