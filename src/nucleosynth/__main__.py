"""`python -m nucleosynth`."""

import sys

from nucleosynth.cli import main

sys.exit(main())
