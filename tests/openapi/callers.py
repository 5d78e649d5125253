"""Who calls: a token for each role, made anew when a made-up call has ended the login behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from stack.testing import RunningStack
from tests.platform import unique

PASSWORD = "a zebra counts backwards"
_ROOT = "first admin"


class Callers:
    """Tokens by role. One that no longer works is forgotten, and another caller takes its place."""

    def __init__(self, stack: RunningStack) -> None:
        self._endpoints = stack.endpoints
        self._http = httpx.Client(base_url=stack.endpoints.edge_url, timeout=20)
        self._tokens: dict[str, str] = {}

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def token(self, role: str) -> str:
        """Returns a good token of this role."""
        if role not in self._tokens:
            make: dict[str, Callable[[], str]] = {
                _ROOT: self._first_admin,
                "member": self._member,
                "till": self._till,
            }
            self._tokens[role] = make[role]() if role in make else self._staff(role)
        return self._tokens[role]

    def forget(self, role: str) -> None:
        """Makes `token` return another one from now on."""
        self._tokens.pop(role, None)

    def first_admin_id(self) -> str:
        """Returns the id of the admin who makes the others, of whom made-up calls must not hear."""
        headers = {"authorization": f"Bearer {self.token(_ROOT)}"}
        staff = self._http.get("/v1/staff", headers=headers).json()["staff"]
        return next(str(one["id"]) for one in staff if one["user_name"] == self._endpoints.admin_user_name)

    def _first_admin(self) -> str:
        return self._log_in(self._endpoints.admin_user_name, self._endpoints.admin_password)

    def _staff(self, role: str) -> str:
        name = f"staff-{unique()}"
        wanted = {"user_name": name, "full_name": "Joan Clarke", "password": PASSWORD}
        wanted["role"] = f"ROLE_{role.upper()}"
        if role == "brand_manager":
            brand = self._post("/v1/brands", {"name": f"Brand {unique()}", "category": "Books"}, _ROOT)
            wanted["brand_id"] = brand["brand"]["brand"]["id"]
        self._post("/v1/staff", wanted, _ROOT)
        return self._log_in(name, PASSWORD)

    def _member(self) -> str:
        wanted = {"full_name": "Grace Hopper", "user_name": f"member-{unique()}", "password": PASSWORD}
        return str(self._post("/v1/members", wanted)["token"]["access_token"])

    def _till(self) -> str:
        made = self._post("/v1/clients", {"display_name": f"Till {unique()}"}, _ROOT)
        form = {"grant_type": "client_credentials", "client_secret": made["client_secret"]}
        response = self._http.post("/v1/oauth/token", data=form | {"client_id": made["client"]["id"]})
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    def _log_in(self, name: str, password: str) -> str:
        credentials = {"password": {"user_name": name, "password": password}}
        return str(self._post("/v1/sessions", credentials)["token"]["access_token"])

    def _post(self, path: str, body: Any, role: str = "") -> Any:
        headers = {"idempotency-key": unique()}
        if role:
            headers["authorization"] = f"Bearer {self.token(role)}"
        response = self._http.post(path, json=body, headers=headers)
        assert response.status_code == 200, f"{path}: {response.text}"
        return response.json()
