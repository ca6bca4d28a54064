"""New outside targets: marked in the history once for each extension and number, and told once."""

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from comunik_pbx.forwarding.rules import RuleKind, ToExtension, ToNumber, ToVoicemail
from comunik_pbx.store import Store
from comunik_pbx.store.migrate import MIGRATIONS

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MOBILE, OTHER = ToNumber("+33612345678"), ToNumber("+33612345679")


async def test_a_number_is_new_once_for_each_extension(store: Store) -> None:
    await store.set_rule("101", RuleKind.EXTERNAL, MOBILE, by="portal:101", at=NOW)
    await store.set_rule("101", RuleKind.EXTERNAL, ToExtension("102"), by="portal:101")
    await store.set_rule("101", RuleKind.INTERNAL, MOBILE, by="portal:101")  # another rule, the same number
    await store.clear_rule("101", RuleKind.INTERNAL, by="portal:101")
    await store.set_rule("101", RuleKind.INTERNAL, OTHER, by="portal:101")
    await store.set_enabled("101", RuleKind.INTERNAL, False, by="portal:101")
    await store.set_rule("102", RuleKind.ALWAYS, MOBILE, by="api:102")
    await store.set_rule("103", RuleKind.ALWAYS, ToVoicemail(), by="cli:root")
    history = reversed(await store.history())
    assert [(c.extension, c.kind, c.action) for c in history if c.new_target] == [
        ("101", "external", "set"),
        ("101", "internal", "set"),
        ("102", "always", "set"),
    ]


async def test_each_is_told_once(store: Store) -> None:
    await store.set_rule("101", RuleKind.EXTERNAL, MOBILE, by="portal:101", at=NOW)
    (target,) = await store.untold_targets()
    assert (target.extension, target.number, target.first_by, target.first_at) == (
        "101",
        "+33612345678",
        "portal:101",
        NOW,
    )
    await store.told_targets([target])
    assert await store.untold_targets() == []
    await store.set_rule("101", RuleKind.EXTERNAL, MOBILE, by="portal:101")
    assert await store.untold_targets() == []


async def test_what_rules_led_to_before_the_upgrade_is_not_new(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for version, after in enumerate(
            ('{"to_kind": "number", "to_number": "+33612345678"}', '{"to_kind": "voicemail", "to_number": null}', "}"),
            1,
        ):
            connection.exec_driver_sql(
                "INSERT INTO history (extension, kind, version, action, changed_by, changed_at, after) "
                f"VALUES ('101', 'always', {version}, 'set', 'x', '2026-11-24T12:00:00.000000+00:00', '{after}')"
            )
    engine.dispose()
    async with await Store.open(f"sqlite:///{path}") as store:
        assert await store.untold_targets() == []
        await store.set_rule("101", RuleKind.EXTERNAL, MOBILE, by="portal:101")
        await store.set_rule("101", RuleKind.EXTERNAL, OTHER, by="portal:101")
        assert [target.number for target in await store.untold_targets()] == ["+33612345679"]
        assert [c.new_target for c in await store.history()] == [True, False, False, True]
