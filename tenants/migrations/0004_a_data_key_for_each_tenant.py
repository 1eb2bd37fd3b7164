"""Each tenant that is there gets its first data key.

Apart from the last migration: a foreign key that is added where rows are already is checked by the
owner, from whom row security hides the tenants.
"""

import os

from django.db import migrations

from config import crypto
from config.isolation import past_row_security
from tenants.vault import WRAPPED

BATCH = 500


def make_data_keys(apps, schema_editor):
    Tenant, DataKey = apps.get_model("tenants", "Tenant"), apps.get_model("tenants", "DataKey")

    def first_key(tenant_id):
        key = crypto.seal(os.urandom(crypto.KEY_BYTES), WRAPPED.format(tenant_id, 1))
        return DataKey(tenant_id=tenant_id, version=1, wrapped=key)

    with past_row_security("tenants_tenant", "tenants_datakey", on=schema_editor.connection):
        with_key = DataKey.objects.values("tenant_id")
        ids = list(Tenant.objects.exclude(id__in=with_key).values_list("id", flat=True))
        DataKey.objects.bulk_create(map(first_key, ids), batch_size=BATCH)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_data_keys_and_retention")]

    operations = [migrations.RunPython(make_data_keys, migrations.RunPython.noop)]
