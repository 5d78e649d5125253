"""Loaded before any other plugin of pytest, for one of them imports gRPC.

What the tests fork only becomes another program; gRPC's care for forks would write into its error output.
"""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
