"""`python -m comunik_pbx.sandbox run|demo|bench|faults`: what `make run`, `make demo` and so on start."""

import argparse
import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.run import stay_up


def main() -> int:
    """Exit status 0, 1 with the reason in one sentence on standard error, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m comunik_pbx.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="PBX and service, staying up")
    run.add_argument(
        "--extra", type=Path, action="append", default=[], metavar="FILE.toml", help="further configuration"
    )
    commands.add_parser("demo", help="real calls through every kind of forward")
    measure = commands.add_parser("bench", help="decision time and cost per call")
    measure.add_argument("--talk", type=float, default=1.0, metavar="SECONDS", help="how long a call goes on (1)")
    measure.add_argument("--sound", action="store_true", help="calls are heard meanwhile, and fewer a second")
    measure.add_argument("--quick", action="store_true", help="one short round, less than a minute")
    pages = commands.add_parser("bench-portal", help="a change of a rule with 50 users at once, and what calls notice")
    pages.add_argument("--quick", action="store_true", help="one short round")
    fail = commands.add_parser("faults", help="calls while everything around them fails")
    fail.add_argument("names", nargs="*", default=["all"], metavar="NAME", help="kill, stop, … (docs/reliability.md)")
    fail.add_argument("--seconds", type=float, help="how long calls come, instead of each fault's own time")
    fail.add_argument("--per-second", type=float, default=10.0)
    fail.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    arguments = parser.parse_args()
    try:
        return asyncio.run(_until_told(arguments))
    except KeyboardInterrupt:
        return 130
    except SandboxError as error:
        print(f"comunik-pbx sandbox: {error}", file=sys.stderr)
    except OSError as error:
        print(f"comunik-pbx sandbox: {error.filename or 'system'}: {error.strerror}{_hint(error)}", file=sys.stderr)
    return 1


def _hint(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "; it may belong to another user (made with sudo?): delete it, or set COMUNIK_SANDBOX_DIR"
    return ""


async def _until_told(arguments: argparse.Namespace) -> int:
    """Run the command; SIGTERM ends it in order, as Ctrl-C does."""
    layout = Layout.from_environment()
    match arguments.command:
        case "run":
            work = stay_up(layout, tuple(path.absolute() for path in arguments.extra))
        case "demo":
            from comunik_pbx.sandbox.demo import demo  # noqa: PLC0415

            work = demo(layout)
        case "faults":
            from comunik_pbx.sandbox.faults import faults  # noqa: PLC0415

            work = faults(
                layout,
                arguments.names,
                seconds=arguments.seconds,
                per_second=arguments.per_second,
                minutes=arguments.minutes,
            )
        case "bench-portal":
            from comunik_pbx.sandbox.bench_portal import bench_portal  # noqa: PLC0415

            work = bench_portal(layout, quick=arguments.quick)
        case _:
            from comunik_pbx.sandbox.bench import bench  # noqa: PLC0415

            work = bench(layout, quick=arguments.quick, talk_seconds=arguments.talk, sound=arguments.sound)
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGHUP, task.cancel)
    with suppress(asyncio.CancelledError):
        return await task
    return 143


if __name__ == "__main__":
    sys.exit(main())
