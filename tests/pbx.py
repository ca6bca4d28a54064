"""What tests on the real Asterisk have in common."""

import pytest

from comunik_pbx.sandbox.sandbox import Sandbox

PBX = [pytest.mark.pbx, pytest.mark.asyncio(loop_scope="session")]

TEST_CONFIGURATION = """
# A ring takes a second, so that stories are told quickly; one story rings in French time.
[ringing]
cycle_seconds = 1.0
"""

TEST_DIALPLAN = """
; Plain calls that do not go through comunik-pbx, for the tests of the sandbox itself: 9 and an extension.
[from-phones](+)
exten => _91XX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
 same => n,Hangup(${HANGUPCAUSE})
; The same with what comunik-pbx gives to the phones it rings (6 and an extension); pickup of anybody's call (*8), and
; of one extension's (*8 and its number: 102 where comunik-pbx rings it, 6102 where plain Dial() does); parking.
[globals](+)
CK_RING_OPTIONS = tk
[from-phones](+)
exten => _61XX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30,tk)
 same => n,Hangup(${HANGUPCAUSE})
; Before an extension: *30 a phone whose only name is its number, *31 a caller who withholds his.
exten => _*301XX,1,Set(CALLERID(name)=${CALLERID(num)})
 same => n,Goto(comunik-incoming,${EXTEN:3},1)
exten => _*311XX,1,Set(CALLERID(pres)=prohib_not_screened)
 same => n,Goto(comunik-incoming,${EXTEN:3},1)
exten => *8,1,Pickup()
exten => _*81XX,1,Pickup(${EXTEN:2})
exten => _*861XX,1,Pickup(${EXTEN:2})
include => parkedcalls
; 8 and an extension: its mailbox.
exten => _81XX,1,VoiceMail(${EXTEN:1}@default,u)
 same => n,Hangup()
; An admin's own dialplan that goes on working with AstDB after a call of ours: 8 and an extension.
[from-carrier](+)
exten => _81XX,1,Set(CHANNEL(hangup_handler_push)=admins-own,s,1)
 same => n,Goto(comunik-incoming,${EXTEN:1},1)
exten => _91XX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
 same => n,Hangup(${HANGUPCAUSE})
exten => _61XX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30,tk)
 same => n,Hangup(${HANGUPCAUSE})
; Where a trunk of Local channels leads back to us; and such a channel without us, that leads back to itself.
[round]
exten => _+X.,1,Goto(comunik-incoming,111,1)
exten => 7000,1,Dial(Local/7000@round)
 same => n,Hangup()
[from-carrier](+)
exten => 7000,1,Goto(round,7000,1)
[admins-own]
exten => s,1,Set(DB(admins-own/last)=${CALLERID(num)})
 same => n,Return()
"""


def dial_seconds(sandbox: Sandbox, seconds: float) -> float:
    """How long `Dial()` of this Asterisk rings for so many seconds: fractions came with 20.17, 22.7 and 23.1."""
    major, minor = (int(part) for part in sandbox.asterisk.program.version.split(".")[:2])
    fractions = (major, minor) >= {20: (20, 17), 22: (22, 7)}.get(major, (23, 1))
    return seconds if fractions else float(int(seconds))
