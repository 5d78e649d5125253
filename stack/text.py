"""What is printed for a person."""

from pathlib import Path

from stack.endpoints import Endpoints


def welcome(endpoints: Endpoints, data: Path, *, password_given: bool) -> str:
    """Printed once everything is ready, and by `status`. A password that was given is not repeated."""
    password = "the password in SCRIP_ADMIN_PASSWORD" if password_given else endpoints.admin_password
    return f"""
  Scrip is ready.

    REST and gRPC   {endpoints.edge_url}
    metrics         {endpoints.ops_url}/metrics
    admin login     {endpoints.admin_user_name} / {password}
    data and logs   {data}

  In another terminal:
    curl {endpoints.ops_url}/ready     is it well?
    make demo                             see the whole story, call by call
    make status                           see this again, and what runs

  Ctrl-C stops it and keeps the data; `make reset` forgets them.
"""
