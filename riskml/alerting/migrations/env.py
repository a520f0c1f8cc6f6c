"""Run by Alembic, over the connection that `migrating` has opened."""

from alembic import context

from riskml.alerting.log_tables import METADATA
from riskml.alerting.migrating import VERSIONS

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSIONS,
)
with context.begin_transaction():
    context.run_migrations()
