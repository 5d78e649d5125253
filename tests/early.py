"""Loaded before any other plugin of pytest, for one of them imports gRPC.

What the tests fork only becomes another program; gRPC's care for forks would write into its error output. The
package `services` chooses how gRPC polls, so that tests run with what services have.
"""

import os

import services  # noqa: F401  # for what it sets

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
