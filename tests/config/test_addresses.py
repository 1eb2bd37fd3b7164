"""Where a request comes from: nothing that the caller can write decides it."""

import pytest
from django.test import RequestFactory

from config.addresses import (
    are_within,
    client_address,
    is_within,
    limit_key,
    normalised,
    normalised_network,
)


def seen(forwarded=None, remote="203.0.113.9", **headers):
    if forwarded is not None:
        headers["HTTP_X_FORWARDED_FOR"] = forwarded
    return client_address(RequestFactory().get("/", REMOTE_ADDR=remote, **headers))


def test_without_proxies_of_ours_no_header_is_believed():
    assert seen("198.51.100.1") == "203.0.113.9"
    assert seen(HTTP_FORWARDED="for=198.51.100.1", HTTP_X_REAL_IP="198.51.100.1") == "203.0.113.9"


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1, 127.0.0.1, 198.51.100.1", "198.51.100.1"),
        (1, "spoofed,198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1, 198.51.100.1, 192.0.2.7", "198.51.100.1"),
        (2, "198.51.100.1,192.0.2.7", "198.51.100.1"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
        (1, "2001:DB8:0::1", "2001:db8::1"),
    ],
)
def test_behind_proxies_the_entry_that_the_outermost_of_ours_wrote_counts(
    settings, hops, forwarded, address
):
    settings.TRUSTED_PROXIES = hops

    assert seen(forwarded) == address


@pytest.mark.parametrize(
    "forwarded", [None, "", "unknown", "198.51.100.1, ", "198.51.100.1:4711", "1.2.3", "a" * 9000]
)
def test_where_a_proxys_entry_is_missing_or_no_address_the_proxy_itself_counts(settings, forwarded):
    settings.TRUSTED_PROXIES = 1

    assert seen(forwarded) == "203.0.113.9"


def test_fewer_entries_than_proxies_are_not_reached_past_the_left_end(settings):
    settings.TRUSTED_PROXIES = 3

    assert seen("10.0.0.1, 10.0.0.2") == "203.0.113.9"


def test_other_headers_that_name_an_address_are_not_read_behind_a_proxy_either(settings):
    settings.TRUSTED_PROXIES = 1

    headers = {"HTTP_X_REAL_IP": "10.0.0.1", "HTTP_FORWARDED": "for=10.0.0.2"}

    assert seen("198.51.100.1", **headers) == "198.51.100.1"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:0db8:0000::0001", "2001:db8::1"),
        ("", ""),
        ("localhost", ""),
        ("2130706433", ""),
        ("010.0.0.1", ""),
    ],
)
def test_an_address_has_one_way_to_be_written(written, address):
    assert normalised(written) == address


def test_an_ipv6_subscriber_is_one_caller_to_limits():
    assert limit_key("2001:db8:1:2::1") == limit_key("2001:db8:1:2:ffff::9")
    assert limit_key("2001:db8:1:2::1") != limit_key("2001:db8:1:3::1")
    assert limit_key("192.0.2.1") == "192.0.2.1"
    assert limit_key("") == ""


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_has_one_way_to_be_written(written, network):
    assert normalised_network(written) == network


@pytest.mark.parametrize(
    "written", ["", "192.0.2.1/24", "192.0.2.0/33", "fe80::1%eth0", "example.com", "10.0.0.0/8/9"]
)
def test_what_is_no_network_is_refused(written):
    with pytest.raises(ValueError, match=r"."):
        normalised_network(written)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.200", True),
        ("::ffff:192.0.2.200", True),
        ("192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_an_address_is_within_its_networks_only(address, inside):
    assert is_within(address, ["192.0.2.0/24", "2001:db8::/32"]) is inside


@pytest.mark.parametrize(
    ("networks", "allowed", "are"),
    [
        (["192.0.2.0/25", "192.0.2.7/32"], ["192.0.2.0/24"], True),
        (["192.0.2.0/23"], ["192.0.2.0/24", "192.0.3.0/24"], True),
        (["192.0.2.0/23"], ["192.0.2.0/24"], False),
        (["192.0.2.0/24", "198.51.100.0/24"], ["192.0.2.0/24"], False),
        (["2001:db8:1::/48"], ["2001:db8::/32", "192.0.2.0/24"], True),
        (["::/0"], ["0.0.0.0/0"], False),
        (["0.0.0.0/0"], ["::/0"], False),
        ([], ["192.0.2.0/24"], True),
        (["192.0.2.0/24"], [], False),
    ],
)
def test_networks_are_within_others_with_all_their_addresses(networks, allowed, are):
    assert are_within(networks, allowed) is are
