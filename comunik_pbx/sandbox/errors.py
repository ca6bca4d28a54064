"""What can go wrong with a sandbox; each message is one sentence that says what to do.

SandboxError
├── PackagesUnavailable   no apt, no network, no disk: Asterisk cannot be unpacked
├── PortInUse             another program listens where the sandbox must
├── AsteriskFailed        Asterisk ended, or did not come up in time
└── PhoneError            a phone or SIPp could not do what a call story asked of it
    └── NotHeard          what was waited for (ringing, an answer, a tone) did not come
"""


class SandboxError(Exception):
    """Base of all errors of the sandbox."""


class PackagesUnavailable(SandboxError):
    """Asterisk is not installed and Debian's packages could not be fetched or unpacked."""


class PortInUse(SandboxError):
    """A port or address the sandbox needs is taken."""


class AsteriskFailed(SandboxError):
    """Asterisk ended or did not become ready."""


class PhoneError(SandboxError):
    """A phone, a carrier or SIPp could not carry out what was asked."""


class NotHeard(PhoneError, AssertionError):
    """Something a call story waited for did not happen in time; also an AssertionError, so tests read well."""
