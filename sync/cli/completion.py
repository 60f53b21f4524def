"""`mpsync completion SHELL`: the script that completes mpsync's commands and options."""

from __future__ import annotations

import click

HOW = {
    "bash": 'eval "$(mpsync completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(mpsync completion zsh)"   # in ~/.zshrc',
    "fish": "mpsync completion fish | source   # in ~/.config/fish/config.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(HOW)))
def command(shell: str) -> None:
    """Print the script that lets SHELL complete commands and options.

    Put this line into the shell's own start file: eval "$(mpsync completion bash)" (fish: mpsync
    completion fish | source).
    """
    from click.shell_completion import get_completion_class

    from sync.cli import COMPLETE_VARIABLE, cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(f"# {HOW[shell]}")
    click.echo(completion(cli, {}, "mpsync", COMPLETE_VARIABLE).source())
