"""Names that lead to private addresses, now or the next moment, lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy.resolver import dnscache
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from zope.interface import implementer  # type: ignore[import-untyped]

from tamis.crawl.resolver import GuardedResolver, refused

PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.7"


@implementer(IHostnameResolver)
@dataclass
class ChangingNames:
    """Each look-up finds the next of these lists of addresses; stands for the name resolver of a reactor."""

    answers: Iterator[list[str]]

    def resolveHostName(self, receiver: Any, name: str, *_: Any) -> Any:
        receiver.resolutionBegan(self)
        for text in next(self.answers):
            kind = IPv6Address if ":" in text else IPv4Address
            receiver.addressResolved(kind("TCP", text, 80))
        receiver.resolutionComplete()
        return receiver


@implementer(IResolutionReceiver)
@dataclass
class Receiver:
    found: list[str] = field(default_factory=list)
    is_complete: bool = False

    def resolutionBegan(self, resolution: Any) -> None:
        self.found.clear()

    def addressResolved(self, address: Any) -> None:
        self.found.append(address.host)

    def resolutionComplete(self) -> None:
        self.is_complete = True


def resolver(answers: Iterator[list[str]], *, cache: int = 0, allow_private: bool = False) -> GuardedResolver:
    dnscache.clear()
    reactor: Any = SimpleNamespace(nameResolver=ChangingNames(answers))
    made = GuardedResolver(reactor, cache)
    made.allow_private = allow_private
    return made


def look_up(guarded: GuardedResolver, name: str = "shop.example") -> list[str]:
    receiver: Any = Receiver()
    guarded.resolveHostName(receiver, name, 80)
    assert receiver.is_complete
    return list(receiver.found)


def test_a_name_that_turns_private_between_two_requests_is_refused() -> None:
    """DNS rebinding: the address that is checked is the one that is connected to, at each connection."""
    guarded = resolver(iter([[PUBLIC], [PRIVATE], ["127.0.0.1"], [PUBLIC]]))
    assert [look_up(guarded) for _ in range(4)] == [[PUBLIC], [], [], [PUBLIC]]
    assert refused["shop.example"] == "127.0.0.1"


def test_a_private_address_among_public_ones_is_left_out() -> None:
    assert look_up(resolver(iter([[PRIVATE, PUBLIC, "::1", "fd00::1", "::ffff:192.168.0.1"]]))) == [PUBLIC]


@pytest.mark.parametrize("first", [PUBLIC, PRIVATE])
def test_the_cache_lets_nothing_private_through(first: str) -> None:
    guarded = resolver(iter([[first, PRIVATE]]), cache=100)
    assert look_up(guarded) == look_up(guarded) == ([PUBLIC] if first == PUBLIC else [])


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "fe80::1", "64:ff9b::7f00:1"]
)
def test_addresses_of_no_open_network(address: str) -> None:
    assert look_up(resolver(repeat([address]))) == []


def test_the_settings_may_allow_them() -> None:
    assert look_up(resolver(repeat([PRIVATE]), allow_private=True)) == [PRIVATE]
