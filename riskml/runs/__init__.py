"""The two commands: from a configuration to a trained, evaluated and exported detector."""
