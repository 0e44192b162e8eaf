"""The providers.

To add one: a module with a class that fulfils `base.Provider`, and a line here.
"""

from tasks.analyze.providers.base import Provider
from tasks.analyze.providers.local import Local

PROVIDERS: dict[str, type[Provider]] = {
    "local": Local,
}
