"""What the report and the model card are made of, apart from how they look."""
