"""How often a password may be tried."""

from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx.accounts.sign_in_limits import (
    MOST_REMEMBERED,
    PER_ACCOUNT,
    PER_ACCOUNT_AND_ADDRESS,
    PER_ADDRESS,
    WINDOW_SECONDS,
    SignInLimits,
)


def test_five_wrong_then_a_quarter_of_an_hour() -> None:
    limits = SignInLimits()
    for moment in range(PER_ACCOUNT_AND_ADDRESS):
        assert limits.wait_seconds("101", "a", moment) == 0
        limits.failed("101", "a", moment)
    assert limits.wait_seconds("101", "a", 10) == WINDOW_SECONDS - 10
    assert limits.wait_seconds("101", "b", 10) == 0
    assert limits.wait_seconds("102", "a", 10) == 0
    assert limits.wait_seconds("101", "a", WINDOW_SECONDS) == 0


def test_one_address_that_tries_everybody() -> None:
    limits = SignInLimits()
    for number in range(PER_ADDRESS):
        limits.failed(str(number), "a", 0)
    assert limits.wait_seconds("new", "a", 1) > 0
    assert limits.wait_seconds("new", "b", 1) == 0


def test_many_addresses_that_try_one_account() -> None:
    limits = SignInLimits()
    for number in range(PER_ACCOUNT):
        limits.failed("101", str(number), 0)
    assert limits.wait_seconds("101", "new", 1) > 0
    assert limits.wait_seconds("102", "new", 1) == 0


def test_the_owner_forgets_his_mistakes() -> None:
    limits = SignInLimits()
    for _ in range(4):
        limits.failed("101", "a", 0)
    limits.succeeded("101", "a")
    for _ in range(4):
        limits.failed("101", "a", 1)
        assert limits.wait_seconds("101", "a", 1) == 0


@given(st.lists(st.tuples(st.sampled_from("12"), st.sampled_from("ab"), st.floats(0, 3 * WINDOW_SECONDS)), max_size=80))
def test_never_more_failures_in_a_window_than_allowed(tries: list[tuple[str, str, float]]) -> None:
    limits, made = SignInLimits(), []
    for account, address, moment in sorted(tries, key=lambda one: one[2]):
        if limits.wait_seconds(account, address, moment) == 0:
            limits.failed(account, address, moment)
            made.append((account, address, moment))
            window = [m for a, b, m in made if (a, b) == (account, address) and m > moment - WINDOW_SECONDS]
            assert len(window) <= PER_ACCOUNT_AND_ADDRESS


def test_a_success_counts_against_nobody() -> None:
    limits = SignInLimits()
    for number in range(PER_ADDRESS * 4):
        assert limits.wait_seconds(str(number), "a", number) == 0
        limits.failed(str(number), "a", number)
        limits.succeeded(str(number), "a")


def test_all_addresses_of_one_ipv6_network_are_one() -> None:
    limits = SignInLimits()
    for number in range(PER_ACCOUNT_AND_ADDRESS):
        limits.failed("101", f"2001:db8:1:2::{number}", 0)
    assert limits.wait_seconds("101", "2001:db8:1:2:ffff::1", 1) > 0
    assert limits.wait_seconds("101", "2001:db8:1:3::1", 1) == 0


def test_a_known_browser_is_counted_on_its_own() -> None:
    limits = SignInLimits()
    for number in range(PER_ACCOUNT):
        limits.failed("101", str(number), 0)
    assert limits.wait_seconds("101", "a", 1) > 0
    for moment in range(PER_ACCOUNT_AND_ADDRESS):
        assert limits.wait_seconds("101", "a", moment, "known") == 0
        limits.failed("101", "a", moment, "known")
    assert limits.wait_seconds("101", "a", 9, "known") > 0
    assert limits.wait_seconds("101", "a", 9, "another") == 0


def test_memory_is_bounded() -> None:
    limits = SignInLimits()
    for number in range(MOST_REMEMBERED):
        limits.failed(str(number), str(number), number)
    assert len(limits._failures) <= MOST_REMEMBERED
