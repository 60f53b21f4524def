"""Runs the program as `python -m sync` does, and says last what the most was that its process ever held (Linux).

Imports nothing else: what a measurement needs is not to be counted as the program's.
"""

import sys

from sync.__main__ import main


def peak_kilobytes() -> int:
    """Return VmHWM: what resource.getrusage says counts the parent from before exec, too."""
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1])


if __name__ == "__main__":
    code = main()
    print(peak_kilobytes(), file=sys.stderr)
    sys.exit(code)
