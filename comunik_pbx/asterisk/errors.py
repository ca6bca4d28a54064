"""What can go wrong with Asterisk, drawn once.

    AsteriskError
    ├── AriError                  any other refusal of ARI
    │   ├── AriUnreachable        nobody answers at the URL
    │   ├── AriTimeout            somebody took the request and said nothing
    │   ├── AriRefused            401, 403: wrong user or password, or a user who may only read
    │   ├── AriDisabled           404 for a resource: ARI not enabled, or its modules not loaded
    │   ├── AsteriskTooOld        a version that lacks what we stand on
    │   ├── AsteriskExchanged     another version than when we started, which can do more or less
    │   ├── AsteriskLacks         a module, or an action of AMI, that is not there
    │   ├── ChannelGone           404: the caller has hung up; normal
    │   ├── ChannelNotInStasis    409: the dialplan's guard was quicker; normal
    │   └── ApplicationReplaced   another service took our application's name
    ├── AmiError                  any other failure of AMI
    │   ├── AmiUnreachable        nobody answers, or the connection broke
    │   ├── AmiTimeout            no answer to an action in time: Asterisk hangs
    │   ├── AmiRefused            wrong user or secret, or the address is not permitted
    │   ├── AmiActionFailed       Asterisk answered `Response: Error`
    │   └── UnsafeValue           a value with CR or LF, which would smuggle in another header or action
    └── AgiError                  who asks by FastAGI is no Asterisk of ours, or does not take its answer
        ├── AgiCannotListen       the port is taken, or the address is not ours
        └── AgiHungUp             the call does not wait any more; normal

The text of each is one sentence for the admin, saying what to do where something can be done. The library's
own exception is its `__cause__`.
"""

import os


class AsteriskError(Exception):
    """Something is wrong with, or on the way to, Asterisk."""


class AriError(AsteriskError):
    """ARI said no."""


class AriUnreachable(AriError):
    """Nobody answers at the ARI URL, or the connection broke."""


class AriTimeout(AriError):
    """The connection stands, but no answer came in time."""


class AriRefused(AriError):
    """HTTP 401 or 403."""


class AriDisabled(AriError):
    """HTTP 404 for a resource itself, not for a channel or application in it."""


class AsteriskTooOld(AriError):
    """The version is older than the oldest we support."""


class AsteriskExchanged(AriError):
    """Another version than the service was started with, whose `Dial()` can do more or less."""


class AsteriskLacks(AriError):
    """A module that calls need is not loaded, or an action of AMI is not there for our user."""


class ChannelGone(AriError):
    """HTTP 404 for a channel: it has been hung up. Normal."""


class ChannelNotInStasis(AriError):
    """HTTP 409 for a channel: it has left Stasis. Normal after the dialplan's guard."""


class ApplicationReplaced(AriError):
    """Another connection took our application's name; going on would take it back and forth for ever."""


class AmiError(AsteriskError):
    """AMI said no."""


class AmiUnreachable(AmiError):
    """Nobody answers at the AMI address, or the connection broke."""


class AmiTimeout(AmiError):
    """No answer to an action in time."""


class AmiRefused(AmiError):
    """The login was refused."""


class AmiActionFailed(AmiError):
    """An action was answered `Response: Error`; the text is Asterisk's."""


class UnsafeValue(AmiError, ValueError):
    """A header's name or value holds CR or LF."""


class AgiError(AsteriskError):
    """Who asks by FastAGI sends what no call sends, or does not take its answer."""


class AgiCannotListen(AgiError):
    """The address to be asked at cannot be listened on."""


class AgiHungUp(AgiError):
    """The caller has hung up, or the dialplan's guard was quicker. Normal."""


def network_reason(error: BaseException) -> str:
    """Why the network failed, in the system's few words: `Connection refused`."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
