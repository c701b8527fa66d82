# Run once, when the database is made: the services' own role, which owns the database and is no superuser.
psql -q -v ON_ERROR_STOP=1 -v password="$(cat /run/secrets/postgres_role_password)" \
  --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE emotion LOGIN PASSWORD :'password';
ALTER DATABASE emotion OWNER TO emotion;
REVOKE CONNECT ON DATABASE emotion FROM PUBLIC;
SQL
