"""More bad habits of servers, each with what the crawler is to make of it."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import brotli  # type: ignore[import-untyped]

from tests.crawl.rude_server import Handler, Request, Wire, answer, fixed, in_turn, item_page, redirect

GOOD = item_page("A fine thing", ("/p/1.jpg", "/p/2.jpg"))
_BODY = GOOD.encode()


def _raw(head: str, body: bytes = _BODY) -> Handler:
    """An answer byte by byte as written."""
    return fixed(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)


def _refresh(target: str, seconds: int = 0, body: str = "<h1>On we go</h1>") -> Handler:
    tag = f'<meta http-equiv="refresh" content="{seconds}; url={target}">'
    return fixed(answer(f"<html><head>{tag}</head><body>{body}</body></html>"), keep=True)


async def slow_header(_: Request, wire: Wire) -> bool:
    """A header that comes byte by byte, and never ends."""
    await wire.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await wire.send(b"a")
        await asyncio.sleep(0.05)


async def continue_for_ever(_: Request, wire: Wire) -> bool:
    """Interim answers without end."""
    while True:
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


async def endless_gzip(_: Request, wire: Wire) -> bool:
    """A compressed stream of blanks without end."""
    await wire.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    while True:
        await wire.send(packer.compress(b" " * 2**22))
        await asyncio.sleep(0)


async def endless_trailer(_: Request, wire: Wire) -> bool:
    """Trailer lines after the last chunk without end."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while True:
        await wire.send(b"X-More: " + b"a" * 1000 + b"\r\n")


async def reset_when_kept(_: Request, wire: Wire) -> bool:
    """A whole answer on a connection that is promised to stay, and is reset."""
    await wire.send(answer(GOOD, Connection="keep-alive"))
    await asyncio.sleep(0.02)
    wire.reset()
    return False


async def answers_twice(_: Request, wire: Wire) -> bool:
    """A second answer that nobody asked for, which must not be taken for that of the next request."""
    await wire.send(answer(GOOD) + answer(item_page("Smuggled")))
    return True


async def endless_refresh(request: Request, wire: Wire) -> bool:
    """Each page sends its readers on to the next."""
    base, _, number = request.path.rpartition("/")
    await wire.send(answer(f'<meta http-equiv="refresh" content="0;url={base}/{int(number) + 1}"><p>one moment</p>'))
    return True


_BOMB = gzip.compress(gzip.compress(b" " * 200_000_000, 9), 9)
_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(10))
    + "]><html><body>&k;</body></html>"
)
_COOKIES = "".join(f"\nSet-Cookie: c{n}={'x' * 300}; Path=/" for n in range(500))

#: Path -> what is served there, the outcome that is expected, and whether an item comes of it.
FURTHER: dict[str, tuple[Handler, str, bool]] = {
    "/title-of-10-mb": (fixed(answer(item_page("very " * 2_000_000))), "too_large", False),
    "/slow-header": (slow_header, "timeout", False),
    "/continue-for-ever": (continue_for_ever, "too_large", False),
    "/header-line-without-end": (_raw("HTTP/1.1 200 OK\nX-Long: " + "a" * 2_000_000), "broken_answer", False),
    "/cookie-flood": (_raw(f"HTTP/1.1 200 OK\nContent-Length: {len(_BODY)}{_COOKIES}"), "ok", True),
    "/gzip-in-gzip": (fixed(answer(_BOMB, Content_Encoding="gzip, gzip")), "too_large", False),
    "/gzip-without-end": (endless_gzip, "timeout", False),
    "/gzip-and-more": (fixed(answer(gzip.compress(_BODY) + b"junk" * 20, Content_Encoding="gzip")), "ok", True),
    "/deflate-raw": (fixed(answer(zlib.compress(_BODY)[2:-4], Content_Encoding="deflate")), "ok", True),
    "/deflate-zlib": (fixed(answer(zlib.compress(_BODY), Content_Encoding="deflate")), "ok", True),
    "/brotli": (fixed(answer(brotli.compress(_BODY), Content_Encoding="br")), "ok", True),
    "/brotli-bomb": (fixed(answer(brotli.compress(b" " * 100_000_000), Content_Encoding="br")), "too_large", False),
    "/two-lengths": (_raw("HTTP/1.1 200 OK\nContent-Length: 10\nContent-Length: 20"), "broken_answer", False),
    "/length-in-words": (_raw("HTTP/1.1 200 OK\nContent-Length: many"), "broken_answer", False),
    "/chunk-of-an-exabyte": (
        _raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"fffffffffffffff\r\nabc"),
        "incomplete",
        False,
    ),
    "/chunk-size-without-end": (
        _raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"1;" + b"a" * 100_000),
        "incomplete",
        False,
    ),
    "/trailer-without-end": (endless_trailer, "incomplete", False),
    "/206-unasked": (fixed(answer(GOOD[:400], "206 Partial Content", Content_Range="bytes 0-399/9")), "refused", False),
    "/304-unasked": (fixed(answer("", "304 Not Modified", Content_Length="")), "refused", False),
    "/300-choices": (fixed(answer("pick one", "300 Multiple Choices")), "refused", False),
    "/status-1000": (_raw("HTTP/1.1 1000 Way Off"), "server_error", False),
    "/status-0": (_raw("HTTP/1.1 000 Nothing"), "refused", False),
    "/http-0.9": (fixed(_BODY), "broken_answer", False),
    "/http-9": (_raw(f"HTTP/9.9 200 OK\nContent-Length: {len(_BODY)}"), "ok", True),
    "/no-phrase": (_raw(f"HTTP/1.1 200\nContent-Length: {len(_BODY)}"), "ok", True),
    "/bare-line-feeds": (fixed(b"HTTP/1.1 200 OK\nConnection: close\n\n" + _BODY), "ok", True),
    "/folded-header": (_raw(f"HTTP/1.1 200 OK\nX-Long: a\n  b\nContent-Length: {len(_BODY)}"), "ok", True),
    "/header-without-colon": (_raw(f"HTTP/1.1 200 OK\nwhat is this\nContent-Length: {len(_BODY)}"), "ok", True),
    "/nul-in-header": (_raw(f"HTTP/1.1 200 OK\nX-Nul: a\x00b\nContent-Length: {len(_BODY)}"), "ok", True),
    "/nothing": (fixed(b""), "broken_answer", False),
    "/reset-when-kept": (reset_when_kept, "ok", True),
    "/answers-twice": (answers_twice, "ok", True),
    "/refresh": (_refresh("/ok?refreshed=1"), "redirected", False),
    "/refresh-late": (_refresh("/nowhere", 600, GOOD), "ok", True),
    "/refresh-to-itself": (_refresh("/refresh-to-itself"), "ok", False),
    "/refresh-circle-a": (
        in_turn(fixed(answer("", "500 Later")), _refresh("/refresh-circle-b")),
        "redirect_loop",
        False,
    ),
    "/refresh-circle-b": (_refresh("/refresh-circle-a"), "redirected", False),
    "/refreshes/1": (endless_refresh, "redirected", False),
    "/refresh-offsite": (_refresh("http://elsewhere.example/"), "offsite", False),
    "/refresh-to-script": (_refresh("javascript:alert(1)"), "refused", False),
    "/to-script": (redirect("javascript:alert(1)"), "refused", False),
    "/to-data": (redirect("data:text/html,<h1>hello</h1>"), "refused", False),
    "/to-a-name-and-password": (redirect("http://me:secret@127.0.0.1/"), "refused", False),
    "/to-a-long-url": (redirect("/a" * 6000), "refused", False),
    "/to-another-port": (redirect("http://127.0.0.1:9/"), "offsite", False),
    "/html-as-picture": (fixed(answer(GOOD, content_type="image/jpeg")), "unreadable", False),
    "/html-as-bytes": (fixed(answer(GOOD, content_type="application/octet-stream")), "ok", True),
    "/latin-1-as-utf-8": (
        fixed(answer(item_page("Größe").encode("cp1252"), content_type="text/html; charset=utf-8")),
        "ok",
        True,
    ),
    "/utf-32": (fixed(answer(GOOD.encode("utf-32"), content_type="text/html; charset=utf-32")), "ok", True),
    "/laughs": (fixed(answer(_LAUGHS, content_type="application/xhtml+xml")), "ok", False),
    "/deep-json": (fixed(answer(GOOD.replace('"name"', f'"x":{"[" * 100_000}{"]" * 100_000},"name"'))), "ok", False),
    "/only-nuls": (fixed(answer(b"\x00" * 10_000)), "unreadable", False),
    "/500-with-a-good-page": (fixed(answer(GOOD, "500 Internal Server Error")), "server_error", False),
    "/captcha-once": (in_turn(fixed(answer("", "429 Slow")), fixed(answer(GOOD))), "ok", True),
}  # fmt: skip
