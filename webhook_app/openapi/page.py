"""`GET /openapi.json`: what this receiver can be asked, for programs.

It needs no token: the same document is in everybody's installation, and holds nothing of this one.
"""

from flask import Blueprint, Response, current_app

from webhook_app.answers import answer
from webhook_app.openapi.document import make_document

EXTENSION = "watchkeeper.openapi"

openapi = Blueprint("openapi", __name__)


@openapi.get("/openapi.json")
def show() -> Response:
    """The OpenAPI document of this API."""
    kept = current_app.extensions
    if EXTENSION not in kept:
        kept[EXTENSION] = make_document(current_app)
    return answer(kept[EXTENSION])
