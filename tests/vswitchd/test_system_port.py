"""Which way the frames of a device go when nobody says: by packet sockets or by AF_XDP (PT.01, PT.05)."""

from __future__ import annotations

import pytest

from vswitchd.system_port import why_packets


@pytest.mark.parametrize(
    ("kind", "queues", "features", "words"),
    [
        ("veth", 1, (), "its driver (veth) has no zero-copy mode"),
        ("", 4, (), "it has 4 receive queues"),
        ("", 1, ("rx-gro", "tx-tcp-segmentation"), "its segmentation and checksum offloads would be lost"),
        ("", 1, ("tx-checksum-ip-generic",), "its segmentation and checksum offloads would be lost"),
        ("", 1, ("rx-gro", "tx-generic-segmentation", "highdma"), ""),
    ],
)
def test_af_xdp_is_for_network_cards_that_lose_nothing_by_it(kind, queues, features, words):
    assert why_packets(kind, queues, features) == words
