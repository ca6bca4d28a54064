"""Where Debian's packages come from, and what is said when they cannot be had."""

import asyncio
import threading
from pathlib import Path

import pytest

from comunik_pbx.sandbox import debian_packages
from comunik_pbx.sandbox.debian_packages import DEBIAN_SUITE, Source, choose_sources, machine_sources
from comunik_pbx.sandbox.errors import PackagesUnavailable

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n'
NOBLE = "ID=ubuntu\nVERSION_CODENAME=noble\n"


def apt(directory: Path, **files: str) -> Path:
    (directory / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        stem, _, kind = name.rpartition("_")
        target = directory / "sources.list" if stem == "main" else directory / "sources.list.d" / f"{stem}.{kind}"
        target.write_text(text)
    return directory


def test_deb822_sources(tmp_path: Path) -> None:
    text = (
        "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian/\nSuites: bookworm bookworm-updates\n"
        "Components: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
    )
    assert machine_sources(apt(tmp_path / "apt", debian_sources=text)) == [
        Source(
            "http://mirror.example/debian", suite, ("main", "contrib"), "/usr/share/keyrings/debian-archive-keyring.gpg"
        )
        for suite in ("bookworm", "bookworm-updates")
    ]


def test_one_line_lists(tmp_path: Path) -> None:
    text = "# deb http://no.example/debian x main\n"
    text += "deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian trixie main # c\n"
    found = machine_sources(
        apt(tmp_path / "apt", main_list=text, other_list="deb http://o.example/ubuntu noble universe\n")
    )
    assert found == [
        Source("http://m.example/debian", "trixie", ("main",), "/k.gpg"),
        Source("http://o.example/ubuntu", "noble", ("universe",), None),
    ]


def test_inline_key_is_left_to_the_keyrings(tmp_path: Path) -> None:
    text = "Types: deb\nURIs: http://m.example/debian\nSuites: x\nComponents: main\nSigned-By:\n PGP\n"
    (source,) = machine_sources(apt(tmp_path / "apt", debian_sources=text))
    assert source.signed_by is None


def test_debian_takes_testing_from_its_own_mirror(tmp_path: Path) -> None:
    key = tmp_path / "debian-archive-keyring.gpg"
    key.touch()
    sources = [
        Source("http://m.example/debian-security", "bookworm-security", ("main",), None),
        Source("http://m.example/debian", "bookworm", ("main",), None),
    ]
    (chosen,) = choose_sources(sources, BOOKWORM, tmp_path)
    assert chosen.line() == f"deb [signed-by={key}] http://m.example/debian {DEBIAN_SUITE} main\n"


def test_ubuntu_takes_its_own_suite_with_universe(tmp_path: Path) -> None:
    sources = [
        Source("http://u.example/ubuntu", "noble", ("main", "restricted"), "/k.gpg"),
        Source("http://u.example/ubuntu", "noble", ("universe",), "/k.gpg"),
        Source("http://ppa.example/x/ubuntu", "jammy", ("main",), None),
    ]
    (chosen,) = choose_sources(sources, NOBLE, tmp_path)
    assert chosen.line() == "deb [signed-by=/k.gpg] http://u.example/ubuntu noble main universe\n"


@pytest.mark.parametrize("release", [BOOKWORM, NOBLE, ""])
def test_no_mirror_is_one_clear_sentence(tmp_path: Path, release: str) -> None:
    with pytest.raises(PackagesUnavailable, match=r"apt sources.*install Asterisk"):
        choose_sources([], release, tmp_path)


def test_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackagesUnavailable, match=r"no `apt-get`.*install Asterisk 20"):
        debian_packages.unpack(tmp_path / "root", print)


def test_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages, "NEEDED_BYTES", 10**18)
    with pytest.raises(PackagesUnavailable, match="MB are free"):
        debian_packages.unpack(tmp_path / "root", print)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = [Source("http://127.0.0.1:9/debian", "forky", ("main",), None)]
    monkeypatch.setattr(debian_packages, "choose_sources", lambda *_: dead)
    with pytest.raises(PackagesUnavailable, match=r"127\.0\.0\.1:9 cannot be reached; check the network"):
        debian_packages.unpack(tmp_path / "root", print)
    assert not debian_packages.is_complete(tmp_path / "root")


def test_what_was_interrupted_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/asterisk").touch()
    assert not debian_packages.is_complete(tmp_path)


def test_sources_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    directory = apt(tmp_path / "apt", main_list="deb http://m.example/debian trixie main\n")
    (directory / "sources.list.d" / "private.list").mkdir()  # cannot be read, not even by root
    assert [source.uri for source in machine_sources(directory)] == ["http://m.example/debian"]


async def test_fetching_ends_when_the_program_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages, "_ending", threading.Event())
    fetching = asyncio.create_task(asyncio.to_thread(debian_packages._run, ["sleep", "60"], "fetching"))
    async with asyncio.timeout(20):
        while debian_packages._child is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        debian_packages.interrupt()
        with pytest.raises(PackagesUnavailable, match="interrupted"):
            await fetching
    with pytest.raises(PackagesUnavailable, match="interrupted"):
        debian_packages._run(["true"], "the next step")
