"""Ports, addresses and files of several sandboxes side by side."""

import socket
from pathlib import Path

import pytest

from comunik_pbx.sandbox import company
from comunik_pbx.sandbox.asterisk_etc import fill
from comunik_pbx.sandbox.errors import PortInUse, SandboxError
from comunik_pbx.sandbox.layout import MAX_OFFSET, TESTS_OFFSET, Addresses, Layout
from comunik_pbx.sandbox.processes import require_free
from comunik_pbx.sandbox.sandbox import _OnlyOne


def test_offset_0_is_what_the_documentation_says() -> None:
    layout = Layout.from_environment({})
    addresses = layout.addresses
    assert (addresses.sip, addresses.ari, addresses.ami, addresses.portal) == (15060, 18088, 15038, 15080)
    assert company.carrier_addresses(layout) == [("carrier", "127.0.0.20:5060"), ("backup", "127.0.0.21:5060")]
    assert layout.home == Path.cwd() / ".sandbox"


def test_no_two_offsets_share_a_port() -> None:
    everything = [Addresses(offset) for offset in range(MAX_OFFSET + TESTS_OFFSET + 1)]
    tcp = [port for a in everything for port in (a.ari, a.ami, a.portal)]
    udp = [port for a in everything for port in (a.sip, *range(a.rtp[0], a.rtp[1] + 1))]
    assert len(set(tcp)) == len(tcp)
    assert len(set(udp)) == len(udp)
    assert max(*tcp, *udp) < 65536


@pytest.mark.parametrize("offset", ["x", "-1", "40", "1.5"])
def test_bad_offset(offset: str) -> None:
    with pytest.raises(SandboxError, match=r"COMUNIK_SANDBOX_OFFSET is .*from 0 to 39"):
        Layout.from_environment({"COMUNIK_SANDBOX_OFFSET": offset})


def test_a_path_too_long_for_a_socket_moves_it(tmp_path: Path) -> None:
    layout = Layout.from_environment({"COMUNIK_SANDBOX_DIR": str(tmp_path / ("x" * 100))})
    assert len(str(layout.run / "asterisk.ctl")) < 108


def test_a_port_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{port}/udp, needed for Asterisk's SIP"):
            require_free("127.0.0.1", port, socket.SOCK_DGRAM, "Asterisk's SIP")
    require_free("127.0.0.1", port, socket.SOCK_DGRAM, "Asterisk's SIP")


def test_a_second_sandbox_in_the_same_place_is_refused(tmp_path: Path) -> None:
    layout = Layout.from_environment({"COMUNIK_SANDBOX_DIR": str(tmp_path)})
    with _OnlyOne(layout), pytest.raises(SandboxError, match="runs already"), _OnlyOne(layout):
        pass
    with _OnlyOne(layout):
        pass


def test_secrets_are_private_and_stay(tmp_path: Path) -> None:
    layout = Layout.from_environment({"COMUNIK_SANDBOX_DIR": str(tmp_path)})
    made = company.load_secrets(layout)
    assert company.load_secrets(layout) == made
    assert (layout.company / "secrets.json").stat().st_mode & 0o777 == 0o600
    config = company.write_comunik_toml(layout, made)
    assert made.ari not in config.read_text()
    assert (layout.company / "ari.secret").stat().st_mode & 0o777 == 0o600


def test_a_template_without_its_value_is_refused() -> None:
    assert fill("port = %{ami} ${EXTEN}", {"ami": "1"}, "x.conf") == "port = 1 ${EXTEN}"
    with pytest.raises(SandboxError, match=r"x\.conf: nothing to put for"):
        fill("%{other}", {}, "x.conf")
