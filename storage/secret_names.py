"""Secrets that are known by the name before them, in mappings and in sentences.

The rule is broad on purpose: every name that *contains* one of `SECRET_MARKS` hides its value, so `monkey` and
`keyboard` are hidden too. A label that cannot be read is a nuisance; a password that can be is an incident. Only
`READABLE_NAMES` are excepted.
"""

import re
from functools import lru_cache

from storage.secret_shapes import MASK, Rule

SECRET_MARKS = (
    "key",
    "secret",
    "token",
    "password",
    "api",
    "webhook_url",
    "authorization",
    "dsn",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "credential",
    "cookie",
    "sessid",
    "sessionid",
)
# Names that are these, or end in one after an underscore: `db_pass`, `REDISCLI_AUTH`. Never `bypass` or `author`.
SECRET_ENDINGS = ("pass", "auth")

# Names that contain a mark and hold no secret. Of our own: without them nobody could see why two messages count
# as one, or what an analysis used (`groupkey` is Alertmanager's spelling of group_key). Of senders: labels that
# say where the trouble is, and the names by which they tell their alerts apart.
READABLE_NAMES = frozenset(
    {
        "idempotency_key",
        "dedup_key",
        "group_key",
        "groupkey",
        "max_input_tokens",
        "max_tokens",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "apiserver",
        "apiservice",
        "apigroup",
        "api_group",
        "apiversion",
        "api_version",
        "keyspace",
        "incident_key",
        "alert_key",
        "aggregation_key",
    }
)
LONG_NAME_CHARS = 200

# Headers whose values are secrets, whatever they look like; besides them any `X-…` that ends as one of
# `SECRET_HEADER_ENDINGS`. Services are called `api-gateway` and `vault-token`, but none is called so.
SECRET_HEADERS = (
    "api-key",
    "authorization",
    "cf-access-client-secret",
    "circle-token",
    "cookie",
    "dd-api-key",
    "dd-application-key",
    "fastly-key",
    "ocp-apim-subscription-key",
    "private-token",
    "proxy-authorization",
    "set-cookie",
)
SECRET_HEADER_ENDINGS = (
    "key",
    "apikey",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "cookie",
    "auth",
    "signature",
)

# How an error, or what is said of a secret rather than the secret, begins after `password:`. Those of pydantic's
# messages are all among them.
SAYING = (  # noqa: SIM905  (two hundred quoted words are harder to read)
    "a able accepted all already an and any are argument arguments assertion at authentication bad block "
    "blocked bytes callable can cannot changed complex configuration connection could critical data date "
    "datetime datetimes decimal decimals default denied dictionary disabled does down empty enabled "
    "environment error errors expired extra failed failure false field fields file float found fraction "
    "frozenset function generator given got has have healthy hidden in incorrect input instance int "
    "integer invalid is iteration json keys language length list login mapping may mismatch missing model "
    "must name needs never no none not null number object of off ok on only or ordinal path permission "
    "prefect recursion recursive redacted refused rejected required reset restarted rotated set shall "
    "should string substring the time timed timedelta timeout timezone too true tuple type unable unbound "
    "unchanged unexpected unhealthy unknown unreachable unset up url uuid value warning was were will "
    "with without wrong yes"
).split()


def is_secret_name(name: str) -> bool:
    """Whether values under this name are hidden. Hyphens count as underscores, capitals as small letters."""
    return _is_known_secret(name) if len(name) <= LONG_NAME_CHARS else _is_secret(name)


def _is_secret(name: str) -> bool:
    plain = name.lower().replace("-", "_")
    if plain in READABLE_NAMES:
        return False
    return any(mark in plain for mark in SECRET_MARKS) or f"_{plain}".endswith(
        tuple(f"_{ending}" for ending in SECRET_ENDINGS)
    )


# Senders use the same few names for ever, and one alert has fifty.
_is_known_secret = lru_cache(maxsize=2048)(_is_secret)


def _any_of(names: tuple[str, ...] | frozenset[str] | list[str]) -> str:
    return "(?:" + "|".join(sorted(names)).replace("_", "[_-]") + ")"


# Possessive quantifiers, bounds and look-behinds keep every rule linear (storage/secret_shapes.py). A value whose
# closing quote was cut off is hidden to the end.
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|\\++["'][^"'\\]*+(?:\\++["'])?)"""
_VALUE = rf"""(?:{_QUOTED}|\[[^\]]*+\]?|\{{[^}}]*+\}}?|[^\s&;"'<>]*[^\s&;"'<>,)\]}}])"""
_WORD = rf"""(?:{_QUOTED}|[^\s;"'<>]*[^\s;"'<>,)\]}}])"""
_QUOTE = r"""\\*+["']"""
_GAP = r"[ \t]{0,3}"
_SAYING = rf"(?:{_any_of(SAYING)}(?![\w-])|\*)"
# Another name, as in `Wrong password: Password: value`.
_NEXT = r"[\w.-]{1,64}:[ \t]"
_MARKED = rf"(?=[\w.-]*?{_any_of(SECRET_MARKS)})[\w.-]++"
_ENDED = rf"(?:[\w.-]*[_-])?{_any_of(SECRET_ENDINGS)}(?=(?:{_QUOTE})?\s{{0,2}}=(?!\s{{0,2}}\d++(?![\w.])))"
_SECRET_NAME = rf"(?<![\w.-])(?!{_any_of(READABLE_NAMES)}(?:{_QUOTE})?\s{{0,2}}[=:])(?:{_MARKED}|{_ENDED})"
# A name before a colon: most words are none, and are soon done with.
_LABEL = r"(?<![\w.-])(?=\w[\w.-]*+:)"
_HEADER_NAME = (
    rf"{_LABEL}(?:{_any_of(SECRET_HEADERS)}"
    rf"|x-[\w-]{{0,64}}?(?<![a-z]){_any_of(SECRET_HEADER_ENDINGS)})"
)
# Names of hosts and services have marks too (`api-3`, `vault-token`): what stands after them must look like one.
_UNIT = r"(?:%|[kmgtp]?i?(?:b|bit|bps)|[numµ]?s|min|[mhdwcvx]|[km]?hz|rpm|req)(?:/(?:s|min|h|d))?"
_END = r"""[.:!?)\]]*(?![^\s,;"'<>])"""
_FIGURE = rf"[-+~<>=]{{0,2}}v?(?:\d[\d.,:/+TZ-]{{0,40}}+(?:{_UNIT})?){{1,4}}{_END}"
_WORD_OR_STATE = r"(?:[a-z]{1,20}|[A-Z]{1,20}|(?:[A-Z][a-z]{1,20}){1,4})"
_WORDS = rf"(?-i:{_WORD_OR_STATE}(?:[-/]{_WORD_OR_STATE}){{0,6}}){_END}"
# A word of a name, as in `checkout-7d9f8b6c5d`. Parts of hexadecimal digits are none.
_PLAIN = (
    r"(?-i:(?<![A-Za-z0-9])(?=[A-Fa-f]*[G-Zg-z])"
    r"(?:[A-Z]?[a-z]{3,15}|[A-Z]{4,15})(?![A-Za-z0-9]))"
)
_KEY_NAME = (
    rf"{_LABEL}(?=\w++-)"
    r"(?:[\w-]{1,64}?-(?:key|token|secret|passw(?:or)?d|sess(?:ion)?id|cookie)(?=:(?!\s{0,2}\w++://))"
    r"|[\w-]{0,64}?(?:-dsn|webhook-url)(?=:))"
)
_DOTTED_NAME = rf"{_LABEL}(?=[\w.-]*?{_any_of(SECRET_MARKS)})(?=\w++[.-])[\w.-]++"
_LOOKS_LIKE_ONE = r"(?=[\w+/=.~-]*\d)(?=[\w+/=.~-]*[a-z])[\w+/=.~-]{12,}+"
_LOGIN_WORD = "(?:password|passwd|passphrase|passcode|pwd|credentials?)"
# Of a token or a key only what looks like one is hidden, since people write `key:` about many things.
_CREDENTIAL = (
    r"(?:(?:api|access|auth|secret|private|licen[cs]e|signing|encryption)[ _-]?key"
    r"|[\w-]{0,64}?(?:token|secret))"
)
# `reset-password: 503`
_STATUS = r"(?<=-password: )\d{1,3}(?:\.\d++)?(?![^\s,;])"
_PASSING = rf"[\w-]{{0,64}}?(?:{_LOGIN_WORD}|pass|secret|token|key)"

_HINTS = ("key", "secret", "token", "pass", "api", "hook", "auth", "dsn", "pwd", "credential", "cookie", "sess")


def _rule(hints: tuple[str, ...], pattern: str, *, needs: str = "") -> Rule:
    """What stands before the secret, as the first group, stays."""
    return Rule(hints, re.compile(pattern), rf"\g<1>{MASK}", ignores_case=True, needs=needs)


# In the order in which they apply.
NAMED = (
    _rule(
        ("cookie",),
        rf"(?i)((?<![\w.])(?:set-)?cookie2?(?:{_QUOTE})?\s{{0,2}}[:=]\s{{0,2}}(?:{_QUOTE})?)"
        # To the end of the line, or to the next `name: `, which has a rule of its own.
        r"""(?=[^\s;="']{1,128}=)(?:[^\s"']++|[ \t]++(?![\w.-]{1,64}:\s))++""",
    ),
    _rule(
        ("auth",),
        rf"(?i)(?<![\w.])(authorization(?:{_QUOTE})?\s{{0,2}}[:=]\s{{0,2}}+)(?:(?=[\"'\\]){_VALUE}|(?!\*).++)",
    ),
    _rule(("bearer",), rf"""(?i)\b(bearer\s{{1,3}})(?!{_SAYING})[^\s"',;]++"""),
    # `name=value`, `"name": value`
    _rule(
        _HINTS,
        rf"(?is)({_SECRET_NAME}(?:(?:{_QUOTE})?\s{{0,2}}=\s{{0,2}}|{_QUOTE}\s{{0,2}}:\s{{0,2}})){_VALUE}",
        needs="=:",
    ),
    # `X-Api-Key: value`, `deploy-token: value`, `shop.api: value`
    _rule(_HINTS, rf"(?i)({_HEADER_NAME}:\s{{0,2}})(?!{_SAYING}){_VALUE}", needs=":"),
    _rule(
        _HINTS, rf"""(?i)({_KEY_NAME}:{_GAP}["']?)(?!{_FIGURE}|{_WORDS})[^\s"'<>,;()\[\]{{}}*]{{6,}}+""", needs=":"
    ),
    _rule(
        _HINTS,
        rf"""(?i)({_DOTTED_NAME}:[ \t]{{1,3}}["']?)(?!{_FIGURE}|[\w+/=.~-]*?{_PLAIN}){_LOOKS_LIKE_ONE}""",
        needs=":",
    ),
    # `password: value`, unless it is about one; `access token: value`, where that may be one
    _rule(
        ("pass", "pwd", "credential"),
        rf"(?i)(?<![\w.-])([\w.-]*?{_LOGIN_WORD}{_GAP}:{_GAP})(?!{_NEXT}|{_SAYING}|{_STATUS}){_WORD}",
        needs=":",
    ),
    _rule(
        ("key", "token", "secret"),
        rf"(?i)(?<![\w-])({_CREDENTIAL}(?: provided)?{_GAP}:{_GAP})(?!{_FIGURE}){_LOOKS_LIKE_ONE}",
        needs=":",
    ),
    # `password 'value'`, `IDENTIFIED BY 'value'`
    _rule(
        ("pass", "pwd", "identified"), rf"(?i)\b((?:{_LOGIN_WORD}|identified by)\s{{1,2}})(?:'[^']++'|\"[^\"]++\")"
    ),
    # `--password value`, but no path after `--private-key`
    _rule(
        ("pass", "pwd", "credential", "secret", "token", "key"),
        rf"(?i)(?<![\w-])(--?{_PASSING}[ \t]{{1,3}})(?![-/.~$*]){_WORD}",
    ),
    _rule(
        ("mysql", "mariadb", "pass", "redis-cli"),
        rf"((?i:mysql|mariadb)[\w-]{{0,20}}[^\n|;&]{{0,200}}?\s-p|sshpass\s{{1,3}}-p\s{{0,3}}"
        rf"|redis-cli[^\n|;&]{{0,200}}?\s-a\s{{1,3}})(?=\S){_WORD}",
    ),
    _rule(
        ("-u",),
        r"""(?<![\w-])((?:-u|--(?:proxy-)?user)[ \t=]{0,2}["']?[^\s:"'/]{1,64}:)(?!\d++(?!\w))[^\s"']++""",
    ),
    # Parameters of URLs that sign or log in; a code of three digits is a status.
    _rule(
        ("sig", "hmac=", "code=", "sid=", "jwt="),
        r"(?i)([?&;#](?:sig|signature|x-(?:amz|goog)-signature|hmac|code|sid|jwt)=)"
        r"""(?!\d{1,4}(?![\w%-]))[^\s&;#"'<>]++""",
    ),
)
