"""What people read, in each language that there are texts in. A new language is an entry in each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

LANGUAGES = ("en", "de")


class NoticeKind(StrEnum):
    """What a notice tells: a member about the account, or somebody of a gift."""

    PHONE_CHANGED = "PHONE_CHANGED"
    EMAIL_CHANGED = "EMAIL_CHANGED"
    USER_NAME_CHANGED = "USER_NAME_CHANGED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105  # a kind
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    GIFT_OFFERED = "GIFT_OFFERED"


@dataclass(frozen=True, slots=True)
class Text:
    """A message in one language; the subject is for e-mail alone."""

    subject: str
    body: str


_CODES = {
    "en": "{code} is your code for Scrip. It is good for {minutes} minutes. Tell it to nobody.",
    "de": "{code} ist Ihr Code für Scrip. Er gilt {minutes} Minuten. Sagen Sie ihn niemandem.",
}
_SUBJECTS = {"en": "Your Scrip account was changed", "de": "Ihr Scrip-Konto wurde geändert"}
_CLOSED_SUBJECTS = {"en": "Your Scrip account was closed", "de": "Ihr Scrip-Konto wurde geschlossen"}
_GIFT_SUBJECTS = {"en": "A gift for you", "de": "Ein Geschenk für Sie"}
_SUBJECTS_OF = {NoticeKind.ACCOUNT_CLOSED: _CLOSED_SUBJECTS, NoticeKind.GIFT_OFFERED: _GIFT_SUBJECTS}
_NOTICES: Mapping[str, Mapping[NoticeKind, str]] = {
    "en": {
        NoticeKind.PHONE_CHANGED: "Your Scrip account got another phone number on {when}. {advice}",
        NoticeKind.EMAIL_CHANGED: "The e-mail address of your Scrip account was changed on {when}. {advice}",
        NoticeKind.USER_NAME_CHANGED: "The user name of your Scrip account was changed on {when}. {advice}",
        NoticeKind.PASSWORD_CHANGED: "The password of your Scrip account was changed on {when}. {advice}",
        NoticeKind.ACCOUNT_CLOSED: "Your Scrip account was closed on {when}. {advice}",
        NoticeKind.GIFT_OFFERED: "There is a gift for you in Scrip since {when}. Log in or register with"
        " this phone number to take it.",
    },
    "de": {
        NoticeKind.PHONE_CHANGED: "Ihr Scrip-Konto hat seit {when} eine andere Telefonnummer. {advice}",
        NoticeKind.EMAIL_CHANGED: "Die E-Mail-Adresse Ihres Scrip-Kontos wurde am {when} geändert. {advice}",
        NoticeKind.USER_NAME_CHANGED: "Der Name Ihres Scrip-Kontos wurde am {when} geändert. {advice}",
        NoticeKind.PASSWORD_CHANGED: "Das Passwort Ihres Scrip-Kontos wurde am {when} geändert. {advice}",
        NoticeKind.ACCOUNT_CLOSED: "Ihr Scrip-Konto wurde am {when} geschlossen. {advice}",
        NoticeKind.GIFT_OFFERED: "Seit {when} liegt bei Scrip ein Geschenk für Sie. Melden oder"
        " registrieren Sie sich mit dieser Telefonnummer an.",
    },
}
_ADVICE = {
    "en": "If that was not you, tell the shop at once.",
    "de": "Waren Sie das nicht, melden Sie sich sofort im Geschäft.",
}
_MOMENT = {"en": "%Y-%m-%d %H:%M UTC", "de": "%d.%m.%Y um %H:%M UTC"}


def code_text(language: str, code: str, minutes: int, *, template: str = "") -> str:
    """Returns the words for a one-time password; a template of the settings is used in every language."""
    return (template or _CODES[language]).format(code=code, minutes=minutes)


def notice_text(kind: NoticeKind, language: str, at: datetime) -> Text:
    """Returns a notice of what was changed at a moment, or that there is a gift.

    What the giver wrote is not in it: a message to a stranger's phone says only what we say.
    """
    subjects = _SUBJECTS_OF.get(kind, _SUBJECTS)
    when = at.astimezone(UTC).strftime(_MOMENT[language])
    return Text(subjects[language], _NOTICES[language][kind].format(when=when, advice=_ADVICE[language]))
