"""The story of the demo."""

from __future__ import annotations

import pytest

from stack import demo
from tests.platform import Platform


@pytest.mark.covers("E1")
@pytest.mark.parametrize("time", ["first", "second"])
async def test_the_story_runs_twice_on_one_platform(
    live: Platform, capsys: pytest.CaptureFixture[str], time: str
) -> None:
    endpoints = live.stack.endpoints
    calls = await demo.tell(endpoints.edge_url, endpoints.admin_user_name, endpoints.admin_password)
    told = capsys.readouterr().out
    assert calls >= 30
    assert f"\n{calls}. " in told
    assert endpoints.admin_password not in told
