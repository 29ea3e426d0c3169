"""Mailbox: see mailbox.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.unistd cimport close, read, write

from datapath.atomic cimport cas_ptr, exchange_ptr, full_fence, load_acquire, load_ptr, store_release

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initval, int flags)
    enum: EFD_CLOEXEC
    enum: EFD_NONBLOCK


cdef void stack_push(Stack *stack, Command *command) noexcept nogil:
    cdef void *head
    while True:
        head = load_ptr(&stack.head)
        command.next = <Command *> head
        if cas_ptr(&stack.head, head, command):
            return


cdef Command *stack_take_all(Stack *stack) noexcept nogil:
    cdef Command *newest
    cdef Command *following
    cdef Command *oldest = NULL
    if load_ptr(&stack.head) == NULL:
        return NULL
    newest = <Command *> exchange_ptr(&stack.head, NULL)
    while newest != NULL:
        following = newest.next
        newest.next = oldest
        oldest = newest
        newest = following
    return oldest


cdef int mailbox_init(Mailbox *box, Stack *outward, int outward_fd) noexcept nogil:
    memset(box, 0, sizeof(Mailbox))
    box.outward = outward
    box.outward_fd = outward_fd
    box.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    return 0 if box.wake_fd >= 0 else -1


cdef void mailbox_destroy(Mailbox *box) noexcept nogil:
    if box.wake_fd >= 0:
        close(box.wake_fd)
    box.wake_fd = -1


cdef void mailbox_post(Mailbox *box, Command *command) noexcept nogil:
    box.posted += 1
    stack_push(&box.inward, command)
    full_fence()
    if load_acquire(&box.asleep):
        fd_signal(box.wake_fd)


cdef bint mailbox_passed(Mailbox *box) noexcept nogil:
    # The fence orders what the caller has published before the look at `asleep`; mailbox_wake_up has the other half, so
    # a forwarder that is seen asleep here reads all that was published when it wakes.
    full_fence()
    return load_acquire(&box.asleep) and load_acquire(&box.done) == box.posted


cdef void mailbox_complete(Mailbox *box, Command *command) noexcept nogil:
    store_release(&box.done, box.done + 1)
    stack_push(box.outward, command)
    fd_signal(box.outward_fd)


cdef void mailbox_fall_asleep(Mailbox *box) noexcept nogil:
    store_release(&box.asleep, 1)
    full_fence()


cdef void mailbox_wake_up(Mailbox *box) noexcept nogil:
    store_release(&box.asleep, 0)
    full_fence()


cdef void fd_signal(int fd) noexcept nogil:
    cdef uint64_t one = 1
    write(fd, &one, sizeof(one))


cdef void fd_drain(int fd) noexcept nogil:
    cdef uint64_t count
    read(fd, &count, sizeof(count))


cdef Command *command_new(uint32_t kind) noexcept nogil:
    cdef Command *command = <Command *> calloc(1, sizeof(Command))
    if command != NULL:
        command.kind = kind
    return command


cdef void command_free(Command *command) noexcept nogil:
    cdef DumpRow *row
    while command.rows != NULL:
        row = command.rows
        command.rows = row.next
        free(row.program)
        free(row)
    free(command.frame)
    free(command)
