"""`init DIR`, from a wheel in a fresh environment, gives an admin all he has to copy or include."""

import json
import os
import re
import stat
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from comunik_pbx import config
from comunik_pbx.asterisk.plan_encoding import decode
from comunik_pbx.cli.dialplan import default_plans, dialplan
from comunik_pbx.forwarding.steps import End, Ring, Voicemail
from tests.cli.conftest import Run

CHECKOUT = Path(__file__).parents[2]


def files(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture
def fresh(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `init` wrote into an empty place."""
    monkeypatch.delenv("COMUNIK_PBX_CONFIG")
    directory = tmp_path / "etc" / "comunik-pbx"
    said = run("init", str(directory)).good
    assert f"written  {directory}/comunik.toml" in said
    assert re.findall(r"^(\d)\.", said, re.M) == ["1", "2", "3"]
    return directory


def test_a_new_configuration_is_good_and_explains_a_call(fresh: Path, run: Run) -> None:
    main = str(fresh / "comunik.toml")
    assert run("check", "--config", main).good.startswith(f"{main}: good: 2 extensions")
    assert json.loads(run("explain", "102", "101", "--json", "--config", main).good)["origin"] == "internal"


def test_secrets_are_fresh_and_only_for_owner_and_group(fresh: Path, tmp_path: Path, run: Run) -> None:
    run("init", str(tmp_path / "other"))
    for name in ("ari.secret", "ami.secret", "asterisk/ari.conf", "asterisk/manager.conf"):
        assert stat.S_IMODE((fresh / name).stat().st_mode) == 0o640
        assert (fresh / name).read_text() != (tmp_path / "other" / name).read_text()
    loaded = config.load(fresh / "comunik.toml")
    assert len(loaded.asterisk.ari_password) >= 32
    assert f"password = {loaded.asterisk.ari_password}\n" in (fresh / "asterisk/ari.conf").read_text()
    assert f"secret = {loaded.asterisk.ami_password}\n" in (fresh / "asterisk/manager.conf").read_text()


def test_asterisks_users_may_do_what_is_needed_and_no_more(fresh: Path) -> None:
    manager = (fresh / "asterisk/manager.conf").read_text()
    assert re.findall(r"^(read|write) =(.*)$", manager, re.M) == [("read", ""), ("write", " system,reporting")]
    assert "permit = 127.0.0.1/255.255.255.255\n" in manager
    assert "read_only = no\n" in (fresh / "asterisk/ari.conf").read_text()


def test_nothing_is_left_to_fill_in(fresh: Path) -> None:
    for name, text in files(fresh).items():
        if not name.startswith(("comunik/", "sounds/")):
            assert not re.search(r"@[a-z_]+@", text), name


def test_dialplan_is_the_repository_s(fresh: Path) -> None:
    for source in (CHECKOUT / "dialplan").glob("*.conf"):
        if source.name not in {"settings.conf", "default-plans.conf", "fastagi.conf"}:
            assert (fresh / "comunik" / source.name).read_text() == source.read_text()


def test_the_dialplan_says_what_the_configuration_does(fresh: Path) -> None:
    main = fresh / "comunik.toml"
    text = main.read_text()
    assert "max_hops = 5\n" in text
    main.write_text(text.replace("max_hops = 5\n", "max_hops = 3\n") + "\n[prompts]\nannounce_forward = true\n")
    files = dialplan(config.load(main))
    assert "Set(CK_ANNOUNCE=yes)" in files["settings.conf"]
    assert "$[${CK_HOPS} <= 3]" in files["incoming.conf"]


def test_where_calls_ask_by_agi_incoming_conf_says_so(fresh: Path, run: Run) -> None:
    main = fresh / "comunik.toml"
    by_stasis = dialplan(config.load(main))
    main.write_text(main.read_text() + '\n[agi]\nlisten = "0.0.0.0:4574"\n')
    by_agi = dialplan(config.load(main))
    assert {name for name, text in by_agi.items() if text != by_stasis[name]} == {"incoming.conf"}
    entries = re.findall(r"(?:Stasis|AGI)\(.*\)$", by_stasis["incoming.conf"] + by_agi["incoming.conf"], re.M)
    said = re.fullmatch(r"Stasis\(comunik-pbx,(.*)\)", entries.pop(1))
    assert said
    assert entries[1:] == [f"AGI(agi://127.0.0.1:4574/plan?{said[1].replace(',', '!')})"]
    assert by_agi["incoming.conf"].count("Goto(comunik-agi,${CK_CALLED},1)\n") == 1


def test_without_ari_nothing_is_said_of_it(fresh: Path, run: Run) -> None:
    main = fresh / "comunik.toml"
    text = main.read_text().replace("[asterisk]\n", '[agi]\nlisten = "[::1]:4573"\n[asterisk]\nari = false\n')
    main.write_text(text)
    for name in ("ari.secret", "asterisk/ari.conf", "asterisk/http.conf"):
        (fresh / name).unlink()
    said = run("init", str(fresh), "--force").good
    assert "ari.conf" not in said
    assert "http.conf" not in said
    assert set(files(fresh)) & {"ari.secret", "asterisk/ari.conf", "asterisk/http.conf"} == set()
    assert "AGI(agi://[::1]:4573/plan?" in (fresh / "comunik/incoming.conf").read_text()


def test_existing_files_are_kept_and_said(fresh: Path, run: Run) -> None:
    main, unit = fresh / "comunik.toml", fresh / "comunik-pbx.service"
    main.write_text(main.read_text() + '[extensions.103]\nname = "Chloé"\n')
    unit.write_text("mine\n")
    before = files(fresh)
    said = run("init", str(fresh)).good
    assert f"kept     {unit} (there already; --force replaces it)" in said
    assert f"kept     {fresh}/comunik/default-plans.conf (there already; --force replaces it)" in said
    assert files(fresh) == before
    run("init", str(fresh), "--force")
    assert unit.read_text() != "mine\n"
    assert "Chloé" in main.read_text()
    assert "exten => 103,1," in (fresh / "comunik/default-plans.conf").read_text()
    after = files(fresh)
    assert {name: after[name] for name in ("ari.secret", "ami.secret")} == {
        name: before[name] for name in ("ari.secret", "ami.secret")
    }


def test_secrets_are_never_replaced(fresh: Path, run: Run) -> None:
    before = files(fresh)
    (fresh / "comunik.toml").unlink()
    assert f"kept     {fresh}/ari.secret (there already)" in run("init", str(fresh), "--force").good
    assert files(fresh) == before


def test_names_of_an_existing_configuration(run: Run, main: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    run("init", str(directory), "--config", str(main))
    run("init", str(tmp_path / "by-environment"))
    assert set(files(directory)) == set(files(tmp_path / "by-environment"))
    assert not (directory / "comunik.toml").exists()
    assert "; 101: Alice Martin" in (directory / "comunik/default-plans.conf").read_text()
    assert "password = ari-pw\n" in (directory / "asterisk/ari.conf").read_text()


def test_default_plans_decode_to_ring_then_mailbox(main: Path) -> None:
    text = default_plans(config.load(main).directory)
    plans = dict(re.findall(r"^exten => ([^,]+),1,Set\(CK_PLAN=(.*)\)$", text, re.M))
    assert set(plans) == {
        *("101", "102", "103", "104"),
        *("+33170000101", "33170000101", "0170000101", "+33170000191", "33170000191", "0170000191"),
    }
    steps = decode(plans["0170000101"])
    assert steps == decode(plans["101"])
    assert steps == (Ring("101", ("101", "alice-mobile"), 6, 30.0), Voicemail("101", "101@default"))
    assert decode(plans["103"]) == (Ring("103", ("103",), 6, 30.0), End(19))


def test_a_name_cannot_become_dialplan(main: Path) -> None:
    main.write_text(main.read_text().replace('"Alice Martin"', '"Alice\\n[comunik-incoming]\\r;--"'))
    lines = default_plans(config.load(main).directory).splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[comunik-default]"]


def test_places_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("init", str(tmp_path / "file")).refusal == f"{tmp_path}/file is not a directory"
    assert run("init", "/proc/comunik").refusal.endswith("; right: a directory that you may write")


def test_a_bad_configuration_is_said_first(run: Run, main: Path, tmp_path: Path) -> None:
    main.write_text("country = 1\n")
    assert "nothing more was written: correct this first" in run("init", str(tmp_path / "x"), "-c", str(main)).refusal


def test_from_a_wheel_in_a_fresh_environment(tmp_path: Path) -> None:
    wheels, environment, directory = tmp_path / "wheels", tmp_path / "venv", tmp_path / "out"
    quiet = ["--quiet", "--disable-pip-version-check"]
    build = [sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "--wheel-dir", str(wheels), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True, timeout=100)
    (wheel,) = wheels.glob("*.whl")
    venv.create(environment, with_pip=False)
    # The libraries are those of this environment; the program itself is the wheel's.
    (site,) = environment.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", *quiet, "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=100)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "libraries.pth").write_text(libraries + "\n")
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    python = str(environment / "bin" / "python")

    def installed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "comunik_pbx.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=30, check=False)

    where = [python, "-c", "import comunik_pbx; print(comunik_pbx.__file__)"]
    assert str(site) in subprocess.check_output(where, cwd=tmp_path, env=clean, text=True)
    said = installed("init", str(directory))
    assert (said.returncode, said.stderr) == (0, "")
    expected = {f"comunik/{source.name}" for source in (CHECKOUT / "dialplan").glob("*.conf")}
    expected -= {"comunik/fastagi.conf"}  # in incoming.conf, where calls ask by AGI
    sounds = {
        f"sounds/{source.relative_to(CHECKOUT / 'sounds')}"
        for source in (CHECKOUT / "sounds").rglob("*")
        if source.is_file()
    }
    assert set(files(directory)) == {
        *("comunik.toml", "ari.secret", "ami.secret", "comunik-pbx.service", "comunik/default-plans.conf"),
        *("asterisk/ari.conf", "asterisk/manager.conf", "asterisk/http.conf"),
        *expected,
        *sounds,
    }
    assert installed("check", "--config", str(directory / "comunik.toml")).returncode == 0
    help_page = "from comunik_pbx.web import guide; print(guide.guide('fr', True), guide.picture('keypad.fr.png'))"
    shown = subprocess.check_output([python, "-c", help_page], cwd=tmp_path, env=clean, text=True)
    assert "Guide de l’utilisateur" in shown
    assert str(site) in shown
