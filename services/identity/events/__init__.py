"""Member events, delivered to the other services in order, each once in effect.

Owns `member_events`, the log of all that was published. The messages themselves leave from the outbox.
"""

from services.identity.events.commands import EVENT_QUEUES as EVENT_QUEUES
from services.identity.events.commands import LISTENERS as LISTENERS
from services.identity.events.commands import TOPIC as TOPIC
from services.identity.events.commands import publish_member_events as publish_member_events

__all__ = ["EVENT_QUEUES", "LISTENERS", "TOPIC", "publish_member_events"]
