#!/bin/bash
# Run by the postgres image on an empty data folder: one database per service, which only its own role may open.
set -euo pipefail

make_database() {
    psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc --quiet \
        --set ON_ERROR_STOP=1 --set name="$1" --set password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

make_database identity "$IDENTITY_DATABASE_PASSWORD"
make_database points "$POINTS_DATABASE_PASSWORD"
make_database vouchers "$VOUCHERS_DATABASE_PASSWORD"
make_database promos "$PROMOS_DATABASE_PASSWORD"
