"""Alembic's migrations, run by `comunik_pbx.store.migrate`; they travel in the wheel."""
