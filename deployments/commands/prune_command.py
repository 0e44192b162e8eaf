"""`watchkeeper prune`: what was kept long enough goes now."""


def prune() -> None:
    """Prune once. The help text stands in cli.py."""
    import asyncio  # noqa: PLC0415  (keeps --help fast, here and below)

    from deployments.commands.check_output import print_lines  # noqa: PLC0415
    from deployments.installed import installed_database  # noqa: PLC0415
    from flows import pruning  # noqa: PLC0415
    from storage.settings import load  # noqa: PLC0415

    current = load()
    with installed_database(current):
        pruned = asyncio.run(pruning.prune(current))
    print_lines([pruning.told(pruned)])
