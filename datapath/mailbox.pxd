"""Mailbox: how the control thread tells a forwarder something, and how it learns that it was done.

Commands travel on two lock-free stacks (many may push, one takes all): control -> forwarder, and back when done. The
forwarder looks between batches; it is signalled only while it sleeps. Sleep protocol: the forwarder publishes `asleep`,
full fence, looks at the mailbox once more, waits; a sender pushes, full fence, signals only if `asleep`. One of the two
sees the other.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from datapath.act cimport Program
from datapath.flow_key cimport KEY_PACKET_WORDS
from datapath.ports.port cimport Port
from datapath.upcall cimport TranslateFn

cdef enum CommandKind:
    CMD_ATTACH = 0             # port: it may be sent to
    CMD_DETACH = 1             # port: no longer, and no queue of it is received from
    CMD_BARRIER = 2            # nothing: its completion is the answer
    CMD_EXECUTE = 3            # frame, frame_bytes, in_port, hook_ctx, translate
    CMD_STOP = 4               # leave the loop
    CMD_RECEIVE = 5            # port, queue: receive from it
    CMD_LEAVE = 6              # port, queue: no longer; packets that came have been sent when this is done
    CMD_SWEEP = 7              # sliced: push counts, expire idle megaflows
    CMD_FLUSH = 8              # sliced: remove all megaflows
    CMD_DUMP = 9               # sliced: copy all megaflows to `rows`
    N_COMMAND_KINDS = 10
    FIRST_SLICED = 7           # kinds from here on work in slices

cdef struct DumpRow:           # a copy of one megaflow
    DumpRow *next
    uint64_t packets
    uint64_t bytes
    int64_t used_ns
    uint16_t tcp_flags
    uint32_t forwarder
    uint32_t n_words           # of key, mask, index
    uint8_t[KEY_PACKET_WORDS] index
    uint64_t[KEY_PACKET_WORDS] mask
    uint64_t[KEY_PACKET_WORDS] key         # masked
    Program *program           # a copy

cdef struct Command:
    Command *next
    uint32_t kind              # CommandKind
    uint32_t forwarder         # who runs it
    int status                 # 0, or -1: memory ran out, or it was not run
    Port *port
    uint32_t queue
    uint8_t *frame             # malloc'ed; freed with the command
    uint32_t frame_bytes
    uint32_t in_port
    void *hook_ctx
    TranslateFn translate
    int64_t max_idle_ns        # CMD_SWEEP
    bint full                  # CMD_SWEEP: also remove every megaflow that table changes may have touched, used or not
    uint32_t cursor            # sliced kinds: megaflows below this index are still to be visited
    bint started
    int64_t began_ns           # forwarder's time of the first slice
    int64_t took_ns            # until the last
    DumpRow *rows
    void *request              # the control thread's own

cdef struct Stack:
    void *head                 # atomic; newest Command

cdef struct Mailbox:
    Stack inward               # commands for the forwarder
    Stack *outward             # done commands, shared by all forwarders
    int outward_fd             # event descriptor to signal then
    int wake_fd                # the forwarder's own event descriptor
    uint64_t asleep            # atomic; 1 = the forwarder waits or is about to
    uint64_t done              # atomic; commands completed so far
    uint64_t posted            # control side: commands posted so far

cdef void stack_push(Stack *stack, Command *command) noexcept nogil
cdef Command *stack_take_all(Stack *stack) noexcept nogil           # oldest first, NULL if empty
cdef int mailbox_init(Mailbox *box, Stack *outward, int outward_fd) noexcept nogil     # 0, or -1 without descriptors
cdef void mailbox_destroy(Mailbox *box) noexcept nogil
cdef void mailbox_post(Mailbox *box, Command *command) noexcept nogil       # control side
# control side: nothing is under way and the forwarder sleeps, so it will sample everything anew
cdef bint mailbox_passed(Mailbox *box) noexcept nogil
cdef void mailbox_complete(Mailbox *box, Command *command) noexcept nogil   # forwarder side
# forwarder side: after this, look at the mailbox once more, then wait
cdef void mailbox_fall_asleep(Mailbox *box) noexcept nogil
cdef void mailbox_wake_up(Mailbox *box) noexcept nogil      # forwarder side: before anything shared is read
cdef void fd_signal(int fd) noexcept nogil                  # make an event descriptor readable
cdef void fd_drain(int fd) noexcept nogil                   # and unreadable
cdef Command *command_new(uint32_t kind) noexcept nogil     # zeroed; NULL without memory
cdef void command_free(Command *command) noexcept nogil     # with its frame and rows
