"""Telling the supervisor how the service is (sd_notify(3)): systemd, or the sandbox."""

import os
import socket


def notify(state: str) -> None:
    """Send `READY=1`, `STOPPING=1` or `WATCHDOG=1` to $NOTIFY_SOCKET, if a supervisor gave one.

    A supervisor that has gone is no reason to stop: it is not told.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return


def watchdog_seconds() -> float | None:
    """Within how many seconds the supervisor wants to hear `WATCHDOG=1` (sd_watchdog_enabled(3)); None: it does not."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not (microseconds.isascii() and microseconds.isdigit() and int(microseconds)):
        return None
    if pid and pid != str(os.getpid()):  # meant for another process
        return None
    return int(microseconds) / 1e6
