"""Words that every other room uses: schema, types, errors, allowed targets."""
