-- The roles of config/isolation.py and the logins of web and worker, for a PostgreSQL where
-- `migrate` runs as a user who may not create roles. Run once by a superuser, before the first
-- migrate; again to change the passwords. Needs psql 15 or newer.
--
--   WEB_DATABASE_PASSWORD=... WORKER_DATABASE_PASSWORD=... \
--     psql -d guidepost -v owner=guidepost -f deploy/roles.sql
--
-- owner: the user of DATABASE_URL where migrate runs.

\set ON_ERROR_STOP on
\getenv web_password WEB_DATABASE_PASSWORD
\getenv worker_password WORKER_DATABASE_PASSWORD
\set web :DBNAME _web_login
\set worker :DBNAME _worker_login

BEGIN;

SELECT format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted)
FROM unnest(ARRAY['guidepost_api', 'guidepost_door', 'guidepost_worker', 'guidepost_staff']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
\gexec
GRANT guidepost_api, guidepost_door, guidepost_worker, guidepost_staff TO :"owner";

SELECT format(
    'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s', name, inherits
)
FROM (VALUES (:'web', 'NOINHERIT'), (:'worker', 'INHERIT')) AS login (name, inherits)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec
ALTER ROLE :"web" PASSWORD :'web_password';
ALTER ROLE :"worker" PASSWORD :'worker_password';
GRANT guidepost_api, guidepost_door, guidepost_staff TO :"web";
GRANT guidepost_worker TO :"worker";

SELECT format('ALTER ROLE %I SET %s', login, setting)
FROM unnest(ARRAY[:'web', :'worker']) AS login, unnest(ARRAY[
    'statement_timeout = ''15s''', 'lock_timeout = ''2s''',
    'idle_in_transaction_session_timeout = ''30s'''
]) AS setting
\gexec

COMMIT;
