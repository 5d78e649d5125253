"""A stranger who guesses shuts out strangers, and not the owner."""

from __future__ import annotations

import pytest

from services.common.ids import new_id
from services.identity.accounts import forget_old_places
from services.identity.jobs import forget_all
from services.identity.tests.guessing import log_in_from, try_in
from services.identity.tests.people import DONE, PASSWORD, People, new_user_name
from tests.inprocess import Platform, refusal


class TestKnownPlaces:
    @pytest.mark.covers("I2 AuthService.LogIn")
    @pytest.mark.parametrize("by", ["device", "address"])
    async def test_the_owner_gets_in_while_a_stranger_guesses(self, people: People, by: str) -> None:
        name, device, address = (
            (await people.register()).member.user_name,
            f"device-{new_id()}",
            f"a-{new_id()}",
        )
        assert await try_in(people, name, PASSWORD, address, device) == DONE
        guesses = [await try_in(people, name, "wrong", device_id=f"device-{n}") for n in range(12)]
        assert guesses == ["CREDENTIALS_NOT_VALID"] * 10 + ["TOO_MANY_REQUESTS"] * 2
        assert await try_in(people, name, PASSWORD, device_id="device-0") == "TOO_MANY_REQUESTS"
        known = {"device": ("", device), "address": (address, "")}[by]
        assert await try_in(people, name, PASSWORD, *known) == DONE

    async def test_a_place_that_is_known_has_ten_guesses_too(self, people: People) -> None:
        name, device = (await people.register()).member.user_name, f"device-{new_id()}"
        assert await try_in(people, name, PASSWORD, device_id=device) == DONE
        guesses = [await try_in(people, name, "wrong", device_id=device) for _ in range(11)]
        assert guesses == ["CREDENTIALS_NOT_VALID"] * 10 + ["TOO_MANY_REQUESTS"]
        assert await try_in(people, name, PASSWORD, device_id=device) == "TOO_MANY_REQUESTS"
        # From elsewhere it is not closed by this.
        assert await try_in(people, name, PASSWORD) == DONE

    async def test_being_refused_does_not_tell_that_the_place_is_known(self, people: People) -> None:
        made, address = await people.register(), f"a-{new_id()}"
        assert await try_in(people, made.member.user_name, PASSWORD, address) == DONE
        told = []
        for name in (made.member.user_name, new_user_name()):
            seen = [await refusal(log_in_from(people, name, "wrong", address)) for _ in range(11)]
            told.append([(*one[:2], one[2].get("limit")) for one in seen])
        assert told[0] == told[1]

    async def test_what_one_knows_of_a_place_another_account_does_not(self, people: People) -> None:
        ada, eve = [(await people.register()).member.user_name for _ in range(2)]
        device = f"device-{new_id()}"
        assert await try_in(people, eve, PASSWORD, device_id=device) == DONE
        guesses = [await try_in(people, ada, "wrong", device_id=device) for _ in range(5)]
        guesses += [await try_in(people, ada, "wrong") for _ in range(6)]
        assert guesses.count("CREDENTIALS_NOT_VALID") == 10

    async def test_ten_places_are_kept_as_hashes_and_erased_with_the_account(self, people: People) -> None:
        made = await people.register()
        token = made.token.access_token
        for n in range(12):
            token = (
                await log_in_from(people, made.member.user_name, PASSWORD, "here", f"d-{n}")
            ).token.access_token
        query = "SELECT place_hash FROM known_places WHERE account_id = CAST(%(id)s AS uuid)"
        kept = [bytes(row[0]) for row in await people.rows("identity", query, id=made.member.id)]
        assert len(kept) == 10
        assert all(len(one) == 32 for one in kept)
        await people.close(token)
        assert await people.rows("identity", query, id=made.member.id) == []

    async def test_old_places_are_forgotten(self, people: People, platform: Platform) -> None:
        made = await people.register()
        await people.execute(
            "identity",
            "UPDATE known_places SET seen_at = now() - interval '91 days'"
            " WHERE account_id = CAST(%(id)s AS uuid)",
            id=made.member.id,
        )
        await forget_all(platform.databases["identity"], forget_old_places)
        query = "SELECT count(*) FROM known_places WHERE account_id = CAST(%(id)s AS uuid)"
        assert await people.rows("identity", query, id=made.member.id) == [(0,)]
