from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from llmfan.inputs.addresses import Place, check_base_url, over_preset, place_of


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:8000/v1", "loopback"),
        ("http://127.9.9.9", "loopback"),
        ("http://localhost:1/v1", "loopback"),
        ("http://LocalHost.", "loopback"),
        ("http://api.localhost", "loopback"),
        ("http://[::1]:8000/v1", "loopback"),
        ("http://0.0.0.0:8000", "loopback"),
        ("http://127.1", "loopback"),
        ("http://2130706433", "loopback"),
        ("http://[::ffff:127.0.0.1]", "loopback"),
        ("http://10.1.2.3", "private"),
        ("http://172.16.0.1", "private"),
        ("http://172.32.0.1", "public"),
        ("http://192.168.1.1", "private"),
        ("http://[fd12::1]", "private"),
        ("http://203.0.113.7", "public"),
        ("http://8.8.8.8", "public"),
        ("http://[2606:4700::1]", "public"),
        ("http://[::ffff:8.8.8.8]", "public"),
        ("http://169.254.169.254", "refused"),
        ("http://0xa9fea9fe", "refused"),
        ("http://[::ffff:169.254.169.254]", "refused"),
        ("http://[fe80::1%25eth0]", "refused"),
        ("http://[fd00:ec2::254]", "refused"),
        ("https://api.example.org/v1", "unknown"),
    ],
)
def test_literal_addresses_are_placed_without_a_look_up(url: str, place: Place) -> None:
    """A key sent over plain http to a public address, or to a cloud's metadata service, is a key given away."""
    assert place_of(url) == place


def answering(*addresses: str) -> Callable[[str, int], Iterable[Any]]:
    return lambda host, port: [(0, 0, 0, "", (a, port)) for a in addresses]


@pytest.mark.parametrize(
    ("addresses", "place"),
    [
        (["10.0.0.1"], "private"),
        (["10.0.0.1", "127.0.0.1"], "private"),
        (["10.0.0.1", "8.8.8.8"], "public"),
        (["fe80::1%eth0"], "refused"),
        (["127.0.0.1", "169.254.169.254"], "refused"),
        ([], "unknown"),
    ],
)
def test_the_worst_address_of_a_name_counts(addresses: list[str], place: Place) -> None:
    """A name with one private and one public address sends the key to either."""
    assert place_of("http://box:8000/v1", answering(*addresses)) == place


def test_a_name_that_cannot_be_resolved_is_unknown() -> None:
    """The look-up's own error would end in a traceback."""

    def fails(host: str, port: int) -> Iterable[Any]:
        raise OSError("no such host")

    assert place_of("http://box", fails) == "unknown"


def test_a_users_origin_keeps_the_presets_path() -> None:
    """With the path lost every call to a proxy would be a 404; with a path of the user's own, theirs is meant."""
    preset = "https://api.example.org/openai/v1"
    assert over_preset("http://127.0.0.1:9", preset) == "http://127.0.0.1:9/openai/v1"
    assert over_preset("http://127.0.0.1:9/x", preset) == "http://127.0.0.1:9/x"
    assert over_preset("http://127.0.0.1:9", "") == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://example.org/v1/", "https://example.org/v1"),
        ("http://127.0.0.1:9///", "http://127.0.0.1:9"),
        ("https://bücher.example/v1", "https://bücher.example/v1"),
        ("https://example.org/{account_id}/v1", "https://example.org/{account_id}/v1"),
    ],
)
def test_a_good_address_loses_only_its_trailing_slash(given: str, kept: str) -> None:
    """`…/v1//chat/completions` is a 404 at many servers."""
    assert check_base_url(given) == kept


NO_HOST = ["", "example.org", "https://", "https://a:0", "https://a:x", "https://" + "a" * 64, "file:///etc"]
TOO_MUCH = ["https://a:b@c", "https://a@c", "https://a?", "https://a#", "https://a b", "https://a\nb"]


@pytest.mark.parametrize("bad", NO_HOST + TOO_MUCH)
def test_a_bad_address_is_refused_and_not_quoted(bad: str) -> None:
    """Credentials in an address end in every log line that names it."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        check_base_url(bad)
    assert not bad or bad not in str(caught.value)
