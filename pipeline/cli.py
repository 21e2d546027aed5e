"""The command line: options in, one function called, exit code out. Results go to stdout, all else to stderr."""

from __future__ import annotations

from collections.abc import Sequence

import click

import pipeline
from pipeline import plugins
from pipeline.errors import EXIT_INTERRUPTED, PipelineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as typed after ``python -m pipeline``; by default the process's own.

    Returns:
        Exit code: 0 done, 1 explained error, 2 usage, 3 done but some clips failed, 130 interrupted.
    """
    try:
        return int(commands.main(arguments, prog_name="python -m pipeline", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PipelineError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped. What was finished before is kept.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(pipeline.__version__, prog_name="pipeline")
def commands() -> None:
    """Turn videos of people into features once, keep them in one trusted file, train small fusion models on it.

    \b
    Begin:   python -m pipeline extract --dataset sample
             python -m pipeline train --features cache/sample.h5
    """


for _name in plugins.names("command"):
    commands.add_command(plugins.module("command", _name).command)
