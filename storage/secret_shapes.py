"""Secrets that are known by their shape, wherever they stand: key blocks, tokens, addresses that are keys.

Shapes are those that the vendors document, or that their scanners look for
(https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns).
Left out is what looks like anything else: keys of 32 hexadecimal digits (Datadog, Twilio, PagerDuty), UUIDs
(Heroku, Consul), Vault's old `s.` tokens. They go by the names before them (storage/secret_names.py).
"""

import base64
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

MASK = "***"


@dataclass(frozen=True)
class Rule:
    """What to hide. A text that has none of the `hints` is not looked at: most texts cost next to nothing.

    Hints of a rule that ignores capitals are in small letters. Nor is a text looked at that has none of the
    characters `needs`, where a rule has some: a sentence about a token is not yet `token=value`.
    """

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = MASK
    ignores_case: bool = False
    needs: str = ""

    def may_hide_in(self, text: str, hints: Collection[str]) -> bool:
        """Whether a text with these hints must be searched."""
        return any(hint in self.hints for hint in hints) and (
            not self.needs or any(needed in text for needed in self.needs)
        )


# Every rule takes linear time, as an alert may carry 100 kB of anything: a token begins where no character of
# its kind stands before it, so that no run of them is read twice. JSON within JSON has the letter of `\n` there.
_BEGIN = r"(?:(?<![\w-])|(?<=\\[nrt]))"
_END = r"(?![\w-])"

# By what a text has that holds one; after it, the token's rule.
_TOKENS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[opsur]_[A-Za-z0-9_]{30,}+"),
    (("_pat_",), r"(?:github|dckr)_pat_[\w-]{20,}+"),
    (("glpat-", "glrt-", "gldt-", "glcbt-", "glptt-"), r"gl(?:pat|rt|dt|cbt|ptt)-[\w.-]{20,}+"),
    (("xox",), r"xox[abeoprs]-[\w-]{10,}+"),
    (("xapp-",), r"xapp-\d-[\w-]{10,}+"),
    (("_live_", "_test_"), r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,}+"),
    (("whsec_",), r"whsec_[A-Za-z0-9+/=]{20,}+"),
    # OpenAI's, Anthropic's and those of many who followed them.
    (("sk-",), r"sk-(?=[\w-]*\d)[\w-]{20,}+"),
    (("gsk_", "xai-", "pplx-"), r"(?:gsk_|xai-|pplx-)[A-Za-z0-9]{30,}+"),
    (("AIza",), r"AIza[\w-]{35}"),
    (("ya29.",), r"ya29\.[\w.-]{20,}+"),
    (("GOCSPX-",), r"GOCSPX-[\w-]{20,}+"),
    (("SG.",), r"SG\.[\w-]{16,}+\.[\w-]{16,}+"),
    (("SK",), rf"SK[0-9a-f]{{32}}{_END}"),
    (("npm_",), r"npm_[A-Za-z0-9]{36}"),
    (("pypi-Ag",), r"pypi-Ag[\w-]{40,}+"),
    (("_v1_",), r"do[opr]_v1_[0-9a-f]{64}"),
    (("hvs.", "hvb."), r"hv[sb]\.[\w-]{20,}+"),
    (("Q~",), r"[\w.~]{3}\dQ~[\w.~-]{31,}+"),
    (("dapi",), r"dapi[0-9a-f]{32}(?:-\d)?"),
    (("shp",), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    (("hf_",), r"hf_[A-Za-z0-9]{30,}+"),
    (("glsa_", "glc_"), r"(?:glsa|glc)_[\w+/=]{30,}+"),
    (("NRAK-",), r"NRAK-[A-Z0-9]{27}"),
    (("NRAL",), rf"[0-9a-z]{{36}}NRAL{_END}"),
    (("ddapp_", "ddpat_"), r"dd(?:app|pat)_[A-Za-z0-9]{30,}+"),
    (("AGE-SECRET-",), r"AGE-SECRET-KEY-1[A-Z0-9]{50,}+"),
    (("ATT3", "CTT3"), r"AT[AC]TT3[\w=-]{30,}+"),
    (("tskey-",), r"tskey-[\w-]{20,}+"),
    ((".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}+"),
    (("key-",), rf"key-[0-9a-f]{{32}}{_END}"),
    (("-us",), rf"[0-9a-f]{{32}}-us\d{{1,2}}{_END}"),
    (("squ_", "sqp_"), r"sq[up]_[0-9a-f]{40}"),
    (("sntry",), r"sntry[su]_[\w+/=-]{40,}+"),
    (("pul-",), rf"pul-[0-9a-f]{{40}}{_END}"),
    # JSON Web Tokens, signed and encrypted, and Grafana's old API keys: base64 of what begins with `{"`.
    (("eyJ",), r"eyJ(?:[\w-]{8,}+(?:\.[\w-]*+){2,4}|rIjoi[A-Za-z0-9+/=]{40,}+)"),
)


def _tokens() -> Rule:
    hints = tuple(hint for hints, _ in _TOKENS for hint in hints)
    return Rule(hints, re.compile(f"{_BEGIN}(?:{'|'.join(pattern for _, pattern in _TOKENS)})"))


def _hide_login(match: re.Match[str]) -> str:
    """`Basic …` only where it is base64 of a name and a password: `Basic authentication` stays."""
    given = match["login"]
    try:
        is_login = b":" in base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=False)
    except ValueError:
        is_login = False
    return f"{match['scheme']}{MASK}" if is_login else match[0]


# In the order in which they apply. A key block that was cut off is hidden to its end.
SHAPES = (
    Rule(
        ("key",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]++|-(?!----END))*+(?:-----END [A-Z0-9 ]++-----)?"
        ),
        ignores_case=True,
    ),
    Rule(("key",), re.compile(r"(?is)(?<=private-lines:).*"), f" {MASK}", ignores_case=True),
    _tokens(),
    # The secret key has no shape of its own, but stands next to its id.
    Rule(
        ("AKIA", "ASIA", "ABIA"),
        re.compile(
            r"(?<![A-Za-z0-9])A[KSB]IA[A-Z0-9]{16}(?![A-Za-z0-9])"
            r"(?:(?P<between>[^\0]{0,60}?)(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=]))?"
        ),
        lambda match: MASK if match["between"] is None else f"{MASK}{match['between']}{MASK}",
    ),
    Rule((":AA",), re.compile(r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])")),
    Rule(
        ("hook", "integration/"),
        re.compile(
            r"(?i)((?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)|hooks\.zapier\.com/hooks"
            r"|discord(?:app)?\.com/api/webhooks|webhook\.office\.com/\w++|events\.pagerduty\.com/integration)/)"
            r"""[^\s"'<>?#\\]++"""
        ),
        rf"\g<1>{MASK}",
        ignores_case=True,
    ),
    Rule(("key",), re.compile(r"(?i)(\bgeniekey\s{1,3})[\w-]{16,}+"), rf"\g<1>{MASK}", ignores_case=True),
    Rule(
        ("basic",),
        re.compile(r"(?i)(?P<scheme>\bbasic\s{1,3})(?P<login>[A-Za-z0-9+/_-]{6,}+)={0,2}"),
        _hide_login,
        ignores_case=True,
    ),
    Rule(("@",), re.compile(r"""(?<=://)[^\s/?#"'<>]*@"""), f"{MASK}@"),
    # The logins of Go's and Oracle's data sources, which are no URLs.
    Rule(
        ("@tcp(", "@unix("),
        re.compile(r"""(?<![\w.-])([\w.-]{1,64}:)[^\s@"'/]{1,256}(?=@(?:tcp|unix)\()"""),
        rf"\g<1>{MASK}",
    ),
    Rule(("thin:",), re.compile(r"(?i)(thin:[\w$#.]{1,64}/)[^\s@/]++(?=@)"), rf"\g<1>{MASK}", ignores_case=True),
)
