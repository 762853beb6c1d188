"""URLs: one canonical form and key for each, which site they belong to, and which addresses may be asked.

Nothing but HTTP and HTTPS is ever requested, and no address of this machine or of a private network unless the
settings allow it: names are checked after they are resolved, on every hop.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

from tamis.errors import RowError
from tamis.records import digest

#: Longer URLs are refused: no server of note accepts them, and session traps grow them without end.
MAX_LENGTH = 4000

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_KEPT_IN_PATH = "!$&'()*+,;=:@/"
_KEPT_IN_QUERY = "!$'()*,;:@/?=&+"
_BLANKS = re.compile(r"[\x00-\x20\x7f\ufeff]+")
_SESSION_IN_PATH = re.compile(
    r";(?:jsessionid|phpsessid|sid)=[^/;?#]*|/\([SFX]\([0-9a-z]{16,}\)\)(?=/|$)", re.IGNORECASE
)
#: Parameters that name the visitor or the campaign, not the document.
_VISITOR_PARAMETER = re.compile(
    r"^(?:utm_\w+|gclid|dclid|fbclid|msclkid|yclid|igshid|srsltid|mc_[ce]id|_ga|_gl|jsessionid|phpsessid|aspsessionid\w*)$",
    re.IGNORECASE,
)
#: Parameters that name the visitor where their value is long and random.
_SESSION_PARAMETER = re.compile(
    r"^(?:s|sid|sess|sessid|session|session_?id|session_?token|zenid|oscsid|xtcsid|cfid|cftoken|visitor_?id)$",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"^(?=[^/]*\d)(?=[^/]*[a-z])[0-9a-z_-]{16,}$|^[0-9a-f]{24,}$|^\d{20,}$", re.IGNORECASE)
_HOST_LABELS = re.compile(r"^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$")
#: Prefixes under which an IPv6 address carries an IPv4 one: NAT64 (RFC 6052), 6to4 (RFC 3056).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class BadUrl(RowError):  # noqa: N818 - named after what it is
    """The text is no URL that can be requested; the message says why."""


class PrivateAddress(RowError):  # noqa: N818 - named after what it is
    """The host is an address of this machine or of a private network, and the settings do not allow that."""


@lru_cache(maxsize=4096)
def split_url(url: str) -> SplitResult:
    """Split and check an absolute URL: scheme in lower case, host in ASCII lower case, no default port, no fragment.

    Raises:
        BadUrl: it is relative, of another scheme, too long, without a host, or carries a name and password.
    """
    text = _BLANKS.sub("", url[: MAX_LENGTH + 1]) if _BLANKS.search(url[: MAX_LENGTH + 1]) else url
    if len(text) > MAX_LENGTH:
        raise BadUrl(f"URL of more than {MAX_LENGTH} characters")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise BadUrl(f"no URL: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise BadUrl(f"scheme {scheme[:20]!r} is neither http nor https" if scheme else "no absolute URL")
    if "@" in parts.netloc:
        raise BadUrl("URL with a name or password in it")
    netloc = _ascii_host(host)
    if port == 0:
        raise BadUrl("port 0")
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        netloc = f"{netloc}:{port}"
    return SplitResult(scheme, netloc, parts.path, parts.query, "")


@lru_cache(maxsize=4096)
def _ascii_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return f"[{address.compressed}]" if address.version == 6 else address.compressed
    name = host.rstrip(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise BadUrl(f"host {host[:60]!r} is no name") from error
    if len(name) > 253 or not _HOST_LABELS.match(name):
        raise BadUrl(f"host {host[:60]!r} is no name" if host else "URL without a host")
    return name


def request_url(url: str, base: str = "") -> str:
    """Return the URL as it is requested: joined to `base`, dots resolved, unsafe characters escaped, no fragment.

    Raises:
        BadUrl: it cannot be requested.
    """
    try:
        joined = urljoin(base, _BLANKS.sub("", url)) if base else url
    except ValueError as error:
        raise BadUrl(f"no URL: {error}") from error
    parts = split_url(joined)
    path = _resolve_dots(_escape(parts.path, _KEPT_IN_PATH)) or "/"
    return urlunsplit((parts.scheme, parts.netloc, path, _escape(parts.query, _KEPT_IN_QUERY), ""))


@lru_cache(maxsize=4096)
def canonical_url(url: str) -> str:
    """Return the one form of all spellings of a URL (RFC 3986, section 6.2).

    It is the URL as requested, without session and campaign parameters, and with the other parameters sorted.
    The form is for comparing; requests are made for the URL as it was found, since a server may care for the order.

    Raises:
        BadUrl: it cannot be requested.
    """
    parts = urlsplit(request_url(url))
    path = _SESSION_IN_PATH.sub("", parts.path) or "/"
    pairs = [pair for pair in parts.query.split("&") if pair]
    kept = sorted(pair for pair in pairs if not _names_visitor(pair))
    return urlunsplit((parts.scheme, parts.netloc, path, "&".join(kept), ""))


def _names_visitor(pair: str) -> bool:
    name, _, value = pair.partition("=")
    if _VISITOR_PARAMETER.match(name):
        return True
    return _SESSION_PARAMETER.match(name) is not None and _RANDOM.match(value) is not None


def url_key(url: str) -> str:
    """Digest of the canonical form: equal for all spellings of one URL, on all machines.

    Raises:
        BadUrl: it cannot be requested.
    """
    return digest(canonical_url(url))


def host_of(url: str) -> str:
    """Host in lower case, with the port where it is not the scheme's own.

    Raises:
        BadUrl: it cannot be requested.
    """
    return split_url(url).netloc


def same_site(url: str, home: str, *, subdomains: bool = False) -> bool:
    """Tell whether a URL belongs to the site of `home`.

    That is the same host and port, a leading `www.` aside; with `subdomains`, any host of the registered domain.
    """
    try:
        first, second = split_url(url), split_url(home)
    except BadUrl:
        return False
    if first.netloc.removeprefix("www.") == second.netloc.removeprefix("www."):
        return True
    return subdomains and registered_domain(first.hostname or "") == registered_domain(second.hostname or "")


@lru_cache(maxsize=4096)
def registered_domain(host: str) -> str:
    """The name that its owner registered, such as `example.co.uk`; the host itself for addresses and short names."""
    import tldextract  # noqa: PLC0415 - reads the list of public suffixes, which it carries

    extractor = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return extractor(host).top_domain_under_public_suffix or host


def _escape(text: str, kept: str) -> str:
    """Percent-encode what must be, decode what need not be, and write the rest of the escapes in upper case."""
    pieces = re.split(r"(%[0-9A-Fa-f]{2})", text)
    for index, piece in enumerate(pieces):
        if index % 2:
            byte = unquote_to_bytes(piece)
            pieces[index] = byte.decode("ascii") if byte[0] in _UNRESERVED else piece.upper()
        else:
            pieces[index] = quote(piece, safe=kept + "~", errors="replace")
    return "".join(pieces)


def _resolve_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    output: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            if output:
                output.pop()
        elif segment != ".":
            output.append(segment)
    if segments[-1] in (".", ".."):
        output.append("")
    return "/" + "/".join(output)


# --- addresses ----------------------------------------------------------------------------------------------------


def is_public_address(text: str) -> bool:
    """Tell whether an IPv4 or IPv6 address is one of the open network, also inside of tunnelling prefixes."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return is_public_address(str(inner))
    return address.is_global and not address.is_multicast


def check_literal(url: str, *, allow_private: bool) -> None:
    """Refuse a URL whose host is written as a private address or as a name of this machine, without resolving it.

    Raises:
        PrivateAddress: it may not be asked.
        BadUrl: it cannot be requested.
    """
    host = (split_url(url).hostname or "").lower()
    if allow_private:
        return
    try:
        ipaddress.ip_address(host)
        private = not is_public_address(host)
    except ValueError:
        private = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if private:
        raise PrivateAddress(private_reason(host, host))


def private_reason(host: str, address: str) -> str:
    """The line that is stored and shown for a refused address."""
    shown = host if host == address else f"{host} ({address})"
    return f"{shown} is a private address; crawl.allow_private = true lets it be asked"
