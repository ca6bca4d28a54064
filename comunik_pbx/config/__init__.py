"""The configuration: `load(path)` gives a `Config`, or `ConfigProblems` with everything that is wrong in it.

`settings` says what may be written, `loading` reads the files, `checking` checks every value and then everything
against everything. A configuration is never changed: a reload loads another.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from comunik_pbx.config.checking import Checker, Network
from comunik_pbx.config.hints import hint
from comunik_pbx.config.loading import find, read
from comunik_pbx.config.problems import ConfigError, ConfigProblems, NoConfig, Problem
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Rules, outside_numbers

__all__ = [
    "Agi",
    "Asterisk",
    "Config",
    "ConfigError",
    "ConfigProblems",
    "NoConfig",
    "Portal",
    "Problem",
    "find",
    "hint",
    "load",
]


@dataclass(frozen=True)
class Asterisk:
    """How to reach Asterisk. `ari_url` has no trailing slash; passwords are empty if loaded without secrets.

    `ari` says whether it offers ARI at all.
    """

    ari_url: str
    ari_user: str
    ari_password: str = field(repr=False)
    ami_host: str
    ami_port: int
    ami_user: str
    ami_password: str = field(repr=False)
    ari: bool = True


@dataclass(frozen=True)
class Agi:
    """Where calls ask by FastAGI: `listen` is host and port, None if they do not; `allow` are who may."""

    listen: tuple[str, int] | None = None
    allow: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Portal:
    """Where the portal is: `listen` is host and port, None if it is not offered; `url` has no slash at its end."""

    listen: tuple[str, int] | None = None
    url: str = ""
    dial_context: str | None = None
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """A configuration in which nothing is wrong.

    `files` are all files read, the main one first. `store_url` is absolute (`sqlite:////…`) and may hold a password.
    `metrics_listen` is host and port, None if metrics are not offered. `default_rules` are those of
    `[extensions.X.forward.KIND]`. `notes` are worth telling, but not wrong. `origins` are the files of the keys.
    """

    path: Path
    files: tuple[Path, ...]
    country: str
    language: str
    asterisk: Asterisk
    store_url: str = field(repr=False)
    directory: Directory
    default_rules: Rules
    prompts_enabled: bool
    announce_forward: bool
    keep_days: int
    metrics_listen: tuple[str, int] | None = None
    portal: Portal = Portal()
    agi: Agi = Agi()
    notes: tuple[str, ...] = ()
    origins: dict[tuple[str, ...], Path] = field(default_factory=dict, repr=False)

    def file_of(self, key: tuple[str, ...]) -> Path:
        """The file that gives this key, or the nearest table above it."""
        return next((self.origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.origins), self.path)


def load(path: Path, *, secrets: bool = True) -> Config:
    """Load a configuration, or raise ConfigProblems with all that is wrong.

    Without `secrets` passwords are not read, for commands that do not talk to Asterisk and may be run by users
    who may not read them.
    """
    path = path.absolute()
    written = read(path)
    if not written.values and not written.complete:
        raise ConfigProblems(written.problems)
    checker = Checker(written)
    directory = checker.directory()
    rules: Rules = checker.default_rules(directory) if directory is not None else {}
    if directory is not None and checker.forwarding.prove_numbers:
        directory = msgspec.structs.replace(directory, proven=outside_numbers(rules))  # files are the admin's own word
    passwords = [checker.password(which) if secrets else "" for which in ("ari", "ami")]
    store_url = checker.store_url()
    ari_url = checker.ari_url()
    metrics_listen, portal_listen = checker.metrics_listen(), checker.portal_listen()
    agi = Agi(checker.agi_listen(), checker.agi_allow())
    if written.problems or checker.general is None or directory is None:
        order = {str(file): place for place, file in enumerate(written.files)}
        raise ConfigProblems(sorted(written.problems, key=lambda problem: order.get(problem.file, len(order))))
    asterisk = checker.asterisk
    return Config(
        path=path,
        files=tuple(written.files),
        country=checker.general.country,
        language=checker.general.language,
        asterisk=Asterisk(
            ari_url=ari_url,
            ari_user=asterisk.ari_user,
            ari_password=passwords[0],
            ami_host=asterisk.ami_host,
            ami_port=asterisk.ami_port,
            ami_user=asterisk.ami_user,
            ami_password=passwords[1],
            ari=asterisk.ari,
        ),
        store_url=store_url,
        directory=directory,
        default_rules=rules,
        prompts_enabled=checker.prompts.enabled,
        announce_forward=checker.prompts.announce_forward,
        keep_days=checker.records.keep_days,
        metrics_listen=metrics_listen,
        portal=Portal(
            listen=portal_listen,
            url=checker.portal.url or f"http://{checker.portal.listen or ''}",
            dial_context=checker.portal.dial_context,
            trusted_proxies=tuple(checker.portal.trusted_proxies),
        ),
        agi=agi,
        notes=tuple(written.notes),
        origins=dict(written.origins),
    )
