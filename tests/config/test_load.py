"""A good configuration becomes the directory and the default rules that the decision works with."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from comunik_pbx import config
from comunik_pbx.forwarding.directory import BusyPolicy
from comunik_pbx.forwarding.rules import ToNumber, ToVoicemail
from tests.config.company import GOOD, write


def test_everything_arrives(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path))
    directory = loaded.directory
    assert [trunk.name for trunk in directory.trunks] == ["carrier", "backup"]
    assert directory.extensions["101"].did == ("+33170000101", "+33170000191")
    assert directory.by_endpoint == {"101": "101", "alice-mobile": "101", "102": "102", "103": "103"}
    assert directory.extensions["102"].busy is BusyPolicy.BUSY
    assert directory.extensions["102"].language == "fr"
    assert directory.cycle_seconds == 5.0
    assert directory.numbers.allowed_countries == ("FR", "BE")
    assert (loaded.asterisk.ari_password, loaded.asterisk.ami_password) == ("ari-pw", "ami-pw")
    assert loaded.store_url == f"sqlite:///{tmp_path}/comunik.db"
    external = loaded.default_rules["101"].external
    assert external is not None
    assert (external.to, external.rings, external.locked) == (ToVoicemail(), 4, False)
    always = loaded.default_rules["102"].always
    assert always is not None
    assert (always.to, always.rings, always.locked) == (ToNumber("+33612345678"), 0, True)


def test_example_of_the_design(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[forwarding]", "[ringing]\ndefault_rings = 6\n# cycle_seconds = 5.0\n[forwarding]\nmax_hops = 5"
    )
    assert config.load(write(tmp_path, text)).directory.max_hops == 5


def test_rings_default_to_the_company_s(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, GOOD.replace("rings = 4", "") + "[ringing]\ndefault_rings = 3\n"))
    external = loaded.default_rules["101"].external
    assert external is not None
    assert external.rings == 3


def test_until_without_offset_is_local_time(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, GOOD.replace("rings = 4", "until = 2026-12-24T18:00:00")))
    external = loaded.default_rules["101"].external
    assert external is not None
    assert external.until == datetime(2026, 12, 24, 18).astimezone()
    assert external.until is not None
    assert external.until.astimezone(UTC)


def test_secrets_are_read_only_when_asked_for(tmp_path: Path) -> None:
    main = write(tmp_path)
    (tmp_path / "ari.secret").unlink()
    assert config.load(main, secrets=False).asterisk.ari_password == ""
    with pytest.raises(config.ConfigProblems):
        config.load(main)


def test_without_ari_its_secret_is_not_wanted(tmp_path: Path) -> None:
    text = GOOD.replace('ari_password_file = "ari.secret"', "ari = false")
    main = write(tmp_path, text + '[agi]\nlisten = "127.0.0.1:4573"\n[portal]\ndial_context = "from-phones"\n')
    (tmp_path / "ari.secret").unlink()
    loaded = config.load(main)
    assert (loaded.asterisk.ari, loaded.asterisk.ari_password) == (False, "")
    assert (loaded.agi.listen, [str(n) for n in loaded.agi.allow]) == (("127.0.0.1", 4573), ["127.0.0.0/8", "::1/128"])
    assert loaded.notes == ("portal.dial_context: without ARI (asterisk.ari) the keypad does not call",)


def test_environment_goes_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMUNIK_PBX_ARI_PASSWORD", "from-environment")
    monkeypatch.setenv("COMUNIK_PBX_STORE_URL", "sqlite:////srv/rules.db")
    main = write(tmp_path)
    (tmp_path / "ari.secret").unlink()
    loaded = config.load(main)
    assert loaded.asterisk.ari_password == "from-environment"
    assert loaded.store_url == "sqlite:////srv/rules.db"


def test_passwords_are_not_in_its_repr(tmp_path: Path) -> None:
    assert "ari-pw" not in repr(config.load(write(tmp_path)))


def test_included_files_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.toml").write_text('[extensions.201]\nname = "B"\n')
    (tmp_path / "sub" / "a.toml").write_text('include = ["b.toml"]\n[asterisk]\nami_password_file = "ami.secret"\n')
    (tmp_path / "sub" / "ami.secret").write_text("elsewhere\n")
    text = GOOD.replace('ami_password_file = "ami.secret"\n', "")
    loaded = config.load(write(tmp_path, 'include = ["sub/a*.toml"]\n' + text))
    assert "201" in loaded.directory.extensions
    assert loaded.asterisk.ami_password == "elsewhere"
    assert [file.name for file in loaded.files] == ["comunik.toml", "a.toml", "b.toml"]


def test_a_file_that_includes_itself_is_read_once(tmp_path: Path) -> None:
    assert len(config.load(write(tmp_path, 'include = ["*.toml"]\n' + GOOD)).files) == 1


def test_an_included_file_overrides_settings_and_completes_extensions(tmp_path: Path) -> None:
    extra = (
        '[forwarding]\nmax_hops = 2\n[extensions.103]\nbusy = "busy"\n[extensions.103.forward.internal]\nto = "102"\n'
    )
    text = 'include = ["extra.toml"]\n' + GOOD.replace("[forwarding]", "[forwarding]\nmax_hops = 4")
    loaded = config.load(write(tmp_path, text, extra__toml=extra))
    assert loaded.directory.max_hops == 2
    assert loaded.directory.extensions["103"].busy is BusyPolicy.BUSY
    assert loaded.default_rules["103"].internal is not None
    assert loaded.notes == (f"{tmp_path}/extra.toml: forwarding.max_hops: overrides {tmp_path}/comunik.toml",)


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMUNIK_PBX_CONFIG", "/from/environment.toml")
    assert config.find(tmp_path) == tmp_path
    assert config.find() == Path("/from/environment.toml")
    monkeypatch.delenv("COMUNIK_PBX_CONFIG")
    monkeypatch.setattr("comunik_pbx.config.loading.USUAL_PATH", tmp_path / "none.toml")
    with pytest.raises(config.NoConfig, match="--config FILE or COMUNIK_PBX_CONFIG"):
        config.find()
