"""What an admin reads when the service cannot start: what, where, what would be right; and nothing half started."""

import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from comunik_pbx.sandbox.sandbox import Sandbox
from tests.asterisk.fake_ari import FakeAri
from tests.pbx import PBX
from tests.service.serving import RUN, applications, company_in, serving

pytestmark = PBX

# Root may do anything to files: as root, tests of permissions run the service without that right.
BOUND_BY_PERMISSIONS = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search", *RUN)
    if os.geteuid() == 0
    else RUN
)


async def refused(asterisk: Sandbox, config: Path, *, command: tuple[str, ...] = RUN) -> list[str]:
    """The lines in which the service refuses to start, without the directory of the configuration."""
    async with serving(config, command) as service:
        assert await service.ended() == 1
        assert service.lines == service.words, "it got as far as serving"
    assert not any("Traceback" in line or "Error" in line for line in service.words)
    assert "comunik-pbx" not in await applications(asterisk)
    return [line.replace(f"{config.parent}/", "") for line in service.words]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_broken_configuration(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path, ('country = "FR"', "country = FR"))
    [line] = await refused(asterisk, config)
    assert line.startswith("comunik.toml: line 4, column 11: not TOML")
    assert "texts in quotes" in line


async def test_a_configuration_that_may_not_be_read(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    config.chmod(0)
    [line] = await refused(asterisk, config, command=BOUND_BY_PERMISSIONS)
    assert line.startswith("comunik.toml: may not be read by user ")
    assert "chmod 640" in line


async def test_a_configuration_that_is_not_there(asterisk: Sandbox, tmp_path: Path) -> None:
    [line] = await refused(asterisk, tmp_path / "comunik.toml")
    assert line.startswith("comunik.toml: does not exist; right: name another by --config FILE")


async def test_every_mistake_at_once(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(
        asterisk,
        tmp_path,
        ("default_rings = 6", "defualt_rings = 6"),
        ("max_hops = 5", "max_hops = 500"),
        ('"ari.secret"', '"nowhere.secret"'),
    )
    assert [line.partition(";")[0] for line in await refused(asterisk, config)] == [
        "comunik.toml: ringing.defualt_rings: unknown key",
        "comunik.toml: forwarding.max_hops: is 500",
        "comunik.toml: asterisk.ari_password_file: nowhere.secret does not exist",
    ]


async def test_both_passwords_wrong_are_both_said(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    for name in ("ari.secret", "ami.secret"):
        (tmp_path / name).write_text("guess\n")
    of_ari, of_ami = await refused(asterisk, config)
    addresses = asterisk.layout.addresses
    assert of_ari == (
        f"http://127.0.0.1:{addresses.ari}/ari refuses user 'comunik': check ari_user and its password against ari.conf"
    )
    assert of_ami.startswith(f"AMI at 127.0.0.1:{addresses.ami} refuses user 'comunik'")
    assert "check ami_user and its secret against manager.conf" in of_ami


@asynccontextmanager
async def ari_conf(asterisk: Sandbox, old: str, new: str) -> AsyncIterator[None]:
    """Asterisk's own ari.conf, changed for a while."""
    path = asterisk.layout.etc / "ari.conf"
    before = path.read_text()
    assert old in before
    try:
        path.write_text(before.replace(old, new))
        await asterisk.console("module reload res_ari")
        yield
    finally:
        path.write_text(before)
        await asterisk.console("module reload res_ari")


async def test_ari_disabled(asterisk: Sandbox, tmp_path: Path) -> None:
    async with ari_conf(asterisk, "enabled = yes", "enabled = no"):
        [line] = await refused(asterisk, company_in(asterisk, tmp_path))
    assert "set enabled=yes in ari.conf" in line


async def test_another_prefix(asterisk: Sandbox, tmp_path: Path) -> None:
    [line] = await refused(asterisk, company_in(asterisk, tmp_path, ('/ari"', '/pbx/ari"')))
    assert line.startswith(f"http://127.0.0.1:{asterisk.layout.addresses.ari}/pbx/ari is not there")
    assert "prefix in http.conf" in line


async def test_an_ari_user_who_may_only_read(asterisk: Sandbox, tmp_path: Path) -> None:
    async with ari_conf(asterisk, "read_only = no", "read_only = yes"):
        [line] = await refused(asterisk, company_in(asterisk, tmp_path))
    assert line.endswith("lets user 'comunik' only read: set read_only=no in ari.conf")


async def test_no_asterisk(asterisk: Sandbox, tmp_path: Path) -> None:
    addresses, ari, ami = asterisk.layout.addresses, free_port(), free_port()
    config = company_in(
        asterisk, tmp_path, (f":{addresses.ari}/", f":{ari}/"), (f"ami_port = {addresses.ami}", f"ami_port = {ami}")
    )
    assert await refused(asterisk, config) == [
        f"no Asterisk at http://127.0.0.1:{ari}/ari (Connection refused): is it running, with enabled=yes in http.conf"
        " and that bindaddr and bindport?",
        f"no AMI at 127.0.0.1:{ami} (Connection refused): is Asterisk running, with enabled=yes in manager.conf?",
    ]


async def test_ports_confused(asterisk: Sandbox, tmp_path: Path) -> None:
    addresses = asterisk.layout.addresses
    config = company_in(
        asterisk,
        tmp_path,
        (f":{addresses.ari}/", f":{addresses.ami}/"),
        (f"ami_port = {addresses.ami}", f"ami_port = {addresses.ari}"),
    )
    of_ari, of_ami = await refused(asterisk, config)
    assert of_ari.endswith("does not speak HTTP: write bindport of http.conf in ari_url")
    assert of_ami.endswith("or is that not the port of manager.conf?")


async def test_tls_where_there_is_none(asterisk: Sandbox, tmp_path: Path) -> None:
    [line] = await refused(asterisk, company_in(asterisk, tmp_path, ('"http://', '"https://')))
    assert line.endswith("does not speak TLS: write http://, or the port of tlsbindaddr")


async def test_a_hung_asterisk(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    os.kill(asterisk.asterisk.pid, signal.SIGSTOP)
    try:
        async with serving(config) as service:
            assert await service.ended() == 1
    finally:
        os.kill(asterisk.asterisk.pid, signal.SIGCONT)
    assert len(service.words) == 2
    assert all("did not answer" in line for line in service.words)


async def test_an_asterisk_too_old(asterisk: Sandbox, tmp_path: Path) -> None:
    async with FakeAri() as old:
        old.version = "13.38.3"
        config = company_in(asterisk, tmp_path, (f"http://127.0.0.1:{asterisk.layout.addresses.ari}/ari", old.url))
        assert await refused(asterisk, config) == [
            f"Asterisk 13.38.3 at {old.url} is too old: install 16.28 or newer",
        ]


async def test_a_store_that_is_a_directory(asterisk: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "comunik.db").mkdir()
    assert await refused(asterisk, company_in(asterisk, tmp_path)) == [
        "The store comunik.db is a directory: set [store] url to a file in it."
    ]


async def test_a_store_that_may_not_be_written(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    async with serving(config) as service:  # which makes it
        await service.ready()
        await service.stop()
    (tmp_path / "comunik.db").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        [line] = await refused(asterisk, config, command=BOUND_BY_PERMISSIONS)
    finally:
        tmp_path.chmod(0o755)
    assert "comunik.db cannot be written" in line
    assert "let the user that runs comunik-pbx write the file and its directory" in line


async def test_a_store_of_a_newer_version(asterisk: Sandbox, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "comunik.db")
    with connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    [line] = await refused(asterisk, company_in(asterisk, tmp_path))
    assert "was made by a newer comunik-pbx" in line
    assert "install that version again, or put back a backup from before the upgrade" in line


async def test_a_damaged_store(asterisk: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "comunik.db").write_bytes(b"nothing like a database " * 500)
    [line] = await refused(asterisk, company_in(asterisk, tmp_path))
    assert "is damaged or is not a database" in line
    assert "put a backup in its place" in line
