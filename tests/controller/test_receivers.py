"""Which URLs are posted to, and which addresses may be connected to."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.controller.kit.dialing import looked_up
from inservice.controller.kit.receivers import BadReceiver, Networks, Receiver, is_url, receiver_of

METADATA = "169.254.169.254"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.test", Receiver(False, "a.test", 80, "/", None)),
        ("HTTP://A.Test/Hook", Receiver(False, "a.test", 80, "/Hook", None)),
        ("hTTpS://a.test:8443/h?x=1&y=%20", Receiver(True, "a.test", 8443, "/h?x=1&y=%20", None)),
        ("https://[::1]:9/", Receiver(True, "::1", 9, "/", None)),
        ("http://bücher.test/ä b", Receiver(False, "xn--bcher-kva.test", 80, "/%C3%A4%20b", None)),
        ("http://u:p%40@a.test/", Receiver(False, "a.test", 80, "/", "Basic dTpwQA==")),
        ("http://2852039166/", Receiver(False, "2852039166", 80, "/", None)),
        ("http://my_container:8080/", Receiver(False, "my_container", 8080, "/", None)),
        ("http://a.test/x\r\nHost: b", Receiver(False, "a.test", 80, "/xHost:%20b", None)),
    ],
)
def test_a_url_is_read_as_it_is_meant(url: str, expected: Receiver) -> None:
    assert is_url(url)
    assert receiver_of(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "https:///x", "http://a.test:0/", "http://a.test:99999/", "http://a.test:x/"),
        *("http://[::1/", "http://[zz]/", "http://a b/", "http://-/", "http://%41.test/"),
        *("http://@/", "http://" + "a" * 300 + "/", "http://a\\b/", "http://[fe80::1%25eth0]:x/"),
    ],
)
def test_what_names_no_receiver_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(BadReceiver, match="URL"):
        receiver_of(url)


@given(st.text(max_size=80))
def test_no_text_breaks_out_of_the_request(text: str) -> None:
    try:
        receiver = receiver_of(f"http://{text}")
    except BadReceiver:
        return
    for part in (receiver.authority, receiver.path, receiver.authorization or "x"):
        assert part.isascii()
        assert part.isprintable()
    assert " " not in receiver.authority + receiver.path


@pytest.mark.parametrize("text", ["arn:aws:sns:us-east-1:1:t", "ftp://a/", "httpx://a", "", "//a"])
def test_other_actions_are_no_urls(text: str) -> None:
    assert not is_url(text)


@pytest.mark.parametrize(
    "spelling",
    [
        *(METADATA, "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518"),
        *("169.16689662", f"::ffff:{METADATA}", "::ffff:a9fe:a9fe", f"64:ff9b::{METADATA}"),
        *(f"::{METADATA}", "2002:a9fe:a9fe::1", "fe80::1", "fe80::1%1", "febf::1", "fd00:ec2::254"),
        *("fd00:ec2::23", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd20:ce::254"),
        "169.254.170.2",
    ],
)
def test_metadata_services_are_out_of_reach_however_they_are_spelled(spelling: str) -> None:
    addresses = looked_up(spelling, 80)
    for networks in (Networks(), Networks("0.0.0.0/0, ::/0"), Networks("10.0.0.0/8")):
        assert addresses
        assert not any(networks.allow(address) for address in addresses)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "93.184.1.1"])
def test_everything_else_is_allowed_unless_networks_are_named(address: str) -> None:
    assert Networks().allow(address)
    assert not Networks("172.16.0.0/12,2001:db8::/32").allow(address)


def test_named_networks_are_what_is_allowed() -> None:
    networks = Networks("10.0.0.0/8, 2001:db8::/32,192.0.2.7")
    assert networks.allow("10.200.0.1")
    assert networks.allow("::ffff:10.200.0.1"), "the kernel speaks IPv4 to it"
    assert networks.allow("2001:db8::1")
    assert networks.allow("192.0.2.7")
    for address in ("192.0.2.8", "11.0.0.1", "2001:db9::1", "0.0.0.0", "::", "64:ff9b::a00:1"):
        assert not networks.allow(address)


def test_a_metadata_network_is_reached_only_if_it_is_named() -> None:
    named = Networks("10.0.0.0/8,169.254.10.0/24")
    assert named.allow("169.254.10.5")
    assert not named.allow(METADATA)
    assert Networks(METADATA).allow(METADATA)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "everything", "10.0.0", "a.test"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|address"):
        Networks(text)


@given(st.ip_addresses())
def test_judging_never_fails(address: object) -> None:
    for networks in (Networks(), Networks("::/0"), Networks("0.0.0.0/0")):
        assert networks.allow(str(address)) in (True, False)


def test_looking_up_says_that_there_is_nothing() -> None:
    with pytest.raises(socket.gaierror):
        looked_up("nowhere.invalid", 80)
