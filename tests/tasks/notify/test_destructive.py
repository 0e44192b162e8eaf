"""Which proposed commands are marked before anybody runs them."""

import pytest

from tasks.notify.destructive import is_destructive


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /var/log/*",
        "sudo rm -r -f /data",
        "rm --recursive /data",
        "mkfs.ext4 /dev/sdb1",
        "dd if=/dev/zero of=/dev/sda bs=1M",
        "find /tmp -mtime +7 -delete",
        "find / -name core -exec rm {} +",
        "psql -c 'DROP TABLE orders'",
        "DELETE FROM sessions;",
        "truncate -s 0 /var/log/syslog",
        "kill -9 812",
        "kill -s KILL 812",
        "pkill -f java",
        "systemctl stop postgresql",
        "systemctl --now disable nginx",
        "sudo systemctl reboot",
        "service nginx stop",
        "sudo reboot",
        "sync && shutdown -r now",
        "init 6",
        "kubectl -n shop delete pod web-1",
        "docker system prune -af",
        "docker compose down -v",
        "redis-cli FLUSHALL",
        "zpool destroy tank",
        "iptables -F",
        "git reset --hard origin/main",
        "chmod -R 777 /",
        "> /var/log/syslog",
        "cat /dev/zero > /dev/sda",
    ],
)
def test_commands_that_destroy_are_known(command: str) -> None:
    assert is_destructive(command)


@pytest.mark.parametrize(
    "command",
    [
        "df -h /var",
        "du -xh / | sort -h",
        "journalctl -u nginx --since '1 hour ago'",
        "journalctl -u shutdown-guard",
        "systemctl status postgresql",
        "systemctl restart nginx",
        "systemctl list-units --failed",
        "kill -TERM 812",
        "ps aux --sort=-%mem | head",
        "kubectl get pods -n shop",
        "docker ps",
        "docker logs web",
        "ls -la /dev/sda > /dev/null 2>&1",
        "last -x reboot",
        "uptime; who -b",
        "SELECT count(*) FROM dropped_orders",
        "smartctl -a /dev/sda",
        "free -m",
        "",
    ],
)
def test_commands_that_look_or_can_be_undone_are_not_marked(command: str) -> None:
    assert not is_destructive(command)


def test_a_long_text_is_looked_through_in_no_time() -> None:
    assert not is_destructive("kubectl " + "a " * 500_000)
