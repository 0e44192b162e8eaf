"""Who is asked what is wrong."""

from typing import Any

from flask import g, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import providers
from storage.records import ProviderConfig
from storage.tables import AnalysisRun, IntelligenceProvider
from tasks.analyze.health import health_of, without_blocks
from tasks.analyze.providers import build
from tasks.analyze.trial import told_tokens, try_provider
from tasks.errors import PermanentError, TransientError
from webhook_app.console import cells, formats
from webhook_app.console.links import row_link
from webhook_app.console.row_actions import Deed, FailedError, RefusedError, RowAction
from webhook_app.console.table_view import Related, TableView
from webhook_app.console.views.analyses import LONG_FIELDS
from webhook_app.places import advising

ASK_SECONDS = 60.0
NEWEST_SHOWN = 10


def _found(deed: Deed) -> ProviderConfig:
    with deed.database.read() as session:
        row = session.get(IntelligenceProvider, deed.pk)
        if row is None:
            raise RefusedError(f"there is no provider {deed.pk} any more")
        return ProviderConfig(name=row.name, provider=row.provider, config=row.config)


def _activate(deed: Deed) -> None:
    found = _found(deed)
    # Before the transaction: what could not be asked is refused now, while somebody looks.
    build(found.provider, without_blocks(found.config))
    with deed.write() as session:
        if not providers.activate(session, found.name):
            raise RefusedError(f"there is no provider {found.name} any more")
        deed.said = f"{found.name} answers from now on"


def _disable(deed: Deed) -> None:
    found = _found(deed)
    with deed.write() as session:
        if not providers.switch_off(session, found.name):
            raise RefusedError(f"{found.name} is not active")
        deed.said = "the local rules answer from now on"


def _test(deed: Deed) -> None:
    found = _found(deed)
    try:
        with advising():
            tried = try_provider(found, within_seconds=ASK_SECONDS)
    except (PermanentError, TransientError) as error:
        raise FailedError(f"{found.name}: {error}") from None
    deed.said = f"{found.name} answered in {tried.seconds:.1f} s, tokens {told_tokens(tried.analysis)}: " + (
        formats.shortened(tried.analysis.summary)
    )


class ProviderView(TableView):
    """One row: one provider."""

    table = IntelligenceProvider
    noun = "provider"
    columns = ("name", "provider", "is_active", "description", "updated_at")
    details = ("name", "provider", "is_active", "description", "config", "created_at", "updated_at")
    exported = ("id", *columns, "created_at")
    labels = {"provider": "Kind", "is_active": "Active", "updated_at": "Updated", "created_at": "Created"}
    orders = (IntelligenceProvider.name,)
    is_highest_first = False
    detail_template = "console/provider.html"
    list_template = "console/providers.html"
    empty_hint = "The local rules answer. An AI is added by command: watchkeeper providers add"
    search_hint = "name"
    row_actions = (
        RowAction(
            name="activate",
            label="Make active",
            done="made active",
            do=_activate,
            refusals=(PermanentError, TransientError),
            asks="It answers from now on for every run whose definition names no provider, instead of any other.",
            fits=lambda row: not row.is_active,
            is_bulk=False,
        ),
        RowAction(
            name="disable",
            label="Disable",
            done="disabled",
            do=_disable,
            asks="The local rules answer from now on.",
            fits=lambda row: row.is_active,
            is_grave=True,
            is_bulk=False,
        ),
        RowAction(
            name="test",
            label="Test",
            done="tested",
            do=_test,
            asks="It is asked something small: that costs some hundred tokens and tells it nothing of this host.",
            is_bulk=False,
        ),
    )

    formatters = {"name": lambda view, _context, row, _name: view.link(row, row.name)}

    def __init__(self) -> None:
        super().__init__(name="Providers", endpoint="provider_rows", url="providers")

    def title_of(self, row: Any) -> str:
        """Its name."""
        return f"Provider {row.name}"

    def render(self, template: str, **given: Any) -> str:
        """Say on the list who would be asked now, and what the day's tokens stand at."""
        if template == self.list_template:
            given["health"] = health_of(g.session)
        page: str = super().render(template, **given)
        return page

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """How it stands if it is the active one, and what this kind of provider was asked last."""
        of_kind = select(AnalysisRun).where(AnalysisRun.provider == row.provider).options(*LONG_FIELDS)
        newest = session.scalars(of_kind.order_by(AnalysisRun.created_at.desc()).limit(NEWEST_SHOWN)).all()
        asked = Related(
            "Asked last",
            (
                "id",
                "status",
                "model_name",
                "incident_id",
                "total_tokens",
                "duration_ms",
                "error_message",
                "created_at",
            ),
            newest,
            url=url_for("analysis_rows.index_view", provider=row.provider),
            formatters={
                "id": lambda _view, _context, each, _name: row_link("analysis_rows", each.id),
                "incident_id": cells.incident,
                "duration_ms": cells.milliseconds,
            },
        )
        return {"health": health_of(session) if row.is_active else None, "related": [asked]}
