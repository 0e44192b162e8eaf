from ipaddress import ip_address

import pytest

from tasks.addresses import NEVER, NOT_PUBLIC, Reach, is_metadata_name, literal, refusal

FORBIDDEN = [
    "169.254.169.254",
    "169.254.170.2",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.251",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
    "fd00:100::100:200",
    "fd00:a9fe:a9fe::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::ffff:168.63.129.16",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",  # a Teredo server
    "2001::5601:5601",  # a Teredo client, inverted
]
PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "fd12:3456::1",
    "fec0::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "2002:a00:1::1",
]
PUBLIC = [
    "8.8.8.8",
    "169.253.255.255",
    "172.32.0.1",
    "168.63.129.17",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("reach", [Reach.GUARDED, Reach.PUBLIC])
@pytest.mark.parametrize("text", FORBIDDEN)
def test_link_local_and_metadata_addresses_are_refused_in_every_form(text, reach):
    assert refusal(ip_address(text), reach) == NEVER


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_refused_only_where_public_ones_are_asked_for(text):
    assert refusal(ip_address(text), Reach.GUARDED) is None
    assert refusal(ip_address(text), Reach.PUBLIC) == NOT_PUBLIC


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text):
    assert refusal(ip_address(text), Reach.PUBLIC) is None


@pytest.mark.parametrize("text", [FORBIDDEN[0], PRIVATE[0], PUBLIC[0]])
def test_anywhere_is_anywhere(text):
    assert refusal(ip_address(text), Reach.ANYWHERE) is None


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "0xa9.254.0251.254",
        "169.254.43518",
        "169.16689662",
    ],
)
def test_an_address_is_read_however_it_is_spelled(host):
    assert literal(host) == ip_address("169.254.169.254")


def test_an_address_of_a_link_is_read_without_the_link():
    assert literal("fe80::1%eth0") == ip_address("fe80::1")


@pytest.mark.parametrize("host", ["hooks.example", "169.254.169.254.nip.io", "1.2.3.4.5", "0xhooks", "", "-1"])
def test_a_name_is_no_address(host):
    assert literal(host) is None


def test_the_metadata_service_is_known_by_its_name():
    assert is_metadata_name("Metadata.Google.internal.")
    assert not is_metadata_name("metadata.example")
