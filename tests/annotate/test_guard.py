"""What the server refuses: foreign hosts and origins, oversized and disguised bodies, strangers."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.annotate.guard import ANY_ADDRESS, LOOPBACK_HOSTS, is_allowed_host
from tamis.annotate.server import allowed_hosts, is_loopback, serving
from tamis.annotate.signin import add_person, hash_password, verify_password
from tamis.database import reading
from tamis.errors import UserError
from tamis.project import Project
from tests.annotate.factory import SETTINGS, fill
from tests.conftest import MakeProject

NAME = {"name": "anna"}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "a@127.0.0.1"]
)
def test_only_its_own_names_are_answered(anna: httpx.Client, host: str) -> None:
    for path in ("/", "/api/project", "/static/base.css"):
        assert anna.get(path, headers={"host": host}).status_code in (400, 421)


def test_its_own_names_are_answered_on_any_port(anna: httpx.Client) -> None:
    for host in ("127.0.0.1:1", "LOCALHOST:8765", "[::1]:8765"):
        assert anna.get("/api/project", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost.evil.example"]
)
def test_pages_of_other_sites_can_change_nothing(anna: httpx.Client, project: Project, origin: str) -> None:
    answer = anna.post("/api/person", json={"name": "mallory"}, headers={"origin": origin})
    assert answer.status_code == 403
    with reading(project.engine) as connection:
        assert "mallory" not in set(connection.execute(sa.select(schema.person.c.name)).scalars())


def test_its_own_page_may(anna: httpx.Client, address: str) -> None:
    assert anna.post("/api/person", json=NAME, headers={"origin": address.rstrip("/")}).status_code == 200


def test_pages_of_other_sites_can_read_nothing_but_may_link_here(anna: httpx.Client) -> None:
    foreign = {"sec-fetch-site": "cross-site"}
    assert anna.get("/api/items", headers={**foreign, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert anna.get("/static/api.js", headers={**foreign, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert anna.get("/api/items", headers={**foreign, "sec-fetch-mode": "navigate"}).status_code == 403
    assert anna.get("/items", headers={**foreign, "sec-fetch-mode": "navigate"}).status_code == 200


def test_forms_and_large_bodies_are_refused(anna: httpx.Client) -> None:
    assert anna.post("/api/person", data=NAME).status_code == 415
    assert anna.post("/api/person", content=b'{"name": "x"}', headers={"content-type": "text/plain"}).status_code == 415
    as_json = {"content-type": "application/json"}
    assert anna.post("/api/person", content=b" " * 2_000_001, headers=as_json).status_code == 413

    def drip() -> Iterator[bytes]:
        yield b"{}"

    assert anna.post("/api/person", content=drip(), headers=as_json).status_code == 411


def test_every_answer_carries_the_content_policy(anna: httpx.Client) -> None:
    for path in ("/", "/api/project", "/static/base.css", "/nowhere", "/items/1"):
        policy = anna.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_no_page_holds_a_script_or_a_style_of_its_own(anna: httpx.Client) -> None:
    for path in ("/", "/review", "/items", "/items/1", "/dashboard", "/sign-in", "/api/docs"):
        html = anna.get(path).text
        assert "<script>" not in html
        assert "style=" not in html
        assert "http" not in html.replace("http-equiv", "")


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "bell\x07", "a\u202eb"])
def test_names_must_be_names(anna: httpx.Client, name: str) -> None:
    assert anna.post("/api/person", json={"name": name}).status_code == 422


def test_labels_need_a_name(address: str) -> None:
    step = {"key": "step-0001", "claims": [{"attribute": "view", "value": "front", "sample": "0" * 16}]}
    assert httpx.post(f"{address}api/labels", json=step).status_code == 401


# --- beyond loopback ----------------------------------------------------------------------------------------------


@pytest.fixture
def open_address(make_project: MakeProject) -> Iterator[str]:
    project = make_project(SETTINGS)
    fill(project, items=1, pictures=1)
    add_person(project, "anna", "correct horse")
    with serving(project, "0.0.0.0") as served:
        yield served.url


def test_beyond_loopback_nothing_is_shown_without_a_sign_in(open_address: str) -> None:
    with httpx.Client(base_url=open_address, headers={"X-Tamis-Person": "anna"}) as client:
        paths = ("queue", "attributes", "items", "items/1", "dashboard", "events", "samples/" + "0" * 16)
        for path in (
            *(f"/api/{one}" for one in paths),
            "/api/review?attribute=view&value=front",
            f"/image/{'0' * 64}/thumb",
        ):
            assert client.get(path).status_code == 401, path
        assert client.get("/api/project").json()["attributes"] == []
        assert client.post("/api/person", json=NAME).status_code == 403


def test_signing_in_and_out(open_address: str) -> None:
    with httpx.Client(base_url=open_address) as client:
        wrong = client.post("/api/session", json={"name": "anna", "password": "wrong horse"})
        unknown = client.post("/api/session", json={"name": "nobody", "password": "wrong horse"})
        assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json()) == (
            401, {"detail": "name and password do not belong together"},
        )  # fmt: skip
        right = client.post("/api/session", json={"name": " anna ", "password": "correct horse"})
        cookie = right.headers["set-cookie"].lower()
        assert right.json() == {"person": "anna"}
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/api/items").status_code == 200
        token = client.cookies["tamis_session"]
        assert client.post("/api/session/end", json={}).status_code == 200
        assert client.get("/api/items", headers={"cookie": f"tamis_session={token}"}).status_code == 401


def test_guessing_is_slowed_down(open_address: str) -> None:
    with httpx.Client(base_url=open_address, timeout=30) as client:
        tries = [client.post("/api/session", json={"name": "anna", "password": f"wrong {n}"}) for n in range(6)]
        assert [one.status_code for one in tries] == [401] * 5 + [429]
        assert client.post("/api/session", json={"name": "anna", "password": "correct horse"}).status_code == 429


def test_a_new_password_ends_old_sessions(make_project: MakeProject) -> None:
    project = make_project(SETTINGS)
    add_person(project, "anna", "correct horse")
    with serving(project, "0.0.0.0") as served, httpx.Client(base_url=served.url) as client:
        client.post("/api/session", json={"name": "anna", "password": "correct horse"})
        assert client.get("/api/items").status_code == 200
        add_person(project, "anna", "another horse")
        assert client.get("/api/items").status_code == 401
    with reading(project.engine) as connection:
        stored = connection.execute(sa.select(schema.person.c.password)).scalar_one()
    assert "horse" not in stored
    assert verify_password("another horse", stored)


def test_serving_where_nobody_can_sign_in_is_refused(project: Project) -> None:
    with pytest.raises(UserError, match="--add-person"), serving(project, "0.0.0.0"):
        pass


def test_a_taken_port_is_one_clear_line(project: Project, address: str) -> None:
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{port}"), serving(project, port=port):
        pass


def test_weak_passwords_are_refused(project: Project) -> None:
    with pytest.raises(UserError, match="8 characters"):
        add_person(project, "anna", "short")


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_hosts_are_known_or_refused(name: str, port: str) -> None:
    known = is_allowed_host(f"{name}.example:{port}", LOOPBACK_HOSTS)
    assert not known


def test_names_beyond_loopback() -> None:
    assert is_loopback("127.0.0.1")
    assert not is_loopback("192.168.1.5")
    hosts = allowed_hosts("0.0.0.0", ["labels.example"])
    assert ANY_ADDRESS in hosts
    for host in ("192.168.1.5:8765", "[fe80::1]:8765", "labels.example", "localhost"):
        assert is_allowed_host(host, hosts)
    assert not is_allowed_host("evil.example", hosts)
    assert not is_allowed_host("192.168.1.5", allowed_hosts("127.0.0.1"))


def test_a_password_verifies_itself_and_nothing_else() -> None:
    stored = hash_password("correct horse")
    assert verify_password("correct horse", stored)
    assert not verify_password("correct horse ", stored)
    assert hash_password("correct horse") != stored
