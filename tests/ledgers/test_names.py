"""A key is who it is by what it is, not by what a file calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.ledgers.names import Names, place_of
from llmfan.limits.axes import owner_of
from llmfan.settings import Fleet, LimitSet
from tests.ledgers.books import NOON, Time, fleet, key, opened, provider, spend, sums

SALT = b"s" * 32


def names(of: Fleet, *before: Names) -> Names:
    return Names(of, SALT, [each for one in before for each in one.new_founders], NOON)


def test_spending_follows_a_key_through_another_label_order_and_file(tmp_path: Path) -> None:
    """Renaming a key, or moving it up in the file, would hand out its day's quota twice."""
    first = opened(tmp_path / "l", fleet(provider("p", [key("p#1", "secret-one"), key("p#2", "secret-two")])))
    spend(first, "p#1", amount=7)
    first.close()
    again = opened(tmp_path / "l", fleet(provider("p", [key("p#1", "secret-two"), key("mine", "secret-one")])))
    assert sums(again.booked(NOON)) == {("mine", "rpm"): 7}


def test_two_accounts_called_default_stay_apart(tmp_path: Path) -> None:
    """Two projects of two people on one machine would stop each other."""
    mine = fleet(provider("p", [key("p#1", "secret-one", account="default")], shared="account"))
    other = fleet(provider("p", [key("p#1", "secret-two", account="default")], shared="account"))
    first = opened(tmp_path / "l", mine)
    spend(first, "p@default", amount=7)
    first.close()
    second = opened(tmp_path / "l", other)
    assert second.booked(0) == []
    second.close()
    assert sums(opened(tmp_path / "l", mine).booked(0)) == {("p@default", "rpm"): 7}


def test_an_account_is_the_same_with_a_key_more_and_without_its_first() -> None:
    """A key added to the file, or one taken out, would begin the account's day afresh."""
    one, two, three = (key(f"p#{n}", f"secret-{n}", account="default") for n in (1, 2, 3))
    before = names(fleet(provider("p", [two])))
    more = names(fleet(provider("p", [one, two, three])), before)
    less = names(fleet(provider("p", [three])), before, more)
    assert before.stored("p@default") == more.stored("p@default") == less.stored("p@default")


def test_of_several_founders_the_oldest_is_taken() -> None:
    """Two projects' accounts that become one in a third file need one name, whichever key comes first in it."""
    one, two = (key(f"p#{n}", f"secret-{n}", account="default") for n in (1, 2))
    old = names(fleet(provider("p", [two])))
    new = Names(fleet(provider("p", [one])), SALT, [], NOON + 60)
    assert names(fleet(provider("p", [one, two])), new, old).stored("p@default") == old.stored("p@default")
    assert names(fleet(provider("p", [one])), new, old).stored("p@default") == new.stored("p@default")


def test_one_key_under_two_names_at_one_host_is_one_owner(tmp_path: Path) -> None:
    """The provider counts it once; two counters would send twice as much."""
    url = "https://api.example.com/v1"
    twice = fleet(
        provider("a", [key("a#1", "secret-one")], url=url), provider("b", [key("b#1", "secret-one")], url=url)
    )
    ledger = opened(tmp_path / "l", twice)
    spend(ledger, "a#1", amount=3)
    told = ledger.elsewhere()
    assert told is not None and list(told.booked) == [("b#1", "rpm", 3)]
    assert sums(ledger.booked(0)) == {("a#1", "rpm"): 3, ("b#1", "rpm"): 3}


def test_one_key_at_two_hosts_is_two_owners() -> None:
    """The same word may be a key of a test server and of the real one."""
    both = names(fleet(provider("a", [key("a#1", "secret-one")]), provider("b", [key("b#1", "secret-one")])))
    assert both.stored("a#1") != both.stored("b#1")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://api.example.com/v1", "api.example.com"),
        ("https://API.example.com:8443/v1", "api.example.com"),
        ("https://203.0.113.7/v1", "mine"),  # documentation, never routed
        ("https://8.8.8.8/v1", "8.8.8.8"),
        ("http://localhost:8000/v1", "mine"),
        ("http://127.0.0.1:8000/v1", "mine"),
        ("http://127.1:8000/v1", "mine"),
        ("http://[::1]:8000/v1", "mine"),
        ("http://192.168.1.9/v1", "mine"),
        ("http://gpu-box:8000/v1", "mine"),
        ("http://gpu-box.local:8000/v1", "mine"),
    ],
)
def test_a_place_is_a_public_host_or_what_the_file_calls_it(url: str, place: str) -> None:
    """`localhost` is another machine in each network, and another server in each project."""
    assert place_of(provider("mine", [], url=url)) == place


def test_keyless_servers_are_told_apart_by_their_ports() -> None:
    """Two servers on one machine have nothing else by which to know them."""
    one = names(fleet(provider("mine", [key("mine#1")], url="http://localhost:8000/v1")))
    same = names(fleet(provider("mine", [key("other")], url="http://localhost:8000/v1")))
    second = names(fleet(provider("mine", [key("mine#1")], url="http://localhost:8001/v1")))
    assert one.stored("mine#1") == same.stored("other") != second.stored("mine#1")


def test_an_unset_key_founds_no_account() -> None:
    """It has no hash yet; the account would get another name on the day it is set."""
    unset = key("p#1", account="default", missing="P_KEY")
    of = fleet(provider("p", [unset, key("p#2", "secret-two", account="default")]))
    assert names(of).stored("p@default") == "@" + names(of).key_id("p#2")
    assert names(fleet(provider("p", [unset]))).new_founders == []


LABELS = st.text("ab/@ #", min_size=1, max_size=4)


@given(st.lists(LABELS, min_size=1, max_size=3, unique=True), st.lists(LABELS, min_size=1, max_size=3, unique=True),
       st.sampled_from(["key", "account"]), st.booleans(), st.sampled_from(["key", "model", "provider"]))  # fmt: skip
def test_every_owner_comes_back_as_itself(
    labels: list[str], models: list[str], shared: str, per_model: bool, origin: str
) -> None:
    """An owner that is lost on the way takes what it spent with it. Labels and models may hold anything."""
    keys = [key(label, f"secret-{n}", account="default") for n, label in enumerate(labels)]
    limits = LimitSet(axes={"rpm": 1.0}, origin={"rpm": origin}, shared=shared, per_model=per_model)  # type: ignore[arg-type]
    known = names(fleet(provider("p", keys, models=models)))
    for each in keys:
        for model in models:
            owner = owner_of("rpm", limits, "p", each, model)
            for form in (owner, f"{owner} burst"):
                assert form in known.spoken(known.stored(form))
                assert not known.stored(form).startswith("~")


def test_a_stranger_is_left_out_and_an_unknown_owner_is_not_lost() -> None:
    """What another project spent is nobody's here; what nobody can name is still somebody's."""
    mine, other = (names(fleet(provider("p", [key("p#1", secret)]))) for secret in ("secret-one", "secret-two"))
    assert mine.spoken(other.stored("p#1")) == []
    assert mine.spoken(mine.stored("unheard of")) == ["unheard of"]


def test_targets_of_one_name_at_two_places_are_two(tmp_path: Path) -> None:
    """What one project's `local/m` is like says nothing of another's."""
    from llmfan.records import Known, KnownTarget

    like = KnownTarget(
        name="p/m", n=9, service_s=1.0, service_sigma=0.1, output_tokens=9.0, tokens_per_char=0.3, at=NOON
    )
    first = opened(tmp_path / "l", fleet(provider("p", [key("p#1", "s-1")], url="https://one.example/v1")))
    first.keep(Known(targets=[like]))
    assert first.known().targets == [like]
    first.close()
    second = opened(tmp_path / "l", fleet(provider("p", [key("p#1", "s-1")], url="https://two.example/v1")), Time())
    assert second.known().targets == []
