"""Which host an alert's labels speak of."""


def instance_of(labels: dict[str, str]) -> str:
    """The thing that the alert is about: label instance, else host or hostname, else none."""
    return labels.get("instance") or labels.get("host") or labels.get("hostname") or ""


def host_of(labels: dict[str, str]) -> str:
    """The host of an alert: its instance without the port."""
    instance = instance_of(labels)
    name, colon, port = instance.rpartition(":")
    is_address_with_port = colon and port.isdigit() and (":" not in name or name.endswith("]"))
    return name.strip("[]") if is_address_with_port else instance
