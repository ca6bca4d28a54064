"""Figures for Prometheus: how calls are decided, whether Asterisk is there, how far behind anything is.

    [metrics] listen → GET /metrics → what the parts of the service have counted, read at this moment

Nothing is counted here, so that a call costs the same with and without it.
"""

import asyncio
from collections.abc import Callable, Iterator

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from comunik_pbx import __version__
from comunik_pbx.calls.agi_entry import AgiEntry
from comunik_pbx.calls.figures import DECISION_BOUNDS, DecisionFigures
from comunik_pbx.calls.interception import Interception
from comunik_pbx.calls.publishing import Publisher
from comunik_pbx.calls.record_writer import RecordWriter
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import SnapshotSource

log = structlog.get_logger(__name__)

LISTEN_AGAIN_SECONDS = 2.0
"""The port may still be that of the service which this one replaces."""


class Figures:
    """A collector for prometheus_client: every figure there is, with its name and what it means."""

    def __init__(
        self,
        *,
        decisions: DecisionFigures,
        interception: Interception | None,
        agi: AgiEntry | None,
        records: Records,
        writer: RecordWriter,
        publisher: Publisher,
        snapshot: SnapshotSource,
        ami_connected: Callable[[], bool],
        new_targets: Callable[[], int],
    ) -> None:
        self._decisions = decisions
        self._interception = interception
        self._agi = agi
        self._records = records
        self._writer = writer
        self._publisher = publisher
        self._snapshot = snapshot
        self._ami_connected = ami_connected
        self._new_targets = new_targets

    def collect(self) -> Iterator[Metric]:
        """All figures as they are now."""
        yield from self._asterisk()
        yield from self._calls()
        yield from self._publication()
        yield _gauge("records_waiting", "Call records not yet in the store.", self._writer.waiting)
        yield _counter("records_lost", "Call records given up: the store took none for too long.", self._writer.lost)
        yield _gauge("store_failing", "1 if the store refused the last records.", self._writer.failing)
        yield _gauge("extensions", "Extensions of the configuration.", len(self._snapshot().directory.extensions))
        new = "Outside numbers set as destinations by extensions that never had them before."
        yield _counter("new_outside_targets", new, self._new_targets())
        yield InfoMetricFamily("comunik", "The version of comunik-pbx.", {"version": __version__})

    def _asterisk(self) -> Iterator[Metric]:
        if self._interception is not None:
            socket = "1 if calls are decided: the event socket stands."
            yield _gauge("ari_connected", socket, self._interception.connected)
        reached = "1 if AMI answered when it was last needed: plans are published."
        yield _gauge("ami_connected", reached, self._ami_connected())

    def _calls(self) -> Iterator[Metric]:
        figures = self._decisions
        bounds = [*map(str, DECISION_BOUNDS), "+Inf"]
        counts = [sum(figures.buckets[: place + 1]) for place in range(len(bounds))]
        histogram = HistogramMetricFamily(
            "comunik_decision_seconds", "From a call's event until Asterisk has its plan, of calls decided live."
        )
        histogram.add_metric([], list(zip(bounds, map(float, counts), strict=True)), figures.seconds)
        yield histogram
        fallen = CounterMetricFamily(
            "comunik_calls_not_decided",
            "Calls left to their fallback plans though the service was there.",
            labels=["why"],
        )
        for why, count in figures.fallen.items():
            fallen.add_metric([why.value], count)
        yield fallen
        undecided = sum(entry.undecided for entry in (self._interception, self._agi) if entry is not None)
        yield _gauge("calls_undecided", "Calls being decided now.", undecided)
        yield _gauge("calls_open", "Calls decided live that have not ended.", len(self._records))
        ended = CounterMetricFamily(
            "comunik_calls", "Calls ended, by who decided them and how they ended.", labels=["decided", "status"]
        )
        for (decided, status), count in self._records.counted.items():
            ended.add_metric([decided, status], count)
        yield ended

    def _publication(self) -> Iterator[Metric]:
        publisher = self._publisher
        behind = "How long the oldest change waits to be published; 0 if Asterisk has all."
        yield _gauge("publication_behind_seconds", behind, publisher.behind_seconds)
        if publisher.lag_seconds is not None:
            lag = "How long the newest change took until Asterisk had it."
            yield _gauge("publication_lag_seconds", lag, publisher.lag_seconds)
        yield _gauge(
            "publication_pending_entries", "AstDB entries known to differ, not yet written.", publisher.pending
        )
        yield _counter("published_entries", "AstDB entries written and deleted.", publisher.written)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"comunik_{name}", what, value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"comunik_{name}", what, value)


async def serve(address: tuple[str, int], figures: Figures) -> None:
    """Answer GET /metrics at a host and port until cancelled. A port that is taken is tried again."""
    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)  # memory, CPU and open files of this process

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    host, port = address
    told = False
    try:
        while True:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                if not told:
                    log.warning("metrics cannot be offered for now", listen=f"{host}:{port}", why=error.strerror)
                told = True
                await asyncio.sleep(LISTEN_AGAIN_SECONDS)
            else:
                log.info("metrics", url=f"http://{host}:{port}/metrics")
                await asyncio.Event().wait()
    finally:
        await runner.cleanup()
