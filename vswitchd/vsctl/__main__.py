"""``python -m vswitchd.vsctl``: the same as the script ``vsctl``."""

from __future__ import annotations

import sys

from vswitchd.vsctl import main

sys.argv[0] = "vsctl"
sys.exit(main())
