"""A list and a page per row, of one table: what the console's views have in common.

Flask-Admin brings the pages' plumbing; reading is ours (storage/pages.py), because its own counts and numbers
pages, which takes longer the more rows there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

from flask import abort, flash, g, redirect, request, url_for
from flask_admin import expose
from flask_admin.model import BaseModelView
from jinja2 import pass_context
from markupsafe import Markup
from sqlalchemy import inspect, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session, load_only
from sqlalchemy.orm.interfaces import ORMOption
from werkzeug.wrappers import Response
from wtforms import Form

from storage import leads, search
from storage import pages as row_pages
from storage.pages import Order
from webhook_app import query
from webhook_app.console import formats
from webhook_app.console.access import may_act, operator, person
from webhook_app.console.filters import Filter
from webhook_app.console.links import link, search_link
from webhook_app.console.paths import is_within
from webhook_app.console.row_actions import ROWS_MAX, RowAction, do_all, told
from webhook_app.console.wish import Wish, place_text, read_place, read_wish
from webhook_app.query import QueryError
from webhook_app.state import state

PAGE_ROWS = 50
COUNTED_ROWS = 1000
CSV_ROWS = 10_000
# A file is made of more rows than a page, so more may be looked at for it.
WALKED_FOR_A_ROW = 20
READ_SECONDS = 10
# By these the search finds all that belongs to them.
SEARCHED = frozenset({"trace_id", "fingerprint", "alert_fingerprint", "hostname"})


@dataclass(frozen=True)
class Related:
    """Rows of another table that belong to a row, on its page; `url` leads to all of them."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Any]
    url: str = ""
    formatters: Mapping[str, Any] = field(default_factory=dict)


class TableView(BaseModelView):
    """One table. A subclass sets `table`, `noun`, `columns`, `details` and what else it has, and is in VIEWS.

    `orders` are the columns that the list may be sorted by; each is never NULL and has an index. By the first it
    is read where nobody says otherwise, from the highest down if `is_highest_first`. `led_by`: see `read_wish`.
    """

    table: ClassVar[Any]
    noun: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    details: ClassVar[tuple[str, ...]]
    labels: ClassVar[Mapping[str, str]] = {}
    formatters: ClassVar[Mapping[str, Any]] = {}
    orders: ClassVar[tuple[InstrumentedAttribute[Any], ...]]
    filters: ClassVar[tuple[Filter, ...]] = ()
    led_by: ClassVar[tuple[str, ...]] = ()
    is_highest_first: ClassVar[bool] = True
    row_actions: ClassVar[tuple[RowAction, ...]] = ()
    list_options: ClassVar[tuple[ORMOption, ...]] = ()
    # What the CSV has, where that is not the list's and the page's columns; and what of it is made another way.
    exported: ClassVar[tuple[str, ...]] = ()
    export_formatters: ClassVar[Mapping[str, Any]] = {}
    search_hint: ClassVar[str] = "id, trace or host"
    # What an empty list says, so that a newcomer knows what fills it.
    empty_hint: ClassVar[str] = ""
    detail_template: ClassVar[str] = "console/details.html"

    can_create = can_edit = can_delete = False
    can_view_details = can_export = True
    page_size = PAGE_ROWS
    export_max_rows = CSV_ROWS
    list_template = "console/list.html"
    # Its forms, which `can_create` and so on only hide. What is not there needs no guard and no time.
    create_view = edit_view = delete_view = ajax_lookup = ajax_update = None

    def __init__(self, **options: Any) -> None:
        # Flask-Admin's own names for what the subclass declares.
        self.column_list = list(self.columns)
        self.column_details_list = list(self.details)
        self.column_export_list = list(self.exported or dict.fromkeys(("id", *self.columns, *self.details)))
        self.column_labels = dict(self.labels)
        self.column_formatters = dict(self.formatters)
        self.column_formatters_export = dict(self.export_formatters)
        self.column_type_formatters = formats.IN_LISTS
        self.column_type_formatters_detail = formats.IN_DETAILS
        self.column_type_formatters_export = formats.IN_CSV
        self.column_sortable_list = [column.key for column in self.orders]
        self.details_template = self.detail_template
        super().__init__(self.table, **options)

    # What Flask-Admin asks of a model's view.

    def get_pk_value(self, model: Any) -> Any:
        """The row's number."""
        return model.id

    def scaffold_list_columns(self) -> list[str]:
        """All are declared."""
        return []

    def scaffold_sortable_columns(self) -> dict[Any, Any]:
        """All are declared."""
        return {}

    def scaffold_form(self) -> Any:
        """Rows are changed by actions only."""
        return Form

    def get_column_name(self, field: str) -> str:
        """What people call a column."""
        return self.labels.get(field) or formats.label(field)

    @pass_context
    def get_detail_value(self, context: Any, model: Any, name: str) -> Any:
        """A value on a row's page; what other rows have as well leads to them all."""
        if name in SEARCHED and isinstance(value := getattr(model, name, None), str):
            return search_link(value) or formats.NOTHING
        return super().get_detail_value(context, model, name)

    def init_search(self) -> bool:
        """Whether there is a box to search in."""
        return bool(search.can_search(self.table))

    def is_accessible(self) -> bool:
        """Whoever is known may look."""
        return person() is not None

    def get_list(  # noqa: PLR0917  (Flask-Admin's own)
        self,
        page: int | None,
        sort_field: str | None,
        sort_desc: bool | None,
        search: str | None,
        filters: Any,
        page_size: int | None = None,
    ) -> tuple[int | None, list[Any]]:
        """The rows of a page, and nothing for their number; what the template needs besides is in `g`."""
        del page, filters
        limit = page_size or PAGE_ROWS
        g.fault, g.next_place, g.counted, g.looked_to = "", "", "", None
        try:
            order = self._order(sort_field, is_descending=bool(sort_desc) if sort_field else self.is_highest_first)
            wish = read_wish(
                g.session, request.args, self.table, self.filters, search_text=search or "", led_by=self.led_by
            )
            after = read_place(request.args.get("after", ""), order.column)
        except QueryError as error:
            g.fault = str(error)
            return None, []
        g.wish = wish
        rows = self._read_rows(wish, order, after, limit)
        self.complete(g.session, rows)
        return None, rows

    def get_one(self, id: Any) -> Any:  # noqa: A002  (Flask-Admin's name)
        """The row of that number."""
        pk = query.read_id(str(id))
        return None if pk is None else g.session.get(self.table, pk)

    # The pages.

    @expose("/")
    def index_view(self) -> Any:
        """The list."""
        with reading():
            page = super().index_view()
        return (page, 400) if g.get("fault") else page

    @expose("/details/")
    def details_view(self) -> Any:
        """One row with everything around it."""
        with reading():
            row = self.get_one(request.args.get("id", ""))
            if row is None:
                abort(404, f"there is no {self.noun} of that number")
            return self.render(
                self.detail_template,
                model=row,
                title=self.title_of(row),
                details_columns=self._details_columns,
                get_value=self.get_detail_value,
                buttons=self.buttons(row),
                **self.around(g.session, row),
            )

    @expose("/export/<export_type>/")
    def export(self, export_type: str) -> Any:
        """The list as a file, to CSV_ROWS rows."""
        with reading():
            response = super().export(export_type)
            # Read to its end while the session is there.
            response.set_data(response.get_data())
            return response

    @expose("/action/", methods=("POST",))
    def action_view(self) -> Response | str:
        """Do an action to one or several rows, or first ask whether to."""
        who = operator()
        action = next((each for each in self.row_actions if each.name == request.form.get("action")), None)
        pks = [pk for given in request.form.getlist("rowid") if (pk := query.read_id(given)) is not None]
        back = self._back()
        if action is None or not pks:
            flash("choose an action" if action is None else f"choose at least one {self.noun}", "refused")
            return redirect(back)
        if len(pks) > (most := ROWS_MAX if action.is_bulk else 1):
            flash(f"at most {most} at a time", "refused")
            return redirect(back)
        inputs = {each.name: request.form.get(each.name, "").strip() for each in action.inputs}
        faults = _faults(action, inputs)
        if action.is_asked and (faults or "confirmed" not in request.form):
            shown = faults if "confirmed" in request.form else {}
            with reading():
                return self._ask(action, pks, inputs, shown, back)
        outcomes = do_all(action, self.table.__tablename__, pks, person=who, inputs=inputs)
        for category, message in told(action, self.noun, outcomes):
            flash(message, category)
        return redirect(back)

    # What subclasses may say.

    def title_of(self, row: Any) -> str:
        """What a row is called at the head of its page."""
        return f"{self.noun.capitalize()} {row.id}"

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """What else the page of a row is given; `related`: a sequence of Related."""
        del session, row
        return {"related": []}

    def complete(self, session: Session, rows: Sequence[Any]) -> None:
        """Give the rows of a list what its columns need besides, in a fixed number of statements for them all."""

    # What the templates ask.

    def buttons(self, row: Any) -> list[RowAction]:
        """What the present person may do to a row as it stands."""
        return [each for each in self.row_actions if each.fits(row)] if may_act() else []

    def bulk_actions(self) -> list[RowAction]:
        """What the present person may do to several rows."""
        return [each for each in self.row_actions if each.is_bulk] if may_act() else []

    def link(self, row: Any, text: str) -> Markup:
        """A link to a row's page."""
        return link(self.url_of(row.id), text)

    def url_of(self, pk: int) -> str:
        """The page of the row of that number."""
        return url_for(f"{self.endpoint}.details_view", id=pk)

    def list_url(self, **changes: str | None) -> str:
        """The present list with other parameters; None takes one away."""
        return self._with_parameters("index_view", **changes)

    def export_url(self) -> str:
        """The present list as a file."""
        return self._with_parameters("export", after=None)

    # Within.

    def _get_list_url(self, view_args: Any) -> str:
        """Flask-Admin's own would pass a stranger's parameters to url_for, which takes some for its own."""
        del view_args
        return self.list_url()

    def _with_parameters(self, view: str, **changes: str | None) -> str:
        """A page of this view with the present parameters."""
        kept = {name: value for name, value in request.args.items() if name not in changes}
        given = kept | {name: value for name, value in changes.items() if value is not None}
        here: dict[str, Any] = {"export_type": "csv"} if view == "export" else {}
        url = url_for(f"{self.endpoint}.{view}", **here)
        return f"{url}?{urlencode(given)}" if given else url

    def _order(self, name: str | None, *, is_descending: bool) -> Order:
        column = next((each for each in self.orders if each.key == name), self.orders[0])
        return Order(column, self.table.id, is_descending=is_descending)

    def _read_rows(self, wish: Wish, order: Order, after: tuple[Any, int] | None, limit: int) -> list[Any]:
        walked = max(leads.WALKED_ROWS, limit * WALKED_FOR_A_ROW)
        lead = leads.choose(g.session, self.table, wish.narrowings, order=order, after=after, walked=walked)
        rows = row_pages.in_order(
            g.session,
            self.table,
            order=order,
            conditions=lead.conditions,
            kinds=lead.kinds,
            options=self.list_options if limit <= PAGE_ROWS else (self._exported_columns(),),
            after=after,
            limit=limit + 1,
        )
        if len(rows) > limit:
            last = rows[limit - 1]
            g.next_place = place_text(getattr(last, order.column.key), last.id)
        elif lead.end is not None:
            g.next_place, g.looked_to = place_text(*lead.end), lead.end[0]
        if after is None and limit <= PAGE_ROWS:
            count = row_pages.count_up_to(
                g.session, order.pk, conditions=lead.conditions, kinds=lead.kinds, limit=COUNTED_ROWS + 1
            )
            g.counted = formats.count_text(count, COUNTED_ROWS)
        return rows[:limit]

    def _exported_columns(self) -> ORMOption:
        """All that a file has is read at once: what lists leave in the database too, and nothing else."""
        columns = inspect(self.table).column_attrs
        return load_only(*(getattr(self.table, name) for name in self.column_export_list if name in columns))

    def _ask(
        self,
        action: RowAction,
        pks: Sequence[int],
        inputs: Mapping[str, str],
        faults: Mapping[str, str],
        back: str,
    ) -> str:
        query = select(self.table).where(self.table.id.in_(pks)).options(*self.list_options)
        rows = {row.id: row for row in g.session.scalars(query)}
        page: str = self.render(
            "console/ask.html",
            action=action,
            pks=pks,
            titles=[self.title_of(rows[pk]) for pk in dict.fromkeys(pks) if pk in rows],
            inputs=inputs,
            faults=faults,
            back=back,
        )
        return page

    def _back(self) -> str:
        """Where the person came from, if that is a page of the console."""
        url = request.form.get("url", "")
        return url if is_within(url) else url_for(f"{self.endpoint}.index_view")


def _faults(action: RowAction, inputs: Mapping[str, str]) -> dict[str, str]:
    faults = {}
    for each in action.inputs:
        given = inputs[each.name]
        if each.is_required and not given:
            faults[each.name] = "must be filled in"
        elif len(given) > each.max_chars:
            faults[each.name] = f"at most {each.max_chars} characters"
        elif given and each.options and given not in dict(each.options):
            faults[each.name] = "is none of the choices"
    return faults


@contextmanager
def reading() -> Iterator[Session]:
    """A session for the present page, in `g.session`; what takes longer than READ_SECONDS is given up."""
    database = state().database
    with database.read() as session:
        if not database.is_sqlite:
            session.execute(text(f"SET LOCAL statement_timeout = {int(READ_SECONDS * 1000)}"))
        g.session = session
        try:
            yield session
        finally:
            g.pop("session", None)
