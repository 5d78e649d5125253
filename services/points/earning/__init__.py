"""What purchases earn: rules that staff manage, and how they judge a receipt.

Owns `earn_rules`, what staff see and change, and `earn_rule_sets`, all rules of one time as they judge
purchases, kept for ever because refunds are judged by the set that judged the purchase.
"""

from __future__ import annotations

from services.points.earning.applied import AppliedRules as AppliedRules
from services.points.earning.dry_run import Explanation as Explanation
from services.points.earning.dry_run import explain as explain
from services.points.earning.kinds import Rate as Rate
from services.points.earning.rule_book import RuleBook as RuleBook
from services.points.earning.rule_sets import RuleSet as RuleSet
from services.points.earning.terms import Item as Item
from services.points.earning.terms import Terms as Terms

__all__ = [
    "AppliedRules",
    "Explanation",
    "Item",
    "Rate",
    "RuleBook",
    "RuleSet",
    "Terms",
    "explain",
]
