"""Where a read of the channel is cut: flow-mods that follow each other, and those that are put into bundles, go to the
tables as one run, without a Python object for each.

Place in the packet's path: none; the control thread runs it. Everything that is not as its row of MESSAGES says is left
to `session.py`, message by message, which knows what to answer.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t

from datapath.bytes cimport load_be16 as get16, load_be32 as get32
from ofproto.of_number cimport OFP14

from ofproto.messages import MESSAGES
from ofproto.wire import header_bytes

cdef enum:
    FORMS_MAX = 8              # kinds of message of one version that make runs
    NO_VENDOR = 0

cdef struct Form:              # one row of MESSAGES in one version
    Run run
    uint32_t vendor            # NO_VENDOR: a type of OpenFlow's own
    uint32_t subtype
    uint32_t least             # bytes, headers included
    uint32_t step              # length beyond that is a multiple of it; 0 = none
    uint8_t type

cdef struct Forms:
    Form[FORMS_MAX] items
    uint32_t n
    uint32_t add_head          # bytes before the body of a bundle-add

cdef Forms[OFP14 + 1] FORMS

RUNS = {"OFPT_FLOW_MOD": RUN_FLOW_MODS, "NXT_FLOW_MOD": RUN_FLOW_MODS, "OFPT_BUNDLE_ADD_MESSAGE": RUN_BUNDLE_ADDS,
        "OFPT_BARRIER_REQUEST": RUN_BARRIER}
OTHER, FLOW_MODS, BUNDLE_ADDS, BARRIER = RUN_OTHER, RUN_FLOW_MODS, RUN_BUNDLE_ADDS, RUN_BARRIER
UNFINISHED, IMPOSSIBLE = RUN_UNFINISHED, RUN_IMPOSSIBLE


def _fill() -> None:
    """Copy the rows of RUNS."""
    cdef Forms *forms
    cdef Form *form
    for name, run in RUNS.items():
        kind = MESSAGES[name]
        for version, key in kind.keys.items():
            forms = &FORMS[<int>version]
            form = &forms.items[forms.n]
            forms.n += 1
            form.run, form.type = run, key.type
            form.vendor, form.subtype = key.vendor or NO_VENDOR, key.subtype or 0
            form.least = header_bytes(version, key) + kind.bodies[version][0]
            form.step = kind.bodies[version][1]
            if run == RUN_BUNDLE_ADDS:
                forms.add_head = header_bytes(version, key)


_fill()


cdef inline bint fits(const Form *form, const uint8_t *msg, uint32_t length) noexcept nogil:
    cdef uint32_t extra
    if form.vendor != NO_VENDOR and (length < 16 or get32(msg + 8) != form.vendor or get32(msg + 12) != form.subtype):
        return False
    if length < form.least:
        return False
    extra = length - form.least
    return extra % form.step == 0 if form.step else extra == 0


cdef Run run_of(const uint8_t *msg, uint32_t length, uint8_t version) noexcept nogil:
    cdef const Forms *forms = &FORMS[version if version <= OFP14 else 0]
    cdef uint32_t i
    if msg[0] != version:
        return RUN_OTHER
    for i in range(forms.n):
        if forms.items[i].type == msg[1] and fits(&forms.items[i], msg, length):
            return forms.items[i].run
    return RUN_OTHER


cdef uint32_t bundle_add_head(uint8_t version) noexcept nogil:
    return FORMS[version if version <= OFP14 else 0].add_head


cdef uint32_t whole_length(const uint8_t *at, Py_ssize_t left, Run *problem) noexcept nogil:
    """Length of the message that begins here; 0 with `problem` if there is none."""
    cdef uint32_t length
    problem[0] = RUN_UNFINISHED
    if left < 8:
        return 0
    length = get16(at + 2)
    if length < 8:
        problem[0] = RUN_IMPOSSIBLE
        return 0
    return length if length <= left else 0


cdef Run find_run(const uint8_t *data, Py_ssize_t end, uint8_t version, Py_ssize_t *at) noexcept nogil:
    """The run that begins at byte `at`, which is moved to its end."""
    cdef Run problem, run
    cdef uint32_t length = whole_length(data + at[0], end - at[0], &problem)
    if not length:
        return problem
    run = run_of(data + at[0], length, version)
    at[0] += length
    while run == RUN_FLOW_MODS or run == RUN_BUNDLE_ADDS:
        length = whole_length(data + at[0], end - at[0], &problem)
        if not length or run_of(data + at[0], length, version) != run:
            break
        at[0] += length
    return run


def run_at(bytes data, Py_ssize_t at, int version) -> tuple[int, int]:
    """Return what begins at byte `at` (RUN_*, as OTHER and so on here), and where it ends; version: the one agreed, 0
    before: then everything is OTHER.
    """
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Run run
    if not 0 <= at <= end:
        raise IndexError(at)
    run = find_run(<const uint8_t *>PyBytes_AS_STRING(data), end, <uint8_t>version, &at)
    return <int>run, at


def messages_in(bytes data, Py_ssize_t at, Py_ssize_t end) -> list[bytes]:
    """Return the messages of a run, each for itself."""
    cdef list found = []
    cdef Py_ssize_t length
    while at < end:
        length = get16(<const uint8_t *>PyBytes_AS_STRING(data) + at + 2)
        found.append(data[at : at + length])
        at += length
    return found
