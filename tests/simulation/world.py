"""One run: the world around the service, and the service in it."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog
from panoramisk.utils import IdGenerator

from comunik_pbx import in_force, missed_ends, service
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.calls import interception, kept_ends, publishing, records
from comunik_pbx.calls.exact_rings import ExactRings
from comunik_pbx.calls.kept_ends import COLLECT_SECONDS, KEPT
from comunik_pbx.calls.publishing import CHECK_SECONDS, Publisher
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.plan import plan
from tests.simulation import company
from tests.simulation.asterisk import Asterisk
from tests.simulation.faults import FAULTS
from tests.simulation.health import Health
from tests.simulation.loop import EPOCH, Process, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.people import People
from tests.simulation.scenario import Happening, IncomingCall, RuleChange
from tests.simulation.store import Disk
from tests.simulation.truth import Truth

SETTLES_SECONDS = 900.0
"""After the last happening: every call ends, every connection is noticed and made again."""


MOST_TASKS, MOST_CONNECTIONS = 16, 10
"""What an idle service has: its tasks; a connection for events, and those kept alive, which Asterisk closes."""

AMI_SECONDS = 5.0
"""A connection to AMI that has not been used for so long is forgotten: it should cost the calls nothing."""


class World:
    """Everything there is in one run."""

    def __init__(self, seed: int, *, keep_log: bool = False) -> None:
        IdGenerator.reset("simulation")  # panoramisk numbers its actions over all connections
        random.seed(seed)  # jitter of reconnections, masks of websocket frames
        self.chance = random.Random(f"world {seed}")
        self.loop = VirtualLoop()
        self.network = Network(self.loop, seed)
        self.health = Health(self.loop.time)
        self.people = People(random.Random(f"people {seed}"), company.NUMBERS)
        self.truth = Truth(self)
        self.disk = Disk(self)
        self._people_set_rules(random.Random(f"rules {seed}"))
        self.database: dict[str, str] = {}  # AstDB
        # Pings and looks into AstDB are an idle hour's work: done as often as in earnest in some runs only.
        self.patience = self.chance.choice([1.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])
        self.check_seconds = CHECK_SECONDS * self.patience
        self.collect_seconds = COLLECT_SECONDS * self.patience
        self.brisk = self.network.brisk = self.chance.random() < 0.3  # nothing takes long, unless something is wrong
        self.announces = self.chance.random() < 0.2
        self.mailboxes = {e.mailbox for e in company.DIRECTORY.extensions.values() if e.mailbox} - {"104@default"}
        self.violation = ""
        self.log: list[str] | None = [] if keep_log else None
        self.service: Process | None = None
        self.instances: dict[Process, service.Service] = {}
        self.ended: dict[Process, float] = {}
        self._serial = 0
        self._runs = 0
        self._hash = hashlib.blake2b(digest_size=8)
        self._over: asyncio.Future[None] = self.loop.create_future()
        self.default_plans: dict[str, str] = {}
        self.start_asterisk()

    def _people_set_rules(self, chance: random.Random) -> None:
        """Before the run begins."""
        for _ in range(chance.choice([0, 5, 20])):
            self.disk.rules = company.changed(self.disk.rules, chance, self.loop.wall())
        self.truth.rules = [(float("-inf"), self.disk.rules)]

    def wall(self, moment: float) -> float:
        return EPOCH + moment

    # What is seen

    def note(self, *words: object) -> None:
        line = f"{self.loop.time():.6f} " + " ".join(map(str, words))
        self._hash.update(line.encode())
        if self.log is not None:
            self.log.append(line)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    def wrong(self, what: str) -> None:
        """A violation: the first one ends the run."""
        if not self.violation:
            self.violation = f"at {self.loop.time():.3f} s: {what}"
            self.note("VIOLATION", what)
            if not self._over.done():
                self._over.set_result(None)

    # What happens

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        self.loop.call_at(self.loop.time() + seconds, callback, *args)

    def start_asterisk(self) -> None:
        self.asterisk = Asterisk(self, self._runs)
        self._runs += 1

    def happen(self, happening: Happening) -> None:
        match happening.what:
            case IncomingCall() as incoming:
                if self.asterisk.process.alive and not self.asterisk.process.frozen:
                    channel = self.asterisk.call(incoming)
                    self.asterisk.process.later(incoming.patience, channel.hangup)
            case RuleChange():
                self.note("rules change")
                chance = random.Random(happening.seed)
                self.disk.change(company.changed(self.disk.rules, chance, self.loop.wall()))
            case fault:
                if not self.asterisk.process.alive and fault.name.startswith("asterisk"):
                    return
                self.note("fault", fault.name)
                FAULTS[fault.name](self, random.Random(happening.seed))

    def default_plan(self, called: str) -> str:
        """As `init` writes it into default-plans.conf: the plan without rules; a number without one ends."""
        if called not in self.default_plans:
            call = Call(caller=Caller(), called=called)
            steps = plan(call, company.DIRECTORY, {}, datetime.fromtimestamp(EPOCH, UTC)).steps
            self.default_plans[called] = encode(steps)
        return self.default_plans[called]

    # The service, and its supervisor

    def start_service(self) -> None:
        self._serial += 1
        process = Process(self.loop, f"service {self._serial}")
        self.service = process
        self.note("starts", process.name)
        task = process.start(service._serve(company.CONFIG))
        task.add_done_callback(lambda done: self._exited(process, done))

    def _exited(self, process: Process, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        self.ended[process] = self.loop.time()
        self.note("exits", process.name, type(error).__name__)
        if error is not None and not expected(error):
            self.wrong(f"{process.name} crashed: {error!r}: {getattr(error, 'exceptions', '')}")
        if process.tasks:
            self.wrong(f"{process.name} left tasks behind: {list(process.tasks)}")
        process.kill()
        if process is self.service:
            self.later(1.0, self._restart, process)

    def kill_service(self) -> None:
        if (process := self.service) is not None and process.alive:
            self.note("kills", process.name)
            process.kill()
            self.ended[process] = self.loop.time()
            self.later(1.0, self._restart, process)

    def _restart(self, before: Process) -> None:
        if self.service is before:
            self.start_service()

    def signal_service(self, number: int) -> None:
        if self.service is not None:
            self.service.signal(number)

    def wrote(self, process: Process, told: float, seconds: float) -> bool:
        """Whether a process that was told something at that moment must have written it."""
        if process not in self.ended:
            return True
        return self.ended[process] - max(told, self.disk.full_until) > seconds

    # A run

    def run(self, happenings: list[Happening]) -> None:
        """All of it, until everything has settled or something is wrong."""
        with unchanged_but_for_the_world(self):
            self.loop.set_exception_handler(self._unhandled)
            self.health.disturb(2.0, recovery=0.0)
            self.start_service()
            for happening in happenings:
                self.loop.call_at(happening.at, self.happen, happening)
            last = happenings[-1].at if happenings else 0.0
            self.loop.call_at(last + SETTLES_SECONDS, self._settled)
            try:
                self.loop.run_until_complete(self._over)
            finally:
                self.bury()

    def _unhandled(self, _: Any, context: dict[str, Any]) -> None:
        self.wrong(f"{context.get('message')}: {context.get('exception')!r}")

    def _settled(self) -> None:
        self.truth.finish()
        self._leaks()
        if not self._over.done():
            self._over.set_result(None)

    def _leaks(self) -> None:
        process = self.service
        running = self.instances.get(process) if process is not None else None
        if process is None or not process.alive or running is None:
            self.wrong("no service is running at the end")
            return
        assert running._interception is not None
        left = {
            "calls in hand": len(running._interception._calls),
            "reconciliations": len(running._interception._reconciling),
            "open records": len(running._records),
            "records to write": len(running._writer._waiting),
            "forwards in progress": sum(u.at_once for u in running._records.usage._usage.values()),
            "channels": len(self.asterisk.channels),
            "tasks too many": max(0, len(process.tasks) - MOST_TASKS),
            "connections too many": max(0, len(process.transports) - MOST_CONNECTIONS),
            "connections to AMI": sum(m.idle(AMI_SECONDS) for m in self.asterisk.managers),
            "kept ends": sum(key.startswith(f"/{KEPT}/") for key in self.database),
            "other services": sum(p.alive for p in self.instances) - 1,
        }
        if found := {what: count for what, count in left.items() if count}:
            self.wrong(f"leaks: {found}")

    def bury(self) -> None:
        """Let go of everything without letting any of it run."""
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.loop.set_exception_handler(lambda *_: None)
        living = [] if self.service is None else [self.service]
        for process in [*self.loop.graves, *self.ended, *self.instances, *living]:
            for task in process.tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(BaseException):
                    task.get_coro().close()
        self.loop.close()


def expected(error: BaseException) -> bool:
    """Whether the service may end so: with an error it knows, which `run` says in a sentence."""
    if isinstance(error, BaseExceptionGroup):
        return all(expected(one) for one in error.exceptions)
    return isinstance(error, service._EXPECTED)


@contextmanager
def unchanged_but_for_the_world(world: World) -> Iterator[None]:
    """The service's own code, but with the world's clock, store and log."""

    class Moment(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(world.loop.wall(), tz or UTC)

    class Observed(service.Service):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            process = service_process()
            world.instances[process] = self

    def service_process() -> Process:
        from tests.simulation.loop import PROCESS

        process = PROCESS.get()
        assert process is not None
        return process

    def said(_: Any, level: str, event: Any) -> Any:
        world.note("log", level, event.pop("event"), event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[said], wrapper_class=structlog.make_filtering_bound_logger(20))
    try:
        with (
            patch.object(service, "Store", world.disk),
            patch.object(service, "Service", Observed),
            patch.object(service, "datetime", Moment),
            patch.object(service, "AriClient", partial(AriClient, ping_seconds=20.0 * world.patience)),
            patch.object(service, "ExactRings", partial(ExactRings, clock=world.loop.time)),
            patch.object(service, "Publisher", partial(Publisher, check_seconds=world.check_seconds)),
            patch.object(kept_ends, "COLLECT_SECONDS", world.collect_seconds),
            patch.object(service, "process_mark", lambda _: "mark"),
            patch.object(service, "gc", SimpleNamespace(collect=int, freeze=int, set_threshold=lambda *_: None)),
            patch.object(in_force, "configuration", SimpleNamespace(load=lambda _: company.CONFIG)),
            patch.object(missed_ends, "datetime", Moment),
            patch.object(interception, "datetime", Moment),
            patch.object(interception, "time", SimpleNamespace(monotonic=world.loop.time)),
            patch.object(records, "datetime", Moment),
            patch.object(publishing, "datetime", Moment),
            patch.object(publishing, "time", SimpleNamespace(monotonic=world.loop.time, perf_counter=world.loop.time)),
        ):
            yield
    finally:
        structlog.configure(**before)
