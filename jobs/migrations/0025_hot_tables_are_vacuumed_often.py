from django.db import migrations

# A fifth of a table may be dead before autovacuum comes, by PostgreSQL's own settings. Each job
# changes its row some ten times, and its tenant's queue with it: see docs/performance.md.
OFTEN = """
ALTER TABLE jobs_job SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE jobs_tenantqueue
    SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""
AS_EVER = """
ALTER TABLE jobs_job RESET (autovacuum_vacuum_scale_factor);
ALTER TABLE jobs_tenantqueue
    RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0024_a_document_is_found_by_one_index")]

    operations = [migrations.RunSQL(OFTEN, AS_EVER)]
