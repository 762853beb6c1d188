from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.crawl.politeness import (
    MAX_DELAY,
    PATIENCE,
    Pace,
    Robots,
    agent_token,
    forbids_items,
    forbids_links,
    forbids_picture,
    header_directives,
    retry_after,
)

AGENT = "tamis/0.1 (+https://tamis.example/bot)"
RULES = """
User-agent: *
Disallow: /private/
Allow: /private/open
Crawl-delay: 3

User-agent: tamis
Disallow: /no-tamis
Crawl-delay: 0.5
"""


def robots(status: int = 200, body: str = RULES, at: float = 0.0) -> Robots:
    return Robots(status, body, at)


def test_the_group_of_the_agent_counts_and_not_that_of_all() -> None:
    assert robots().verdict("https://x.example/no-tamis/1", AGENT) == "forbidden"
    assert robots().verdict("https://x.example/private/1", AGENT) == "allowed"
    assert robots().verdict("https://x.example/private/1", "other/1.0") == "forbidden"
    assert robots().verdict("https://x.example/private/open", "other/1.0") == "allowed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_answer_of_the_client_error_kind_allows_all(status: int) -> None:
    assert robots(status).verdict("https://x.example/private/1", AGENT) == "allowed"


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503])
def test_an_unreachable_robots_txt_forbids_all_until_it_recovers(status: int) -> None:
    found = robots(status)
    assert found.verdict("https://x.example/", AGENT) == "unavailable"
    assert found.is_fresh(10.0)
    assert not found.is_fresh(3600.0)
    assert robots(200).is_fresh(3600.0)


@pytest.mark.parametrize("body", ["", "\ufeff", "<html>404</html>", "Disallow\n\x00: /"])
def test_a_robots_txt_without_rules_allows_all(body: str) -> None:
    assert robots(body=body).verdict("https://x.example/a", AGENT) == "allowed"


def test_byte_order_mark_does_not_hide_the_first_group() -> None:
    assert robots(body="\ufeffUser-agent: *\nDisallow: /a").verdict("https://x.example/a", AGENT) == "forbidden"


def test_crawl_delay_of_the_agents_group() -> None:
    assert robots().crawl_delay(AGENT) == 0.5
    assert robots().crawl_delay("other/1.0") == 3.0
    assert robots(404).crawl_delay(AGENT) == 0.0
    assert robots(body="User-agent: *\nCrawl-delay: 99999").crawl_delay(AGENT) == MAX_DELAY
    assert robots(body="User-agent: *\nRequest-rate: 1/10").crawl_delay(AGENT) == 10.0


@given(st.text(max_size=300), st.text(max_size=30))
def test_no_robots_txt_breaks_the_reader(body: str, path: str) -> None:
    found = robots(body=body)
    assert found.verdict(f"https://x.example/{path}", AGENT) in {"allowed", "forbidden"}
    assert 0.0 <= found.crawl_delay(AGENT) <= MAX_DELAY


def test_agent_token() -> None:
    assert agent_token(AGENT) == "tamis"
    assert agent_token("My-Bot/2.0") == "My-Bot"
    assert agent_token("0xbot") == "tamis"


def test_directives_for_other_agents_do_not_count() -> None:
    assert header_directives(["otherbot: noindex, nofollow"], AGENT) == frozenset()
    assert header_directives(["tamis: noindex"], AGENT) == {"noindex"}
    assert header_directives(["noai, noimageai", "NOARCHIVE"], AGENT) == {"noai", "noimageai", "noarchive"}
    assert header_directives(["max-snippet: 20, noindex"], AGENT) == {"max-snippet", "noindex"}
    assert header_directives(["otherbot: noindex, tamis: noai"], AGENT) == {"noai"}


def test_what_directives_forbid() -> None:
    assert forbids_items({"noai"}) == "noai"
    assert forbids_items({"nofollow"}) is None
    assert forbids_links({"nofollow"})
    assert forbids_links({"none"})
    assert not forbids_links({"noindex"})
    assert forbids_picture({"noimageai"}) == "noimageai"
    assert forbids_picture({"noarchive"}) is None


def test_retry_after() -> None:
    assert retry_after("120", 0.0) == 120.0
    assert retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 40.0) == 60.0
    assert retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 500.0) == 0.0
    for nonsense in (None, "", "soon", "-5", "1.5", "Thu, 99 Foo"):
        assert retry_after(nonsense, 0.0) is None


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_reader(text: str) -> None:
    wait = retry_after(text, 0.0)
    assert wait is None or wait >= 0.0


def pace(**changes: float) -> Pace:
    given = {"base_delay": 1.0, "concurrency": 2, "breaker": 3, "breaker_wait": 900.0} | changes
    return Pace(**given)  # type: ignore[arg-type]


def test_requests_keep_the_delay_and_the_number_under_way() -> None:
    host = pace()
    host.begin(100.0)
    assert host.ready_at() == 101.0
    host.begin(101.0)
    assert host.ready_at() is None
    host.succeed()
    assert host.ready_at() == 102.0


def test_overload_slows_down_and_recovery_is_slow_but_complete() -> None:
    host = pace()
    host.begin(0.0)
    host.fail(0.0, "429", overloaded=True)
    assert host.delay == 2.0
    for _ in range(3):
        host.begin(0.0)
        host.succeed()
    assert 1.0 < host.delay < 2.0
    for _ in range(20):
        host.begin(0.0)
        host.succeed()
    assert host.delay == 1.0


def test_a_crawl_delay_is_never_undercut() -> None:
    host = pace()
    host.slow_to(5.0)
    for _ in range(50):
        host.begin(0.0)
        host.succeed()
    assert host.delay == 5.0


def test_retry_after_is_waited_for_or_pauses_the_host() -> None:
    host = pace()
    host.begin(0.0)
    host.fail(0.0, "503", overloaded=True, wait=30.0)
    assert host.ready_at() == 30.0
    host.begin(30.0)
    host.fail(30.0, "503", overloaded=True, wait=PATIENCE + 1)
    assert host.is_paused(31.0)
    assert "left alone" in (host.paused_reason or "")


def test_failures_in_a_row_pause_the_host() -> None:
    host = pace()
    for _ in range(2):
        host.begin(0.0)
        host.fail(0.0, "time-out", overloaded=False)
    host.begin(0.0)
    host.succeed()
    for _ in range(2):
        host.begin(0.0)
        host.fail(0.0, "time-out", overloaded=False)
    assert not host.is_paused(1.0)
    host.begin(0.0)
    host.fail(0.0, "time-out", overloaded=False)
    assert host.is_paused(899.0)
    assert not host.is_paused(901.0)
    assert host.paused_reason == "3 failures in a row, the last: time-out"


def test_a_pause_is_not_ended_by_an_answer_that_was_under_way() -> None:
    host = pace()
    host.begin(0.0)
    host.begin(1.0)
    host.fail(2.0, "503", overloaded=True, wait=PATIENCE + 100)
    host.succeed()
    assert host.is_paused(PATIENCE)
    host.begin(PATIENCE + 200)
    assert (host.paused_until, host.paused_reason) == (0.0, None)


def test_a_host_that_gets_slow_is_asked_less_often_until_it_is_itself_again() -> None:
    host = pace()
    for seconds in [0.2] * 30 + [4.0] * 4:
        host.begin(0.0)
        host.succeed()
        host.heed(seconds)
    assert host.delay > 2.0
    for _ in range(60):
        host.begin(0.0)
        host.succeed()
        host.heed(0.2)
    assert host.delay == 1.0


@given(st.floats(0.01, 20.0), st.integers(1, 200))
def test_a_host_that_is_slow_by_nature_keeps_its_pace(seconds: float, answers: int) -> None:
    host = pace()
    for _ in range(answers):
        host.begin(0.0)
        host.succeed()
        host.heed(seconds)
    assert host.delay == 1.0


@given(st.lists(st.sampled_from(["succeed", "overload", "fail"]), max_size=60))
def test_the_delay_stays_within_its_bounds(events: list[str]) -> None:
    host = pace()
    for event in events:
        host.begin(0.0)
        if event == "succeed":
            host.succeed()
        else:
            host.fail(0.0, "x", overloaded=event == "overload")
        assert 1.0 <= host.delay <= MAX_DELAY
        assert host.in_flight == 0
