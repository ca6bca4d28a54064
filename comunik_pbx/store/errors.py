"""What can be wrong with a store. Each message is one sentence or two, and says what to do.

    StoreError
    ├── StoreUrlInvalid        the `[store] url` is not one we can use
    ├── StoreUnwritable        directory missing, no permission, read-only file or file system
    ├── StoreFromNewerVersion  a newer comunik-pbx has migrated it
    ├── StoreForeign           a database, but of another program
    ├── StoreCorrupt           not a database, or damaged
    ├── StoreReplaced          its file was removed or replaced while in use
    ├── StoreLocked            another process kept it locked for too long
    ├── StoreFull              no space left
    ├── StoreRefused           the row is impossible (a CHECK constraint, or a value that cannot be kept)
    └── RuleMissing            a rule that is not there cannot be switched on or off

SQLite's result codes (https://www.sqlite.org/rescode.html) are put into these classes by `from_sqlite` alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError


class StoreError(Exception):
    """Anything wrong with the store; `str()` is fit for people."""


class StoreUrlInvalid(StoreError):
    """The `[store] url` is not one we can use."""


class StoreUnwritable(StoreError):
    """Directory missing, no permission, read-only file or file system."""


class StoreFromNewerVersion(StoreError):
    """A newer comunik-pbx has migrated this store."""


class StoreForeign(StoreError):
    """A database, but of another program."""


class StoreCorrupt(StoreError):
    """Not a database, or damaged."""


class StoreReplaced(StoreError):
    """Its file was removed or replaced while in use: what is open is not what others see."""


class StoreLocked(StoreError):
    """Another process kept the store locked for too long."""


class StoreFull(StoreError):
    """No space left where the store is."""


class StoreRefused(StoreError):
    """The row is impossible: nothing was changed."""


class RuleMissing(StoreError, KeyError):
    """The rule is not there."""

    __str__ = Exception.__str__  # a KeyError's would put quotation marks around the sentence


_UNWRITABLE = (
    StoreUnwritable,
    "The store {path} cannot be written ({why}): let the user that runs comunik-pbx write the file and "
    "its directory, or set another [store] url.",
)
_CORRUPT = (
    StoreCorrupt,
    "The store {path} is damaged or is not a database ({why}): stop the service and put a backup in its "
    "place, or move it away to start with an empty one.",
)
_LOCKED = (
    StoreLocked,
    "The store {path} stayed locked by another process ({why}): end that process, or try again.",
)

# Primary result code of SQLite: class, sentence.
_BY_CODE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_FULL: (
        StoreFull,
        "No space is left for the store {path} ({why}): free some space on its disk.",
    ),
    sqlite3.SQLITE_IOERR: (
        StoreError,
        "The disk failed under the store {path} ({why}): look at the kernel's log and at the disk's free space.",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        StoreRefused,
        "The store {path} refuses an impossible row ({why}): nothing changed.",
    ),
}


def from_sqlite(error: BaseException, path: str) -> StoreError:
    """Find the error of this tree for one of sqlite3 or SQLAlchemy, along its causes, by result code."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StoreError):
            return cause
        if isinstance(code := getattr(cause, "sqlite_errorcode", None), int):
            why = str(cause)
            if code == sqlite3.SQLITE_ERROR and "no such" in why:  # a table or column of ours has gone
                code = sqlite3.SQLITE_CORRUPT
            kind, sentence = _BY_CODE.get(code & 0xFF, (StoreError, "The store {path} failed: {why}."))
            return kind(sentence.format(path=path, why=why))
        cause = getattr(cause, "orig", None) or cause.__cause__
    return StoreError(f"The store {path} failed: {error}.")


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise errors of the database inside as errors of this tree, the cause kept."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise from_sqlite(error, path) from error
