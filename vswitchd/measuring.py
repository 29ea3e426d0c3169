"""Ports for measuring, configured like any interface: `null` counts and discards, `pcap` plays and writes files.

| option of `pcap` | |
|---|---|
| rx_pcap=FILE | receive the file's frames, once |
| infinite_rx=true | ... again and again, from memory |
| tx_pcap=FILE | write what is sent to a new file |
| n_rxq=N | receive queues, over which the file's flows are spread |

Errors are ConfigError with the option, the file and the reason, for Interface.error. Thread rule: control thread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping

from datapath.ports.netdev import Link, virtual_link
from datapath.ports.pcap import MAX_MTU, PcapPort, null_port
from datapath.ports.pipe import PipePort
from vslib.errors import ConfigError
from vswitchd.desired import DesiredInterface

PCAP_OPTIONS = ("rx_pcap", "tx_pcap", "infinite_rx", "n_rxq")
RX_QUEUES_MAX = 16
BOOLEANS = {"true": True, "false": False}

Open = Callable[[DesiredInterface], tuple[PipePort, Link]]


def _check_options(wanted: DesiredInterface, known: Collection[str]) -> None:
    """Raise ConfigError for options that the type does not have."""
    unknown = sorted(set(wanted.options) - set(known))
    if unknown:
        has = f"has {', '.join(known)}" if known else "has no options"
        raise ConfigError(f"{wanted.name}: options:{unknown[0]}: unknown option; type {wanted.kind} {has}")


def _flag(wanted: DesiredInterface, options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "false")
    if text not in BOOLEANS:
        raise ConfigError(f"{wanted.name}: options:{name}: {text!r} is neither true nor false")
    return BOOLEANS[text]


def rx_queues(wanted: DesiredInterface) -> int:
    """Return how many receive queues are asked for. Raises ConfigError."""
    text = wanted.options.get("n_rxq", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= RX_QUEUES_MAX:
        raise ConfigError(f"{wanted.name}: options:n_rxq: {text!r} is not a number from 1 to {RX_QUEUES_MAX}")
    return int(text)


def _link(wanted: DesiredInterface) -> Link:
    return dataclasses.replace(virtual_link(wanted.name), mtu=MAX_MTU)


def open_null(wanted: DesiredInterface) -> tuple[PipePort, Link]:
    """Return a port that receives nothing and discards what it is sent. Raises ConfigError for any option."""
    _check_options(wanted, ())
    return null_port(wanted.name), _link(wanted)


def pcap_opener(background: bool = True, opened: Callable[[PcapPort], object] = lambda port: None) -> Open:
    """Return the function that opens `pcap` ports; background: see PcapPort; opened: told of each."""

    def open_pcap(wanted: DesiredInterface) -> tuple[PipePort, Link]:
        options = wanted.options
        _check_options(wanted, PCAP_OPTIONS)
        infinite = _flag(wanted, options, "infinite_rx")
        if infinite and "rx_pcap" not in options:
            raise ConfigError(f"{wanted.name}: options:infinite_rx needs options:rx_pcap")
        if infinite and not background:
            raise ConfigError(f"{wanted.name}: options:infinite_rx: an embedded switch would never come to rest")
        if not {"rx_pcap", "tx_pcap"} & options.keys():
            raise ConfigError(f"{wanted.name}: type pcap needs options:rx_pcap or options:tx_pcap")
        try:
            port = PcapPort(
                wanted.name,
                rx=options.get("rx_pcap"),
                tx=options.get("tx_pcap"),
                infinite=infinite,
                background=background,
                n_rxq=rx_queues(wanted),
            )
        except (ConfigError, OSError) as error:
            raise ConfigError(f"{wanted.name}: {error}") from error
        opened(port)
        return port, _link(wanted)

    return open_pcap
