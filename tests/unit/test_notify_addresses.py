"""Where a notification never goes: this machine, this network, the cloud's metadata; whatever name or notation leads there."""

from ipaddress import ip_address

import pytest

from controller.notify.addresses import NotAllowed, refuse, resolve

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("address", "allowed", "allowed_locally"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.1.1", False, True),
        ("100.64.0.1", False, True),
        ("fd12::1", False, True),
        ("169.254.169.254", False, False),
        ("169.254.170.2", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("fd00:ec2::254", False, False),
        ("fd00:ec2::23", False, False),  # where EKS hands out credentials
        ("2002:a9fe:a9fe::1", False, False),  # 169.254.169.254 in 6to4
        ("2002:7f00:1::1", False, True),
        ("64:ff9b::a9fe:a9fe", False, False),  # the same in NAT64
        ("::169.254.169.254", False, False),
        ("::ffff:127.0.0.1", False, True),
        ("fec0::1", False, True),  # site-local, of old
        ("192.0.0.192", False, True),  # the metadata of another cloud
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
    ],
)
def test_addresses(address: str, allowed: bool, allowed_locally: bool) -> None:
    assert (refuse(ip_address(address), local=False) == "") is allowed
    assert (refuse(ip_address(address), local=True) == "") is allowed_locally


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34/hook",
        "https://localhost/hook",
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://2130706433/hook",  # 127.0.0.1 as one number
        "https://0x7f.1/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://0251.0376.0251.0376/hook",  # in octal
        "https://93.184.216.34:65536/hook",
    ],
)
async def test_urls_that_lead_inside_are_refused(url: str) -> None:
    with pytest.raises((NotAllowed, OSError)) as refused:
        await resolve(url, local=False)
    assert "/hook" not in str(refused.value)


async def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    endpoint = await resolve("http://localhost:8080/hook?token=x", local=True)
    assert endpoint.url in ("http://127.0.0.1:8080/hook?token=x", "http://[::1]:8080/hook?token=x")
    assert endpoint.authority == "localhost:8080"
    direct = await resolve("https://93.184.216.34/hook", local=False)
    assert (direct.url, direct.authority) == ("https://93.184.216.34:443/hook", "93.184.216.34")
