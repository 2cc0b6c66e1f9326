"""`python -m kerasuite` is the command line."""

import sys

from kerasuite.cli import main

sys.exit(main())
