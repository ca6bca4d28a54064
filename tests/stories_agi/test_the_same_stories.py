"""Stories of tests/stories, word for word, on a PBX without ARI: calls ask by FastAGI and go the same ways."""

from tests.pbx import PBX
from tests.stories.test_always_to_an_extension import test_always_to_an_extension
from tests.stories.test_always_to_an_outside_number import test_outside_call_always_to_an_outside_number
from tests.stories.test_busy_goes_to_the_mobile_at_once import test_busy_goes_to_the_mobile_at_once
from tests.stories.test_chain_of_three import (
    test_an_inside_call_stays_one_and_why_is_said_of_each_leg,
    test_an_outside_call_through_three_extensions,
)
from tests.stories.test_outside_call_three_rings_to_a_mobile import test_outside_call_three_rings_to_a_mobile
from tests.stories.test_outside_call_two_rings_to_voicemail import test_outside_call_two_rings_to_voicemail
from tests.stories.test_the_admins_own_dialplan_keeps_its_rights import test_the_admins_own_dialplan_keeps_its_rights
from tests.stories.test_the_service_hangs import (
    test_nothing_was_ever_published,
    test_the_phone_rings_then_the_mailbox_answers,
    test_the_rules_are_obeyed_without_it,
)
from tests.stories.test_twenty_calls_at_once import test_all_are_forwarded
from tests.stories.test_who_diverted import test_those_a_call_came_with_are_handed_on
from tests.stories.test_without_the_service import (
    test_people_talk_while_the_service_is_killed,
    test_the_service_is_dead_and_the_call_is_forwarded_all_the_same,
)

__all__ = [
    "test_all_are_forwarded",
    "test_always_to_an_extension",
    "test_an_inside_call_stays_one_and_why_is_said_of_each_leg",
    "test_an_outside_call_through_three_extensions",
    "test_busy_goes_to_the_mobile_at_once",
    "test_nothing_was_ever_published",
    "test_outside_call_always_to_an_outside_number",
    "test_outside_call_three_rings_to_a_mobile",
    "test_outside_call_two_rings_to_voicemail",
    "test_people_talk_while_the_service_is_killed",
    "test_the_admins_own_dialplan_keeps_its_rights",
    "test_the_phone_rings_then_the_mailbox_answers",
    "test_the_rules_are_obeyed_without_it",
    "test_the_service_is_dead_and_the_call_is_forwarded_all_the_same",
    "test_those_a_call_came_with_are_handed_on",
]

pytestmark = PBX
