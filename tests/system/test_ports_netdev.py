"""netdev: state of devices, changes, errors in Open vSwitch's words, news (PT.21, PT.23 to PT.26)."""

from __future__ import annotations

import asyncio
import os

import pytest

from datapath.ports import netdev, tun
from datapath.ports.tap import TapPort
from tests.system.netns import namespace, needs_root, switch_namespace, unique, veth
from vslib.errors import ConfigError

pytestmark = [pytest.mark.root, needs_root]

MAC = bytes.fromhex("0200000000aa")


@pytest.fixture
def switch():
    with switch_namespace() as made:
        yield made


@pytest.fixture
def far():
    with namespace() as made:
        yield made


def test_a_link_tells_what_ip_tells(switch, far):
    name, peer = veth(switch, far)
    netdev.set_mac(name, MAC)
    netdev.set_mtu(name, 1400)
    link = netdev.link(name)
    assert (link.name, link.mac, link.mtu, link.up, link.running, link.present) == (name, MAC, 1400, True, True, True)
    assert link.kind == "veth"
    assert link.ifindex == netdev.ifindex(name)
    assert link.peer_ifindex == int(far.ip("link", "show", peer).split(":")[0])
    assert dict(link.status)["driver_name"] == "veth"
    assert link.speed_kbps == 10_000_000
    assert link.full_duplex
    assert link.features & 1 << 6  # 10 Gbit/s, full duplex
    assert "02:00:00:00:00:aa" in switch.ip("link", "show", name)
    assert name in [found.name for found in netdev.links()]
    far.ip("link", "set", peer, "down")
    assert (netdev.link(name).up, netdev.link(name).running) == (True, False)
    netdev.set_up(name, False)
    assert (netdev.link(name).up, netdev.link(name).running) == (False, False)


def test_a_device_without_settings_has_none(switch):
    link = netdev.link("lo")
    assert (link.speed_kbps, link.full_duplex, link.features, link.peer_ifindex) == (0, False, 0, 0)


def test_devices_are_classified(switch, far):
    name, _ = veth(switch, far)
    made, plain = unique(), unique()
    assert netdev.create_internal(made, MAC, 1300)
    assert not netdev.create_internal(made)
    switch.ip("tuntap", "add", "name", plain, "mode", "tap")
    link = netdev.link(made)
    assert (link.mac, link.mtu, link.up) == (MAC, 1300, False)
    assert [netdev.classify(n) for n in (made, plain, name, "eth9")] == ["internal", "tap", "system", "absent"]


def test_rename_and_delete(switch):
    name, new = unique(), unique()
    netdev.create_internal(name)
    netdev.rename(name, new)
    assert (netdev.exists(name), netdev.exists(new)) == (False, True)
    netdev.delete(new)
    assert not netdev.exists(new)
    assert not netdev.delete_if_exists(new)


@pytest.mark.parametrize(
    "call",
    [
        netdev.link,
        netdev.delete,
        lambda name: netdev.set_up(name, True),
        lambda name: netdev.set_mtu(name, 1400),
        lambda name: netdev.set_mac(name, MAC),
        lambda name: netdev.rename(name, "x"),
    ],
)
def test_a_missing_device_is_named_as_open_vswitch_does(switch, call):
    with pytest.raises(ConfigError) as caught:
        call("eth9")
    assert str(caught.value) == "could not open network device eth9 (No such device)"


def test_what_a_device_cannot_have_is_refused_with_the_reason(switch, far):
    name, _ = veth(switch, far)
    with pytest.raises(ConfigError, match=f"could not set MTU to 100000 of network device {name}"):
        netdev.set_mtu(name, 100000)
    with pytest.raises(ConfigError, match=rf"could not set MAC address of network device {name} \(.*\)"):
        netdev.set_mac(name, b"\x01\0\0\0\0\1")
    with pytest.raises(ConfigError, match=r"\(Invalid argument\)"):
        netdev.link("a" * 16)


def test_calls_work_inside_a_running_loop(switch, far):
    name, _ = veth(switch, far)

    async def main() -> int:
        return netdev.link(name).mtu

    assert asyncio.run(main()) == 1500


def test_a_virtual_link_has_a_stable_address_of_its_own():
    one, other = netdev.virtual_link("patch0"), netdev.virtual_link("patch1")
    assert one == netdev.virtual_link("patch0")
    assert one.mac != other.mac
    assert one.mac[0] & 3 == 2
    assert one.up and one.running
    gone = one.gone()
    assert (gone.present, gone.up, gone.running) == (False, False, False)


class News:
    """A Watch whose calls can be waited for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.queue: asyncio.Queue = asyncio.Queue()
        self.watch = netdev.watch(loop, lambda name, link: self.queue.put_nowait((name, link)))

    async def until(self, name: str, wanted) -> netdev.Link | None:
        async with asyncio.timeout(5):
            while True:
                found, link = await self.queue.get()
                if found == name and wanted(link):
                    return link


def run_with_news(main) -> None:
    async def body() -> None:
        news = News(asyncio.get_running_loop())
        try:
            await main(news)
        finally:
            news.watch.close()
            news.watch.close()

    asyncio.run(body())


def test_changes_of_devices_are_reported(switch, far):
    async def main(news: News) -> None:
        name, peer = veth(switch, far)
        assert await news.until(name, lambda link: link and link.up and link.running)
        netdev.set_mtu(name, 1300)
        assert (await news.until(name, lambda link: link.mtu == 1300)).ifindex == netdev.ifindex(name)
        netdev.set_mac(name, MAC)
        await news.until(name, lambda link: link.mac == MAC)
        far.ip("link", "set", peer, "down")
        await news.until(name, lambda link: link.up and not link.running)
        far.ip("link", "set", peer, "up")
        await news.until(name, lambda link: link.running)
        netdev.set_up(name, False)
        await news.until(name, lambda link: not link.up)
        new = unique()
        netdev.rename(name, new)
        await news.until(name, lambda link: link is None)
        await news.until(new, lambda link: link is not None)
        netdev.delete(new)
        await news.until(new, lambda link: link is None)

    run_with_news(main)


def test_a_device_that_moves_away_is_not_reported_as_gone_and_can_be_followed(switch, far):
    """PT.23: its state there, also under another name, without asking again and again."""

    async def main(news: News) -> None:
        name, there = unique(), unique()
        with TapPort(name, "internal") as port:
            await news.until(name, lambda link: link is not None)
            switch.ip("link", "set", name, "netns", far.name)
            link = await news.until(name, lambda link: link is None or link.moved)
            assert link is not None
            assert (link.present, link.running) == (True, False)
            place = tun.namespace_fd(port.rx_fd)
            index = port.link().ifindex
            assert [news.watch.follow(name, place, index) for _ in range(2)] == [True, False]
            os.close(place)
            far.ip("link", "set", name, "name", there)
            far.ip("link", "set", there, "up")
            await news.until(name, lambda link: link.moved and link.running)
            far.ip("link", "set", there, "mtu", "1300")
            await news.until(name, lambda link: link.moved and link.mtu == 1300)
            assert (port.link().name, port.link().mtu) == (there, 1300)
            far.ip("link", "del", there)
            await news.until(name, lambda link: link.moved and not link.up)
            with pytest.raises(ConfigError):
                port.link()

    run_with_news(main)


def test_what_does_not_change_is_not_reported(switch, far):
    name, _ = veth(switch, far)

    async def main(news: News) -> None:
        netdev.set_alias(name, "once")
        await news.until(name, lambda link: link.alias == "once")
        for _ in range(3):
            netdev.set_mtu(name, 1500)
            netdev.set_up(name, True)
        netdev.set_alias(name, "twice")
        await news.until(name, lambda link: link.alias == "twice")
        assert news.queue.empty()

    run_with_news(main)


def test_lost_news_are_made_up_for(switch, far):
    """The socket's buffer overflows: every device is read anew, differences are reported once."""
    name, _ = veth(switch, far)
    gone, _ = veth(switch, far)

    async def main(news: News) -> None:
        news.watch._sock.setsockopt(1, 8, 1)  # SO_RCVBUF: the kernel's minimum, room for a message or two
        await asyncio.sleep(0)
        netdev.delete(gone)
        for mtu in range(1000, 1040):
            netdev.set_mtu(name, mtu)
        await news.until(name, lambda link: link.mtu == 1039)
        netdev.set_mtu(name, 1500)
        await news.until(name, lambda link: link.mtu == 1500)

    run_with_news(main)
