"""What the DAGs share. They only put commands of riskml into order: the work is done by these."""
