"""`comunik-pbx run` and `comunik-pbx reload`: the service, and telling it to read its configuration again."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comunik_pbx.cli.output import ConfigOption, JsonOption, Refused, command, load, opened, print_json, store_exists

if TYPE_CHECKING:
    from comunik_pbx.config import Config
    from comunik_pbx.store import Service, Store


@command
def run(config: ConfigOption = None) -> None:
    """The service: decides every incoming call, until it is stopped. Reloads on SIGHUP."""
    from comunik_pbx import config as configuration  # noqa: PLC0415
    from comunik_pbx import service  # noqa: PLC0415

    status: Any = service.run(configuration.find(config))
    raise typer.Exit(int(status or 0))


@command
async def reload(
    wait: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for the service's answer.", min=0.1, max=600)
    ] = 10.0,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Have the running service read its configuration again. A bad file is reported here and changes nothing."""
    loaded = load(config)
    if not store_exists(loaded):
        raise Refused(_nobody(loaded))
    async with opened(loaded) as store:
        before = await _running(store, loaded)
        try:
            os.kill(before.pid, signal.SIGHUP)
        except ProcessLookupError:
            raise Refused(_nobody(loaded)) from None
        except PermissionError:
            raise Refused(
                f"the service (process {before.pid}) belongs to another user; run this as that user or as root"
            ) from None
        after = await _answer(store, before, wait)
    if after.load_outcome:
        raise Refused(f"the service refused its configuration and goes on with the one before:\n{after.load_outcome}")
    if json:
        print_json({"pid": after.pid, "config": after.config, "loaded_at": after.loaded_at.isoformat()})
    else:
        typer.echo(f"reloaded: process {after.pid} now works with {after.config}")


async def _running(store: "Store", config: "Config") -> "Service":
    service = await store.service()
    if service is None or not service.running:
        raise Refused(_nobody(config))
    if not _same_file(service.config, config.path):
        raise Refused(
            f"the running service (process {service.pid}) uses {service.config}, not {config.path}; "
            f"right: comunik-pbx reload --config {service.config}"
        )
    return service


async def _answer(store: "Store", before: "Service", seconds: float) -> "Service":
    after = await store.next_load(before, seconds)
    if after is None or after.process != before.process:
        now = await store.service()
        what = f"has not answered in {seconds:g} s" if now is not None and now.running else "ended"
        raise Refused(f"the service (process {before.pid}) {what}; see its log")
    return after


def _same_file(one: str, other: Path) -> bool:
    return Path(one).resolve() == other.resolve()


def _nobody(config: "Config") -> str:
    return f"no service runs with {config.path}; start it with `comunik-pbx run` (or systemctl start comunik-pbx)"
