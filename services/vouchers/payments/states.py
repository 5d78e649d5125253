"""How payments change their state, each change decided in the statement that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, execute, fetch_all, fetch_first
from services.vouchers.payments.providers import HOLDING, Charge, ProviderPayment
from services.vouchers.payments.queries import PAYMENT, PaymentRow, find_payment
from services.vouchers.payments.refusals import payment_method_not_found

MOST_CLAIMED = 50
_FIRST_SECONDS, _LONGEST_SECONDS = 30, 3_600
_LATE_SECONDS = 600
"""So long after it was asked to authorise, a provider may still turn out to have done it."""

_OPENED = SQL(
    """
    INSERT INTO payments AS p (id, payment_method_id, provider, amount_minor, currency_code, state)
    SELECT %(id)s, m.id, m.provider, %(amount)s, %(currency)s, 'CREATED'
    FROM payment_methods m WHERE m.id = %(method_id)s
    ON CONFLICT (id) DO NOTHING
    RETURNING {payment}
    """
).format(payment=PAYMENT)


async def open_payment(connection: Connection, charge: Charge, payment_method_id: UUID) -> PaymentRow:
    """Returns the payment of an order, which is made if there is none. Raises PAYMENT_METHOD_NOT_FOUND."""
    row = await fetch_first(
        connection,
        PaymentRow,
        _OPENED,
        id=charge.payment_id,
        method_id=payment_method_id,
        amount=charge.amount_minor,
        currency=charge.currency_code,
    ) or await find_payment(connection, charge.payment_id)
    if row is None:
        raise payment_method_not_found(payment_method_id)
    terms = (row.payment_method_id, row.amount_minor, row.currency_code)
    assert terms == (payment_method_id, charge.amount_minor, charge.currency_code), "an order's terms stay"
    return row


async def note_asked(connection: Connection, payment_id: UUID) -> bool:
    """Notes that the provider is about to be asked; returns False when the payment is given up or decided.

    What is noted here is followed up until the provider has told how it ended.
    """
    noted = await execute(
        connection,
        """
        UPDATE payments SET
          asked_at = now(), check_at = now() + make_interval(secs => %(first)s), checks = 0,
          version = version + 1
        WHERE id = %(id)s AND state = 'CREATED'
        """,
        id=payment_id,
        first=_FIRST_SECONDS,
    )
    return noted == 1


_RECORDED = SQL(
    """
    UPDATE payments AS p SET
      state = %(state)s,
      provider_reference = CASE WHEN %(reference)s <> '' THEN %(reference)s ELSE p.provider_reference END,
      redirect_url = CASE WHEN %(state)s = 'ACTION_REQUIRED' THEN %(redirect_url)s ELSE '' END,
      decline_code = CASE WHEN %(state)s = 'DECLINED' THEN %(decline_code)s END,
      authorised_at = CASE
        WHEN %(state)s IN ('AUTHORISED', 'CAPTURED') THEN coalesce(p.authorised_at, now())
        ELSE p.authorised_at
      END,
      captured_at = CASE WHEN %(state)s = 'CAPTURED' THEN now() END,
      ended_at = CASE WHEN %(state)s = 'DECLINED' THEN now() END,
      check_at = CASE
        WHEN %(state)s IN ('ACTION_REQUIRED', 'AUTHORISED') THEN now() + make_interval(secs => %(first)s)
      END,
      checks = 0,
      version = p.version + 1
    WHERE p.id = %(id)s AND p.state = ANY(%(from_states)s)
    RETURNING {payment}
    """
).format(payment=PAYMENT)
_FROM = {
    "ACTION_REQUIRED": ["CREATED"],
    "AUTHORISED": ["CREATED", "ACTION_REQUIRED"],
    "CAPTURED": ["CREATED", "ACTION_REQUIRED", "AUTHORISED"],
    "DECLINED": ["CREATED", "ACTION_REQUIRED"],
}


async def record(
    connection: Connection, found: ProviderPayment, *, capturing: bool = False
) -> PaymentRow | None:
    """Takes over what a provider says, where it leads on; returns the payment then, None if it led nowhere.

    One that ended at the provider without us (it expired there) is declined here. An authorised payment is
    declined only by what came of `capturing` it: notifications come in any order. When a payment was given up
    here and the provider holds money for it, it is told so again at once.
    """
    declined = found.state in ("DECLINED", "VOIDED", "REFUNDED")
    state = "DECLINED" if declined else found.state
    row = await fetch_first(
        connection,
        PaymentRow,
        _RECORDED,
        id=found.payment_id,
        state=state,
        from_states=[*_FROM[state], *(["AUTHORISED"] if declined and capturing else [])],
        reference=found.reference,
        redirect_url=found.redirect_url,
        decline_code=found.decline_code or f"PAYMENT_{found.state}",
        first=_FIRST_SECONDS,
    )
    if row is None and found.state in HOLDING:
        await execute(
            connection,
            """
            UPDATE payments SET check_at = now(), settled_at = NULL
            WHERE id = %(id)s AND (state = 'VOIDED' OR (state = 'REFUNDED' AND settled_at IS NULL))
            """,
            id=found.payment_id,
        )
    return row


_GIVEN_UP = SQL(
    """
    INSERT INTO payments AS p
      (id, payment_method_id, provider, amount_minor, currency_code, state, ended_at, settled_at)
    SELECT %(id)s, m.id, m.provider, %(amount)s, %(currency)s, 'VOIDED', now(), now()
    FROM payment_methods m WHERE m.id = %(method_id)s
    ON CONFLICT (id) DO UPDATE SET
      state = CASE
        WHEN p.state IN ('CREATED', 'ACTION_REQUIRED', 'AUTHORISED') THEN 'VOIDED'
        WHEN p.state = 'CAPTURED' THEN 'REFUNDED'
        ELSE p.state
      END,
      redirect_url = '',
      ended_at = coalesce(p.ended_at, now()),
      check_at = CASE
        WHEN p.state IN ('DECLINED', 'VOIDED', 'REFUNDED') THEN p.check_at
        WHEN p.asked_at IS NOT NULL THEN now() + make_interval(secs => %(first)s)
      END,
      checks = 0,
      settled_at = CASE
        WHEN p.state IN ('VOIDED', 'REFUNDED') THEN p.settled_at
        WHEN p.state = 'DECLINED' OR p.asked_at IS NULL THEN coalesce(p.settled_at, now())
      END,
      version = p.version + 1
    RETURNING {payment}
    """
).format(payment=PAYMENT)


async def give_up(connection: Connection, charge: Charge, payment_method_id: UUID) -> PaymentRow:
    """Decides that a payment is given up, whether it was made, never made, or nobody knows; returns it.

    From then on it is never authorised or captured. Without `settled_at` the provider is to be told.
    """
    row = await fetch_first(
        connection,
        PaymentRow,
        _GIVEN_UP,
        id=charge.payment_id,
        method_id=payment_method_id,
        amount=charge.amount_minor,
        currency=charge.currency_code,
        first=_FIRST_SECONDS,
    )
    if row is None:
        raise payment_method_not_found(payment_method_id)
    return row


async def note_settled(connection: Connection, payment_id: UUID) -> None:
    """Notes that the provider holds nothing for a payment that was given up.

    One that it never said to have authorised is looked at once more when a late authorisation is past.
    """
    await execute(
        connection,
        """
        UPDATE payments SET
          settled_at = coalesce(settled_at, now()),
          check_at = CASE
            WHEN authorised_at IS NULL AND asked_at > now() - make_interval(secs => %(late)s)
              THEN asked_at + make_interval(secs => %(late)s)
          END,
          checks = 0
        WHERE id = %(id)s AND state IN ('VOIDED', 'REFUNDED')
        """,
        id=payment_id,
        late=_LATE_SECONDS,
    )


_DUE = SQL(
    """
    UPDATE payments AS p SET
      checks = p.checks + 1,
      check_at = now() + make_interval(secs => least(%(first)s * 2 ^ least(p.checks, 20), %(longest)s))
    WHERE p.id IN (
      SELECT id FROM payments WHERE check_at <= now()
      ORDER BY check_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )
    RETURNING {payment}
    """
).format(payment=PAYMENT)


async def claim_due(connection: Connection) -> Sequence[PaymentRow]:
    """Returns up to 50 payments about which their provider is to be asked now; the next time comes later."""
    return await fetch_all(
        connection,
        PaymentRow,
        _DUE,
        first=_FIRST_SECONDS,
        longest=_LONGEST_SECONDS,
        most=MOST_CLAIMED,
    )
