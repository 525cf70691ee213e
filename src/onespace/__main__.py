"""``python -m onespace`` is the command line."""

import sys

from onespace.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
