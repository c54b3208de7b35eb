"""``python -m pytest_htp`` is the ``htp`` command."""

import sys

from pytest_htp.cli import main

if __name__ == "__main__":
    sys.exit(main())
