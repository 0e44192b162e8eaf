"""Who is told of a change, and who is not and why."""

from typing import Any

import pytest

from storage.records import ChannelConfig, ChannelPolicy, IncidentChange
from storage.tables import Notification
from storage.vocabulary import NotificationReason, NotificationStatus, Severity
from tasks.notify.audience import Audience, audience_of

FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED
ESCALATED, ACKNOWLEDGED = NotificationReason.ESCALATED, NotificationReason.ACKNOWLEDGED
SENT, DEAD = NotificationStatus.SENT, NotificationStatus.DEAD


def channel(name: str, **policy: Any) -> ChannelConfig:
    return ChannelConfig(id=1, name=name, driver="generic", config={}, policy=ChannelPolicy(**policy))


def change(reason: NotificationReason, sequence: int = 0, episode: int = 1) -> IncidentChange:
    return IncidentChange(incident_id=7, episode=episode, reason=reason, sequence=sequence)


def alarm(
    name: str, status: NotificationStatus, reason: NotificationReason = FIRING, instead_of: str = ""
) -> Notification:
    return Notification(
        channel=name, incident_id=7, episode=1, reason=reason, status=status, instead_of=instead_of
    )


def ask(
    changes: list[IncidentChange],
    *active: ChannelConfig,
    chosen: list[str] | None = None,
    alarms: tuple[Notification, ...] = (),
    severity: Severity = Severity.WARNING,
) -> Audience:
    names = [each.name for each in active] if chosen is None else chosen
    return audience_of(changes, active=active, chosen=names, severities={7: severity}, alarms=alarms)


def told(audience: Audience) -> list[tuple[str, str]]:
    return [(each.channel, each.change.reason.value) for each in audience.wanted]


def test_an_alarm_goes_to_the_channels_that_are_meant() -> None:
    assert told(ask([change(FIRING)], channel("a"), channel("b"), chosen=["b"])) == [("b", "firing")]


def test_a_severity_below_the_channels_own_is_passed_over_and_said() -> None:
    audience = ask([change(FIRING)], channel("pager", min_severity="critical"), channel("chat"))

    assert told(audience) == [("chat", "firing")]
    [left_out] = audience.passed_over
    assert (left_out.channel, left_out.why) == ("pager", "warning is below its min_severity, critical")


def test_a_reason_that_the_channel_did_not_choose_is_passed_over_and_said() -> None:
    audience = ask([change(RESOLVED)], channel("a", on=["firing"]), alarms=(alarm("a", SENT),))

    assert not audience.wanted
    assert [each.why for each in audience.passed_over] == ["it is not told of resolved"]


@pytest.mark.parametrize("status", [SENT, NotificationStatus.PENDING, NotificationStatus.FAILED], ids=str)
def test_the_end_goes_where_the_alarm_is_or_may_still_come_though_another_pipeline_brings_it(
    status: NotificationStatus,
) -> None:
    assert told(ask([change(RESOLVED)], channel("a"), chosen=[], alarms=(alarm("a", status),))) == [
        ("a", "resolved")
    ]


@pytest.mark.parametrize("status", [DEAD, NotificationStatus.DISCARDED], ids=str)
def test_the_end_does_not_go_where_the_alarm_never_came(status: NotificationStatus) -> None:
    audience = ask([change(RESOLVED)], channel("a"), alarms=(alarm("a", status),))

    assert not audience.wanted
    assert audience.passed_over[0].why == "it was not told that it fires"


def test_the_end_of_another_episode_is_not_told_for_this_ones_alarm() -> None:
    assert not ask([change(RESOLVED, episode=2)], channel("a"), alarms=(alarm("a", SENT),)).wanted


def test_a_beginning_and_its_end_in_one_run_are_both_told() -> None:
    assert told(ask([change(FIRING), change(RESOLVED)], channel("a"))) == [("a", "firing"), ("a", "resolved")]


def test_what_gets_worse_has_just_begun_for_a_channel_that_it_had_passed_by() -> None:
    audience = ask(
        [change(ESCALATED, sequence=2)],
        channel("pager", min_severity="critical"),
        channel("chat"),
        alarms=(alarm("chat", SENT),),
        severity=Severity.CRITICAL,
    )

    assert told(audience) == [("pager", "firing"), ("chat", "escalated")]
    assert [each.change.sequence for each in audience.wanted] == [0, 2]


def test_a_channel_that_wants_only_what_gets_worse_is_told_of_that() -> None:
    audience = ask([change(FIRING), change(ESCALATED, sequence=2)], channel("boss", on=["escalated"]))

    assert told(audience) == [("boss", "escalated")]


def test_what_began_on_a_stand_in_goes_on_there_whatever_its_policy() -> None:
    stand_in = channel("spare", on=["firing"], min_severity="critical")

    audience = ask([change(RESOLVED)], stand_in, chosen=[], alarms=(alarm("spare", SENT, instead_of="a"),))

    assert told(audience) == [("spare", "resolved")]


@pytest.mark.parametrize("reason", [NotificationReason.REMINDER, NotificationReason.UPDATED], ids=str)
def test_reminders_and_updates_go_where_firing_goes(reason: NotificationReason) -> None:
    begun = (alarm("a", SENT), alarm("b", SENT))

    audience = ask([change(reason, 1)], channel("a", on=["firing"]), channel("b", on=["resolved"]), alarms=begun)

    assert told(audience) == [("a", reason.value)]


def test_an_acknowledgement_is_told_where_the_alarm_was() -> None:
    assert told(ask([change(ACKNOWLEDGED)], channel("a"), channel("b"), alarms=(alarm("a", SENT),))) == [
        ("a", "acknowledged")
    ]


def test_a_channel_that_is_switched_off_is_meant_for_how_it_went_on_and_for_no_alarm() -> None:
    begun = (alarm("off", SENT), alarm("other", SENT))

    audience = audience_of(
        [change(ESCALATED, 2), change(RESOLVED)],
        active=[channel("other")],
        switched_off=[channel("off"), channel("never-told")],
        chosen=["other"],
        severities={7: Severity.WARNING},
        alarms=begun,
    )

    assert told(audience) == [("other", "escalated"), ("other", "resolved"), ("off", "resolved")]
