"""What the database tells: of workers, the inbox, runs, channels, the AI provider, and retention."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from deployments.commands.doctor.finding import Finding, Scene, fault, of_database, ok, unknown, warning
from storage import channel_standing, channels, retention, vitals, workers
from storage.channel_standing import Standing
from storage.database import Database
from storage.records import ChannelConfig
from storage.redaction import redact_text
from storage.retention import PRUNED_WITHIN
from storage.tables import Delivery, PipelineRun
from storage.tables.base import utc_now
from storage.vitals import LATE_SECONDS, STUCK_SECONDS
from storage.vocabulary import DeliveryStatus, RunStatus
from tasks.analyze.health import health_of
from tasks.errors import PermanentError, TransientError
from tasks.notify.channels import build

FAILED_WITHIN = timedelta(days=1)
# A run whose lease ran out is taken up within a few seconds.
LEFT_AFTER = timedelta(minutes=3)
# It may not come to all that it should in one run.
LEFT_OUT_AFTER = timedelta(days=1)


@of_database
def worker(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether somebody takes up runs, and has Prefect's server for it."""
    with database.read() as session:
        alive = workers.alive(session)
    if not alive:
        remedy = "start `watchkeeper up`, or `python -m deployments.worker` where workers run by themselves"
        yield fault("no worker lives: webhooks are accepted and nobody is told", remedy)
    for each in alive:
        said = f"{each.hostname} (pid {each.pid}): {each.in_flight} of {each.slots} slots taken"
        if each.has_prefect:
            yield ok(said)
        else:
            yield warning(
                f"{said}; it does not reach Prefect's server", "see `prefect`; runs go without it meanwhile"
            )


@of_database
def inbox(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether deliveries are worked."""
    with database.read() as session:
        waits_seconds = vitals.oldest_waiting_seconds(session)
        quarantined = session.scalar(select(func.count()).where(Delivery.status == DeliveryStatus.QUARANTINED))
    said = f"the oldest delivery waits for {waits_seconds:.0f} s" if waits_seconds else "no delivery waits"
    if waits_seconds > STUCK_SECONDS:
        yield fault(said, "see `worker` and `runs`; `watchkeeper deliveries list --status waiting` lists them")
    elif waits_seconds > LATE_SECONDS:
        yield warning(said, "the workers have more than they can do: WATCHKEEPER_SLOTS, or another worker")
    else:
        yield ok(said)
    if quarantined:
        remedy = "`watchkeeper deliveries list --status quarantined`, then replay or discard them"
        yield warning(f"in quarantine, since nothing could be made of them: {quarantined}", remedy)


@of_database
def runs(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether runs end, and end well."""
    now = utc_now()
    with database.read() as session:
        left = session.scalar(
            select(func.count()).where(
                text("pipeline_runs.completed_at IS NULL"), PipelineRun.lease_expires_at < now - LEFT_AFTER
            )
        )
        failed = session.scalar(
            select(func.count()).where(
                PipelineRun.status == RunStatus.FAILED, PipelineRun.created_at > now - FAILED_WITHIN
            )
        )
    if left:
        yield fault(f"left behind, with nobody to take them up: {left}", "see `worker`; its log says why")
    if failed:
        remedy = "`watchkeeper monitor-pipeline --status failed` lists them; `watchkeeper resume RUN_ID` goes on"
        yield warning(f"failed within a day: {failed}", remedy)
    if not left and not failed:
        yield ok("none is left behind, and none failed within a day")


@of_database
def channels_can_tell(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether anybody is told."""
    with database.read() as session:
        active = channels.active_channels(session)
        standings = channel_standing.standings(session, [each.name for each in active])
    if not active:
        yield fault("none is active: nobody is told anything", "`watchkeeper channels add`, or `enable` one")
    for each in active:
        yield _channel(each, standings[each.name])


def _channel(channel: ChannelConfig, standing: Standing) -> Finding:
    name = channel.name
    try:
        build(channel)
    except PermanentError as error:
        said = redact_text(str(error)).removeprefix(f"channel {name!r}: ")
        return fault(f"{name}: {said}", "secrets must be readable to this user and to the worker's")
    except TransientError as error:  # a Secret block, which the worker may well reach
        return unknown(f"{name}: {redact_text(str(error))}")
    test = f"`watchkeeper channels test {name}` tries it"
    if standing.rests_until and standing.rests_until > utc_now():
        why = redact_text(standing.last_error)
        return fault(f"{name}: rests after {standing.failures} failures in a row: {why}", test)
    if standing.failures:
        return warning(f"{name}: its last try failed: {redact_text(standing.last_error)}", test)
    if standing.dead:
        remedy = "`watchkeeper notifications list --status dead`, then retry or discard them"
        return warning(f"{name}: dead letters: {standing.dead}", remedy)
    sent_at = standing.last_sent_at
    return ok(f"{name}: {f'last sent {sent_at:%Y-%m-%d %H:%M} UTC' if sent_at else 'nothing sent yet'}")


@of_database
def provider(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether the provider that is to be asked can be."""
    with database.read() as session:
        health = health_of(session)
    asked = f"{health['provider']['name']} ({health['provider']['provider']})"
    for problem in health["problems"]:
        yield warning(f"{asked}: {problem}", "`watchkeeper providers` shows it; the local rules answer meanwhile")
    if not health["problems"]:
        yield ok(f"{asked} is asked")


@of_database
def pruning(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether what is old goes, so that the database does not grow without end."""
    with database.read() as session:
        found = retention.prunings(session)
        is_young = not _has_runs_before(session, utc_now() - PRUNED_WITHIN)
    remedy = (
        "see that the deployment `retention` is scheduled in Prefect, and what its last flow run says; "
        "where no worker runs, let cron run `watchkeeper prune`"
    )
    if not found:
        yield ok("has not run yet") if is_young else warning("it has never run", remedy)
        return
    oldest, newest = (pick(found, key=lambda each: each.pruned_at) for pick in (min, max))
    said = f"last run {newest.pruned_at:%Y-%m-%d %H:%M} UTC"
    if utc_now() - newest.pruned_at > PRUNED_WITHIN:
        yield warning(f"{said}, though it is due every hour", remedy)
    elif utc_now() - oldest.pruned_at > LEFT_OUT_AFTER:
        yield warning(f"{said}, but {oldest.pruned_at:%Y-%m-%d %H:%M} for {oldest.name}", remedy)
    else:
        yield ok(said)


def _has_runs_before(session: Session, before: datetime) -> bool:
    return session.scalar(select(PipelineRun.id).where(PipelineRun.created_at < before).limit(1)) is not None
