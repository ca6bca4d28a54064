"""For administrators: who changed what, everybody's rules and accounts together."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from comunik_pbx.web.admin import change_line
from comunik_pbx.web.pages import Admin, admin
from comunik_pbx.web.security import ACTIONS

router = APIRouter(prefix="/admin/changes")

MOST = 100


@router.get("")
async def show(who: Admin = Depends(admin)) -> Response:
    """The last changes of rules; and what happened to accounts and the list of allowed numbers."""
    directory = who.needs.rules.directory()
    audit = [
        {
            "when": who.date(line.at),
            "account": line.account,
            "what": who.text(ACTIONS.get(line.action, line.action)),
            "detail": line.detail,
            "by": line.by,
            "address": line.address,
        }
        for line in await who.needs.accounts.audit(limit=MOST)
    ]
    changes = [change_line(change, who) for change in await who.needs.rules.history(None, MOST)]
    names = {number: one.name for number, one in directory.extensions.items()}
    return who.show("admin_changes.html", changes=changes, audit=audit, names=names)
