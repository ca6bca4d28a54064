"""Bring a store to this version's tables, in one transaction: others wait, a crash leaves it as it was."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from comunik_pbx.store.errors import StoreCorrupt, StoreForeign, StoreFromNewerVersion
from comunik_pbx.store.tables import HEAD

MIGRATIONS = Path(__file__).with_name("migrations")


def up_to_date(connection: Connection, path: str) -> bool:
    """Whether it has this version's tables: then nobody need wait for the write lock. Raises as `migrate`."""
    return _revision(connection, path) == HEAD


def migrate(connection: Connection, path: str) -> None:
    """Migrate to HEAD; `connection` holds the write lock.

    Raises StoreForeign, StoreFromNewerVersion, StoreCorrupt.
    """
    revision = _revision(connection, path)
    if revision == HEAD:
        return
    # Only now: importing Alembic takes longer than most commands.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreFromNewerVersion(
            f"The store {path} was made by a newer comunik-pbx (its tables are at {revision}, this version "
            f"knows {HEAD}): install that version again, or put back a backup from before the upgrade."
        )
    command.upgrade(config, "head")


def _revision(connection: Connection, path: str) -> str | None:
    names = set(inspect(connection).get_table_names())
    if "alembic_version" not in names:
        if names:
            raise StoreForeign(
                f"{path} is the database of another program (it has the table {min(names)}): "
                "set [store] url to a file of its own."
            )
        return None
    revisions = list(connection.scalars(text("SELECT version_num FROM alembic_version")))
    if len(revisions) != 1:
        raise StoreCorrupt(f"The store {path} does not say which version its tables have: put back a backup.")
    return str(revisions[0])
