"""Name resolution for Scrapy that leaves out private addresses, so that a name cannot lead into the own network.

The address that passes the check is the one that is connected to: a name that resolves differently the next moment
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scrapy.resolver import CachingHostnameResolver
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer  # type: ignore[import-untyped]

from tamis.crawl.urls import is_public_address

#: Set before the resolver is made; Scrapy builds it from its settings alone.
ALLOW_PRIVATE_SETTING = "TAMIS_ALLOW_PRIVATE"

#: Host names that were refused, with the private address that each one led to.
refused: dict[str, str] = {}


@implementer(IResolutionReceiver)
class _PublicOnly:
    """Hands on what a resolution finds, without private addresses."""

    def __init__(self, receiver: Any, name: str) -> None:
        self._receiver = receiver
        self._name = name

    def resolutionBegan(self, resolution: IHostResolution) -> None:  # noqa: N802 - Twisted's name
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802 - Twisted's name
        host = getattr(address, "host", "")
        if is_public_address(host):
            self._receiver.addressResolved(address)
        else:
            refused[self._name] = host

    def resolutionComplete(self) -> None:  # noqa: N802 - Twisted's name
        self._receiver.resolutionComplete()


class GuardedResolver(CachingHostnameResolver):
    """Scrapy's caching resolver; unless the settings allow private addresses, it finds none."""

    allow_private = False

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> GuardedResolver:
        """Called by Scrapy."""
        resolver = super().from_crawler(crawler, reactor)
        resolver.allow_private = crawler.settings.getbool(ALLOW_PRIVATE_SETTING)
        return resolver

    def resolveHostName(  # noqa: N802 - Twisted's name and parameters
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803 - Twisted's name
        hostName: str,  # noqa: N803 - Twisted's name
        portNumber: int = 0,  # noqa: N803 - Twisted's name
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803 - Twisted's name
        transportSemantics: str = "TCP",  # noqa: N803 - Twisted's name
    ) -> IHostResolution:
        """Resolve a name for a connection."""
        receiver: Any = resolutionReceiver if self.allow_private else _PublicOnly(resolutionReceiver, hostName)
        return super().resolveHostName(receiver, hostName, portNumber, addressTypes, transportSemantics)
