"""Secrets of many kinds as they turn up in alerts, none of them real, and texts that only look like them.

They are put together at run time, so that no scanner takes this file for a leak.
"""

import base64
import json
from dataclasses import dataclass
from itertools import count
from random import Random
from string import ascii_letters, ascii_uppercase, digits

ALNUM = ascii_letters + digits
HEX = "0123456789abcdef"
URL64 = ALNUM + "-_"

_random = Random(7)
_numbers = count(201)


def made(length: int, alphabet: str = ALNUM) -> str:
    """So many characters that nobody chose, with a digit and a letter among them."""
    return "7" + "".join(_random.choices(alphabet, k=length - 2)) + ("Q" if "Q" in alphabet else "b")


def _base64(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _block(kind: str) -> str:
    return f"-----BEGIN {kind}-----\n{made(64)}\n{made(64)}\n{made(20)}==\n-----END {kind}-----"


@dataclass(frozen=True)
class Planted:
    """A text, and the part of it that nobody may see."""

    text: str
    secret: str


def _in(before: str, secret: str, after: str = "") -> Planted:
    return Planted(f"{before}{secret}{after}", secret)


def _short() -> str:
    return f"hunter{next(_numbers)}"


_JWT = f"{_base64({'alg': 'HS256', 'typ': 'JWT'})}.{_base64({'sub': '42', 'name': 'Ann'})}.{made(43, URL64)}"
_BASIC = base64.b64encode(f"ann:{made(12)}".encode()).decode()
_AWS_ID = "AKIA" + made(16, ascii_uppercase + "234567")
_PEM = _block("RSA " + "PRIVATE KEY")
_OPENSSH = _block("OPENSSH " + "PRIVATE KEY")
_PGP = _block("PGP " + "PRIVATE KEY BLOCK")
_CUT_OFF = _block("EC " + "PRIVATE KEY")
_ENCRYPTED = _block("RSA " + "PRIVATE KEY")
_GCP = _block("PRIVATE " + "KEY")

# What must be hidden wherever it stands in a text, by what it is.
SECRETS: dict[str, Planted] = {
    "PEM key": Planted(f"found in /tmp/x:\n{_PEM}\nremove it", _PEM.splitlines()[2]),
    "encrypted PEM key": Planted(
        _ENCRYPTED.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,7B\n\n", 1),
        _ENCRYPTED.splitlines()[1],
    ),
    "OpenSSH key": Planted(f"id_ed25519 is {_OPENSSH}", _OPENSSH.splitlines()[1]),
    "PGP key": Planted(_PGP, _PGP.splitlines()[1]),
    "key block that was cut off": Planted(_CUT_OFF[:90], _CUT_OFF.splitlines()[1][:40]),
    "service account as JSON in JSON": Planted(
        json.dumps(json.dumps({"type": "service_account", "pem": _GCP})), _GCP.splitlines()[1]
    ),
    "JWT": _in("claims of ", _JWT, " are wrong"),
    "AWS key id": _in("user of ", _AWS_ID, " is unknown"),
    "AWS secret key beside its id": _in(f"{_AWS_ID}:", made(40, ALNUM + "+/"), " was refused"),
    "AWS session": _in("aws_session_token=", made(60)),
    "GitHub token": _in("clone with ghp_", made(36), " failed"),
    "GitHub app token": _in("ghs_", made(36)),
    "GitHub fine-grained token": _in("github_pat_", f"{made(22)}_{made(59)}"),
    "GitLab token": _in("glpat-", made(20, URL64), " expired"),
    "GitLab runner token": _in("glrt-", made(20, URL64)),
    "Slack token": _in("xoxb-", f"{made(12, digits)}-{made(12, digits)}-{made(24)}"),
    "Slack app token": _in("xapp-1-", f"A{made(10, ascii_uppercase)}-{made(13, digits)}-{made(64, HEX)}"),
    "Slack hook": _in("https://hooks.slack.com/services/", f"T{made(8)}/B{made(8)}/{made(24)}", " said 404"),
    "Discord hook": _in("https://discord.com/api/webhooks/123456789012345678/", made(68, URL64)),
    "Teams hook": _in("https://x.webhook.office.com/webhookb2/", f"{made(36, HEX)}@{made(36, HEX)}"),
    "Telegram bot": _in("https://api.telegram.org/bot", "123456789:AA" + made(33, URL64), "/sendMessage: 401"),
    "PagerDuty key": _in("https://events.pagerduty.com/integration/", made(32, HEX), "/enqueue"),
    "Stripe key": _in("sk_live_", made(24), " was refused"),
    "Stripe hook secret": _in("whsec_", made(32)),
    "OpenAI key": _in("Incorrect API key provided: sk-proj-", made(48, URL64)),
    "Anthropic key": _in("sk-ant-api03-", made(80, URL64)),
    "Google key": _in("AIza", made(35, URL64)),
    "Google OAuth token": _in("ya29.", made(60, URL64)),
    "SendGrid key": _in("SG.", f"{made(22, URL64)}.{made(43, URL64)}"),
    "Twilio key": _in("SK", made(32, HEX)),
    "npm token": _in("//registry/:_auth is npm_", made(36)),
    "PyPI token": _in("pypi-", "AgEIcHlwaS5vcmc" + made(60, URL64)),
    "DigitalOcean token": _in("dop_v1_", made(64, HEX)),
    "Vault token": _in("hvs.", made(24)),
    "Azure storage key": _in("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=", made(86) + "=="),
    "Azure shared access": _in("https://x.blob.core.windows.net/c/b?sv=2022&sp=r&sig=", made(43) + "%3D", "&x=1"),
    "Azure client secret": _in("made ", f"{made(3)}8Q~{made(34)}"),
    "Databricks token": _in("dapi", made(32, HEX)),
    "Shopify token": _in("shpat_", made(32, HEX)),
    "Hugging Face token": _in("hf_", made(34, ascii_letters)),
    "Grafana token": _in("glsa_", f"{made(32)}_{made(8, HEX)}"),
    "New Relic key": _in("NRAK-", made(27, ascii_uppercase + digits)),
    "New Relic licence": _in("", made(36, HEX) + "NRAL"),
    "Datadog application key": _in("ddapp_", made(34)),
    "password in a sentence": _in("login with password: ", _short(), " failed"),
    "plain word as password": _in("Password: ", "swordfish"),
    "pwd in a sentence": _in("user=ann, pwd: ", "s3cret!x"),
    "passwd in a list": _in("user ann; passwd:", "opensesame", "; host x"),
    "passphrase": _in('passphrase: "', "correct horse battery", '"'),
    "credential": _in("credential: ", "tr0ub4dor&3"),
    "quoted password": _in("the password '", _short(), "' was refused"),
    "password of SQL": _in("CREATE USER ann IDENTIFIED BY '", _short(), "'"),
    "API key in a sentence": _in("used api key: ", made(24), " of ann"),
    "token in a sentence": _in("access token: ", made(32, HEX)),
    "database password": _in("db_pass=", _short()),
    "password flag": _in("restic backup --password ", _short(), " /srv"),
    "token flag": _in("kubeadm join 10.0.0.1:6443 --token ", f"{made(6, HEX)}.{made(16, HEX)}"),
    "mysql -p": _in("sh -c 'mysqldump -u root -p", _short(), " shop'"),
    "curl -u": _in("curl -u ann:", _short(), " https://x.example"),
    "sshpass": _in("sshpass -p ", _short(), " ssh db-1"),
    "redis-cli": _in("redis-cli -h x -a ", _short(), " ping"),
    "PGPASSWORD": _in("PGPASSWORD=", _short(), " psql shop"),
    "MYSQL_PWD": _in("MYSQL_PWD=", _short(), " mysql shop"),
    "JDBC with parameters": _in("jdbc:mysql://db/shop?user=ann&password=", _short(), "&ssl=1"),
    "JDBC of Oracle": _in("jdbc:oracle:thin:scott/", _short(), "@//db:1521/x"),
    "ODBC": _in("Driver={PostgreSQL};Server=db;Uid=ann;Pwd=", _short(), ";"),
    "libpq": _in("host=db user=ann password=", _short(), " dbname=x"),
    "Go DSN": _in("ann:", _short(), "@tcp(db:3306)/shop"),
    "URL with password": _in("amqp://ann:", _short(), "@mq:5672/x"),
    "URL with password only": _in("redis://:", _short(), "@cache:6379/0"),
    "basic header": _in("Authorization: Basic ", _BASIC),
    "basic alone": _in("sent Basic ", _BASIC, " to x"),
    "bearer": _in("sent Bearer ", made(30)),
    "session in Set-Cookie": _in("Set-Cookie: sid=", made(20), "; Path=/; HttpOnly"),
    "session in Cookie": _in("Cookie: theme=dark; session=", made(20)),
    "PHPSESSID": _in("GET /x PHPSESSID=", made(26)),
    "access token in URL": _in("https://x.example/cb#access_token=", made(20), "&a=b"),
    "code in URL": _in("https://x.example/cb?code=", made(20), "&state=1"),
    "signature in URL": _in("https://x.example/f?signature=", made(40), "&x=1"),
    "AWS signature": _in("https://b.s3.example/f?X-Amz-Signature=", made(64, HEX), "&x=1"),
    "shared secret header": _in("X-Vault-Token: ", _short()),
    "header of an own name": _in("X-Shop-Secret: ", "swordfish"),
    "header of a vendor": _in("DD-API-KEY: ", "swordfish"),
    "header of one word": _in("X-Shop-ApiKey: ", "swordfish"),
    "plain word as API key": _in("Api-Key: ", "swordfish"),
    "token of a name": _in("deploy-token: ", _short(), " was refused"),
    "quoted token of a name": _in("the deploy-token: '", _short(), "'"),
    "token of letters": _in("push-token: ", "kJwQzRtYpLmNbVcX"),
    "token of a name, at once": _in("deploy-token:", _short()),
    "words and a number as secret": _in("client-secret: ", "blue-monkey-2077"),
    "recovery key": _in("recovery-key: ", "-".join(made(6, digits)[:-1] + "1" for _ in range(8))),
    "hook of a name": _in("webhook-url: ", "https://x.example/in/" + _short()),
    "session of a name": _in("admin-cookie: ", _short()),
    "key under a service's name": _in("api-gateway: ", made(32), " was refused"),
    "key under a dotted name": _in("shop.api.prod: ", made(24)),
    "UUID under a service's name": _in("keycloak-1: ", "0b9d3c1e-dead-4d6b-9c7e-2a1f8e3d7c6b"),
    "client secret in JSON": _in('{"client_secret": "', _short(), '"}'),
    "AWS secret in a config": _in("aws_secret_access_key = ", made(40, ALNUM + "+/")),
    "Opsgenie key": _in(
        "GenieKey ", f"{made(8, HEX)}-{made(4, HEX)}-{made(4, HEX)}-{made(4, HEX)}-{made(12, HEX)}"
    ),
    "age key": _in("AGE-SECRET-KEY-1", made(58, ascii_uppercase + digits)),
    "Docker Hub token": _in("dckr_pat_", made(27, URL64)),
    "Atlassian token": _in("ATATT3xFfGF0", made(60, URL64)),
    "Tailscale key": _in("tskey-auth-", f"{made(12)}-{made(32)}"),
    "Terraform token": _in("", f"{made(14)}.atlasv1.{made(60)}"),
    "Mailgun key": _in("key-", made(32, HEX)),
    "Mailchimp key": _in("", made(32, HEX) + "-us12"),
    "SonarQube token": _in("squ_", made(40, HEX)),
    "Sentry token": _in("sntryu_", made(64, HEX)),
    "Pulumi token": _in("pul-", made(40, HEX)),
}

_SHA1, _SHA256 = made(40, HEX), made(64, HEX)
_UUID = "0b9d3c1e-5f4a-4d6b-9c7e-2a1f8e3d7c6b"

# Hosts and services have names with marks of secrets in them.
_SERVICES = (
    "api-gateway",
    "api-3",
    "api-gateway-7.corp.lan",
    "auth-service",
    "auth-token-svc",
    "token-service",
    "token-svc-2",
    "vault-token",
    "api-token",
    "db-secret-1",
    "secret-store",
    "external-secret",
    "keycloak-1",
    "keycloak-db-0",
    "vault-key",
    "password-reset-service",
    "reset-password",
    "dsn-checker",
    "keyboard-api",
    "apikey-rotation",
    "session-cookie",
    "api.corp.lan",
    "shop.api.prod",
    "cookie-banner",
    "my.token-service",
    "x-api-proxy",
)
_STATES = (
    "connection refused",
    "503",
    "timeout",
    "95 % full",
    "critical",
    "OK",
    "12.5 ms",
    "unknown",
    "restarted 3 times",
    "down since 03:00",
)

# What must stay as it is: people need it at 3 a.m.
INNOCENT = (
    f"deployed {_SHA1} to production",
    f"commit {_SHA1[:7]} by ann broke the build",
    f"container {_SHA256} exited with 137",
    f"image app@sha256:{_SHA256}",
    f"sha256:{_SHA256}",
    f"fingerprint {made(16, HEX)}",
    "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDbGZ2nS4yQdeGwHPc is the host's fingerprint",
    f"trace_id={made(32, HEX)} span_id={made(16, HEX)}",
    f"trace {_UUID} is slow",
    _UUID,
    "pod checkout-7d9f8b6c5d-x2x8q in namespace shop restarts",
    "task-scheduler-5b7f9c8d4-abcde is pending",
    "disk-usage-monitor-2024-01-02-03-04 is late",
    "nginx --private-key /etc/ssl/site.key --token-file x does not start",
    "job sk-learn-feature-store-training is late",
    "risk-assessment-service-12-of-100-replicas-down",
    "Cassandra: key: value missing in row 7",
    "token bucket full, 300 requests dropped",
    "password: Field required",
    "password: environment variable 'SMTP_PASSWORD' is not set",
    "channel 'ops': headers.Authorization: file '/run/x' cannot be read",
    "api_key: Input should be a valid string",
    "token: expired",
    "the password expired 3 days ago",
    "password is too short",
    "failed password for root from 10.0.0.7 port 22 ssh2",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh",
    "secret: not found",
    'secrets "db-credentials" not found',
    "credentials: invalid",
    "keyspace: shop is at consistency QUORUM",
    "Duplicate entry '42' for key 'PRIMARY'",
    "primary key: order_id",
    "api: down; keyboard missing; the secret of monkeys",
    "apiserver: 3 of 3 up",
    "/var/lib/docker/overlay2/" + _SHA256 + "/merged is 93 % full",
    "/etc/ssl/private/site.key is readable by all",
    "C:\\Program Files\\App\\app.exe used 97 % of a core",
    "-----BEGIN CERTIFICATE-----\nMIIBszCCARwCAQAwDQ\n-----END CERTIFICATE-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0k ann@x is a public key",
    "base64: SGVsbG8sIHdvcmxkLCB0aGlzIGlzIHBsYWlu",
    "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=",
    "version 1.2.3-rc.1+build.20240102",
    "kernel 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1",
    "python3.11-minimal 3.11.2-6+deb12u2 is not configured",
    'node_filesystem_avail_bytes{device="/dev/nvme0n1p2",mountpoint="/"} 3.1e9',
    "kube_pod_container_status_restarts_total > 5 for 10m",
    'sum(rate(http_requests_total{code=~"5.."}[5m])) by (job) > 0.1',
    "http://prom-0.mon.lan:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    "https://grafana.lan/d/abcdEFGH1234/node?orgId=1&from=now-1h&viewPanel=7",
    "https://x.example/callback?code=503&page=2",
    "https://x.example:8080/a?mail=a@b.example",
    "Basic authentication is required",
    "basic checks passed: 12 of 12",
    "the bearer is wrong",
    "db-03.lan:9100 is down",
    "fe80::1ff:fe23:4567:890a is unreachable",
    "i-0abcd1234efgh5678 in eu-west-1 was terminated",
    "arn:aws:iam::123456789012:role/ops cannot be assumed",
    "user 1000:1000 cannot write; docker run -u 1000:1000 x",
    "tests: pass=12 fail=0",
    "mysql -p 3306 -u root",
    "rsync -a --delete /srv backup:/srv",
    "eyJ is how a token begins",
    "2024-01-02T03:04:05.678Z ERROR o.a.k.c.NetworkClient - [Producer clientId=p-1] Connection to node -1 failed",
    "session opened for user root(uid=0) by (uid=0)",
    "cookie jar is empty",
    "signature: ET SCAN Suspicious inbound to mySQL port 3306",
    "SK hynix SSD reports 3 bad blocks",
    "2 x AMD EPYC 7B13, 251.5 GiB",
    "ERROR 1045 (28000): Access denied for user 'app'@'10.0.0.5' (using password: YES)",
    "(using password: NO)",
    "token_count: 1500, max_tokens=800",
    "certificate of api.example expires in 6 days",
    "serial 03:A1:7F:2C:99:1B of the certificate",
    *(f"{service}: {state}" for service in _SERVICES for state in _STATES),
    "service api-gateway: connection refused; auth-service: 503; token-service: timeout; api-3: 95 % full",
    "Disk full on api-3: critical, 1 of 1 alerts firing",
    "(vault-token: timeout), (api-token: unreachable).",
    "vault-token: CrashLoopBackOff",
    "vault-token: rate-limited/throttled",
    "vault-token: 1.25GiB of 2GiB",
    "api-token: 120.5ms, 1h12m30.5s, 1200 req/s",
    "api-token: 1500req/s",
    "vault-token: 10.0.0.5:8200 is sealed",
    "vault-token: v1.15.2 is old",
    "vault-token: https://vault.lan:8200/v1 is sealed",
    "vault-token: 2026-09-14T03:12:45.123Z",
    "api-gateway: 2026-09-14T03:12:45+02:00 was the last beat",
    "api-gateway: checkout-7d9f8b6c5d-x2x8q does not answer",
    "api-gateway: upstream-timeout-3",
    "api-3: /var/lib/docker2 is full",
    "api-3: db-03.corp.lan:5432 does not answer",
    "image shop/api-gateway:3f2a9b8c7d6e1 cannot be pulled",
    "api-gateway:9100 is down",
)
