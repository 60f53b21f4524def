"""What settings.example.env must say. Remake it with: python -m tests.settings.example > settings.example.env"""

from __future__ import annotations

from sync.settings import Settings, variable_names

HEAD = """\
# Settings of mpsync: copy this file to .env in the working folder, or set the same names as environment variables
# (those win). An empty value means the default. A value with a blank or a # in it stands in 'single quotes'.
# Every NAME_FILE form reads NAME's value from a file.
"""


def render_example() -> str:
    """Return the whole file: each variable with its default, below one line of comment."""
    blocks = [HEAD]
    for name in variable_names():
        field = Settings.model_fields.get(name.lower())
        meaning = field.description if field else f"a file that holds {name.removesuffix('_FILE')}, instead of it"
        default = field.default if field else ""
        blocks.append(f"# {meaning}\n{name}={default}\n")
    return "\n".join(blocks)


if __name__ == "__main__":
    print(render_example(), end="")
