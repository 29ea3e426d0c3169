"""Actions that change the key: set-field, move, stack, and those for single headers (AC.07, AC.09-15, AC.19, AC.20)."""

from ofproto.xlate.apply cimport StepFn

# Enter these actions' steps in the table of apply.pyx.
cdef void add_rewrite_steps(StepFn *steps) noexcept
