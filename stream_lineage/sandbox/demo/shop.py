"""A web shop's customers and their clicks, invented but the same for the same seed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

CUSTOMERS = 240
_COUNTRIES: Mapping[str, int] = {"DE": 30, "FR": 18, "NL": 12, "AT": 10, "ES": 10, "IT": 9, "PL": 7, "SE": 4}
_SEGMENTS: Mapping[str, int] = {"NEW": 30, "REGULAR": 60, "VIP": 10}
_DEVICES: Mapping[str, int] = {"mobile": 62, "desktop": 31, "tablet": 7}
_BROWSERS: Mapping[str, int] = {"chrome": 58, "safari": 27, "firefox": 10, "edge": 5}
_EVENTS: Mapping[str, int] = {"view": 76, "click": 19, "purchase": 5}
_PAGES = ("/", "/search", "/sale", "/cart", *(f"/product/{number}" for number in range(1_000, 1_040)))
_CLICKS_PER_SESSION = 12
NEW_EVENT = "scroll"
"""What the web tracker sends after its new release."""


class Shop:
    """Customers as the CRM knows them, clicks as the web tracker sees them."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._customers = [self._customer(number) for number in range(CUSTOMERS)]
        self._sessions: dict[str, tuple[str, int]] = {}

    def customers(self) -> list[dict[str, Any]]:
        """All of them, as they are now."""
        return [dict(customer) for customer in self._customers]

    def changed_customer(self) -> dict[str, Any]:
        """One of them, who has just bought something or changed their mind about the newsletter."""
        customer = self._random.choice(self._customers)
        if self._random.random() < 0.8:
            customer["total_spend"] = round(customer["total_spend"] + self._random.lognormvariate(3.5, 0.6), 2)
        else:
            customer["newsletter"] = not customer["newsletter"]
        customer["updated_at"] = datetime.now(UTC)
        return dict(customer)

    def click(self, *, scrolls: bool) -> dict[str, Any]:
        """What somebody does next; with ``scrolls`` it may be the new event type."""
        customer_id = self._random.choice(self._customers)["customer_id"]
        session_id, left = self._sessions.get(customer_id, ("", 0))
        if left == 0:
            session_id, left = self._id(), self._random.randint(2, _CLICKS_PER_SESSION)
        self._sessions[customer_id] = (session_id, left - 1)
        event_type = NEW_EVENT if scrolls and self._random.random() < 0.3 else self._one_of(_EVENTS)
        amount = round(self._random.lognormvariate(3.5, 0.6), 2) if event_type == "purchase" else None
        return {
            "click_id": self._id(),
            "session_id": session_id,
            "customer_id": customer_id,
            "event_type": event_type,
            "page": self._random.choice(_PAGES),
            "client": {"device": self._one_of(_DEVICES), "browser": self._one_of(_BROWSERS)},
            "amount": amount,
            "clicked_at": datetime.now(UTC),
        }

    def _customer(self, number: int) -> dict[str, Any]:
        return {
            "customer_id": f"C-{100_000 + number}",
            "age": min(92, max(18, round(self._random.gauss(41, 14)))),
            "country": self._one_of(_COUNTRIES),
            "segment": self._one_of(_SEGMENTS),
            "newsletter": self._random.random() < 0.4,
            "total_spend": round(self._random.lognormvariate(5, 1), 2),
            "updated_at": datetime.now(UTC),
        }

    def _one_of(self, weights: Mapping[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def age_band(age: int) -> str:
    """The age as the CRM's new release gives it, for the sake of privacy: ``35-44``."""
    if age >= 65:
        return "65+"
    first = 18 if age < 25 else 25 + (age - 25) // 10 * 10
    return f"{first}-{24 if first == 18 else first + 9}"
