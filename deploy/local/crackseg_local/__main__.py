"""The command line: `python3 -m crackseg_local COMMAND`."""

import argparse
import sys

from crackseg_local import cluster, programs
from crackseg_local.errors import LocalClusterError


def main() -> int:
    """Run one command; a problem is printed as a sentence, and the exit code is 1."""
    parser = argparse.ArgumentParser(prog="crackseg_local")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the cluster up, or repair it")
    commands.add_parser("down", help="take the cluster away")
    commands.add_parser("bin", help="print the folder of the built programs")
    build = commands.add_parser("programs", help="build programs that are missing, and print their folder")
    build.add_argument("name", nargs="*", default=list(programs.CLUSTER))
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            cluster.up()
        elif arguments.command == "down":
            cluster.down()
        elif arguments.command == "bin":
            print(programs.bin_folder())
        else:
            print(programs.ensure(arguments.name))
    except LocalClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
