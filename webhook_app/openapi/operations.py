"""What each route takes and gives, by its endpoint. Everything else of the document stands in the app itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from storage.run_list import RunWord
from storage.vocabulary import (
    AlertStatus,
    DeliveryStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    RunVia,
    Severity,
)
from tasks.analyze.providers import PROVIDERS
from webhook_app import (
    alerts,
    channels,
    definitions,
    deliveries,
    incident_actions,
    incidents,
    intelligence,
    json_body,
    notifications,
    notify,
    orchestration,
    routes,
    run_orders,
)
from webhook_app.openapi.parameters import NUMBER, Json, filters
from webhook_app.openapi.shapes import alerts as alert_shapes
from webhook_app.openapi.shapes import definitions as definition_shapes
from webhook_app.openapi.shapes import notify as notify_shapes
from webhook_app.openapi.shapes import runs as run_shapes
from webhook_app.openapi.shapes.base import Error, JsonObject

# Answers that are no JSON: their media types.
BYTES = "application/octet-stream"
FIGURES = "text/plain"
Form = type[BaseModel] | str


@dataclass(frozen=True)
class Operation:
    """One method of one route.

    `gives` are the answers where all went well; `refuses` the other codes, beside those that follow from the rest:
    401 and 503 of what is guarded, 400 of what has parameters or a body, 404 of what names something in its path.
    """

    gives: Mapping[int, Form]
    refuses: tuple[int, ...] = ()
    takes: type[BaseModel] | None = None
    asks: list[Json] | None = None
    is_guarded: bool = True
    errors: tuple[type[BaseModel], ...] = (Error,)
    # What a webhook may be: anything.
    takes_all: bool = False


def _ok(form: Form, **given: Any) -> Operation:
    return Operation({200: form}, **given)


def _sends(*, takes: type[BaseModel], refuses: tuple[int, ...] = ()) -> Operation:
    errors = (Error, notify_shapes.SendForm)
    return _ok(notify_shapes.SendForm, refuses=(409, 429, 502, *refuses), takes=takes, errors=errors)


WEBHOOK = Operation(
    {202: alert_shapes.AnyAccepted},
    refuses=(400, 401, 404, 413, 503),
    is_guarded=False,
    takes_all=True,
    asks=filters(["pipeline"]),
)
CHANNEL = _ok(notify_shapes.ChannelShape, takes=json_body.Nothing, refuses=(503,))
ADVICE = _ok(notify_shapes.Advice, asks=[], refuses=(500,))

OPERATIONS: dict[str, Operation] = {
    "webhook.health": _ok(alert_shapes.Health, is_guarded=False),
    "webhook.receive": WEBHOOK,
    "deliveries.list_all": _ok(
        alert_shapes.Deliveries, asks=filters(deliveries.PARAMETERS, status=DeliveryStatus)
    ),
    "deliveries.show": _ok(alert_shapes.DeliveryDetails),
    "deliveries.show_body": _ok(BYTES, refuses=(410,)),
    "deliveries.replay": _ok(alert_shapes.DeliveryShape, takes=deliveries.Replay, refuses=(409,)),
    "deliveries.discard": _ok(alert_shapes.DeliveryShape, takes=deliveries.Discard, refuses=(409,)),
    "alerts.list_alerts": _ok(
        alert_shapes.Alerts, asks=filters(alerts.PARAMETERS, status=AlertStatus, severity=Severity)
    ),
    "alerts.show": _ok(alert_shapes.AlertDetails),
    "incidents.list_incidents": _ok(
        alert_shapes.Incidents, asks=filters(incidents.PARAMETERS, status=IncidentStatus, severity=Severity)
    ),
    "incidents.show": _ok(alert_shapes.IncidentDetails),
    "incident_actions.acknowledge": _ok(alert_shapes.ChangedIncident, takes=incident_actions.Act, refuses=(409,)),
    "incident_actions.resolve": _ok(alert_shapes.ChangedIncident, takes=incident_actions.Resolve, refuses=(409,)),
    "incident_actions.close": _ok(alert_shapes.ChangedIncident, takes=incident_actions.Act, refuses=(409,)),
    "incident_actions.note": _ok(alert_shapes.ChangedIncident, takes=incident_actions.Note, refuses=(409,)),
    "intelligence.show_health": _ok(notify_shapes.AnalysisHealth, asks=[]),
    "intelligence.list_providers": _ok(notify_shapes.Providers, asks=[]),
    "intelligence.recommend": _ok(
        notify_shapes.Advice,
        asks=[
            {"name": "incident_id", "in": "query", "schema": NUMBER},
            {"name": "provider", "in": "query", "schema": {"type": "string", "enum": list(PROVIDERS)}},
        ],
        refuses=(404, 500),
    ),
    "intelligence.ask": _ok(notify_shapes.Advice, takes=intelligence.Ask, refuses=(404, 500, 502)),
    "intelligence.advise_on_memory": ADVICE,
    "intelligence.advise_on_disks": ADVICE,
    "notify.send": _sends(takes=notify.Send, refuses=(404,)),
    "notify.send_by": _sends(takes=notify.Send),
    "notify.send_batch": Operation(
        {200: notify_shapes.BatchForm, 207: notify_shapes.BatchForm, 502: notify_shapes.BatchForm},
        takes=notify.Batch,
        errors=(Error, notify_shapes.SendForm),
    ),
    "notify.list_drivers": _ok(notify_shapes.Drivers, asks=[]),
    "notify.show_driver": _ok(notify_shapes.DriverShape, asks=[]),
    "channels.list_all": _ok(notify_shapes.Channels, asks=[]),
    "channels.add": Operation({201: notify_shapes.ChannelShape}, takes=channels.Add, refuses=(409,)),
    "channels.show": _ok(notify_shapes.ChannelShape, asks=[]),
    "channels.edit": _ok(notify_shapes.ChannelShape, takes=channels.Edit),
    "channels.remove": _ok(notify_shapes.Removed, refuses=(409,)),
    "channels.enable": CHANNEL,
    "channels.disable": CHANNEL,
    "channels.test": _sends(takes=json_body.Nothing),
    "notifications.list_all": _ok(
        notify_shapes.Notifications,
        asks=filters(notifications.PARAMETERS, status=NotificationStatus, reason=NotificationReason),
    ),
    "notifications.show": _ok(notify_shapes.NotificationDetails),
    "notifications.retry": _ok(notify_shapes.NotificationDetails, takes=notifications.Retry, refuses=(409,)),
    "notifications.discard": _ok(notify_shapes.NotificationDetails, takes=notifications.Discard, refuses=(409,)),
    "metrics.scrape": _ok(FIGURES),
    "orchestration.list_runs": _ok(
        run_shapes.Runs, asks=filters(orchestration.PARAMETERS, status=RunWord, via=RunVia)
    ),
    "orchestration.show_run": _ok(run_shapes.RunDetails),
    "orchestration.resume": Operation({202: run_shapes.ChangedRun}, takes=json_body.Nothing, refuses=(409,)),
    "orchestration.cancel": Operation({202: run_shapes.ChangedRun}, takes=json_body.Nothing, refuses=(409,)),
    "run_orders.order": Operation({202: run_shapes.QueuedRun}, takes=run_orders.NamedOrder, refuses=(409, 410)),
    "run_orders.order_and_wait": Operation(
        {200: run_shapes.RunResult, 202: run_shapes.QueuedRun}, takes=run_orders.SyncOrder, refuses=(409, 410)
    ),
    "definitions.list_all": _ok(definition_shapes.Definitions, asks=filters(definitions.PARAMETERS)),
    "definitions.create": Operation(
        {201: definition_shapes.DefinitionDetails}, takes=definitions.Create, refuses=(409,)
    ),
    "definitions.show_schema": _ok(JsonObject),
    "definitions.validate_given": _ok(definition_shapes.Verdict, takes=definitions.CheckGiven),
    "definitions.show": _ok(definition_shapes.DefinitionDetails),
    "definitions.replace": _ok(definition_shapes.DefinitionDetails, takes=definitions.Replace, refuses=(409,)),
    "definitions.edit": _ok(definition_shapes.DefinitionDetails, takes=definitions.Edit, refuses=(409,)),
    "definitions.remove": _ok(notify_shapes.Removed, refuses=(409,)),
    "definitions.validate": _ok(definition_shapes.Verdict, takes=definitions.Check),
    "definitions.execute": Operation({202: run_shapes.QueuedRun}, takes=run_orders.Order, refuses=(409, 410)),
    "routes.show": _ok(definition_shapes.RoutesShape, asks=[]),
    "routes.replace": _ok(definition_shapes.RoutesShape, takes=routes.Replace, refuses=(409,)),
    "routes.try_out": _ok(definition_shapes.RouteChoice, takes=routes.Try),
    "openapi.show": _ok(JsonObject, is_guarded=False),
}
