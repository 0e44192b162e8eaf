"""What no checker looks at, but alerts name and everybody knows where to look for."""

from tasks.analyze.rules import commands, naming
from tasks.analyze.rules.commands import COMMANDS
from tasks.analyze.rules.subject import Subject
from tasks.analyze.topic import DISK, GENERAL, MEMORY, NETWORK, PROCESS

UNCHECKED: dict[str, Subject] = {
    "oom": Subject(
        MEMORY,
        "memory that ran out",
        "Find out what ran out of memory",
        (
            "journalctl -k --since '-2 hours' --no-pager | grep -iE 'out of memory|oom-kill'  # who was killed",
            *COMMANDS[MEMORY][:2],
        ),
        "oom, oomkill, oomkilled, oom kill, oom killed, oom killer, out of memory",
        happened="the kernel killed something earlier: look at its log",
    ),
    "drive": Subject(
        DISK,
        "a failing drive",
        "Find out whether a drive is failing",
        (
            "dmesg -T --level=err,warn | tail -n 30  # what the drives complained of",
            "smartctl --scan  # which drives there are; then: smartctl -a DEVICE",
            "findmnt -o TARGET,SOURCE,OPTIONS -t ext4,xfs,btrfs  # what became read-only (ro)",
        ),
        "smart, smartd, smart errors, read only, i o error, i o errors, io error, io errors, device error, "
        "device errors, filesystem error, filesystem errors, bad sectors, pending sectors, wearout",
        is_apart=True,
        look_at=commands.about_drive,
        names=naming.devices,
    ),
    "network_mount": Subject(
        DISK,
        "a network file system",
        "Find out whether its server answers",
        (
            "findmnt -t nfs,nfs4,cifs  # what is mounted from where",
            "nfsstat -m  # with which options",
            "ps -eo pid,stat,wchan:20,comm | awk '$2 ~ /^D/'  # processes that wait for it",
        ),
        "nfs, cifs, smb, network volume, network storage, stale",
        is_apart=True,
    ),
    "open_files": Subject(
        PROCESS,
        "open files",
        "Find out which process holds the files open",
        (
            "cat /proc/sys/fs/file-nr  # open, unused, and the most that there can be",
            "lsof -nP 2>/dev/null | awk '{print $2, $1}' | sort | uniq -c | sort -n | tail -n 10  # who has them",
        ),
        "open files, file descriptor, file descriptors, filedescriptor, filedescriptors",
        is_apart=True,
    ),
    "zombies": Subject(
        PROCESS,
        "zombie processes",
        "Find the parent that does not collect its children",
        (
            "ps -eo ppid,pid,stat,etime,comm | awk '$3 ~ /^Z/'  # zombies, by their parents",
            "cat /proc/sys/kernel/pid_max; ps -e --no-headers | wc -l  # how many more processes there can be",
        ),
        "zombie, zombies",
        is_apart=True,
    ),
    "pod": Subject(
        PROCESS,
        "a pod or container",
        "Find out why the container does not stay up",
        (
            "kubectl get pods -A -o wide | grep -vE 'Running|Completed'  # which pods are not well",
            "kubectl get events -A --sort-by=.lastTimestamp | tail -n 30  # what happened to them",
            "docker ps -a --filter status=exited --filter status=restarting  # the same without Kubernetes",
        ),
        "pod, pods, container, containers, kube, replicas, crashlooping, crash looping, crash loop, image pull, "
        "rollout stuck, liveness probe, readiness probe",
        is_apart=True,
        look_at=commands.about_pod,
        names=naming.pods,
    ),
    "host": Subject(
        NETWORK,
        "a host that is down or cannot be reached",
        "Find out whether the host is up",
        COMMANDS[NETWORK],
        "host down, host is down, node down, instance down, instance is down, server down, server is down, "
        "target down, target missing, unreachable, not reporting, stopped reporting, agent is not available, "
        "agent unavailable, icmp, icmp ping, unavailable by icmp ping",
        is_apart=True,
    ),
    "conntrack": Subject(
        NETWORK,
        "the table of tracked connections (conntrack)",
        "Find out who holds so many connections",
        (
            "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max  # in use, and the most",
            "ss -s  # connections by state",
            "ss -tnH | awk '{print $5}' | sort | uniq -c | sort -n | tail -n 10  # to whom",
        ),
        "conntrack",
        is_apart=True,
    ),
    "refusal": Subject(
        NETWORK,
        "a service that takes no connections",
        "Find out whether the service listens",
        ("ss -tlnp  # what listens, and on which addresses", *COMMANDS[PROCESS][:2]),
        "connection refused, connection reset, cannot connect, can t connect, could not connect, unable to "
        "connect, failed to connect, unhealthy host, target group",
        is_apart=True,
    ),
    "backup": Subject(
        GENERAL,
        "a backup",
        "Find out why the backup failed",
        (
            "systemctl list-timers --all  # when it ran last, and when it will again",
            "journalctl --since '-1 day' --no-pager | grep -i backup | tail -n 50  # what it said",
            "df -h  # is there room for it",
        ),
        "backup, backups",
        is_apart=True,
    ),
    "logins": Subject(
        GENERAL,
        "logins",
        "Find out who tries to log in",
        (
            "journalctl -u ssh -u sshd --since '-1 hour' --no-pager | tail -n 50  # who tried, and from where",
            "last -n 20  # who got in",
            "who  # who is there now",
        ),
        "login, logins, authentication, brute force, failed password, failed passwords",
        is_apart=True,
    ),
}
