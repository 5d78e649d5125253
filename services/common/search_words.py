"""The words that things are known by, so that a word with typing errors finds the right ones.

A word stays when the last of what it names is gone: then it leads to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg.types.json import Jsonb

from services.common.db import Connection, execute, fetch_values
from services.common.words import distance, errors_forgiven, remainders, words

_MOST_CORRECTIONS = 20
"""Words that one word of a query may have been meant to be; the nearest ones."""


async def remember_words(connection: Connection, *texts: str) -> None:
    """Keeps the words of these texts in which a typing error is forgiven.

    In their order, for others do the same.
    """
    found = sorted({word for word in words(" ".join(texts)) if errors_forgiven(word)})
    await execute(
        connection,
        """
        INSERT INTO search_words (word, remainders)
        SELECT w.word, ARRAY(SELECT jsonb_array_elements_text(w.remainders))
        FROM jsonb_to_recordset(%(words)s) AS w (word text, remainders jsonb)
        WHERE NOT EXISTS (SELECT FROM search_words s WHERE s.word = w.word)
        ORDER BY w.word
        ON CONFLICT (word) DO NOTHING
        """,
        words=Jsonb([{"word": word, "remainders": remainders(word)} for word in found]),
    )


async def known_beginnings(connection: Connection, query_words: Sequence[str]) -> set[str]:
    """Returns those of these words that some known word begins with."""
    found: list[str] = await fetch_values(
        connection,
        """
        SELECT q.word FROM unnest(%(words)s::text[]) AS q (word)
        WHERE starts_with(
          (SELECT s.word FROM search_words s WHERE s.word >= q.word ORDER BY s.word LIMIT 1), q.word
        )
        """,
        words=list(query_words),
    )
    return set(found)


async def corrections(
    connection: Connection, query_words: Sequence[str]
) -> Mapping[str, Sequence[tuple[int, str]]]:
    """Returns for each word of a query the known words that may be meant, with the number of errors.

    The nearest come first. A word in which no error is forgiven has none.
    """
    parts = {word: set(remainders(word)) for word in query_words}
    known: list[str] = await fetch_values(
        connection,
        "SELECT word FROM search_words WHERE remainders && %(parts)s::text[] LIMIT 2000",
        parts=sorted(set[str]().union(*parts.values())),
    )
    found: dict[str, list[tuple[int, str]]] = {word: [] for word in parts}
    for other in known:
        left = remainders(other)
        for word, own in parts.items():
            # Whether there is a remainder in common is told sooner than the distance.
            if not own.isdisjoint(left) and 0 < (errors := distance(word, other)) <= errors_forgiven(word):
                found[word].append((errors, other))
    return {word: sorted(others)[:_MOST_CORRECTIONS] for word, others in found.items()}
