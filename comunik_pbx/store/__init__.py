"""What is remembered: the users' rules and the history of their changes, call records, who is running.

Read in this order: `tables` (what is kept), `rows` (what callers see), `store` (the API: `Store.open`),
`rule_changes`, `checked_rules` and `call_log` (what it does inside a transaction), `sqlite` (durability, locks,
cancellation, others' changes), `migrate` and `migrations/`. `errors` says in one sentence each what can be wrong
with it.
"""

from comunik_pbx.store.errors import (
    RuleMissing,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreFromNewerVersion,
    StoreFull,
    StoreLocked,
    StoreRefused,
    StoreReplaced,
    StoreUnwritable,
    StoreUrlInvalid,
)
from comunik_pbx.store.rows import CallRow, Change, NewTarget, Service
from comunik_pbx.store.store import CALLS_KEPT, Store

__all__ = [
    "CALLS_KEPT",
    "CallRow",
    "Change",
    "NewTarget",
    "RuleMissing",
    "Service",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreForeign",
    "StoreFromNewerVersion",
    "StoreFull",
    "StoreLocked",
    "StoreRefused",
    "StoreReplaced",
    "StoreUnwritable",
    "StoreUrlInvalid",
]
