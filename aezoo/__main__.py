"""`python -m aezoo` is the `aezoo` command."""

from aezoo.cli import main

if __name__ == "__main__":
    main(prog_name="aezoo")
