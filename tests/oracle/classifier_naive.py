"""A flow table without ideas: a list of rules, each question answered by looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass

FOREVER = 2**64 - 1


@dataclass
class NaiveRule:
    """One rule; value and mask are numbers, so that `key & mask == value` is the whole of matching."""

    name: int
    value: int
    mask: int
    priority: int
    added: int
    removed: int = FOREVER

    def visible(self, version: int) -> bool:
        """Whether the tables of `version` hold this rule."""
        return self.added <= version < self.removed


class NaiveTable:
    """Linear searches over all rules ever inserted and not collected."""

    def __init__(self) -> None:
        self.rules: list[NaiveRule] = []

    def insert(self, name: int, value: int, mask: int, priority: int, version: int) -> None:
        """Add a rule visible from `version` on."""
        self.rules.append(NaiveRule(name, value & mask, mask, priority, version))

    def visible(self, version: int) -> list[NaiveRule]:
        """Return the rules that `version` sees."""
        return [r for r in self.rules if r.visible(version)]

    def remove(self, name: int, version: int) -> None:
        """Hide a rule from `version` on."""
        next(r for r in self.rules if r.name == name).removed = version

    def lookup(self, key: int, version: int) -> set[int]:
        """Return the names of the best matches: all of the highest priority that match."""
        hits = [r for r in self.visible(version) if key & r.mask == r.value]
        best = max((r.priority for r in hits), default=0)
        return {r.name for r in hits if r.priority == best}

    def find(self, value: int, mask: int, priority: int, version: int) -> int | None:
        """Return the rule with exactly this match and priority."""
        for r in self.visible(version):
            if (r.value, r.mask, r.priority) == (value & mask, mask, priority):
                return r.name
        return None

    def overlaps(self, value: int, mask: int, priority: int, version: int) -> bool:
        """Whether a packet can exist that both the match and a rule of this priority match."""
        return any((r.value ^ value) & r.mask & mask == 0 for r in self.visible(version) if r.priority == priority)

    def each(self, value: int, mask: int, version: int) -> set[int]:
        """Return the rules whose packets all match the given match."""
        return {r.name for r in self.visible(version) if r.mask & mask == mask and (r.value ^ value) & mask == 0}

    def collect(self, oldest: int) -> None:
        """Forget rules that no version from `oldest` on sees."""
        self.rules = [r for r in self.rules if r.removed > oldest]
