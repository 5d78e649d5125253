"""Finding vouchers: by words, and in the order of many columns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.words import errors_forgiven, remainders, words

revision = "0008"
down_revision = "0007"

_AT_ONCE = 1_000


def upgrade() -> None:
    """Applies the change."""
    op.execute(
        """
        CREATE TABLE search_words (
          word text NOT NULL CONSTRAINT pk_search_words PRIMARY KEY,
          remainders text[] NOT NULL
        );
        ALTER TABLE search_words ALTER COLUMN remainders SET STATISTICS 1000;
        CREATE INDEX ix_search_words_remainders ON search_words USING gin (remainders)
        WITH (fastupdate = off);
        ALTER TABLE vouchers ADD COLUMN words tsvector DEFAULT '' NOT NULL;
        """
    )
    _fill_words()
    op.execute(
        """
        -- How common a word is decides between walking an index and fetching the few that have it.
        ALTER TABLE vouchers ALTER COLUMN words SET STATISTICS 1000;
        CREATE INDEX ix_vouchers_words ON vouchers USING gin (words) WITH (fastupdate = off);
        CREATE INDEX ix_vouchers_created_at ON vouchers (created_at, id);
        CREATE INDEX ix_vouchers_title ON vouchers (title, id);
        CREATE INDEX ix_vouchers_price_points ON vouchers (price_points, id);
        CREATE INDEX ix_vouchers_price ON vouchers (coalesce(price_minor, 0), id);
        CREATE INDEX ix_vouchers_face_value ON vouchers (coalesce(face_value_minor, 0), id);
        CREATE INDEX ix_vouchers_sale_starts_at ON vouchers (sale_starts_at, id);
        CREATE INDEX ix_vouchers_sale_ends_at ON vouchers (coalesce(sale_ends_at, 'infinity'), id)
        WHERE state = 'ACTIVE';
        CREATE INDEX ix_vouchers_state ON vouchers (state, created_at, id);
        CREATE INDEX ix_vouchers_buy_type ON vouchers (buy_type, created_at, id);
        CREATE INDEX ix_vouchers_for_points ON vouchers (created_at, id)
        WHERE price_points > 0 AND price_rule = 'EITHER';
        CREATE INDEX ix_vouchers_for_money ON vouchers (created_at, id)
        WHERE price_minor IS NOT NULL AND price_rule = 'EITHER';
        CREATE INDEX ix_vouchers_for_both ON vouchers (created_at, id) WHERE price_rule = 'TOGETHER';
        """
    )


def _fill_words() -> None:
    """Makes the words of the vouchers that are there, which only Python can compare."""
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT id, title, description FROM vouchers")).all()
    known: set[str] = set()
    for start in range(0, len(found), _AT_ONCE):
        rows = []
        for voucher_id, title, description in found[start : start + _AT_ONCE]:
            own = words(f"{title} {description}")
            known |= {word for word in own if errors_forgiven(word)}
            rows.append({"id": voucher_id, "words": own})
        connection.execute(
            sa.text("UPDATE vouchers SET words = array_to_tsvector(CAST(:words AS text[])) WHERE id = :id"),
            rows,
        )
    if known:
        connection.execute(
            sa.text("INSERT INTO search_words (word, remainders) VALUES (:word, :remainders)"),
            [{"word": word, "remainders": remainders(word)} for word in sorted(known)],
        )
