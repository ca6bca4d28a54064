"""The service: puts the decision, Asterisk and the store together, and keeps them alive or ends loudly.

    run(path) → load the configuration → open the store → try ARI and AMI → decide calls until SIGTERM

Each background task belongs to one task group: if one ends with an error they all end, and the supervisor starts
the service again. Meanwhile the dialplan's guard takes the calls.
"""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
import uvloop

from comunik_pbx import config as configuration
from comunik_pbx import needed
from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import ApplicationReplaced, AsteriskError
from comunik_pbx.call_rows import CallRows, forwarded_today
from comunik_pbx.calls.agi_entry import AgiEntry
from comunik_pbx.calls.call_ends import record_end, reported, tell_ends
from comunik_pbx.calls.deciding import Decisions
from comunik_pbx.calls.exact_rings import ExactRings
from comunik_pbx.calls.figures import DecisionFigures
from comunik_pbx.calls.interception import Interception
from comunik_pbx.calls.kept_ends import KeptEnds
from comunik_pbx.calls.publishing import Publisher
from comunik_pbx.calls.record_writer import RecordWriter
from comunik_pbx.calls.records import CallRecord, Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.config import Config, ConfigError
from comunik_pbx.in_force import InForce
from comunik_pbx.logs import write_logs
from comunik_pbx.metrics import Figures
from comunik_pbx.metrics import serve as serve_metrics
from comunik_pbx.missed_ends import MissedEnds
from comunik_pbx.readiness import notify, watchdog_seconds
from comunik_pbx.store import Store, StoreError
from comunik_pbx.store.rows import Service as ServiceRow
from comunik_pbx.store.rows import process_mark
from comunik_pbx.watchdog import Watchdog, still_turning

log = structlog.get_logger(__name__)

A = TypeVar("A")
B = TypeVar("B")

_EXPECTED = (ConfigError, StoreError, AsteriskError)

FORGET_SECONDS = 6 * 3600.0
"""How often old call records are deleted."""

REPLACED = 3
"""Exit status when another service took over: a supervisor must not start this one again, else the two would replace
each other for ever (RestartPreventExitStatus= in the unit of systemd)."""


def run(path: Path) -> int:
    """Serve until SIGTERM or SIGINT. Exit status: 0 stopped, 1 cannot serve (said on standard error), or REPLACED."""
    write_logs()
    faulthandler.enable()  # what a supervisor's watchdog kills (SIGABRT) says where it hung
    try:
        uvloop.run(_serve(configuration.load(path)))
    except Exception as problem:
        return _ended_by(problem)
    return 0


def _ended_by(problem: Exception) -> int:
    """Say why the service ends: in a line each, and where it happened for what nobody expected. The exit status."""
    problems = list(_each(problem))
    wrong = [one for one in problems if not isinstance(one, ApplicationReplaced)]
    if not wrong:
        log.warning("another service took over: this one ends", why=str(problems[0]))
        return REPLACED
    for one in wrong:
        if not isinstance(one, _EXPECTED):
            log.critical("a fault of comunik-pbx itself ends the service", exc_info=one)
    for line in dict.fromkeys(map(_sentence, wrong)):
        print(line, file=sys.stderr)
    return 1


def _each(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for one in problem.exceptions:
            yield from _each(one)
    else:
        yield problem


def _sentence(problem: BaseException) -> str:
    if isinstance(problem, _EXPECTED):
        return str(problem)
    what = f"{type(problem).__name__}: {problem}".rstrip(": ")
    return f"comunik-pbx ends by a fault of its own ({what}): its log says where; please report it"


async def _serve(config: Config) -> None:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(config.store_url))
        asterisk = config.asterisk
        ari = await stack.enter_async_context(_ari(config)) if asterisk.ari else None
        ami = AmiClient(asterisk.ami_host, asterisk.ami_port, asterisk.ami_user, asterisk.ami_password)
        stack.callback(ami.close)
        version, allowed = await _both(ari.check() if ari else _unknown(), ami.check())
        missing = await needed.lacks(config, ari) if ari else []
        if missing := missing + needed.lacks_actions(version, ami.user, allowed):
            raise ExceptionGroup("Asterisk", missing)
        if ari and not needed.is_tested(version):
            log.info("a version of Asterisk we do not test", version=version, tested=" ".join(needed.TESTED))
        await Service(config, store, ari, ami, gives_up=not needed.has_start_time(version)).serve()


def _ari(config: Config) -> AriClient:
    asterisk = config.asterisk
    return AriClient(asterisk.ari_url, asterisk.ari_user, asterisk.ari_password)


async def _unknown() -> str:
    """The version of an Asterisk without ARI, which AMI does not tell of itself."""
    return ""


async def _both(one: Awaitable[A], other: Awaitable[B]) -> tuple[A, B]:
    """Await both; raise their errors together, so that the admin sees each at once."""
    outcomes = await asyncio.gather(one, other, return_exceptions=True)
    if errors := [outcome for outcome in outcomes if isinstance(outcome, Exception)]:
        raise ExceptionGroup("Asterisk", errors)
    return cast(tuple[A, B], tuple(outcomes))


class Service:
    """One running service: what is in force, and the tasks that act on it.

    Without ARI calls ask by AGI, their rings are counted by Dial(), and which channels stand is asked by AMI.
    """

    def __init__(
        self, config: Config, store: Store, ari: AriClient | None, ami: AmiClient, *, gives_up: bool = False
    ) -> None:
        self._store = store
        self._ari = ari
        self._ami = ami
        self._gives_up = gives_up
        self._started_at = datetime.now(UTC)
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()
        self._announced = asyncio.Event()
        self._portal_loaded = asyncio.Event()
        self._publisher = Publisher(ami, self._snapshot)
        self._in_force = InForce(config, store, on_change=self._publisher.changed)
        self._rows = CallRows()
        self._writer = RecordWriter(self._write)
        self._records = Records(self._writer, self._snapshot)
        self._rings = ExactRings(ari, self._records.lives, gives_up=gives_up) if ari else None
        self._figures = DecisionFigures()
        self._kept_ends = KeptEnds(
            ami,
            lambda headers: record_end(headers, self._records),
            on_collected=self._collected,
            tells=None if ari is None else partial(tell_ends, ari),
        )
        self._missed_ends = MissedEnds(
            store, ari, ami, self._records, self._kept_ends, started_at=self._started_at, gives_up=gives_up
        )
        self._interception = self._intercepting(ari) if ari else None
        self._agi = self._asked_by_agi(config.agi.listen) if config.agi.listen else None

    @property
    def _config(self) -> Config:
        return self._in_force.config

    def _snapshot(self) -> Snapshot:
        return self._in_force.snapshot

    def _intercepting(self, ari: AriClient) -> Interception:
        return Interception(
            ari,
            self._snapshot,
            self._records,
            rings=self._rings.begin if self._rings else None,
            on_end=self._ended,
            on_missed=self._kept_ends.attend,
            on_connected=self._connected,
            figures=self._figures,
            knows_start=not self._gives_up,
        )

    def _asked_by_agi(self, listen: tuple[str, int]) -> AgiEntry:
        rings = self._rings.begin if self._rings else None
        decisions = Decisions(self._snapshot, self._records, watched=rings is not None)
        # Without ARI nobody tells how a call ended.
        on_missed = self._kept_ends.attend
        allow = self._config.agi.allow
        return AgiEntry(listen, allow, decisions, rings=rings, on_missed=on_missed, figures=self._figures)

    async def serve(self) -> None:
        """Decide calls until a signal says to stop. Raises an exception group if a task failed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        await self._restore_usage()
        await self._in_force.read()
        if self._interception is None:
            self._connected()
        _settle()
        async with self._in_force.read, asyncio.TaskGroup() as group:
            # The first ends first: no new call; the last when all others have: the last records are written.
            entries = [
                group.create_task(_for_ever(name, entry.run()), name=name)
                for name, entry in (("interception", self._interception), ("agi", self._agi))
                if entry is not None
            ]
            tasks = [
                group.create_task(_for_ever(name, coroutine), name=name)
                for name, coroutine in {
                    "kept ends of calls": self._kept_ends.run(),
                    **({} if self._rings is None else {"rings": self._rings.run()}),
                    "fallback plans": self._publisher.run(),
                    "readiness": self._ready(),
                    "rules": self._in_force.follow(),
                    "reload": self._reload_on_hangup(),
                    "forgetting": self._forget(),
                    "watchdog": self._watch(),
                    "metrics": self._measure(),
                    "portal": self._portal(),
                    "records": self._writer.run(),
                }.items()
            ]
            await self._stop.wait()
            notify("STOPPING=1")
            *others, records = tasks
            for together in (entries, others, [records]):
                for task in together:
                    task.cancel()
                await asyncio.wait(together)
        log.info("stopped")

    async def _watch(self) -> None:
        """Tell the supervisor again and again that we are well, if it wants to hear."""
        if (seconds := watchdog_seconds()) is not None:
            interception = self._interception
            if self._ari is None or interception is None:
                await still_turning(seconds)
            else:
                at = lambda: (interception.tried_at, interception.connected)  # noqa: E731
                await Watchdog(seconds, self._ari, lambda: _ari(self._config), at).run()
        await asyncio.Event().wait()

    async def _measure(self) -> None:
        """Offer figures, if the configuration says where."""
        if (address := self._config.metrics_listen) is not None:
            figures = Figures(
                decisions=self._figures,
                interception=self._interception,
                agi=self._agi,
                records=self._records,
                writer=self._writer,
                publisher=self._publisher,
                snapshot=self._snapshot,
                ami_connected=lambda: self._ami.reached,
                new_targets=lambda: self._in_force.new_targets,
            )
            await serve_metrics(address, figures)
        await asyncio.Event().wait()

    async def _portal(self) -> None:
        """Offer the portal, if the configuration says where; where it does not, it is not loaded."""
        offered = self._config.portal.listen is not None
        if offered:
            await asyncio.to_thread(import_module, "comunik_pbx.portal")  # takes a second: calls are decided meanwhile
        self._portal_loaded.set()
        if offered:
            from comunik_pbx.portal import PortalRules, serve_portal  # noqa: PLC0415

            rules = PortalRules(self._store, lambda: self._config, self._snapshot, self._records, self._in_force.read)
            await serve_portal(self._config, rules, self._store, self._ari)
        await asyncio.Event().wait()

    async def _ready(self) -> None:
        """Tell the supervisor once calls are decided and their ends are heard."""
        if self._interception is not None:
            await self._interception.wait_connected()
        if self._agi is not None:
            await self._agi.wait_listening()
        await self._announced.wait()
        await self._portal_loaded.wait()
        notify("READY=1")
        _settle()
        log.info("ready", config=str(self._config.path), extensions=len(self._config.directory.extensions))
        await self._missed_ends.run()

    async def _reload_on_hangup(self) -> None:
        try:
            await self._say_loaded("")  # from now on `comunik-pbx reload` finds us
        except StoreError as error:
            log.error("the store takes no changes: calls are decided all the same", why=str(error))
        self._announced.set()
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            try:
                outcome = await self._in_force.reload()
                if not outcome:
                    self._publisher.reconcile()  # whatever somebody has done to AstDB
                await self._say_loaded(outcome)
            except StoreError as error:  # it can be written again some day; calls are decided from memory
                log.error("a reload could not be finished", why=str(error))
                continue
            if outcome:
                log.error("the configuration was not reloaded, the one before stays", why=outcome)
            else:
                log.info("reloaded", config=str(self._config.path))

    async def _say_loaded(self, outcome: str) -> None:
        await self._store.put_service(
            ServiceRow(
                pid=os.getpid(),
                process=process_mark(os.getpid()) or "",
                started_at=self._started_at,
                config=str(self._config.path),
                loaded_at=datetime.now(UTC),
                load_outcome=outcome,
            )
        )

    async def _write(self, records: list[CallRecord]) -> None:
        await self._store.put_calls([self._rows.of(record) for record in records])
        self._kept_ends.stored(records)

    def _ended(self, report: str) -> None:
        record_end(reported(report), self._records)
        self._kept_ends.told()

    def _collected(self) -> None:
        self._missed_ends.collected()

    def _connected(self) -> None:
        """Calls may have ended unheard, and Asterisk may be another than before: what it keeps may be anything."""
        self._publisher.reconcile()
        self._missed_ends.connected()
        self._kept_ends.connected()

    async def _restore_usage(self) -> None:
        """Count today's forwards to outside again, for the limits per day."""
        if any(e.max_outside_calls_per_day is not None for e in self._config.directory.extensions.values()):
            now = datetime.now().astimezone()
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            rows = await self._store.calls(limit=1_000_000, after=midnight)
            self._records.usage.restore(forwarded_today(rows), now)

    async def _forget(self) -> None:
        while True:
            try:
                gone = await self._store.forget_calls(datetime.now(UTC) - timedelta(days=self._config.keep_days))
            except StoreError as error:  # a full disk must not keep calls from being decided
                log.error("old call records could not be deleted", why=str(error))
            else:
                if gone:
                    log.info("old call records deleted", calls=gone)
            await asyncio.sleep(FORGET_SECONDS)


def _settle() -> None:
    """What stands now stays: no call shall wait while it is looked through again. The rest is looked at rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _for_ever(name: str, task: Coroutine[Any, Any, None]) -> None:
    """A task that must not end by itself: a service without it would be half alive."""
    await task
    raise RuntimeError(f"the task {name!r} ended by itself")
