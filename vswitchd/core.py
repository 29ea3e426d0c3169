"""The running switch: datapath, bridges and the work that recurs, without the database.

Thread rule: control thread. Forwarders reach it through two descriptors only: the datapath's completions and the
switch's packets for controllers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from datapath.datapath import Datapath
from datapath.rx_queues import INTERVAL_S
from ofproto.switch import SwitchHandle
from vslib import clock as clock_module
from vslib import vlog
from vswitchd.bridge import Bridge
from vswitchd.desired_threads import Threads
from vswitchd.devices import Host

log = vlog.get("vswitchd")

CREDIT_PERIOD_S = 0.5  # how old counts may be at rest
EXPIRE_PERIOD_S = 1.0  # time-outs of flows and MAC addresses are in whole seconds


class Core:
    """Owns the datapath and the bridges; `start` needs a running event loop.

    n_forwarders: threads, None = one per processor but one; inline: no threads, somebody calls `datapath.step`;
    host: where the devices are, None = this computer.
    """

    def __init__(self, n_forwarders: int | None = None, *, inline: bool = False, host: Host | None = None) -> None:
        self.host = host if host is not None else Host()
        self.clock = clock_module.CLOCK
        self.started_ns = self.clock.now_ns()
        self.switch = SwitchHandle()
        self.datapath = Datapath(n_forwarders, inline)
        self.datapath.set_miss_hook(self.switch.miss_hook)
        self.bridges: dict[str, Bridge] = {}
        self.problems: frozenset[str] = frozenset()  # lines that the last reconfiguration wrote to the log
        self.status_changed: Callable[[], None] = lambda: None  # what the database is to hear of soon has changed
        self._timers: list[clock_module.Handle] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._collected_version = 0
        self.threads = Threads()
        self._since_balance_s = 0.0

    def start(self) -> None:
        """Start the forwarders and the recurring work on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.datapath.completion_fd, self.datapath.run_callbacks)
        self._loop.add_reader(self.switch.punt_fd, self.deliver_punts)
        self.datapath.start()
        self._every(CREDIT_PERIOD_S, self.push_credits)
        self._every(EXPIRE_PERIOD_S, self.expire)
        self._every(INTERVAL_S, self.watch_load)

    def _every(self, period_s: float, work: Callable[[], None]) -> None:
        slot = len(self._timers)

        def tick() -> None:
            self._timers[slot] = self.clock.call_later(period_s, tick)
            try:
                work()
            except Exception:
                log.exception("recurring work failed")

        self._timers.append(self.clock.call_later(period_s, tick))

    def push_credits(self) -> None:
        """Have the forwarders bring the counts of their megaflows to the rules, and drop idle megaflows."""
        self.datapath.sweep()

    def deliver_punts(self) -> None:
        """Hand the packets that forwarders queued for controllers to the channels of their bridges."""
        by_id = {bridge.handle.id: bridge for bridge in self.bridges.values()}
        for punt in self.switch.poll_punts():
            bridge = by_id.get(punt.bridge_id)
            if bridge is not None:
                bridge.channel.packet_in(punt)

    def set_threads(self, wanted: Threads) -> None:
        """Have the forwarders of `wanted` and deal receive queues out as it says; an embedded switch keeps its one."""
        before, self.threads = self.threads, wanted
        if self.datapath.inline:
            return
        if wanted.cpus != before.cpus:
            log.info("forwarders on processors %s", "any" if wanted.cpus is None else wanted.cpus)
        self.datapath.set_forwarders(wanted.cpus, wanted.max_sleep_us)
        self.datapath.rx.configure(wanted.assign, wanted.isolate)
        if wanted.balance and not before.balance:
            log.info(
                "PMD auto load balance is enabled, interval %d mins, pmd load threshold %d%%, "
                "improvement threshold %d%%.",
                wanted.balance_minutes, wanted.balance_load, wanted.balance_gain,
            )  # fmt: skip
            self._since_balance_s = 0.0

    def watch_load(self) -> None:
        """Note how busy forwarders and receive queues were; deal these out anew when that is asked for and helps."""
        rx, wanted = self.datapath.rx, self.threads
        rx.sample()
        self._since_balance_s += INTERVAL_S
        if wanted.balance and self._since_balance_s >= 60 * wanted.balance_minutes:
            self._since_balance_s = 0.0
            rx.rebalance_if_worth(wanted.balance_load, wanted.balance_gain)

    def expire(self) -> None:
        """Remove flows whose time is over and MAC addresses not heard of for long."""
        now_ns = self.clock.now_ns()
        for bridge in self.bridges.values():
            bridge.handle.age_macs(now_ns)
            bridge.flow_removed_ready(bridge.flows.expire(now_ns))
        self.collect()

    def collect(self) -> None:
        """Free the rules that no forwarder can see any more: those removed before a barrier that all have passed."""
        version = self.switch.version

        def passed() -> None:
            for bridge in self.bridges.values():
                bridge.flows.collect(version)

        if version != self._collected_version:
            self._collected_version = version
            self.datapath.barrier(passed)

    async def stop(self) -> None:
        """Take down the bridges and stop the forwarders."""
        for timer in self._timers:
            timer.cancel()
        for bridge in list(self.bridges.values()):
            await bridge.close()
        self.bridges.clear()
        if self._loop is not None:
            self._loop.remove_reader(self.datapath.completion_fd)
            self._loop.remove_reader(self.switch.punt_fd)
        self.datapath.stop()
