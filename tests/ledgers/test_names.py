"""A key is who it is by what it is, not by what a file calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.ledgers.names import Names, place_of
from llmfan.ledgers.opening import open_archive
from llmfan.limits.axes import owner_of
from llmfan.records import Known, KnownLimit, KnownTarget
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


def test_what_one_key_has_in_flight_is_so_under_its_other_name_too(tmp_path: Path) -> None:
    """Three at once are allowed, and each name would take three."""
    url = "https://api.example.com/v1"
    twice = fleet(
        provider("a", [key("a#1", "secret-one")], url=url), provider("b", [key("b#1", "secret-one")], url=url)
    )
    ledger, other = opened(tmp_path / "l", twice), opened(tmp_path / "l", twice)
    spend(other, "b#1", "concurrency", 2)
    spend(ledger, "a#1", "concurrency", 1)
    told = ledger.elsewhere()
    assert told is not None and told.in_flight == {"a#1": 2, "b#1": 3}
    told = other.elsewhere()
    assert told is not None and told.in_flight == {"a#1": 3, "b#1": 1}
    spend(ledger, "a#1", "concurrency", -1)
    told = ledger.elsewhere()
    assert told is not None and told.in_flight == {"a#1": 2, "b#1": 2}


def account(*numbers: int) -> Fleet:
    keys = [key(f"p#{n}", f"secret-{n}", account="default") for n in numbers]
    return fleet(provider("p", keys, shared="account"))


def test_parts_of_an_account_that_began_apart_are_one_for_good(tmp_path: Path) -> None:
    """`--only` one key, then the other: each had a founder of its own, and together they passed the limit for ever."""
    place, time = tmp_path / "l", Time()
    for n in (1, 2):
        part = opened(place, account(n), time)
        spend(part, "p@default", "rpd", 450)
        part.keep(Known(limits=[KnownLimit(owner="p@default", axis="rpd", reported=990.0 + n, at=NOON + n)]))
        part.close()
        time.passes(60)
    archive = open_archive(str(place), account(1, 2), print, time.wall)
    assert sums(archive.booked(0)) == {("p@default", "rpd"): 900}
    whole = opened(place, account(1, 2), time)
    assert sums(whole.booked(0)) == {("p@default", "rpd"): 900}
    assert [limit.reported for limit in whole.known().limits] == [992]
    second = opened(place, account(2), time)
    assert sums(second.booked(0)) == {("p@default", "rpd"): 900}
    assert list(spend(whole, "p@default", "rpd", 90).booked) == []
    assert list(spend(second, "p@default", "rpd", 5).booked) == [("p@default", "rpd", 90)]
    assert sums(opened(place, account(3, 1), time).booked(0)) == {("p@default", "rpd"): 995}
    assert whole.forget(["p@default"], []) == 2 and second.known().limits == []


def test_one_that_began_before_its_account_was_found_to_be_one_is_heard_all_the_same(tmp_path: Path) -> None:
    """It writes by its old name until it ends, hours later."""
    place, time = tmp_path / "l", Time()
    opened(place, account(1), time).close()
    time.passes(60)
    part = opened(place, account(2), time)
    whole = opened(place, account(1, 2), time)
    spend(part, "p@default", "rpd", 40)
    spend(part, "p@default", "concurrency", 2)
    told = whole.elsewhere()
    assert told is not None and list(told.booked) == [("p@default", "rpd", 40)]
    assert told.in_flight == {"p@default": 2} and told.sharers == {"p@default": 1}
    assert sums(opened(place, account(2), time).booked(0)) == {("p@default", "rpd"): 40}


def test_a_key_in_two_projects_accounts_takes_both_along_when_they_become_one(tmp_path: Path) -> None:
    """The project that calls the account otherwise would find nothing spent on the day after."""
    place, time = tmp_path / "l", Time()

    def called(name: str, *numbers: int) -> Fleet:
        keys = [key(f"p#{n}", f"secret-{n}", account=name) for n in numbers]
        return fleet(provider("p", keys, shared="account"))

    opened(place, called("work", 1), time).close()
    time.passes(60)
    spend(opened(place, called("home", 2), time), "p@home", "rpd", 40)
    opened(place, called("work", 2), time).close()
    opened(place, called("work", 1, 2), time).close()
    assert sums(opened(place, called("home", 2), time).booked(0)) == {("p@home", "rpd"): 40}


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
    like = KnownTarget(
        name="p/m", n=9, service_s=1.0, service_sigma=0.1, output_tokens=9.0, tokens_per_char=0.3, at=NOON
    )
    first = opened(tmp_path / "l", fleet(provider("p", [key("p#1", "s-1")], url="https://one.example/v1")))
    first.keep(Known(targets=[like]))
    assert first.known().targets == [like]
    first.close()
    second = opened(tmp_path / "l", fleet(provider("p", [key("p#1", "s-1")], url="https://two.example/v1")), Time())
    assert second.known().targets == []
