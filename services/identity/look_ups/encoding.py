"""Look-ups as protobuf has them."""

from __future__ import annotations

from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import look_up_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.promos.v1 import code_pb2
from scrip.vouchers.internal.v1 import vouchers_pb2

from services.common.encoding import timestamp
from services.identity.look_ups.belongings import Belongings
from services.identity.look_ups.queries import LookUpRow


def encode_look_up(row: LookUpRow) -> look_up_pb2.LookUp:
    """Returns that somebody looked a member up."""
    return look_up_pb2.LookUp(
        id=str(row.id),
        looked_up_at=timestamp(row.looked_up_at),
        caller_id=str(row.caller_id),
        caller_role=permission_pb2.Role.Value(f"ROLE_{row.caller_role.upper()}"),
        member_id=str(row.member_id),
        method=look_up_pb2.LookUpMethod.Value(f"LOOK_UP_METHOD_{row.method}"),
    )


def encode_found(
    member: look_up_pb2.LookedUpMember, had: Belongings, *, with_codes: bool
) -> look_up_pb2.LookUpMemberResponse:
    """Returns what is told of a member; texts of codes and promos only if the member showed a code itself."""
    points = had.points
    return look_up_pb2.LookUpMemberResponse(
        member=member,
        points=look_up_pb2.LookedUpPoints(balance=points.balance, debt=points.debt) if points else None,
        coupons=[_coupon(one, with_codes=with_codes) for one in (had.coupons.coupons if had.coupons else ())],
        rewards=[_reward(one, with_codes=with_codes) for one in (had.rewards.rewards if had.rewards else ())],
        claims=[_claim(one, with_codes=with_codes) for one in (had.claims.claims if had.claims else ())],
        promo_points=_promo_points(had.promos, with_texts=with_codes) if had.promos else None,
        unavailable=had.unavailable,
    )


def _coupon(had: vouchers_pb2.UsableCoupon, *, with_codes: bool) -> look_up_pb2.LookedUpCoupon:
    return look_up_pb2.LookedUpCoupon(
        title=had.title,
        face_value=had.face_value,
        expires_at=had.expires_at if had.HasField("expires_at") else None,
        code=had.code if with_codes else "",
    )


def _reward(had: promos_pb2.UsableReward, *, with_codes: bool) -> look_up_pb2.LookedUpReward:
    reward = look_up_pb2.LookedUpReward(
        campaign_name=had.campaign_name,
        expires_at=had.expires_at if had.HasField("expires_at") else None,
        code=had.code if with_codes else "",
    )
    _set_benefit(reward, had.benefit)
    return reward


def _claim(had: promos_pb2.UsableClaim, *, with_codes: bool) -> look_up_pb2.LookedUpClaim:
    claim = look_up_pb2.LookedUpClaim(
        discount_name=had.discount_name,
        brand_name=had.brand_name,
        expires_at=had.expires_at if had.HasField("expires_at") else None,
        code=had.code if with_codes else "",
    )
    _set_benefit(claim, had.benefit)
    return claim


def _set_benefit(
    message: look_up_pb2.LookedUpReward | look_up_pb2.LookedUpClaim, benefit: code_pb2.Benefit
) -> None:
    if benefit.HasField("percent_off"):
        message.percent_off = benefit.percent_off
    else:
        message.amount_off.CopyFrom(benefit.amount_off)


def _promo_points(
    had: promos_pb2.GetUsablePromosResponse, *, with_texts: bool
) -> look_up_pb2.LookedUpPromoPoints:
    return look_up_pb2.LookedUpPromoPoints(
        remaining=had.remaining,
        promos=[
            look_up_pb2.LookedUpPromo(
                description=promo.description if with_texts else "",
                remaining=promo.remaining,
                ends_at=promo.ends_at if promo.HasField("ends_at") else None,
            )
            for promo in had.promos
        ],
    )
