"""Messages to people: texts by language, ways of sending them, and notices of changed accounts and gifts.

Owns the table `notices`. One-time passwords are made and kept by the room `otp`, and sent in these texts by
the same ways.
"""

from services.identity.messages.commands import NOTICE_JOB as NOTICE_JOB
from services.identity.messages.commands import NOTICE_QUEUE as NOTICE_QUEUE
from services.identity.messages.commands import Notices as Notices
from services.identity.messages.languages import DEFAULT_LANGUAGE as DEFAULT_LANGUAGE
from services.identity.messages.languages import pick_language as pick_language
from services.identity.messages.sender import MessageSender as MessageSender
from services.identity.messages.sender import Way as Way
from services.identity.messages.sender import choose_sender as choose_sender
from services.identity.messages.texts import NoticeKind as NoticeKind
from services.identity.messages.texts import code_text as code_text
from services.identity.messages.transports import Message as Message
from services.identity.messages.transports import SendError as SendError
from services.identity.messages.transports import Transport as Transport

__all__ = [
    "DEFAULT_LANGUAGE",
    "NOTICE_JOB",
    "NOTICE_QUEUE",
    "Message",
    "MessageSender",
    "NoticeKind",
    "Notices",
    "SendError",
    "Transport",
    "Way",
    "choose_sender",
    "code_text",
    "pick_language",
]
