from __future__ import annotations

import contextlib
import ipaddress
import string
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.crawl.urls import (
    MAX_LENGTH,
    BadUrl,
    PrivateAddress,
    canonical_url,
    check_literal,
    host_of,
    is_public_address,
    request_url,
    same_site,
    url_key,
)

_hosts = st.from_regex(r"[a-zA-Z0-9]{1,12}(\.[a-zA-Z0-9]{1,8}){1,3}", fullmatch=True)
_texts = st.text(st.characters(codec="utf-8", exclude_characters="#?"), max_size=40)


@st.composite
def urls(draw: st.DrawFn) -> str:
    scheme = draw(st.sampled_from(["http", "https", "HTTP", "hTTps"]))
    port = draw(st.sampled_from(["", ":80", ":443", ":8080"]))
    query = draw(st.one_of(st.just(""), _texts.map(lambda text: f"?{text}")))
    return f"{scheme}://{draw(_hosts)}{port}/{draw(_texts)}{query}{draw(st.sampled_from(['', '#top']))}"


@given(urls())
def test_canonical_form_is_its_own_canonical_form(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once
    assert request_url(request_url(url)) == request_url(url)


@given(urls())
def test_canonical_form_is_plain_ascii_without_fragment(url: str) -> None:
    form = canonical_url(url)
    assert form.isascii()
    assert form.isprintable()
    assert " " not in form
    assert "#" not in form
    assert urlsplit(form).scheme in {"http", "https"}


@given(urls())
def test_request_and_canonical_form_have_one_key(url: str) -> None:
    assert url_key(url) == url_key(request_url(url)) == url_key(canonical_url(url))


@given(st.text(max_size=200))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    with contextlib.suppress(BadUrl):
        assert request_url(text).startswith(("http://", "https://"))


@given(st.text(alphabet=string.printable, max_size=80))
def test_any_reference_joins_or_is_refused(text: str) -> None:
    with contextlib.suppress(BadUrl):
        assert request_url(text, "https://example.com/a/b").startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://Example.com", "https://example.com:443/"),
        ("http://example.com./a", "http://example.com/a"),
        ("https://example.com/a/./b/../c", "https://example.com/a/c"),
        ("https://example.com/%7Ejoe/%c3%a4", "https://example.com/~joe/%C3%A4"),
        ("https://example.com/ä", "https://example.com/%C3%A4"),
        ("https://example.com/?b=2&a=1", "https://example.com/?a=1&b=2"),
        ("https://example.com/a?utm_source=x&id=3&gclid=9", "https://example.com/a?id=3"),
        ("https://example.com/a;jsessionid=4F2?x=1", "https://example.com/a?x=1"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        (" https://example.com/a\n", "https://example.com/a"),
    ],
)
def test_spellings_of_one_url(first: str, second: str) -> None:
    assert url_key(first) == url_key(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("http://example.com/", "https://example.com/"),
        ("https://example.com/a", "https://example.com/a/"),
        ("https://example.com/A", "https://example.com/a"),
        ("https://example.com/?page=1", "https://example.com/?page=2"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
        ("https://example.com:8080/", "https://example.com/"),
    ],
)
def test_different_documents(first: str, second: str) -> None:
    assert url_key(first) != url_key(second)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://example.com/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "//example.com/a",
        "/a/b",
        "",
        "http://",
        "http:///a",
        "http://user:secret@example.com/",
        "http://exa mple.com:99999/",
        "http://[::1",
        "http://-bad-.com/",
        "http://example.com:0/",
        "https://example.com/" + "a" * MAX_LENGTH,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadUrl):
        request_url(text)


def test_password_is_not_repeated_in_the_reason() -> None:
    with pytest.raises(BadUrl) as caught:
        request_url("http://joe:hunter2@example.com/")
    assert "hunter2" not in caught.value.reason


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.com/a", "example.com"),
        ("http://example.com:8080/a", "example.com:8080"),
        ("http://[2001:DB8::1]/", "[2001:db8::1]"),
    ],
)
def test_host(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "home", "subdomains", "expected"),
    [
        ("https://example.com/a", "http://example.com/", False, True),
        ("https://www.example.com/a", "https://example.com/", False, True),
        ("https://shop.example.com/a", "https://example.com/", False, False),
        ("https://shop.example.co.uk/a", "https://example.co.uk/", True, True),
        ("https://other.co.uk/a", "https://example.co.uk/", True, False),
        ("https://example.com.evil.net/", "https://example.com/", True, False),
        ("http://127.0.0.1:8001/", "http://127.0.0.1:8000/", False, False),
        ("mailto:a@example.com", "https://example.com/", True, False),
    ],
)
def test_same_site(url: str, home: str, subdomains: bool, expected: bool) -> None:
    assert same_site(url, home, subdomains=subdomains) is expected


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "no address",
    ],
)
def test_private_addresses(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public_address(address)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_as_public_as_the_inner_one(address: ipaddress.IPv4Address) -> None:
    assert is_public_address(f"::ffff:{address}") == is_public_address(str(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "app.localhost", "[::1]", "printer.local"])
def test_literal_private_hosts_are_refused_unless_allowed(host: str) -> None:
    with pytest.raises(PrivateAddress, match="allow_private"):
        check_literal(f"http://{host}/", allow_private=False)
    check_literal(f"http://{host}/", allow_private=True)
