"""From what the files say to the configuration: every value checked, then everything against everything.

All problems are collected and reported at once. A value that is wrong is left out of the later checks, so that one
mistake is one message.
"""

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import phonenumbers
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from comunik_pbx.config import settings
from comunik_pbx.config.hints import hint
from comunik_pbx.config.loading import Key, Written, described, dotted, unreadable
from comunik_pbx.forwarding import directory as company
from comunik_pbx.forwarding.cadence import cycle_seconds
from comunik_pbx.forwarding.numbers import NumberFormat, NumberPolicy
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind
from comunik_pbx.forwarding.saving import read_destination, refusal_to_save

T = TypeVar("T", bound=settings.Table)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Checker:
    """One configuration being checked; `written.problems` grows."""

    def __init__(self, written: Written) -> None:
        self.written = written
        values = written.values
        tables = {*settings.TABLES, *settings.NAMED_TABLES}
        general = {key: value for key, value in values.items() if key not in tables}
        known = [*settings.General.model_fields, *tables]
        self.general = self.table(settings.General, general, (), known)
        self.asterisk = self.section(settings.Asterisk, "asterisk")
        self.agi = self.section(settings.Agi, "agi")
        self.store = self.section(settings.Store, "store")
        self.ringing = self.section(settings.Ringing, "ringing")
        self.forwarding = self.section(settings.Forwarding, "forwarding")
        self.prompts = self.section(settings.Prompts, "prompts")
        self.records = self.section(settings.Records, "records")
        self.metrics = self.section(settings.Metrics, "metrics")
        self.portal = self.section(settings.Portal, "portal")

    def section(self, model: type[T], name: str) -> T:
        """A table that stands once and of which every key has a default."""
        return self.table(model, self.written.values.get(name, {}), (name,)) or model()

    def table(self, model: type[T], values: dict[str, Any], at: Key, known: list[str] | None = None) -> T | None:
        """The table checked. Wrong values are reported and left out; None if what is left is not enough."""
        try:
            return model.model_validate(values)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
        for detail in details:
            self._refuse_value(detail, model, values, at, known or list(model.model_fields))
        wrong = {detail["loc"][0] for detail in details}
        try:
            return model.model_validate({key: value for key, value in values.items() if key not in wrong})
        except ValidationError:
            return None

    def _refuse_value(
        self, detail: ErrorDetails, model: type[T], values: dict[str, Any], at: Key, known: list[str]
    ) -> None:
        name = str(detail["loc"][0])
        index = tuple(f"[{part}]" for part in detail["loc"][1:] if isinstance(part, int))
        key = (*at, name, *index)
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, 1)
            right = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(known))}"
            self.written.refuse(key, "unknown key", right)
            return
        right = settings.right(model.model_fields[name])
        if detail["type"] == "missing":
            if self.written.complete:
                self.written.refuse(key, "is missing", right)
            return
        secret = "password" in name and not name.endswith("_file")
        shown = "a wrong value" if secret else described(_at(values, detail["loc"]))
        self.written.refuse(key, f"is {shown}", right)

    # -- the company -------------------------------------------------------------------------------------------

    def directory(self) -> company.Directory | None:
        """Extensions, trunks and numbers. None if nothing can be said about numbers without the country."""
        country = self.general.country if self.general else None
        if country is None or not self._known_country(("country",), country):
            country = None
        allowed = self.forwarding.allowed_countries
        if allowed is not None:
            for number, code in enumerate(allowed):
                self._known_country(("forwarding", "allowed_countries", f"[{number}]"), code)
        numbers = NumberPolicy(
            country=country or "FR",
            allowed_countries=tuple(allowed) if allowed else ((country or "FR",) if allowed is None else ("ZZ",)),
            allow=tuple(self.forwarding.allow),
            deny=tuple(self.forwarding.deny),
        )
        trunks = self._trunks(numbers, check_numbers=country is not None)
        extensions = self._extensions(numbers, check_numbers=country is not None)
        self._unique_endpoints(extensions, trunks)
        self._unique_dids(extensions)
        found = company.Directory.of(
            extensions,
            trunks=tuple(trunks),
            numbers=numbers,
            default_rings=self.ringing.default_rings,
            cycle_seconds=self.ringing.cycle_seconds or cycle_seconds(country or "FR"),
            start_seconds=self.ringing.start_seconds,
            max_hops=self.forwarding.max_hops,
        )
        return found if country is not None else None

    def _known_country(self, key: Key, code: str) -> bool:
        if code in phonenumbers.SUPPORTED_REGIONS:
            return True
        near = {"UK": "GB", "EN": "GB", "EL": "GR"}.get(code)
        right = f'did you mean "{near}"?' if near else 'a country\'s two letters (ISO 3166), such as "FR"'
        self.written.refuse(key, f'no numbering plan is known for "{code}"', right)
        return False

    def _trunks(self, numbers: NumberPolicy, *, check_numbers: bool) -> list[company.Trunk]:
        found = []
        for name, values in self.written.values.get("trunks", {}).items():
            key: Key = ("trunks", name)
            if not re.fullmatch(settings.NAME, name):
                self.written.refuse(key, "is not a usable name", "letters, digits and _ . @ + - only")
                continue
            table = self.table(settings.Trunk, values, key)
            if table is None:
                table = settings.Trunk(dial="PJSIP/{number}@unknown")  # reported; what leads outside is still there
            elif table.dial.count("{number}") != 1 or re.search(r"[{}]", table.dial.replace("{number}", "")):
                right = settings.right(settings.Trunk.model_fields["dial"])
                self.written.refuse((*key, "dial"), f'is "{table.dial}": {{number}} must stand in it once', right)
            number = table.company_number and numbers.e164(table.company_number)
            at = (*key, "company_number")
            if check_numbers and table.company_number and not number:
                self.written.refuse(at, f'"{table.company_number}" is not a telephone number', "such as +33170000100")
            if table.caller_id == "company" and not table.company_number:
                self.written.refuse(at, 'is missing: caller_id is "company"', "a telephone number")
            found.append(
                company.Trunk(
                    name=name,
                    dial=table.dial,
                    endpoints=tuple(table.endpoints),
                    number_format=NumberFormat(table.number_format),
                    caller_id=company.CallerIdPolicy(table.caller_id),
                    company_number=number or None,
                    answer_seconds=table.answer_seconds,
                    progress_seconds=table.progress_seconds,
                    history_info=table.history_info,
                    confirm=table.confirm,
                )
            )
        return found

    def _extensions(self, numbers: NumberPolicy, *, check_numbers: bool) -> list[company.Extension]:
        found = []
        default_language = self.general.language if self.general else "en"
        for name, values in self.written.values.get("extensions", {}).items():
            key: Key = ("extensions", name)
            if not re.fullmatch(settings.EXTENSION, name):
                self.written.refuse(key, "is not an extension", "digits only, such as [extensions.101]")
                continue
            own = {key: value for key, value in values.items() if key != "forward"}
            table = self.table(settings.Extension, own, key, [*settings.Extension.model_fields, "forward"])
            if table is None:
                table = settings.Extension()
            did = []
            for number, written in enumerate(table.did):
                if e164 := numbers.e164(written):
                    did.append(e164)
                elif check_numbers:
                    at = (*key, "did", f"[{number}]")
                    self.written.refuse(at, f'"{written}" is not a telephone number', "such as +33170000101")
            found.append(
                company.Extension(
                    number=name,
                    name=table.name,
                    endpoints=(name,) if table.endpoints is None else tuple(table.endpoints),
                    mailbox=table.mailbox,
                    did=tuple(did),
                    busy=company.BusyPolicy(table.busy),
                    language=table.language or default_language,
                    confirm=table.confirm,
                    outside=table.outside,
                    max_outside_calls=table.max_outside_calls,
                    max_outside_calls_per_day=table.max_outside_calls_per_day,
                )
            )
        return found

    def _unique_endpoints(self, extensions: list[company.Extension], trunks: list[company.Trunk]) -> None:
        owners: dict[str, tuple[str, str]] = {}
        ours = [(("trunks", t.name), f"trunk {t.name}", t.endpoints) for t in trunks]
        ours += [(("extensions", e.number), f"extension {e.number}", e.endpoints) for e in extensions]
        for key, owner, endpoints in ours:
            for endpoint in endpoints:
                kind, other = owners.setdefault(endpoint, (key[0], owner))
                at = (*key, "endpoints")
                if other == owner:
                    continue
                if kind != key[0]:
                    what = f'"{endpoint}" is also an endpoint of {other}: its calls cannot be both inside and outside'
                    self.written.refuse(at, what, "each endpoint is a trunk's or an extension's")
                else:
                    self.written.refuse(at, f'"{endpoint}" is also an endpoint of {other}', "each endpoint once")

    def _unique_dids(self, extensions: list[company.Extension]) -> None:
        owners: dict[str, str] = {}
        for extension in extensions:
            for did in extension.did:
                other = owners.setdefault(did, extension.number)
                if other != extension.number:
                    key = ("extensions", extension.number, "did")
                    self.written.refuse(key, f"{did} is also a DID of extension {other}", "each DID once")

    # -- default rules -----------------------------------------------------------------------------------------

    def default_rules(self, directory: company.Directory) -> dict[str, ExtensionRules]:
        """The rules that `[extensions.X.forward.KIND]` give, without those that are refused."""
        found: dict[str, ExtensionRules] = {}
        for number, values in self.written.values.get("extensions", {}).items():
            forwards = values.get("forward", {})
            if number not in directory.extensions:
                continue
            rules: dict[str, Rule] = {}
            for kind, written in forwards.items():
                key: Key = ("extensions", number, "forward", kind)
                if kind not in settings.KINDS:
                    near = difflib.get_close_matches(kind, settings.KINDS, 1)
                    right = f"did you mean {near[0]}?" if near else f"one of {', '.join(settings.KINDS)}"
                    self.written.refuse(key, "unknown kind of rule", right)
                elif not isinstance(written, dict):
                    self.written.refuse(key, f"is {described(written)}, not a table", f"a table [{dotted(key)}]")
                elif rule := self._rule(number, kind, written, key, directory):
                    rules[kind] = rule
            if rules:
                found[number] = ExtensionRules(**rules)
        self._refuse_cycles(found, directory)
        return found

    def _rule(
        self, number: str, kind: str, values: dict[str, Any], key: Key, directory: company.Directory
    ) -> Rule | None:
        table = self.table(settings.Forward, values, key)
        if table is None:
            return None
        rings = directory.default_rings if table.rings is None else table.rings
        if kind == "always":
            rings = 0
            if table.rings:
                self.written.notes.append(f"{self.written.file_of(key)}: {dotted(key)}.rings: always never rings")
        to = read_destination(table.to, directory)
        if isinstance(to, Refusal):
            self._refuse_destination(key, to, directory)
            return None
        rule = Rule(
            extension=number,
            kind=RuleKind(kind),
            to=to,
            rings=rings,
            enabled=table.enabled,
            until=table.until,
            locked=table.locked,
        )
        if refusal := refusal_to_save(rule, directory, {}):
            self._refuse_destination(key, refusal, directory)
            return None
        return rule

    def _refuse_destination(self, key: Key, refusal: Refusal, directory: company.Directory) -> None:
        if refusal.code is RefusalCode.UNKNOWN_EXTENSION and not self.written.complete:
            return  # it may stand in the file that could not be read
        if refusal.code is RefusalCode.NO_MAILBOX and self.written.values["extensions"][key[1]].get("mailbox"):
            return  # it is wrong, and that is reported
        self.written.refuse((*key, "to"), refusal.words(), hint(refusal, directory))

    def _refuse_cycles(self, rules: dict[str, ExtensionRules], directory: company.Directory) -> None:
        reported: set[frozenset[str]] = set()
        for number, its in rules.items():
            if its.always is None:
                continue
            refusal = refusal_to_save(its.always, directory, rules)
            if refusal is None:
                continue
            members = frozenset(refusal.about.split(" → "))
            if members not in reported:
                reported.add(members)
                self._refuse_destination(("extensions", number, "forward", "always"), refusal, directory)

    # -- secrets and paths -------------------------------------------------------------------------------------

    def password(self, which: str) -> str:
        """The password of `ari` or `ami`: from the environment, a file, or inline. Empty if wrong, or without ARI."""
        if which == "ari" and not self.asterisk.ari:
            return ""
        variable = f"COMUNIK_PBX_{which.upper()}_PASSWORD"
        inline: str | None = getattr(self.asterisk, f"{which}_password")
        file: str | None = getattr(self.asterisk, f"{which}_password_file")
        key: Key = ("asterisk", f"{which}_password_file")
        if inline and file:
            self.written.refuse(("asterisk", f"{which}_password"), f"is given, and {which}_password_file too", "one")
        if from_environment := os.environ.get(variable):
            return self._one_line(from_environment, key, f"the environment's {variable}")
        if inline:
            return self._one_line(inline, ("asterisk", f"{which}_password"), "the password")
        if not file:
            given = self.written.values.get("asterisk", {})
            if self.written.complete and not {f"{which}_password_file", f"{which}_password"} & set(given):
                self.written.refuse(
                    key, "is missing: no password is given", f"a file, or {variable} in the environment"
                )
            return ""
        return self._password_from(self.written.file_of(key).parent / file, key)

    def _password_from(self, path: Path, key: Key) -> str:
        try:
            with path.open(encoding="utf-8") as secret:
                text = secret.read(4096)
            readable_by_all = path.stat().st_mode & 0o004
        except (OSError, ValueError) as error:
            self.written.problems.append(unreadable(path, dotted(key), error, named_in=self.written.file_of(key)))
            return ""
        if readable_by_all:
            self.written.notes.append(f"{path}: every user of this machine may read this secret (chmod 640)")
        return self._one_line(text.strip("\r\n"), key, str(path))

    def _one_line(self, secret: str, key: Key, where: str) -> str:
        if secret and secret.isprintable() and secret == secret.strip():
            return secret
        what = f"{where} is empty" if not secret else f"{where} holds more than one line or spaces around it"
        self.written.refuse(key, what, "one line, the password alone")
        return ""

    def store_url(self) -> str:
        """The store's URL, with a relative SQLite file made absolute from the file that names it."""
        variable = "COMUNIK_PBX_STORE_URL"
        key: Key = ("store", "url")
        written = self.store.url
        base = self.written.file_of(key).parent
        if from_environment := os.environ.get(variable):
            if not re.fullmatch(settings.STORE_URL, from_environment):
                right = settings.right(settings.Store.model_fields["url"])
                self.written.refuse(key, f"the environment's {variable} is not a store", right)
                return ""
            written, base = from_environment, Path.cwd()
        if not written.startswith("sqlite:///"):
            return written
        return f"sqlite:///{os.path.abspath(base / written.removeprefix('sqlite:///'))}"

    def metrics_listen(self) -> tuple[str, int] | None:
        """Host and port for metrics."""
        return self._listen("metrics", self.metrics)

    def portal_listen(self) -> tuple[str, int] | None:
        """Host and port of the portal."""
        self._networks("portal", "trusted_proxies", self.portal)
        if self.portal.dial_context and not self.asterisk.ari:
            self.written.notes.append("portal.dial_context: without ARI (asterisk.ari) the keypad does not call")
        return self._listen("portal", self.portal)

    def agi_listen(self) -> tuple[str, int] | None:
        """Host and port where calls ask by FastAGI; refused if nothing could ask for a plan at all."""
        if not self.asterisk.ari and self.agi.listen is None and self.written.complete:
            right = 'true, or listen = "127.0.0.1:4573" under [agi]'
            self.written.refuse(("asterisk", "ari"), "is false, and calls cannot ask by AGI either", right)
        return self._listen("agi", self.agi)

    def agi_allow(self) -> tuple[Network, ...]:
        """Whose questions are heard."""
        return self._networks("agi", "allow", self.agi)

    def _networks(self, name: str, key: str, table: settings.Table) -> tuple[Network, ...]:
        found: list[Network] = []
        for place, network in enumerate(getattr(table, key)):
            try:
                found.append(ipaddress.ip_network(network, strict=False))
            except ValueError:
                right = settings.right(type(table).model_fields[key])
                self.written.refuse((name, key, f"[{place}]"), f'is "{network}"', right)
        return tuple(found)

    def _listen(self, name: str, table: settings.Agi | settings.Metrics | settings.Portal) -> tuple[str, int] | None:
        if table.listen is None:
            return None
        host, _, port = table.listen.rpartition(":")
        if not 0 < int(port) < 65536:
            right = settings.right(type(table).model_fields["listen"])
            self.written.refuse((name, "listen"), f'"{table.listen}" has no usable port', right)
        return host.strip("[]"), int(port)

    def ari_url(self) -> str:
        """ARI's base URL without a trailing slash."""
        url = self.asterisk.ari_url
        try:
            if urlsplit(url).port == 0:
                raise ValueError
        except ValueError:
            right = settings.right(settings.Asterisk.model_fields["ari_url"])
            self.written.refuse(("asterisk", "ari_url"), f'"{url}" has no usable port', right)
        return url.rstrip("/")


def _at(values: Any, loc: tuple[int | str, ...]) -> Any:
    for part in loc:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return values
    return values
