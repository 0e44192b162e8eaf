"""The first page: what burns, and whether the system itself is well."""

from typing import Any

from flask_admin import AdminIndexView, expose

from webhook_app.console.access import person
from webhook_app.console.table_view import reading


class Dashboard(AdminIndexView):
    """`/admin/`."""

    def is_accessible(self) -> bool:
        """Whoever is known may look."""
        return person() is not None

    @expose("/")
    def index(self) -> Any:
        """The dashboard."""
        with reading():
            return self.render("console/dashboard.html")
