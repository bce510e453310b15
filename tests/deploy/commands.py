"""Commands of images and services, held against the programs that are installed."""

from collections.abc import Sequence

import click


def program(name: str) -> click.Command:
    """The command line of an installed program."""
    if name == "mlflow":
        from mlflow.cli import cli

        return cli
    if name == "dagster-webserver":
        from dagster_webserver.cli import dagster_webserver

        return dagster_webserver
    if name == "dagster-daemon":
        from dagster._daemon.cli import cli as daemon

        return daemon
    from dagster._cli import create_dagster_cli

    return create_dagster_cli()


def unknown_options(command: Sequence[str]) -> list[str]:
    """Sub-commands and options of a command that its program does not know."""
    name, *words = command
    found = program(name)
    while words and isinstance(found, click.Group):
        inner = found.get_command(click.Context(found), words[0])
        if inner is None:
            return [words[0]]
        found, words = inner, words[1:]
    known = {option for parameter in found.params for option in parameter.opts}
    return [word for word in words if word.startswith("--") and word not in known]
