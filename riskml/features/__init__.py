"""Events → windows → features. Everything shared is fitted on the train period alone."""
