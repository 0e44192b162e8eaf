"""The built-in HTML of a mail: the same words as the text, with the severity's colour and links to click."""

from jinja2 import Environment

from tasks.notify.channels.colors import COLORS
from tasks.notify.message import Notification
from tasks.notify.web_links import web_links

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

# No remote image, which would tell its host who reads the mail and when. Only the bar has colours, both of them:
# a mail program's dark mode can choose the rest. Lines end in <br>, since Outlook knows no white-space: pre-wrap.
PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
</head>
<body style="margin: 0; padding: 12px; font: 16px/1.5 sans-serif">
<div style="max-width: 680px; margin: 0 auto; overflow-wrap: anywhere; word-break: break-word">
<h2 dir="auto" style="margin: 0 0 16px; padding: 10px 14px; font-size: 18px; \
color: #ffffff; background-color: {{ color }}">{{ title }}</h2>
{% for lines in paragraphs %}
<p dir="auto" style="margin: 0 0 16px">
{% for line in lines %}
{% if line in links %}
<a href="{{ links[line][1] }}">{{ links[line][0] }}</a>
{%- else %}
{{ line }}
{%- endif %}
{{ "" if loop.last else "<br>"|safe }}
{% endfor %}
</p>
{% endfor %}
</div>
</body>
</html>
""")


def render(notification: Notification, text: str) -> str:
    """The page for a message whose text this is."""
    # As the built-in text has them, line by line.
    links = {f"{label}: {url}": (label, url) for label, url in web_links(notification).items()}
    paragraphs = [[_indented(line) for line in part.split("\n")] for part in text.strip("\n").split("\n\n")]
    written = {line for lines in paragraphs for line in lines}
    # A text of the operator's own may leave them out.
    unwritten = [line for line in links if line not in written]
    return PAGE.render(
        title=notification.title,
        color=COLORS[notification.severity],
        paragraphs=[*paragraphs, *([unwritten] if unwritten else [])],
        links=links,
    )


def _indented(line: str) -> str:
    stripped = line.lstrip(" ")
    return NO_BREAK_SPACE * (len(line) - len(stripped)) + stripped
