"""Where a request comes from, as far as that can be known, and the networks it may come from.

Anybody can write `X-Forwarded-For`; each proxy appends the address that it saw. So only as many
entries as there are proxies of ours mean anything, counted from the right. `Forwarded`,
`X-Real-IP` and the like are not read at all.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

from django.conf import settings
from django.http import HttpRequest

MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4 in the clothes of IPv6
V6_SUBSCRIBER = 64  # bits of an IPv6 address that its holder cannot choose


def client_address(request: HttpRequest) -> str:
    """The address of the caller behind settings.TRUSTED_PROXIES proxies, or "" if there is none."""
    meta = request.META
    return caller_address(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""))


def caller_address(remote: str, forwarded: str) -> str:
    """The same, by whoever opened the connection and the header X-Forwarded-For.

    A request that came through fewer proxies, or one whose entry is no address, is known by the
    address that it was last seen with: that of a machine of ours.
    """
    nearest = normalised(remote)
    hops = settings.TRUSTED_PROXIES
    if not hops:
        return nearest
    seen = forwarded.split(",")
    return (normalised(seen[-hops].strip()) if len(seen) >= hops else "") or nearest


def normalised(address: str) -> str:
    """One way to write each address: without a zone, IPv4 as IPv4. "" for what is none."""
    try:
        return str(_unmapped(address))
    except ValueError:
        return ""


def limit_key(address: str) -> str:
    """Whom a limit per address counts: an IPv6 subscriber has 2^64 addresses to change between."""
    if ":" not in address:
        return address
    return str(ip_network((address, V6_SUBSCRIBER), strict=False))


def normalised_network(network: str) -> str:
    """A CIDR, or an address standing for itself, in one way to write it.

    Raises ValueError for what is neither, has a zone, or has bits set beyond its length.
    """
    if "%" in network:
        raise ValueError(f"{network} has a zone, which means something on one machine only.")
    given = ip_network(network)
    if isinstance(given, IPv6Network) and given.subnet_of(MAPPED):
        inner = int(given.network_address) & 0xFFFF_FFFF
        return str(ip_network((inner, given.prefixlen - 96)))
    return str(given)


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether the address is in one of the networks. What is no address is in none."""
    try:
        ip = _unmapped(address)
    except ValueError:
        return False
    return any(ip in ip_network(network) for network in networks)


def are_within(networks: Iterable[str], allowed: Iterable[str]) -> bool:
    """Whether every address of the networks, which are CIDRs, is in one of the allowed ones."""
    wide = [ip_network(network) for network in allowed]
    # Neighbours as one: together they may hold what none of them holds.
    v4 = list(collapse_addresses(n for n in wide if isinstance(n, IPv4Network)))
    v6 = list(collapse_addresses(n for n in wide if isinstance(n, IPv6Network)))

    def is_held(network: IPv4Network | IPv6Network) -> bool:
        if isinstance(network, IPv4Network):
            return any(network.subnet_of(each) for each in v4)
        return any(network.subnet_of(each) for each in v6)

    return all(is_held(ip_network(network)) for network in networks)


def _unmapped(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip
    return ip.ipv4_mapped or IPv6Address(int(ip))
