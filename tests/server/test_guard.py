"""Who may ask. Every case here is one request over real HTTP, as the one who must be kept out would send it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import Mock

import pytest
from multidict import CIMultiDict

from llmfan.secret import Secret
from llmfan.server.guard import Guard, is_loopback
from tests.server.fleet_double import CHAT, HI, JSON, Bed, serving

TOKEN = Secret("t0ken-of-some-length")


def run(test: Callable[[Bed], Coroutine[Any, Any, None]], **terms: Any) -> None:
    async def go() -> None:
        async with serving(**terms) as bed:
            await asyncio.wait_for(test(bed), 10)

    asyncio.run(go())


def turned(guard: Guard, method: str = "POST", path: str = CHAT, **headers: str) -> int | None:
    """The status of the refusal, None if it is let in. Underscores in names stand for hyphens."""
    given = CIMultiDict(
        {"host": "127.0.0.1:8765", **JSON} | {k.lower().replace("_", "-"): v for k, v in headers.items()}
    )
    found = guard.refusal(Mock(method=method, path=path, headers=given))
    return None if found is None else found.status


GUARD = Guard("127.0.0.1", 8765, None)
OPEN = Guard("0.0.0.0", 8765, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_this_machines_own_names_are_served(host: str) -> None:
    """Whoever sits at it uses any of them."""
    assert turned(GUARD, Host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8765",
     "a.localhost:8765", "127.0.0.1:8765.evil.example", "127.0.0.2:8765", "", "0.0.0.0:8765"],
)  # fmt: skip
def test_a_name_that_was_pointed_here_is_not(host: str) -> None:
    """A page whose own name resolves to loopback is of the same origin for its browser, and could read the answers."""
    assert turned(GUARD, Host=host) == 403
    assert turned(GUARD, "GET", "/healthz", Host=host) == 403


def test_the_port_may_be_left_out_where_it_is_the_usual_one() -> None:
    """Browsers leave it out."""
    assert turned(Guard("127.0.0.1", 80, None), Host="localhost") is None


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:8766"},
     {"Origin": "http://localhost:8765"}, {"Origin": ""}, {"Sec_Fetch_Site": "cross-site"},
     {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "nonsense"},
     {"Origin": "http://127.0.0.1:8765", "Sec_Fetch_Site": "cross-site"}],
)  # fmt: skip
@pytest.mark.parametrize("asked", [("POST", CHAT), ("GET", "/api/llm-providers"), ("GET", "/"), ("OPTIONS", CHAT)])
def test_a_page_of_another_origin_is_refused(headers: dict[str, str], asked: tuple[str, str]) -> None:
    """It would spend the keys of whoever reads it."""
    assert turned(GUARD, *asked, **headers) == 403


def test_the_dashboard_itself_is_let_in() -> None:
    """It asks from the same origin."""
    assert turned(GUARD, "GET", "/events", Origin="http://127.0.0.1:8765", Sec_Fetch_Site="same-origin") is None
    assert turned(GUARD, "GET", "/", Sec_Fetch_Site="none") is None


def test_a_link_to_the_dashboard_may_be_followed_and_nothing_else() -> None:
    """People keep such links in wikis; a page that frames it, or sends a form, is no link."""
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert turned(GUARD, "GET", "/", **link) is None
    assert turned(GUARD, "GET", "/metrics", **link) == 403
    assert turned(GUARD, "POST", "/", **link) == 403
    assert turned(GUARD, "GET", "/", **link | {"Sec_Fetch_Dest": "iframe"}) == 403
    assert turned(GUARD, "GET", "/", Origin="https://evil.example", **link) == 403


def test_two_hosts_or_origins_are_none() -> None:
    """Which one counts differs between programs."""
    for name in ("Host", "Origin"):
        headers = CIMultiDict({"Host": "127.0.0.1:8765", "Origin": "http://127.0.0.1:8765", **JSON})
        headers.add(name, headers[name])
        assert GUARD.refusal(Mock(method="POST", path=CHAT, headers=headers)) is not None


def test_with_a_token_any_name_is_served_and_only_its_own_pages() -> None:
    """Behind a name of the network it has another `Host`."""
    shown = {"Authorization": f"Bearer {TOKEN.reveal()}", "Host": "models.example"}
    assert turned(OPEN, **shown) is None
    assert turned(OPEN, **shown, Origin="https://models.example") is None
    assert turned(OPEN, **shown, Origin="https://evil.example") == 403


def basic(password: str, user: str = "me") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN.reveal()}", f"bearer  {TOKEN.reveal()}", basic(TOKEN.reveal())])
def test_the_token_is_taken_as_a_bearer_or_a_password(shown: str) -> None:
    """SDKs show the one, browsers the other."""
    assert turned(OPEN, Authorization=shown) is None


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer ", TOKEN.reveal(), f"Bearer {TOKEN.reveal()}x", f"Bearer {TOKEN.reveal()[:-1]}",
     f"Digest {TOKEN.reveal()}", "Bearer \udcff", "Basic !!", basic(""), basic("x", TOKEN.reveal()), "Basic w6c="],
)  # fmt: skip
def test_anything_but_the_token_is_refused(shown: str) -> None:
    """Whoever reaches the address would use the keys."""
    assert turned(OPEN, Authorization=shown) == 401
    assert turned(OPEN, "GET", "/", Authorization=shown) == 401


def test_health_needs_no_token() -> None:
    """What watches over services has none."""
    assert turned(OPEN, "GET", "/healthz") is None


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data; boundary=x"]
)
def test_what_a_form_could_send_is_refused(kind: str) -> None:
    """Such requests need no leave of ours: a page on the web can send them in silence."""
    assert turned(GUARD, Content_Type=kind) == 415


def test_json_of_any_kind_is_taken() -> None:
    """SDKs add a charset."""
    assert turned(GUARD, Content_Type="application/json; charset=utf-8") is None
    assert turned(GUARD, Content_Type="application/vnd.api+json") is None


@pytest.mark.parametrize(
    ("host", "so"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("lan", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, so: bool) -> None:
    """Everything else needs a token."""
    assert is_loopback(host) is so


def test_a_refusal_names_the_way_to_show_the_token_and_never_the_token() -> None:
    """A browser asks for it only if it is told how; a log is read by many."""

    async def test(bed: Bed) -> None:
        got = await bed.send("POST", CHAT, json=HI, headers={"Authorization": "Bearer wrong-secret"})
        assert (got.status, got.error["code"]) == (401, "invalid_api_key")
        assert got.headers["WWW-Authenticate"].startswith("Bearer ")
        assert (await bed.send("GET", "/")).headers["WWW-Authenticate"].startswith("Basic ")
        assert (await bed.send("GET", "/healthz")).document == {"status": "ok"}
        said = bed.said
        assert "401 POST" in said and "wrong-secret" not in said and TOKEN.reveal() not in said

    run(test, token=TOKEN)


def test_without_a_token_any_key_is_taken_and_passed_on_to_nobody() -> None:
    """SDKs will not start without one."""

    async def test(bed: Bed) -> None:
        got = await bed.ask(headers={"Authorization": "Bearer sk-anything"})
        assert got.status == 200
        assert "sk-anything" not in repr(bed.fleet.asked)

    run(test)


def test_a_preflight_is_granted_nothing() -> None:
    """With a grant, a page could send JSON and read the answer."""

    async def test(bed: Bed) -> None:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for headers in (asked, {}):
            got = await bed.send("OPTIONS", CHAT, headers=headers)
            assert got.status in (403, 405)
            assert not any(name.lower().startswith("access-control") for name in got.headers)

    run(test)


def test_a_name_that_is_not_served_is_told_the_way_out() -> None:
    """From inside a container the service has another name, and `403` alone says nothing of what to do."""
    found = GUARD.refusal(Mock(method="POST", path=CHAT, headers=CIMultiDict({"Host": "host.docker.internal:8765"})))
    assert found is not None
    assert "use http://127.0.0.1:8765" in found.message and "--host ADDRESS and a token" in found.message
