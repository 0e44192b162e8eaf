"""The sections of a document, in the order in which they are written and done: what is named comes first.

To add one: a module with a class that fulfils `base.Section`, and a line here.
"""

from deployments.commands.applying.sections.base import Section
from deployments.commands.applying.sections.channels import Channels
from deployments.commands.applying.sections.definitions import Definitions
from deployments.commands.applying.sections.providers import Providers
from deployments.commands.applying.sections.routes import RouteRules
from deployments.commands.applying.sections.schedules import Schedules
from deployments.commands.applying.sections.sources import Sources

SECTIONS: dict[str, Section] = {
    section.name: section
    for section in (Definitions(), RouteRules(), Channels(), Providers(), Schedules(), Sources())
}
