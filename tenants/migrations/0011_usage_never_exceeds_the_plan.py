"""The only writers of tenants_usage: what is promised and what is spent stay within the plan.

All of them take the rows of one tenant in the same order, money before tokens, so that no two
wait for each other. `micros` are millionths of a dollar.
"""

from django.db import migrations

FORWARD = r"""
-- The same day all through a transaction, also at midnight.
CREATE FUNCTION guidepost_today() RETURNS date LANGUAGE sql STABLE
AS $$ SELECT (now() AT TIME ZONE 'UTC')::date $$;

-- Promises both or neither: the name of the budget that does not suffice, else ''. The caller rolls
-- back on a refusal. Nothing asked is nothing refused, also where a plan was made smaller.
CREATE FUNCTION tenants_reserve(tenant uuid, tokens bigint, micros bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    plan tenants_plan%ROWTYPE;
BEGIN
    SELECT p.* INTO plan FROM tenants_plan p JOIN tenants_tenant t ON t.plan_id = p.code
    WHERE t.id = tenant;
    IF micros > 0 AND NOT tenants_reserve_one(
        tenant, 'money', date_trunc('month', guidepost_today())::date, micros, plan.money_per_month
    ) THEN
        RETURN 'money';
    END IF;
    IF tokens > 0 AND NOT tenants_reserve_one(
        tenant, 'tokens', guidepost_today(), tokens, plan.tokens_per_day
    ) THEN
        RETURN 'tokens';
    END IF;
    RETURN '';
END $$;

CREATE FUNCTION tenants_reserve_one(
    tenant uuid, budget text, period date, amount bigint, cap bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenants_usage AS usage (tenant_id, kind, starts_on, reserved)
    SELECT tenant, budget, period, amount WHERE amount <= cap
    ON CONFLICT (tenant_id, kind, starts_on) DO UPDATE
        SET reserved = usage.reserved + excluded.reserved
        WHERE usage.spent + usage.reserved + excluded.reserved <= cap;
    RETURN FOUND;
END $$;

-- Gives back what was promised on `day`.
CREATE FUNCTION tenants_release(tenant uuid, day date, tokens bigint, micros bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF micros > 0 THEN
        UPDATE tenants_usage SET reserved = greatest(reserved - micros, 0)
        WHERE tenant_id = tenant AND kind = 'money'
            AND starts_on = date_trunc('month', day)::date;
    END IF;
    IF tokens > 0 THEN
        UPDATE tenants_usage SET reserved = greatest(reserved - tokens, 0)
        WHERE tenant_id = tenant AND kind = 'tokens' AND starts_on = day;
    END IF;
END $$;

-- What was promised on `day` has become what was spent.
CREATE FUNCTION tenants_settle(
    tenant uuid, day date, tokens bigint, micros bigint, tokens_spent bigint, micros_spent bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF micros > 0 OR micros_spent > 0 THEN
        UPDATE tenants_usage
        SET reserved = greatest(reserved - micros, 0), spent = spent + micros_spent
        WHERE tenant_id = tenant AND kind = 'money'
            AND starts_on = date_trunc('month', day)::date;
    END IF;
    IF tokens > 0 OR tokens_spent > 0 THEN
        UPDATE tenants_usage
        SET reserved = greatest(reserved - tokens, 0), spent = spent + tokens_spent
        WHERE tenant_id = tenant AND kind = 'tokens' AND starts_on = day;
    END IF;
END $$;
"""

REVERSE = """
DROP FUNCTION tenants_settle, tenants_release, tenants_reserve, tenants_reserve_one, guidepost_today;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_plans_usage_and_idempotency")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
