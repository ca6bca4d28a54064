"""After a call that the service decided, the admin's own dialplan still reaches AstDB on that channel."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told

pytestmark = PBX


async def test_the_admins_own_dialplan_keeps_its_rights(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)

    call = await customer.dial("8101")
    await (await alice.rings()).answer()
    await call.answered()
    await call.hangup()

    assert told(await company.record()) == "external live: ring 101 ANSWER/16 -> answered"
    assert CUSTOMER in await company.sandbox.console("database get admins-own last")
