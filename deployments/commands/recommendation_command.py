"""`watchkeeper get-recommendations`: what is probably wrong, and what to do next."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from deployments.commands.check_fork import measured_with_evidence
from deployments.commands.check_output import plain, print_json, print_table
from deployments.errors import WrongUseError
from storage.settings import load
from tasks.analyze.host_advice import RULES, Advised, Part, about_host, by_rules
from tasks.analyze.providers import PROVIDERS, build
from tasks.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from rich.text import Text

    from storage.tables import IntelligenceProvider
    from tasks.analyze.offers import Offer

# What concerns the database or an AI provider is imported where it is needed: most questions need neither.

# The largest number that fits into a column of ids.
ID_MAX = 2**63 - 1
COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def get_recommendations(
    *,
    incident_id: Annotated[
        int | None, Parameter(help="Ask about this incident.", validator=Number(gte=1, lte=ID_MAX))
    ] = None,
    memory: Annotated[
        bool, Parameter(help="Only about this host's memory and swap.", negative="", show_default=False)
    ] = False,
    disk: Annotated[
        bool,
        Parameter(
            help="Only about this host's disks, with a look at what could be deleted.",
            negative="",
            show_default=False,
        ),
    ] = False,
    provider: Annotated[
        str | None, Parameter(help="Ask this kind of provider, as it is saved or with its defaults.")
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print JSON, as the API answers it.", negative="", show_default=False)
    ] = False,
    list_providers: Annotated[
        bool,
        Parameter(
            help="List the kinds of providers and what they need, and ask nobody.", negative="", show_default=False
        ),
    ] = False,
) -> None:
    """Ask, and print the answer. The help text stands in cli.py."""
    if list_providers:
        if incident_id is not None or provider is not None or memory or disk:
            raise WrongUseError("--list-providers asks nobody: leave out what is to be asked, and of whom")
        _list(as_json=as_json)
        return
    if provider is not None and provider not in PROVIDERS:
        raise WrongUseError(f"--provider: {provider!r} is none of {', '.join(PROVIDERS)}")
    parts = [part for part, is_wanted in ((Part.MEMORY, memory), (Part.DISK, disk)) if is_wanted]
    if incident_id is not None and parts:
        raise WrongUseError("--incident-id: leave out --memory and --disk, which are about this host alone")
    form = _advised(incident_id, parts, provider).as_json()
    if as_json:
        print_json(form)
    else:
        _print(form)


def _advised(incident_id: int | None, parts: list[Part], kind: str | None) -> Advised:
    if incident_id is None and kind in (None, RULES):
        return by_rules(about_host(parts, by=measured_with_evidence))
    from deployments.installed import installed_database, is_installed  # noqa: PLC0415
    from storage.transitions import IncidentNotFoundError  # noqa: PLC0415
    from tasks.analyze.advice import about_incident, advise, chosen, with_readings  # noqa: PLC0415

    settings = load()
    if not is_installed(settings):
        if incident_id is not None:
            raise IncidentNotFoundError(f"there is no incident {incident_id}: Watchkeeper has not run here yet")
        if (fault := _fault(kind or RULES)) is not None:
            return _in_place_of(kind or RULES, fault, parts)
    with installed_database(settings) as database:
        with database.read() as session:
            question = None if incident_id is None else about_incident(session, incident_id)
            provider = chosen(session, kind)
        return advise(with_readings(question) if question else about_host(parts), provider)


def _fault(kind: str) -> PermanentError | TransientError | None:
    """What keeps this kind from being asked with its defaults, so that no database is made to write that down."""
    try:
        build(kind, {})
    except (PermanentError, TransientError) as error:
        return error
    return None


def _in_place_of(kind: str, fault: PermanentError | TransientError, parts: list[Part]) -> Advised:
    if not load().intelligence_fallback_enabled:
        raise fault
    return by_rules(about_host(parts, by=measured_with_evidence), instead_of=kind, fault=fault)


def _print(form: Mapping[str, Any]) -> None:
    from rich.text import Text  # noqa: PLC0415  (JSON needs none of it)

    if form["provider_error"]:
        sys.stderr.write(f"watchkeeper: {form['provider_error']}; the local rules answer instead\n")
    print_table((), (), before=Text("\n").join(_lines(form)))


def _lines(form: Mapping[str, Any]) -> Iterator["Text"]:
    yield from _paragraph(form["summary"], style="bold")
    if form["probable_cause"]:
        yield from _paragraph(f"Probable cause: {form['probable_cause']}")
    yield plain(_origin(form), "dim")
    for number, step in enumerate(form["recommendations"], start=1):
        yield plain("")
        yield plain(f"{number}. {step['title']} ({step['type']}, {step['priority']})", COLOURS[step["priority"]])
        yield from _paragraph(step["description"], indent="   ")
        for action in step["actions"]:
            yield from _paragraph(action, indent="   - ")


def _paragraph(text: str, *, indent: str = "", style: str = "") -> Iterator["Text"]:
    return (plain(f"{indent}{line}", style) for line in text.splitlines())


def _origin(form: Mapping[str, Any]) -> str:
    is_local = form["provider"] == RULES
    author = "the local rules" if is_local else f"{form['provider']} ({form['model_name']})"
    sureness = "" if form["confidence"] is None else f", {100 * form['confidence']:.0f} % sure"
    return f"By {author}{sureness}{', as answered before' if form['is_cached'] else ''}."


def _list(*, as_json: bool) -> None:
    from tasks.analyze.offers import offers, saved_fields  # noqa: PLC0415

    rows = _saved()
    if as_json:
        saved = [saved_fields(row) for row in rows]
        print_json({"providers": [offer.model_dump() for offer in offers()], "saved": saved})
        return
    cells = [[plain(cell) for cell in (*_needs(offer), _names(rows, offer.provider))] for offer in offers()]
    print_table(("provider", "default model", "key", "package", "saved as"), cells)


def _saved() -> "Sequence[IntelligenceProvider]":
    from deployments.installed import installed_database, is_installed  # noqa: PLC0415
    from storage.providers import list_providers  # noqa: PLC0415

    settings = load()
    if not is_installed(settings):
        return []
    with installed_database(settings) as database, database.read() as session:
        return list_providers(session)


def _needs(offer: "Offer") -> tuple[str, ...]:
    from tasks.analyze.providers.ai import EXTRA  # noqa: PLC0415

    key = (
        f"{offer.key_variable} is {'set' if offer.is_key_set else 'not set'}" if offer.needs_key else "needs none"
    )
    return offer.provider, offer.model, key, "installed" if offer.is_installed else f"needs {EXTRA}"


def _names(rows: "Sequence[IntelligenceProvider]", kind: str) -> str:
    of_kind = [row for row in rows if row.provider == kind]
    return ", ".join(f"{row.name} (active)" if row.is_active else row.name for row in of_kind)
