"""The fade from page to page: where it cannot be drawn, the page comes without it, and no console shows an error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.annotate.browser import Watched

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Notes which of the two events of a change of page came with a fade.
_NOTE_FADES = """
for (const name of ["pageswap", "pagereveal"])
  addEventListener(name, (event) => event.viewTransition && console.log(`fade: ${name}`));
"""
#: Seconds for which a browser waits for the page that it is to fade into, and some more.
_TOO_LATE = 4.5


@pytest.fixture
def anna(browser: Any, address: str) -> Iterator[Watched]:
    """A person whose browser draws fades; at the end it may have logged no error."""
    one = Watched(browser, address, "anna", reduced_motion="no-preference")
    one.open()
    yield one
    one.context.close()
    assert one.errors == []


def test_pages_fade_into_each_other_unless_a_person_wants_little_motion(browser: Any, address: str) -> None:
    for motion, events in (("no-preference", {"fade: pageswap", "fade: pagereveal"}), ("reduce", set())):
        one = Watched(browser, address, "anna", reduced_motion=motion)
        one.context.add_init_script(_NOTE_FADES)
        said: set[str] = set()
        one.page.on("console", lambda message, said=said: said.add(message.text))
        one.open()
        for name in ["items", "review"] * 3:  # a browser that is busy leaves a fade out
            one.page.click(f'a[href="/{name}"]')
            one.page.wait_for_selector(f"body.{name}")
            one.page.wait_for_timeout(300)
            if events and said >= events:
                break
        one.context.close()
        assert {text for text in said if text.startswith("fade")} == events
        assert one.errors == []


def test_a_window_that_changes_its_size_meanwhile(anna: Watched) -> None:
    for number, name in enumerate(["review", "items", "copies"] * 2):
        anna.page.evaluate(f"location.href = '/{name}'")
        anna.page.wait_for_timeout(10 * number)
        anna.page.set_viewport_size({"width": 1000 + 20 * number, "height": 700})
        anna.page.wait_for_selector(f"body.{name}")
        anna.page.wait_for_timeout(400)


def test_a_page_that_is_too_late_for_its_fade(anna: Watched) -> None:
    def late(route: Any) -> None:
        time.sleep(_TOO_LATE)
        route.continue_()

    anna.page.route("**/static/review.css", late)
    anna.page.click('a[href="/review"]', no_wait_after=True)
    anna.page.wait_for_timeout(1000 * _TOO_LATE)
    anna.page.wait_for_selector("body.review .saved")
