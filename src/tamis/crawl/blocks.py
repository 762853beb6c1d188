"""Block pages: what a host serves to those whom it takes for robots. They are told apart and reported, never fought.

A mark of a protection service counts where the status refuses; in an answer of status 200 it counts only together with
a title or a text that says so, since many good pages carry such a service's script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape

from tamis.crawl.outcomes import Outcome

#: So much of a body is looked at; block pages are short.
_LOOKED_AT = 120_000
#: Characters of visible text up to which a page can be a block page.
_SHORT_TEXT = 1_500
_REFUSING = frozenset({401, 403, 405, 406, 429, 503})

_TITLE = re.compile(r"<title[^>]{0,200}>(.{0,300}?)</title", re.IGNORECASE | re.DOTALL)
#: What is not closed goes on to the end, so that no part is read twice.
_HIDDEN = re.compile(
    r"<(script|style|template|svg)\b[^>]{0,1000}>.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<[^<>]{0,2000}>")


@dataclass(frozen=True, slots=True)
class _Service:
    """A protection service: its marks in a body in lower case, and headers that only its block pages carry."""

    name: str
    marks: tuple[bytes, ...]
    headers: Mapping[str, str]

    def is_named(self, headers: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether the headers of an answer say that it blocks."""
        return any(
            re.search(pattern, value, re.IGNORECASE)
            for name, pattern in self.headers.items()
            for value in headers.get(name, ())
        )


def _service(name: str, *marks: bytes, **headers: str) -> _Service:
    return _Service(name, marks, {header.replace("_", "-"): value for header, value in headers.items()})


_SERVICES = (
    _service(
        "Cloudflare",
        b"/orchestrate/chl_", b"/orchestrate/captcha/", b"/orchestrate/managed/", b"/orchestrate/jsch/", b"__cf_chl_",
        b"cf-error-details", b"cf-browser-verification", b"cf_chl_opt",
        cf_mitigated=r"challenge|block",
    ),
    _service("DataDome", b"captcha-delivery.com", b"var dd={'rt':", x_dd_b=r"\d"),
    _service("Imperva", b"_incapsula_resource", b"incapsula incident id"),
    _service("Akamai", b"errors.edgesuite.net", b"reference&#32;&#35;"),
    _service("HUMAN", b"px-captcha", b"_pxappid", b"window._pxuuid", x_px_blocked=r"."),
    _service("AWS WAF", b"token.awswaf.com/", b"gokuprops", x_amzn_waf_action=r"captcha|challenge|block"),
    _service("Sucuri", b"sucuri website firewall - access denied", b"sucuri_cloudproxy_js"),
    _service("Kasada", b"/149e9513-01fa-4fb0-aad4-566afd725d1b/"),
    _service("Google", b"/sorry/index?continue=", b"our systems have detected unusual traffic"),
)  # fmt: skip
_CAPTCHAS = (
    b"g-recaptcha", b"h-captcha", b"hcaptcha.com/1/api", b"cf-turnstile", b"/recaptcha/api", b"friendlycaptcha",
    b"friendly-captcha",
)  # fmt: skip

#: Titles that speak of robots, and titles that only refuse, as a page for members alone does.
_ROBOT_TITLE = re.compile(
    r"^\W*(?:just a moment|attention required|are you (?:a )?(?:human|robot)|robot check|human verification|"
    r"bot (?:check|detection|verification)|pardon our interruption|security check|captcha|one more step|"
    r"(?:please )?verify(?:ing)? (?:that )?you are (?:a )?human|unusual traffic|checking your browser|ddos.guard|"
    r"sicherheits(?:über)?prüfung|sind sie ein (?:mensch|roboter)|vérification de sécurité|verificación de seguridad)",
    re.IGNORECASE,
)
_REFUSING_TITLE = re.compile(
    r"^\W*(?:access (?:to this page has been |is )?(?:denied|blocked)|request (?:blocked|rejected|unsuccessful)|"
    r"you have been blocked|zugriff (?:verweigert|blockiert|gesperrt)|acc[èe]s (?:refusé|bloqué|interdit)|"
    r"acceso denegado|accesso negato|toegang geweigerd|dostęp zabroniony|доступ (?:запрещ|ограничен))",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(?:not|aren.t|are) (?:you )?(?:a )?(?:robot|human|bot)\b|unusual (?:traffic|activity)|"
    r"automated (?:access|requests?|traffic)|"
    r"(?:solve|complete) the (?:captcha|challenge|puzzle)|verify (?:that )?you|incident id|"
    r"kein roboter|ungewöhnlich\w* (?:aktivität|zugriff|datenverkehr)|trafic inhabituel|pas un robot|"
    r"no (?:soy|eres) un robot",
    re.IGNORECASE,
)


def block_page(status: int, headers: Mapping[str, tuple[str, ...]], body: bytes) -> str | None:
    """Say what kind of block page an answer is, such as `Cloudflare`; None for any other answer.

    `headers` maps names in lower case to values.
    """
    if name := next((service.name for service in _SERVICES if service.is_named(headers)), None):
        return name
    refuses = status in _REFUSING
    if not refuses and (status not in (200, 202) or len(body) > _LOOKED_AT):
        return None
    lower = body[:_LOOKED_AT].lower()
    mark = next((service.name for service in _SERVICES if any(mark in lower for mark in service.marks)), None)
    if mark and refuses:
        return mark
    captcha = any(mark in lower for mark in _CAPTCHAS)
    if len(body) > _LOOKED_AT or not (mark or captcha or refuses):
        return None
    return _short_page_that_asks(body, mark, captcha=captcha, refuses=refuses)


def _short_page_that_asks(body: bytes, mark: str | None, *, captcha: bool, refuses: bool) -> str | None:
    """What blocks, where a short page says that it takes its reader for a robot."""
    title, words = _shown(body.decode("utf-8", "replace"))
    if len(words) > _SHORT_TEXT:
        return None
    robot = _ROBOT_TITLE.match(title) is not None
    asks = _ASKS.search(words) is not None
    refusing = _REFUSING_TITLE.match(title) is not None
    if mark:
        return mark if robot or asks or refusing else None
    if captcha:
        return "captcha" if robot or asks or refuses else None
    return "robot check" if refuses and (robot or (asks and refusing)) else None


def _shown(text: str) -> tuple[str, str]:
    """Title and visible words of a page, roughly."""
    found = _TITLE.search(text)
    title = " ".join(unescape(found[1]).split()) if found else ""
    visible = _TAG.sub(" ", _HIDDEN.sub(" ", text))
    return title, " ".join(unescape(visible).split())


def blocked(service: str, status: int) -> Outcome:
    """The outcome of a block page: the page waits, and the host is left alone."""
    reason = f"block page ({service}, HTTP {status}): the host turns crawlers away"
    return Outcome("blocked", reason, passing=True, overloaded=True, blames_host=True)


def block_advice(reason: str, seconds: float) -> str:
    """The line that is shown for the host."""
    return (
        f"{reason}; it is left alone for {seconds / 60:.0f} min: ask its owner, or slow down (crawl.delay); "
        "block pages are not worked around"
    )
