"""What `watchkeeper channels` does."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from rich.text import Text
from sqlalchemy.orm import Session

from deployments.commands.check_output import plain, print_json, print_lines, print_table
from deployments.commands.saved_config import read_config, warn_of_clear_text
from deployments.commands.sent_output import print_sent
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage import channel_standing
from storage import channels as channel_rows
from storage.channel_standing import Standing
from storage.records import ChannelPolicy
from storage.settings import load
from storage.storable import storable, storable_text
from storage.tables import NotificationChannel
from tasks.errors import PermanentError, TransientError, faults_of
from tasks.notify import one_off, retiring, saving
from tasks.notify.channels import CHANNELS
from tasks.notify.driver_keys import clear_text_paths, keys_of
from tasks.notify.saved_fields import channel_fields, fares_line

_DURATION = re.compile(r"([0-9]{1,7})([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
# What one types in place of a number for the driver's own limit.
OWN_RATE = "default"


def read_policy(
    *,
    min_severity: str | None,
    on: str | None,
    repeat_interval: str | None,
    update_interval: str | None,
    rate_per_minute: str | None,
    fallback: str | None,
) -> dict[str, Any]:
    """The points of a policy that were typed. Raises WrongUseError that names the flag."""
    typed: dict[str, Any] = {}
    if min_severity is not None:
        typed["min_severity"] = min_severity
    if on is not None:
        typed["on"] = [word.strip() for word in on.split(",") if word.strip()]
    if repeat_interval is not None:
        typed["repeat_interval_seconds"] = _read_seconds("--repeat-interval", repeat_interval)
    if update_interval is not None:
        typed["update_interval_seconds"] = _read_seconds("--update-interval", update_interval)
    if rate_per_minute is not None:
        typed["rate_per_minute"] = None if rate_per_minute == OWN_RATE else rate_per_minute
    if fallback is not None:
        typed["fallback"] = storable_text(fallback)
    return typed


def add(
    name: str, *, driver: str, config: str, description: str, policy: Mapping[str, Any], is_active: bool
) -> None:
    """Save a channel."""
    wanted = storable(read_config(config))
    saving.check_name(name, kind=driver)
    saving.check_config(driver, wanted)
    full = _policy(policy)
    with installed_database(load()) as database, database.write() as session:
        saving.check_policy(session, name, full)
        channel_rows.add_channel(
            session,
            name=name,
            driver=driver,
            config=wanted,
            description=storable_text(description),
            policy=full,
            is_active=is_active,
        )
    warn_of_clear_text(clear_text_paths(driver, wanted))
    print_lines([f"added channel {name}{'' if is_active else ', which is not active'}"])


def list_all(*, as_json: bool) -> None:
    """Print all channels."""
    with installed_database(load()) as database, database.read() as session:
        rows = channel_rows.list_channels(session)
        found = channel_standing.standings(session, [row.name for row in rows])
    if as_json:
        print_json({"channels": [channel_fields(row, found[row.name]) for row in rows]})
    elif not rows:
        print_lines(["no channel is saved: nobody is told anything"])
    else:
        headings = ("name", "driver", "active", "fares", "last sent (UTC)", "waiting", "dead", "description")
        print_table(headings, [_cells(row, found[row.name]) for row in rows])


def show(name: str, *, as_json: bool) -> None:
    """Print one channel."""
    with installed_database(load()) as database, database.read() as session:
        row = _found(session, name)
        fields = channel_fields(row, channel_standing.standings(session, [row.name])[row.name])
    if as_json:
        print_json(fields)
        return
    fares = fields.pop("standing")
    rows = {**fields, **fields.pop("policy"), **{key: value for key, value in fares.items() if value}}
    rows.pop("policy", None)
    print_table((), [(key, plain(_shown(value))) for key, value in rows.items()])


def edit(name: str, *, config: str | None, description: str | None, policy: Mapping[str, Any]) -> None:
    """Change a channel."""
    if config is None and description is None and not policy:
        raise WrongUseError("name what is to change: --config, --description, or what it is told")
    wanted = None if config is None else storable(read_config(config))
    told = None if description is None else storable_text(description)
    with installed_database(load()) as database:
        with database.read() as session:
            row = _found(session, name)
        # Before anything is locked, since a secret's keeper may take its time.
        if wanted is not None:
            saving.check_config(row.driver, wanted, stored=row.config)
        with database.write() as session:
            row = _known(channel_rows.lock(session, storable_text(name)), name)
            full = _policy({**row.policy, **policy}) if policy else None
            if full:
                saving.check_policy(session, name, full)
            channel_rows.edit_channel(session, name, config=wanted, description=told, policy=full)
    warn_of_clear_text(clear_text_paths(row.driver, wanted or {}))
    changed = {"config": wanted is not None, "description": description is not None, "policy": bool(policy)}
    print_lines([f"channel {name} has its new {' and '.join(what for what, is_new in changed.items() if is_new)}"])


def enable(name: str) -> None:
    """Switch a channel on."""
    with installed_database(load()) as database:
        with database.read() as session:
            row = _found(session, name)
        saving.check_config(row.driver, row.config, stored=row.config)
        with database.write() as session:
            _found(session, name)
            channel_rows.set_active(session, name, is_active=True)
    print_lines([f"channel {name} is active"])


def disable(name: str) -> None:
    """Switch a channel off."""
    with installed_database(load()) as database, database.write() as session:
        retiring.switch_off(session, _found(session, name).name)
    print_lines([f"channel {name} is not active"])


def remove(name: str) -> None:
    """Forget a channel that no other counts on."""
    with installed_database(load()) as database, database.write() as session:
        _found(session, name)
        if others := saving.fallback_of(session, name):
            raise PermanentError(
                f"channel {name!r} is the fallback of {', '.join(others)}: give them another first"
            )
        retiring.remove(session, name)
    print_lines([f"removed channel {name}"])


def keys(driver: str) -> None:
    """Print the keys of a driver, or the drivers."""
    if not driver:
        print_lines(CHANNELS)
        return
    if driver not in CHANNELS:
        raise WrongUseError(f"{driver!r} is none of {', '.join(CHANNELS)}")
    rows = [
        (
            key.name,
            plain("must be given" if key.is_required else _shown(key.default)),
            "secret" if key.is_secret else "",
        )
        for key in keys_of(driver)
    ]
    print_table(("key", "default", ""), rows)


def test(name: str) -> None:
    """Send a message through a channel, whether it is active or rests."""
    with installed_database(load()) as database:
        with database.write() as session:
            channel = channel_rows.record_of(_found(session, name))
            channel_rows.wake(session, [name])
        try:
            sent = one_off.try_out(channel)
        except PermanentError as error:
            raise PermanentError(_named(name, error)) from None
        except TransientError as error:
            raise TransientError(_named(name, error)) from None
    print_sent(name, channel.driver, sent)


def _named(name: str, error: Exception) -> str:
    told = str(error)
    return told if told.startswith(f"channel {name!r}") else f"channel {name!r}: {told}"


def _policy(typed: Mapping[str, Any]) -> ChannelPolicy:
    try:
        return ChannelPolicy.model_validate(typed)
    except ValidationError as error:
        raise WrongUseError(faults_of(error)) from None


def _read_seconds(flag: str, text: str) -> int:
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise WrongUseError(f"{flag}: a duration such as 90s, 30m, 4h or 1d; 0 is never")
    return int(found[1]) * _SECONDS[found[2]]


def _found(session: Session, name: str) -> NotificationChannel:
    return _known(channel_rows.find(session, storable_text(name)), name)


def _known(row: NotificationChannel | None, name: str) -> NotificationChannel:
    if row is None:
        raise PermanentError(f"there is no channel {name!r}: `watchkeeper channels list` lists them")
    return row


def _cells(row: NotificationChannel, standing: Standing) -> tuple[Text, ...]:
    fields = channel_fields(row, standing)
    sent_at = standing.last_sent_at
    cells = (
        row.name,
        row.driver,
        "disabled" if channel_rows.record_of(row).is_disabled else "yes" if row.is_active else "no",
        fares_line(standing) or "-",
        f"{sent_at:%Y-%m-%d %H:%M}" if sent_at else "-",
        standing.waiting,
        standing.dead,
        fields["description"],
    )
    return tuple(plain(cell) for cell in cells)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
