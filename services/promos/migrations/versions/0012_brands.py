"""Brands, their stores, and what these are searched by."""

from __future__ import annotations

from services.common.migrations import execute

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Applies the change."""
    execute(
        """
        CREATE TABLE logos (
          id uuid NOT NULL CONSTRAINT pk_logos PRIMARY KEY,
          content_type text NOT NULL,
          data bytea NOT NULL,
          created_at timestamptz NOT NULL DEFAULT now()
        );

        CREATE TABLE brands (
          id uuid NOT NULL CONSTRAINT pk_brands PRIMARY KEY,
          name text NOT NULL,
          name_key text COLLATE "C" NOT NULL,
          description text NOT NULL,
          category text NOT NULL,
          website text NOT NULL,
          logo_id uuid CONSTRAINT fk_brands_logo_id REFERENCES logos (id),
          state text NOT NULL DEFAULT 'DRAFT',
          stores integer NOT NULL DEFAULT 0,
          version integer NOT NULL DEFAULT 1,
          created_at timestamptz NOT NULL DEFAULT now(),
          CONSTRAINT ck_brands_state_known CHECK (state IN ('DRAFT', 'PUBLISHED', 'ARCHIVED')),
          CONSTRAINT ck_brands_stores_within_limit CHECK (stores BETWEEN 0 AND 10000)
        );

        CREATE TABLE stores (
          id uuid NOT NULL CONSTRAINT pk_stores PRIMARY KEY,
          brand_id uuid NOT NULL CONSTRAINT fk_stores_brand_id REFERENCES brands (id),
          name text NOT NULL,
          name_key text COLLATE "C" NOT NULL,
          address_line text NOT NULL,
          city text NOT NULL,
          postal_code text NOT NULL,
          country text NOT NULL,
          latitude double precision,
          longitude double precision,
          position point GENERATED ALWAYS AS (
            point(longitude, degrees(asinh(tan(radians(latitude)))))
          ) STORED,
          time_zone text NOT NULL,
          open_minutes int4multirange,
          phone text NOT NULL,
          logo_id uuid CONSTRAINT fk_stores_logo_id REFERENCES logos (id),
          version integer NOT NULL DEFAULT 1,
          created_at timestamptz NOT NULL DEFAULT now(),
          published boolean NOT NULL,
          category text NOT NULL,
          own_terms text[] NOT NULL,
          brand_terms text[] NOT NULL,
          terms text[] NOT NULL GENERATED ALWAYS AS (own_terms || brand_terms) STORED,
          CONSTRAINT ck_stores_place_is_whole CHECK ((latitude IS NULL) = (longitude IS NULL)),
          CONSTRAINT ck_stores_place_on_earth CHECK (
            latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180
          ),
          CONSTRAINT ck_stores_open_within_a_week CHECK (open_minutes <@ int4range(0, 10080))
        );
        -- How common a term is decides between walking an index and fetching the few that have it.
        ALTER TABLE stores ALTER COLUMN terms SET STATISTICS 1000;
        CREATE INDEX ix_stores_terms ON stores USING gin (terms) WITH (fastupdate = off);
        CREATE INDEX ix_stores_position ON stores USING gist (position) WHERE published;
        CREATE INDEX ix_stores_published ON stores (name_key, id) WHERE published;
        CREATE INDEX ix_stores_category ON stores (category, name_key, id) WHERE published;
        CREATE INDEX ix_stores_name_key ON stores (name_key, id);
        CREATE INDEX ix_stores_created_at ON stores (created_at, id);
        CREATE INDEX ix_stores_brand_id ON stores (brand_id, name_key, id);
        CREATE INDEX ix_stores_brand_id_created_at ON stores (brand_id, created_at, id);

        CREATE TABLE search_words (
          word text NOT NULL CONSTRAINT pk_search_words PRIMARY KEY,
          remainders text[] NOT NULL
        );
        ALTER TABLE search_words ALTER COLUMN remainders SET STATISTICS 1000;
        CREATE INDEX ix_search_words_remainders ON search_words USING gin (remainders)
        WITH (fastupdate = off);
        """
    )
