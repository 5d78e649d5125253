"""Sample data for `make up`: offers, a campaign, an earn rule, brands, a till, and members who shopped."""

from datetime import UTC, datetime

from stack.rest import Rest, item, receipt

PHONES = {"+14155550101": "Ada Lovelace", "+14155550102": "Grace Hopper"}
OFFERS = (
    ("$5 off your next purchase", 500, 500, 1_000),
    ("$12 off your next purchase", 1_200, 1_000, 500),
    ("$30 off, limited", 3_000, 2_200, 50),
)
Brand = tuple[str, str, str, tuple[tuple[str, str, str, float, float], ...]]
BRANDS: tuple[Brand, ...] = (
    (
        "Corner Crumb",
        "Bakeries",
        "Bread and cake, baked every night.\nAsk for the cinnamon buns.",
        (
            ("Corner Crumb Market Hall", "12 Market Square", "Springfield", 39.8017, -89.6436),
            ("Corner Crumb Station", "1 Station Road", "Springfield", 39.7903, -89.6501),
        ),
    ),
    (
        "Paper Lantern Books",
        "Books",
        "New and second-hand books, and a table to read at.",
        (("Paper Lantern", "48 Old Mill Lane", "Springfield", 39.8051, -89.6398),),
    ),
    (
        "Café Müller",
        "Cafés",
        "Coffee from our own roastery.",
        (("Café Müller at the Lake", "3 Lake Shore Drive", "Shelbyville", 39.4064, -88.7903),),
    ),
)
"""Name, category, description, and stores: name, address, city, latitude, longitude."""
_WORKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")


async def load(base_url: str, admin_user: str, admin_password: str) -> None:
    """Loads it over REST, as staff, tills and members would."""
    async with Rest(base_url) as rest:
        admin = await rest.log_in_staff(admin_user, admin_password)
        for title, cents, points, quantity in OFFERS:
            voucher = {
                "title": title,
                "description": "Show its code at the till.",
                "face_value": {"currency_code": "USD", "amount_minor": str(cents)},
                "price_points": points,
                "quantity": quantity,
            }
            await rest.ok("POST", "/v1/vouchers", voucher, token=admin, key=f"sample-{points}")
        card = {
            "name": "Card",
            "provider": "SANDBOX",
            "description": "A test card: 4242 4242 4242 4242.",
        }
        await rest.ok("POST", "/v1/payment-methods", card, token=admin, key="sample-card")
        campaign = {"name": "Welcome: 10 % off", "places": 1_000, "benefit": {"percent_off": 10}}
        await rest.ok("POST", "/v1/campaigns", campaign, token=admin, key="sample-welcome")
        rule = {"name": "Coffee counts double", "multiplier": {"percent": 200, "categories": ["coffee"]}}
        await rest.ok("POST", "/v1/earn-rules", rule, token=admin, key="sample-coffee")
        for brand in BRANDS:
            await _brand(rest, admin, brand)
        till = await rest.create_till(admin, f"Sample till {datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
        for phone, name in PHONES.items():
            await _shop(rest, admin, till, phone, name)


async def _brand(rest: Rest, admin: str, brand: Brand) -> None:
    name, category, description, stores = brand
    key = "sample-" + stores[0][1].replace(" ", "-")  # a header, so without accents
    page = {"name": name, "category": category, "description": description}
    made = await rest.ok("POST", "/v1/brands", page, token=admin, key=key)
    path = f"/v1/brands/{made['brand']['brand']['id']}"
    hours = [{"weekday": f"WEEKDAY_{day}", "opens": "08:00", "closes": "18:30"} for day in _WORKDAYS]
    for number, (store, line, city, latitude, longitude) in enumerate(stores):
        content = {
            "name": store,
            "address": {"line": line, "city": city, "country": "US"},
            "position": {"latitude": latitude, "longitude": longitude},
            "time_zone": "America/Chicago",
            "opening_hours": {"intervals": hours},
        }
        await rest.ok("POST", f"{path}/stores", content, token=admin, key=f"{key}-{number}")
    await rest.ok("POST", f"{path}:publish", {}, token=admin)


async def _shop(rest: Rest, admin: str, till: str, phone: str, name: str) -> None:
    _, member = await rest.register(admin, phone, name)
    code = (await rest.ok("GET", "/v1/members/me/code", token=member))["member_code"]
    now = datetime.now(UTC).isoformat()
    for number in range(3):
        bought = receipt(
            code,
            f"S-{phone[-4:]}-{number}",
            now,
            item("4011", "Bananas", 199, quantity=3, category="fruit"),
            item("2200", "Coffee beans", 1_290, category="coffee"),
            item("2201", "Coffee machine", 24_900, category="household"),
            item("7710", "Red wine", 1_450, category="wine", alcohol=True),
        )
        await rest.ok("POST", "/v1/purchases", bought, token=till)
