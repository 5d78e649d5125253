"""Finding vouchers by words: of a title or description, as they are typed, with typing errors forgiven."""

from __future__ import annotations

from services.common.db import Connection, fetch_values
from services.common.search_words import corrections, known_beginnings
from services.common.words import MOST_WORDS, words

_MOST_LOOKED_UP = 1_000


def words_of(title: str, description: str) -> list[str]:
    """Returns the words that a voucher is found by."""
    return words(f"{title} {description}")


async def search_filter(connection: Connection, query: str) -> dict[str, object]:
    """Returns the filter of lists for a search, none when nothing is searched for.

    What few vouchers have is looked up first: PostgreSQL does not know how rare a word is, and would walk
    through all vouchers in the order of the list.
    """
    if not query:
        return {}
    wanted = await _tsquery(connection, query)
    found = await fetch_values(
        connection,
        "SELECT id FROM vouchers WHERE words @@ %(words)s::tsquery LIMIT %(most)s + 1",
        words=wanted,
        most=_MOST_LOOKED_UP,
    )
    return {"words": wanted} if len(found) > _MOST_LOOKED_UP else {"found": found}


async def _tsquery(connection: Connection, query: str) -> str:
    """Returns what vouchers must have, as a tsquery: for each word of the query one that begins with it.

    A word that nothing known begins with may be meant to be one of those that are like it. A query without
    words finds nothing.
    """
    wanted = words(query)[:MOST_WORDS]
    known = await known_beginnings(connection, wanted)
    found = await corrections(connection, [word for word in wanted if word not in known])
    return " & ".join(
        "({})".format(" | ".join([f"'{word}':*", *(f"'{other}'" for _, other in found.get(word, ()))]))
        for word in wanted
    )
