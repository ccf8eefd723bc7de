"""Command line: python -m panet_lite.check grade NOTEBOOK ..."""

import sys

from .grading import main

if __name__ == "__main__":
    sys.exit(main())
