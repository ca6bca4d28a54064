"""The same story told twice: on plain `Dial()`, and forwarded by comunik-pbx. Both must end alike."""

import pytest

from tests.stories.company import Company

PLAIN = "plain Dial()"
FORWARDED = "forwarded"

both_ways = pytest.mark.parametrize("way", [PLAIN, FORWARDED])


async def number_of_bruno(company: Company, way: str) -> str:
    """What one dials to reach 102: its phone by plain Dial(), or 101, whose calls are forwarded to 102."""
    if way == PLAIN:
        return "6102"
    await company.forwards("101", "always", "102")
    return "101"
