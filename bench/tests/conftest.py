"""A world without a stack."""

import pytest

from bench.world import Member, World


@pytest.fixture
def world() -> World:
    """Two tills, three members."""
    members = [Member(str(number), f"CODE{number}", f"member-token-{number}") for number in range(3)]
    return World(["till-token-0", "till-token-1"], members, "01234567-89ab-cdef-0123-456789abcdef")
