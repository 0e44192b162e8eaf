"""How far messages may go whose address is the user's to choose."""

from storage import settings
from tasks.addresses import Reach


def allowed_reach() -> Reach:
    """Never to link-local or metadata addresses; to private ones unless the setting forbids it."""
    return Reach.PUBLIC if settings.load().block_private_addresses else Reach.GUARDED
