"""What a web page, a broken client or an attacker sends to `llmfan serve`: refused or bounded, and it goes on."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.beds.serving import ROOT, Served, entry, served
from tests.beds.upstream import Site, Upstream, threaded

CANARY = "sk-canary-1f2e3d4c5b6a7988"
MIB = 1024
CHAT = "/v1/chat/completions"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
PAGES = ("/", "/healthz", "/metrics", "/v1/models", "/api/llm-providers")


class Bed:
    def __init__(self, far: Upstream, server: Served):
        self.far, self.server = far, server

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, body) of one request on a connection of its own."""
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        packed = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            line.request(method, path, packed, {"Content-Type": "application/json", **(headers or {})})
            answer = line.getresponse()
            self.headers = dict(answer.headers)
            return answer.status, answer.read()
        finally:
            line.close()

    def raw(self, data: bytes, wait: float = 2.0) -> bytes:
        """What comes back to these very bytes, until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.server.port), wait) as line:
            found = b""
            try:
                line.sendall(data)
                while not _complete(found):
                    piece = line.recv(65536)
                    if not piece:
                        break
                    found += piece
            except (ConnectionError, TimeoutError):
                pass  # refused in the middle of it, or waiting for more
            return found

    def goes_on(self) -> None:
        status, body = self.ask("POST", CHAT, BODY)
        assert status == 200
        assert json.loads(body)["choices"][0]["message"]["content"] == "You said: Hello"


@pytest.fixture(scope="module")
def far_end() -> Iterator[Upstream]:
    with threaded({"a": Site()}) as far:
        yield far


@pytest.fixture(scope="module")
def bed(far_end: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    entries = {"a": entry(far_end.base_url("a"), ["$CANARY", "key-two-1234"])}
    with served(tmp_path_factory.mktemp("serve"), entries, env={"CANARY": CANARY}) as server:
        yield Bed(far_end, server)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/"), ("GET", "/api/llm-providers")])
def test_a_page_of_another_origin_gets_nothing(bed: Bed, method: str, path: str, origin: str) -> None:
    """Any web page can make a browser send to loopback: it would spend the fleet of whoever looks at it."""
    before = len(bed.far.seen)
    status, _ = bed.ask(method, path, BODY if method == "POST" else None, {"Origin": origin})
    assert status == 403
    assert "access-control-allow-origin" not in {name.lower() for name in bed.headers}
    assert len(bed.far.seen) == before
    bed.goes_on()


def test_a_page_may_not_even_ask_whether_it_may(bed: Bed) -> None:
    """The browser's own question before a request with a JSON body."""
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    status, _ = bed.ask("OPTIONS", CHAT, None, asks)
    assert status >= 400
    assert "access-control-allow-origin" not in {name.lower() for name in bed.headers}


def test_the_own_page_may_ask(bed: Bed) -> None:
    """The dashboard is a page too."""
    assert bed.ask("GET", "/api/llm-providers", None, {"Origin": bed.server.url})[0] == 200
    local = f"localhost:{bed.server.port}"
    assert bed.ask("GET", "/healthz", None, {"Host": local, "Origin": f"http://{local}"})[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "localhost.evil.example", "", "a b"])
def test_a_wrong_host_gets_nothing(bed: Bed, host: str) -> None:
    """A name of the attacker's that resolves to loopback makes his page one of the same origin."""
    before = len(bed.far.seen)
    for method, path in (("POST", CHAT), ("GET", "/"), ("GET", "/api/llm-providers")):
        data = json.dumps(BODY).encode() if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        found = bed.raw(f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
        assert found.split(b" ")[1] in (b"400", b"403", b"421"), found[:200]
    assert len(bed.far.seen) == before
    bed.goes_on()


def test_a_bind_beyond_loopback_without_a_token_is_wrong_usage(tmp_path: Path) -> None:
    """The whole network would have the keys' use."""
    (tmp_path / "p.yaml").write_text(
        '{"version": 1, "providers": {"a": {"base_url": "http://127.0.0.1:9/v1", "model": "m", "keys": "none"}}}'
    )
    done = subprocess.run(
        [sys.executable, "-m", "llmfan", "serve", "-p", "p.yaml", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("told", [True, False])
def test_a_body_of_100_mb_is_refused_without_being_held(bed: Bed, told: bool) -> None:
    """A few of them at once would take all the memory there is."""
    before = bed.server.kib("VmHWM")
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{bed.server.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", bed.server.port), 20) as line:
        sent, piece = 0, b"a" * (1 << 20)
        frame = b"%x\r\n" % len(piece)
        try:
            line.sendall(
                f"{head}{f'Content-Length: {100 << 20}' if told else 'Transfer-Encoding: chunked'}\r\n\r\n".encode()
            )
            while sent < 100 << 20:
                line.sendall(piece if told else frame + piece + b"\r\n")
                sent += len(piece)
        except ConnectionError:
            pass  # it hung up on us
        try:
            answer = line.recv(65536)
        except ConnectionError:
            answer = b""
    assert answer.split(b" ")[1:2] in ([b"413"], []), "told, or hung up on while it was still sending"
    assert answer or sent < 100 << 20
    assert bed.server.kib("VmHWM") - before < 48 * MIB
    bed.goes_on()


def test_hundreds_of_slow_and_idle_connections_leave_the_others_served(bed: Bed) -> None:
    """Each costs its opener nothing; a server with a thread or a place for each would be full."""
    before = bed.server.kib()
    host = f"Host: 127.0.0.1:{bed.server.port}\r\n"
    starts = [
        b"",
        b"P",
        f"POST {CHAT} HTTP/1.1\r\n{host}X-Slow: ".encode(),
        f"POST {CHAT} HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{{".encode(),
        f"POST {CHAT} HTTP/1.1\r\n{host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1".encode(),
    ]
    with ExitStack() as stack:
        for number in range(400):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", bed.server.port), 5))
            line.sendall(starts[number % len(starts)])
        for _ in range(10):
            bed.goes_on()
        assert bed.server.kib() - before < 40 * MIB
    bed.goes_on()


JUNK = {
    "noise": bytes(range(256)) * 20,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no end of a line": b"A" * 200_000,
    "a line too long": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a header too long": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
    "two lengths": b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
    b"Content-Length: 9\r\n\r\nabcd",
    "a length and chunks": b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a negative length": b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    "a broken chunk": b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"zz\r\nabc\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", JUNK)
def test_junk_is_refused_and_the_service_goes_on(bed: Bed, what: str) -> None:
    """Ports are scanned, by friends and others."""
    found = bed.raw(JUNK[what].replace(b"127.0.0.1", f"127.0.0.1:{bed.server.port}".encode()))
    assert not found or found.split(b" ")[1][:1] == b"4", found[:200]
    assert found.count(b"HTTP/1.1 ") <= 1, "nothing hidden in a body was taken for a request"
    bed.goes_on()


def test_ten_thousand_headers_are_no_way_in(bed: Bed) -> None:
    """Headers are kept until they are whole."""
    before = bed.server.kib("VmHWM")
    found = bed.raw(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(10_000)) + b"\r\n")
    assert not found or found.split(b" ")[1][:1] == b"4", found[:200]
    assert bed.server.kib("VmHWM") - before < 20 * MIB
    bed.goes_on()


BODIES = {
    "deep": b'{"model": "auto", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep, and open": b'{"model":' * 50_000,
    "not JSON": b"model=auto",
    "empty": b"",
    "no object": b"[1, 2]",
    "null": b"null",
    "not UTF-8": b'{"model": "auto", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "NaN": b'{"model": "auto", "temperature": NaN, "messages": [{"role": "user", "content": "a"}]}',
    "a huge number": b'{"model": "auto", "max_tokens": 1' + b"0" * 5000 + b', "messages": []}',
    "messages that are none": b'{"model": "auto", "messages": "hello"}',
    "a message that is none": b'{"model": "auto", "messages": [7]}',
    "a model that is none": b'{"model": {"a": 1}, "messages": [{"role": "user", "content": "a"}]}',
    "a stream that is none": b'{"model": "auto", "stream": "yes", "messages": [{"role": "user", "content": "a"}]}',
    "line ends in a name": b'{"model": "a\\r\\nX-Evil: 1", "messages": [{"role": "user", "content": "a"}]}',
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_request_is_the_callers_fault(bed: Bed, what: str) -> None:
    """A traceback or a 500 here says that somebody else could break it for good."""
    before = len(bed.far.seen)
    status, body = bed.ask("POST", CHAT, BODIES[what])
    assert status in (400, 404), body[:300]
    error = json.loads(body)["error"]
    assert error["message"]
    assert "Traceback" not in error["message"]
    assert len(error["message"]) < 2000
    assert "X-Evil" not in bed.headers
    assert len(bed.far.seen) == before
    bed.goes_on()


@pytest.mark.parametrize("content", ["\ud800", "a\x00b", "\u202e\u2028", "🙂" * 1000])
def test_odd_text_is_sent_or_refused_but_breaks_nothing(bed: Bed, content: str) -> None:
    """Texts come from anywhere: half of a pair of surrogates from somebody's JavaScript, for one."""
    status, _ = bed.ask("POST", CHAT, {**BODY, "messages": [{"role": "user", "content": content}]})
    assert status in (200, 400)
    bed.goes_on()


@pytest.mark.parametrize("header", ["-5", "soon", "nan", "1e400", "9" * 500])
def test_odd_headers_are_the_callers_fault(bed: Bed, header: str) -> None:
    """They are numbers of the scheduler's, once read."""
    status, _ = bed.ask("POST", CHAT, BODY, {"x-llmfan-max-wait": header})
    assert status in (200, 400)
    bed.goes_on()


def test_requests_sent_in_one_breath_are_answered_in_order(bed: Bed) -> None:
    """A client may do so; answers in the wrong order would be each other's."""
    one = [json.dumps({**BODY, "messages": [{"role": "user", "content": f"n{n}"}]}).encode() for n in range(3)]
    host = f"Host: 127.0.0.1:{bed.server.port}\r\nContent-Type: application/json\r\n"
    heads = [f"POST {CHAT} HTTP/1.1\r\n{host}Content-Length: {len(b)}\r\n" for b in one]
    ends = ["\r\n", "\r\n", "Connection: close\r\n\r\n"]
    found = bed.raw(b"".join((h + e).encode() + b for h, e, b in zip(heads, ends, one, strict=True)))
    places = [found.find(f"You said: n{n}".encode()) for n in range(3)]
    assert -1 not in places
    assert places == sorted(places)
    bed.goes_on()


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/page/../../../llmfan/secret.py", "/%2e%2e/%2e%2e/etc/passwd",
                                  "/v1/chat/completions/..", "/v1/embeddings", "//evil.example/"])  # fmt: skip
def test_no_other_path_is_there(bed: Bed, path: str) -> None:
    """A server that hands out files by their name hands out all of them."""
    status, body = bed.ask("GET", path)
    assert status in (400, 403, 404, 405)
    assert b"root:" not in body
    assert b"class Secret" not in body
    bed.goes_on()


def test_no_key_is_among_what_it_sends_or_says(bed: Bed) -> None:
    """Not in a page, a header, an error or the log."""
    bed.goes_on()
    seen = bed.server.said
    for path in PAGES:
        status, body = bed.ask("GET", path)
        assert status == 200, path
        seen += body.decode() + str(bed.headers)
    status, body = bed.ask("POST", CHAT, BODY)
    seen += body.decode() + str(bed.headers)
    assert status == 200
    assert CANARY not in seen
    assert "key-two-1234" not in seen


def _complete(found: bytes) -> bool:
    """A refusal is whole once its length has come; what follows it would be a second answer, and is waited for."""
    head, mark, body = found.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(mark and lengths and found.count(b"HTTP/1.1 ") == 1 and b" 200 " not in head) and len(body) >= int(
        lengths[0]
    )
